# The front door. Every target provisions what it needs; afterwards the command is .venv/bin/agent.
.DEFAULT_GOAL := help
.PHONY: help provision tools test slow unit lint demo bench simulate mutants kill soak screenshots fleet nix-eval golden trust proof lock clean

BOARD ?= embedded
MODEL ?= scripted
CLAUDE := build/claude/2.1.330/claude

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

provision: ## install what is missing and make .venv
	@.ci/provision

tools:
	@.ci/provision test

test: tools ## every test; with CI=true nothing that ../shared provides is skipped
	@PYTHONPATH=tests .venv/bin/python -m support.beside $(MAKE) --no-print-directory lint unit slow fleet

slow: tools
	@.ci/claude
	@.ci/axe
	.venv/bin/pytest -q -n 2 --dist worksteal --durations=12 -m "not proof" tests --ignore tests/unit --ignore tests/fleet --ignore tests/proof

unit: tools ## the unit suite with the coverage of the pure cores, and whole on the system's Python if that is another
	.venv/bin/pytest -q -n 2 --cov --cov-report=term tests/unit
	@if [ -x /usr/bin/python3 ] && ! .venv/bin/python -c 'import os, sys; sys.exit(not os.path.samefile(sys._base_executable, "/usr/bin/python3"))'; then \
	  PYTHON=/usr/bin/python3 VENV=.venv-system .ci/provision && .venv-system/bin/pytest -q -n 2 tests/unit; \
	else .venv/bin/pytest -q -n 2 tests/unit; fi

lint: tools ## ruff, mypy, import contracts
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

demo: provision ## two pods work on a small backlog (BOARD=openproject: a real one, MODEL=claude: the real Claude Code)
	@[ $(MODEL) != claude ] || .ci/claude 2.1.330
	@.venv/bin/agent demo --board $(BOARD) --model $(MODEL) --claude $(CLAUDE)

bench: tools ## what it costs, in build/bench
	@.ci/claude
	@PYTHONPATH=tests .venv/bin/python -m bench

simulate: tools ## many pods, one board, virtual time, seeded faults (SEEDS=200 HOURS=1000; SEED=7 tells one history in full)
	@PYTHONPATH=tests .venv/bin/python -m simulation $(if $(SEED),--seed $(SEED) --shrink \
	  $(if $(WITHOUT),--without $(WITHOUT)) $(if $(TICKETS),--tickets $(TICKETS)) $(if $(PODS),--pods $(PODS)) $(if $(HOURS),--hours $(HOURS)),\
	  --seeds $(or $(SEEDS),200) --at-least $(or $(HOURS),1000))

mutants: tools ## deliberate protocol bugs, hunted by SEEDS=20 random histories each, besides the directed ones
	@PYTHONPATH=tests .venv/bin/python -m simulation.mutants_hunt --seeds $(or $(SEEDS),20)

kill: tools ## SIGKILL the real pod before and after each of its effects; every end state must be the undisturbed one
	AGENT_KILL=all .venv/bin/pytest -q -n 2 tests/acceptance/test_kill.py

screenshots: tools ## write tests/browser/screenshots anew, from a busy fleet's board
	@PYTHONPATH=tests .venv/bin/python -m browser.pictures

soak: tools ## eight real pods, one killed every few seconds (MINUTES=10 TICKETS=200)
	@PYTHONPATH=tests .venv/bin/python -m support.soak --minutes $(or $(MINUTES),10) --tickets $(or $(TICKETS),200)

fleet: tools ## five hosts with real systemd in namespaces play the scenarios of the VM tests (as root)
	@if [ -x /usr/bin/python3 ]; then PYTHON=/usr/bin/python3 VENV=.venv-system .ci/provision; fi
	.venv/bin/pytest -q --durations=8 tests/fleet

trust: tools ## what attackers broke around the sandbox, row by row: each attack once more, and a table
	@.ci/claude
	@if [ -x /usr/bin/python3 ]; then PYTHON=/usr/bin/python3 VENV=.venv-system .ci/provision; fi
	@PYTHONPATH=tests .venv/bin/python -m support.trust --run

proof: tools ## what is too long for make test: all of tests/proof, the whole outsider's walk, trust, mutants, simulation, kill boundaries, soak (hours)
	@.ci/claude
	.venv/bin/pytest -q --durations=12 tests/proof
	.venv/bin/pytest -q -n 2 --dist worksteal -m proof tests --ignore tests/proof
	AGENT_WALK=all .venv/bin/pytest -q -n 2 tests/integration/test_outsider.py
	@$(MAKE) --no-print-directory trust mutants simulate kill soak

lock: ## .ci/python.lock anew, after a change of pyproject.toml (needs uv)
	@.ci/lock

nix-eval: tools ## hosts, modules, units and mistakes of the NixOS half, without nixpkgs
	.venv/bin/pytest -q -n 2 --dist worksteal tests/nix

golden: tools ## write nix/golden anew from the modules
	@PYTHONPATH=tests .venv/bin/python -m nix.golden

clean: ## forget what was built
	rm -rf .venv .venv-system build .mypy_cache .ruff_cache .pytest_cache .hypothesis
