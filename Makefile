# The front door. Every target provisions what it needs; afterwards the command is .venv/bin/agent.
.DEFAULT_GOAL := help
.PHONY: help provision test unit lint demo clean

BOARD ?= embedded

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

provision: ## install what is missing and make .venv
	@.ci/provision

test: lint unit ## every test (the unit suite on /usr/bin/python3 too)
	.venv/bin/pytest -q -n 2 tests --ignore tests/unit

unit: provision ## the unit suite, with the coverage of the pure cores
	.venv/bin/pytest -q tests/unit

lint: provision ## ruff, mypy, import contracts
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

demo: provision ## two pods work on a small backlog (BOARD=openproject: on a real OpenProject)
	@.venv/bin/agent demo --board $(BOARD)

clean: ## forget what was built
	rm -rf .venv .venv-system build .mypy_cache .ruff_cache .pytest_cache .hypothesis
