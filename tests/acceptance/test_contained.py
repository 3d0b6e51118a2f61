"""A run contained: the real Claude Code, or a program that misbehaves, in the sandbox of the installed command."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.demo.messages_api import MessagesApi, serving
from agent.demo.turns import Refusal, Script, Trouble, by_answers, call, in_order, verdict
from agent.devshell.client_options import private_store
from support.boards import missing
from support.claude_cli import FOLDER, VERSIONS, claude_cli
from support.fleet import Fleet, wait_until
from support.git_http import git_over_http
from support.git_repo import FLAKE, git

__all__ = ["claude_cli"]  # a fixture

KEY = "sk-canary-0123456789abcdef"
GIT_TOKEN = "git-canary-0123456789abcdef"
FLAKE_WITH_A_TOOL = """\
{
  outputs =
    { self }:
    let
      system = builtins.head (builtins.attrNames { x86_64-linux = 1; });
      newtool = derivation {
        inherit system;
        name = "newtool";
        builder = "/bin/bash";
        args = [ "-c" "mkdir -p $out/bin; printf '#!/bin/sh\\necho new and useful\\n' > $out/bin/newtool; chmod +x $out/bin/newtool; exit 0" ];
        PATH = "/usr/bin:/bin";
      };
    in
    {
      devShells.${system}.default = derivation {
        inherit system newtool;
        name = "fixture-shell";
        builder = "/bin/bash";
        args = [ "-c" "export > $out" ];
        outputs = [ "out" ];
        stdenv = ./stdenv;
        shellHook = "export PATH=$newtool/bin:$PATH";
      };
    };
}
"""
GOOD = (
    call("Write", file_path="greeting.txt", content="hello\n"),
    call("Bash", command="echo 'open(\"greeting.txt\")' > test_greeting.py; cat greeting.txt"),
)
NEW = "echo x > new.txt; echo 'open(\"new.txt\")' > test_new.py"
"""Work, and a test that fails without it."""


@pytest.fixture
def newest() -> Path:
    """The newer program, for what does not depend on the version."""
    program = FOLDER / VERSIONS[0] / "claude"
    if not program.exists():
        missing(f"there is no {program}; .ci/claude fetches it")
    return program


@contextmanager
def claude_pod(
    fleet: Fleet, program: Path, script: Script, *, url: str = "", **more: Any
) -> Iterator[tuple[Path, MessagesApi]]:
    """A pod with the real Claude Code in the sandbox, and the API that it meets."""
    fleet.folder.joinpath("pod-a").mkdir(exist_ok=True)
    key = fleet.folder / "pod-a" / "model-key"
    key.write_text(KEY)
    key.chmod(0o600)
    with serving(script) as api:
        model = {"kind": "claude", "program": str(program), "api": api.url, "key_file": str(key)}
        sections = {"sandbox": {"kind": "bubblewrap"}, **more, "model": {**model, **more.get("model", {})}}
        config = fleet.pod(**{"nix.settings": private_store(fleet.folder / "store"), **sections})
        if url:
            config.write_text(config.read_text().replace(fleet.remote.url, url))
        yield config, api


def test_the_real_claude_code_works_on_a_ticket_in_the_sandbox(standing_fleet: Fleet, claude_cli: Path) -> None:
    ticket = standing_fleet.add("Greet", text="Write greeting.txt")
    with claude_pod(standing_fleet, claude_cli, by_answers(*GOOD, verdict("done", "Greeted."))) as (config, api):
        assert standing_fleet.cycle(config)["end"]["kind"] == "done"
    assert standing_fleet.file(f"agent/{ticket}-greet", "greeting.txt") == "hello"
    assert "hello" in api.seen[2].results()[0]
    complete = next(one for one in standing_fleet.comments(ticket) if one.startswith("Execution complete"))
    assert "300 input tokens / 60 output tokens" in complete, "what the relay counted"
    assert "Greeted." in complete
    assert "Cost: 0.00 USD" in complete
    assert {one.headers["x-api-key"] for one in api.seen} == {KEY}, "added by the relay"
    assert not list((standing_fleet.folder / "pod-a" / "state" / "homes").iterdir()), "a finished run leaves no home"


def test_no_secret_reaches_log_comment_prompt_worktree_environment_or_transcript(
    small_fleet: Fleet, newest: Path, tmp_path: Path
) -> None:
    board_token = small_fleet.board.tokens["agent"]
    canaries = {KEY, GIT_TOKEN, board_token}
    ticket = small_fleet.add("Look around")
    look = (
        "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; "
        f"grep -rsl -e canary- -e {board_token[:12]} / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr "
        "--exclude-dir=nix --exclude=claude 2>/dev/null | head; cat ~/../../token ~/../../../model-key 2>&1; ls -la ~ / /tmp"
    )
    script = by_answers(call("Bash", command=look), *GOOD, call("Bash", command="sleep 0.5"), verdict("done"))
    state = small_fleet.folder / "pod-a" / "state"
    token = tmp_path / "git-token"
    token.write_text(GIT_TOKEN)
    token.chmod(0o600)
    places = {"repositories.shop": {"token_file": str(token)}}
    with (
        git_over_http(small_fleet.remote.path, GIT_TOKEN) as url,
        claude_pod(small_fleet, newest, script, url=url, **places) as (config, api),
        _environments() as seen,
    ):
        done = small_fleet.agent("--config", str(config), "--json", "-v", command=("cycle",))
        kept = _files(state)  # while the run's home is gone already
    assert done.returncode == 0, done.stderr
    said = [str(one.body) for one in api.seen]
    assert any("greeting.txt" in one for one in said), "the model did look around"
    comments = small_fleet.comments(ticket)
    places_of_text = {
        "log": [done.stdout, done.stderr],
        "comments": comments,
        "prompts, tool results, transcript": said,
        "state and worktree": kept,
        "branch": [git(small_fleet.remote.path, "log", "--all", "-p")],
    }
    for where, texts in places_of_text.items():
        assert texts, where
        found = [secret for secret in canaries for text in texts if secret in text]
        assert not found, where
    holders = {(name, secret) for name, environ in seen for secret in canaries if secret in environ}
    assert {name for name, secret in holders if secret == KEY} == set()
    assert {name for name, secret in holders if secret == board_token} == set()
    assert all(name.startswith("git") for name, secret in holders if secret == GIT_TOKEN), holders


def test_what_a_repository_plants_finds_no_key_and_runs_nowhere_else(small_fleet: Fleet, newest: Path) -> None:
    pod, outside = small_fleet.folder / "pod-a", small_fleet.folder / "ran-outside"
    loot = f"env; cat {pod}/model-key {pod}/token /proc/*/environ 2>&1 | tr '\\0' '\\n'; touch {outside}"
    flake = FLAKE.replace(
        'shellHook = "export HOOKED=1"', f'shellHook = "export HOOKED=1; ({loot}) > loot-hook.txt 2>&1"'
    )
    small_fleet.remote.push("main", {"flake.nix": flake, ".envrc": f"({loot}) > loot-envrc.txt\n"})
    ticket = small_fleet.add("Plunder")
    plant = f"printf '[core]\\n\\tfsmonitor = touch {outside}\\n' | tee -a .git/config .git; git config core.fsmonitor true; touch {outside}"
    script = by_answers(call("Bash", command=plant), *GOOD, verdict("done"))
    with claude_pod(small_fleet, newest, script) as (config, api):
        end = small_fleet.cycle(config)["end"]
    assert end["kind"] == "done", (end, api.seen[-1].results())
    assert not outside.exists(), "nothing of the repository runs outside the sandbox"
    taken = small_fleet.file(f"agent/{ticket}-plunder", "loot-hook.txt")
    assert "HOOKED" in taken, "the hook did run"
    assert "No such file or directory" in taken, "and looked for the key"
    everything = git(small_fleet.remote.path, "log", "--all", "-p")
    assert not [one for one in (KEY, small_fleet.board.tokens["agent"]) if one in everything]
    files = git(small_fleet.remote.path, "ls-tree", "-r", "--name-only", f"agent/{ticket}-plunder").split()
    assert {"loot-hook.txt", "loot-envrc.txt"} & {*files} == {"loot-hook.txt"}, "nobody reads an .envrc"


@contextmanager
def _environments() -> Iterator[set[tuple[str, str]]]:
    """The environment of every process that begins within the block, as far as a look a hundred times a second sees."""
    before = _pids()
    seen: set[tuple[str, str]] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            for pid in _pids() - before:
                try:
                    name = Path(f"/proc/{pid}/comm").read_text().strip()
                    seen.add((name, Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")))
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
    assert {name for name, _ in seen} & {"claude", "bwrap"}, "the model was seen"


def _files(folder: Path) -> list[str]:
    return [
        one.read_bytes().decode("utf-8", "replace")
        for one in folder.rglob("*")
        if one.is_file() and not one.is_symlink()
    ]


def test_a_tool_that_the_model_adds_to_the_flake_is_there_in_the_same_run(standing_fleet: Fleet, newest: Path) -> None:
    ticket = standing_fleet.add("Use a new tool")
    script = by_answers(
        call("Read", file_path="flake.nix"),
        call("Write", file_path="flake.nix", content=FLAKE_WITH_A_TOOL),
        call(
            "Bash",
            command="nix develop --command newtool > told.txt; cat told.txt; ls /nix/var /run 2>&1; echo 'open(\"told.txt\")' > test_told.py",
        ),
        verdict("done"),
    )
    with claude_pod(standing_fleet, newest, script) as (config, api):
        result = standing_fleet.cycle(config)
    said = api.seen[3].results()[0]
    assert result["end"]["kind"] == "done", (result, said)
    assert standing_fleet.file(f"agent/{ticket}-use-a-new-tool", "told.txt") == "new and useful", said
    assert "socket" not in said, "there is no daemon to talk to"


def test_the_judge_is_the_one_of_the_start_commit(standing_fleet: Fleet) -> None:
    ticket = standing_fleet.add("Break it")
    meddles = "printf '[verify]\\ncommands = [\"true\"]\\n' > .agent.toml"
    program = f"echo 'def total(prices): return 0' > shop.py; {meddles}; {_says('done')}"
    end = standing_fleet.cycle(_misbehaving(standing_fleet, program))["end"]
    assert (end["kind"], end["reason"]) == ("failed", "test suite failed with exit code 1")
    assert "AssertionError" in _spike(standing_fleet, ticket)


def test_what_a_model_leaves_in_its_home_does_not_reach_the_checks(small_fleet: Fleet) -> None:
    planted = (
        "d=$HOME/.local/lib/python$(python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])')/site-packages; "
        "mkdir -p $d; echo 'import os; os._exit(0)' > $d/usercustomize.py; touch /tmp/left"
    )
    checks = ["test ! -e /tmp/left", "echo kept > ~/kept", "test -e ~/kept", "python3 -m unittest -q"]
    small_fleet.remote.push("main", {".agent.toml": f"[verify]\ncommands = {json.dumps(checks)}\n"})
    ticket = small_fleet.add("Break it")
    program = f"echo 'def total(prices): return 0' > shop.py; {_says('done')}; {planted}"
    end = small_fleet.cycle(_misbehaving(small_fleet, program))["end"]
    assert (end["kind"], end["reason"]) == ("failed", "test suite failed with exit code 1")
    assert "AssertionError" in _spike(small_fleet, ticket)
    assert not list((small_fleet.folder / "pod-a" / "state" / "homes").iterdir())


def test_checks_run_in_the_sandbox_too(small_fleet: Fleet) -> None:
    small_fleet.boxed_judge = True
    outside = small_fleet.folder / "outside"
    outside.write_text("x")
    checks = [f"! cat {outside}", "! touch /usr/x", "test ! -e /nix/var", "! cat /proc/1/root/etc/shadow"]
    small_fleet.remote.push("main", {".agent.toml": f"[verify]\ncommands = {json.dumps(checks)}\n"})
    small_fleet.add("Check")
    result = small_fleet.cycle(_misbehaving(small_fleet, "echo x > new.txt; " + _says("done")))
    assert result["end"]["kind"] == "done", result


# -- limits ------------------------------------------------------------------------------------------------------------


def _says(verdict_: str) -> str:
    document = (
        '{"type":"result","subtype":"success","is_error":false,"num_turns":1,'
        f'"structured_output":{{"verdict":"{verdict_}","summary":"Done."}}}}'
    )
    return f"echo '{document}'"


def _misbehaving(fleet: Fleet, program: str, **more: Any) -> Path:
    sections: dict[str, Any] = {
        "sandbox": {"kind": "bubblewrap", "disk": "32MiB", "processes": 64},
        "model": {"kind": "command", "command": ["/bin/sh", "-c", f"cat > /dev/null; {program}"]},
        "execution": {"idle": "20s"},
    }
    for name, one in more.items():
        sections[name] = {**sections.get(name, {}), **one}
    return fleet.pod(**{"nix.settings": private_store(fleet.folder / "store"), **sections})


def _spike(fleet: Fleet, ticket: int) -> str:
    (spike,) = fleet.children(ticket)
    return str(fleet.get(spike)["description"]["raw"])


LIMITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "idle": (
        "echo last words; sleep NAP",
        {"execution": {"idle": "2s"}},
        r"the model fell silent and was stopped after \d s",
    ),
    "time": (
        "while :; do echo still here; sleep 0.2; done",
        {"execution": {"timeout": "30s", "margin": "22s"}},
        r"the model was not done after \d s",
    ),
    "output": ("echo first; yes overflow", {}, "the model's program wrote without end"),
    "disk": (
        "echo filling; i=0; while :; do i=$((i+1)); head -c 4000000 /dev/zero > f$i; sleep 0.05; done",
        {},
        "the model wrote more than 32 MiB to disk",
    ),
    "processes": (
        "echo forking; i=0; while [ $i -lt 400 ]; do i=$((i+1)); sleep NAP & done; wait",
        {},
        "the model ran more than 64 processes at once",
    ),
}


@pytest.mark.parametrize("what", LIMITS)
def test_each_limit_ends_in_a_failure_with_evidence_on_the_spike(standing_fleet: Fleet, what: str) -> None:
    program, settings, reason = LIMITS[what]
    nap = f"60.{secrets.randbelow(10**9)}"  # by which its processes are known
    program = f": {nap}; {program.replace('NAP', nap)}"
    ticket = standing_fleet.add("Misbehave")
    end = standing_fleet.cycle(_misbehaving(standing_fleet, program, **settings))["end"]
    assert end["kind"] == "failed"
    assert re.fullmatch(reason, end["reason"]), end["reason"]
    spike = _spike(standing_fleet, ticket)
    assert end["reason"] in spike
    said = {"idle": "last words", "time": "still here", "output": "overflow", "disk": "filling", "processes": "forking"}
    assert said[what] in spike, "the last lines of the output"
    assert not _running(nap), "nothing of it is left"


BUDGETS: dict[str, tuple[dict[str, Any], int]] = {
    "turns": ({"max_turns": 3}, 3),
    "tokens": ({"max_tokens": 300}, 3),
    "money": ({"max_usd": 0.001}, 2),
}


@pytest.mark.parametrize(
    "what", [pytest.param(one, marks=() if one == "money" else pytest.mark.proof) for one in BUDGETS]
)
def test_each_part_of_the_budget_ends_the_run(standing_fleet: Fleet, newest: Path, what: str) -> None:
    model, requests = BUDGETS[what]
    ticket = standing_fleet.add("Never end")
    endless = in_order(call("Bash", command="date +%N"))
    with claude_pod(standing_fleet, newest, endless, model=model) as (config, api):
        end = standing_fleet.cycle(config)["end"]
    assert end["kind"] == "failed"
    assert re.search("budget|limit of turns|limit of money", end["reason"]), end["reason"]
    assert len(api.seen) == requests, "nobody asks beyond it"
    assert any(
        re.search(r"^Spent: \d+ input tokens / \d+ output tokens, ", one, re.MULTILINE)
        for one in standing_fleet.comments(ticket)
    )
    assert end["reason"] in _spike(standing_fleet, ticket)


# -- interruptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, *(pytest.param(one, marks=pytest.mark.proof) for one in (401, 529))])
def test_an_api_that_refuses_is_the_pods_trouble_and_no_spike(small_fleet: Fleet, newest: Path, status: int) -> None:
    ticket = small_fleet.add("Wait")
    with claude_pod(small_fleet, newest, in_order(Refusal(status, headers={"x-should-retry": "false"}))) as (config, _):
        small_fleet.cycle(config, code=1)
    assert small_fleet.children(ticket) == []
    assert any(
        one.startswith(f"Interrupted: the model's API answered {status}") for one in small_fleet.first_lines(ticket)
    )


def test_a_killed_pod_leaves_no_model_behind_and_its_work_goes_on(standing_fleet: Fleet, claude_cli: Path) -> None:
    ticket = standing_fleet.add("Greet")
    first = in_order(*GOOD, Trouble.SILENT)
    with claude_pod(standing_fleet, claude_cli, first) as (config, api):
        pod = standing_fleet.start(config)
        wait_until(lambda: len(api.seen) == 3)
        pod.send_signal(signal.SIGKILL)
        pod.wait()
        wait_until(lambda: not _running(str(claude_cli)), 10)
    with claude_pod(standing_fleet, claude_cli, in_order(verdict("done", "Went on."))) as (config, api):
        assert standing_fleet.cycle(config)["end"]["kind"] == "done"
    assert len(api.seen) == 1
    told = str(api.seen[0].body["messages"])
    assert "An earlier try of this run ended early. Its files are still there" in told
    assert "tool_use" not in told, "the conversation is not believed: all of the sandbox could write it"
    lines = standing_fleet.first_lines(ticket)
    assert lines[1].startswith("Taken over by pod `pod-a` after an interruption")
    complete = next(one for one in lines if one.startswith("Execution complete"))
    assert int(re.findall(r"(\d+) input tokens", complete)[0]) >= 300, "both tries count"
    assert standing_fleet.file(f"agent/{ticket}-greet", "greeting.txt") == "hello"


def test_without_bubblewrap_nothing_is_claimed(small_fleet: Fleet, tmp_path: Path) -> None:
    ticket = small_fleet.add("Wait")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "nix", "sh", "bash", "nix-store"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    config = _misbehaving(small_fleet, _says("done"))
    done = small_fleet.agent("--config", str(config), "--json", command=("cycle",), env={"PATH": str(programs)})
    assert done.returncode == 1
    assert "install the package bubblewrap" in done.stdout
    assert (small_fleet.status(ticket), small_fleet.comments(ticket)) == ("New", [])


# -- traps -------------------------------------------------------------------------------------------------------------

ASKS = """\
import glob, json, socket
with socket.socket(socket.AF_UNIX) as one:
    one.connect(glob.glob("/tmp/agent-*/out.sock")[0])
    body = json.dumps({"model": "claude-sonnet-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    one.sendall(f"POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n{body}".encode())
    print(one.makefile().read())
"""


def test_neither_a_hook_that_asks_the_model_first_nor_the_checks_get_an_answer(
    small_fleet: Fleet, newest: Path
) -> None:
    small_fleet.boxed_judge = True
    toml = "[verify]\ncommands = [\"python3 ask.py | grep 'nothing here may ask a model'\"]\n"
    flake = FLAKE.replace("export HOOKED=1", "python3 ask.py")
    small_fleet.remote.push("main", {"ask.py": ASKS, ".agent.toml": toml, "flake.nix": flake})
    small_fleet.add("Greet")
    with claude_pod(small_fleet, newest, by_answers(*GOOD, verdict("done"))) as (config, api):
        result = small_fleet.cycle(config)
    assert result["end"]["kind"] == "done", result
    assert len(api.seen) == 3, "the model's own"


PLANTS = """\
for one in .claude.json flags.json bash environment {more}; do
  (echo x >> "$HOME/.claude/$one") 2> /dev/null && echo "$one by {whom}" >> taken
done
[ {whom} = commands ] || for one in /tmp/agent-*/out.sock; do [ ! -S "$one" ] || echo "the relay by {whom}" >> taken; done
if [ {whom} = commands ]; then
  cat /proc/2/environ > /dev/null 2>&1 && echo "the coder's variables by {whom}" >> taken
  python3 -c 'import ctypes; raise SystemExit(ctypes.CDLL(None).ptrace(0, 0, 0, 0))' && echo "ptrace by {whom}" >> taken
fi
echo "{whom} tried" >> taken"""


def test_neither_a_hook_nor_a_command_writes_what_the_coder_believes(small_fleet: Fleet, newest: Path) -> None:
    """In the boxes that a pod makes; the attacks themselves are played in boxes of their own."""
    hook = PLANTS.format(whom="hooks", more="projects/planted session-env/planted shell-snapshots/planted")
    flake = FLAKE.replace('"export HOOKED=1"', "builtins.readFile ./hook.sh")
    small_fleet.remote.push("main", {"hook.sh": hook, "flake.nix": flake})
    ticket = small_fleet.add("Greet")
    script = by_answers(call("Bash", command=PLANTS.format(whom="commands", more="")), *GOOD, verdict("done"))
    with claude_pod(small_fleet, newest, script) as (config, _):
        assert small_fleet.cycle(config)["end"]["kind"] == "done"
    assert set(small_fleet.file(f"agent/{ticket}-greet", "taken").splitlines()) == {"hooks tried", "commands tried"}


NEWER = """\
#!/usr/bin/python3
import json, os, socket
with socket.socket(socket.AF_UNIX) as one:
    one.connect(os.environ["ANTHROPIC_UNIX_SOCKET"])
    body = json.dumps({"model": "claude-sonnet-5", "max_tokens": 9, "messages": [], "diagnostics": 1, "other": 1})
    one.sendall(f"POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n{body}".encode())
    open("said.txt", "w").write(one.makefile().read())
"""


def test_a_key_that_is_named_in_the_settings_is_let_through_to_the_model_and_no_other(
    small_fleet: Fleet, tmp_path: Path
) -> None:
    program = tmp_path / "claude"
    program.write_text(NEWER)
    program.chmod(0o755)
    small_fleet.add("Ask")
    with claude_pod(small_fleet, program, in_order(verdict("done")), model={"request_keys": ["diagnostics"]}) as (
        config,
        _,
    ):
        end = small_fleet.cycle(config, code=1)["end"]
    assert "`other` is not allowed here" in end["reason"], end


def test_a_program_whose_interpreter_is_not_inside_is_the_pods_trouble(small_fleet: Fleet, tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/usr/bin/env no-such-node\n")
    program.chmod(0o755)
    ticket = small_fleet.add("Wait")
    with claude_pod(small_fleet, program, in_order(verdict("done"))) as (config, _):
        end = small_fleet.cycle(config, code=1)["end"]
    assert re.search("did not start: .*no-such-node.*set `model.program`", end["reason"]), end
    assert small_fleet.children(ticket) == []


def test_a_path_to_show_that_is_not_there_is_found_before_a_claim(small_fleet: Fleet) -> None:
    ticket = small_fleet.add("Wait")
    result = small_fleet.cycle(_misbehaving(small_fleet, _says("done"), sandbox={"readable": ["/no/tool"]}), code=1)
    assert result["reason"] == "`sandbox.readable` names /no/tool, which is not on this host: mend the setting"
    assert small_fleet.comments(ticket) == []


def test_a_path_to_show_that_holds_the_pods_own_state_is_refused_before_a_claim(small_fleet: Fleet) -> None:
    """The state folder has every other repository's store, worktrees and homes in it; beside it lies the token."""
    ticket = small_fleet.add("Look around")
    config = small_fleet.pod()
    own = str(config.parent)
    config = _misbehaving(small_fleet, f"{NEW}; {_says('done')}", sandbox={"readable": [own]})
    refused = f"`sandbox.readable` names {own}, which would show every run `state` ({own}/state): move it, or name less"
    assert small_fleet.cycle(config, code=1)["reason"] == refused
    assert small_fleet.comments(ticket) == []
    doctor = small_fleet.agent("--config", str(config), command=("doctor",), env={"COLUMNS": "400"})
    assert doctor.returncode == 1
    assert refused in " ".join(doctor.stdout.split())


def test_the_hosts_store_can_be_shown_beside_a_store_of_ones_own(small_fleet: Fleet) -> None:
    if not Path("/nix/store").is_dir():
        pytest.skip("this host has no /nix/store to be shown")
    ticket = small_fleet.add("Look")
    store = {"nix.settings": private_store(small_fleet.folder / "nix"), "sandbox": {"readable": ["/nix/store"]}}
    config = _misbehaving(small_fleet, f"{NEW}; ls -d /nix/store > new.txt 2>&1; {_says('done')}", **store)
    assert small_fleet.cycle(config)["end"]["kind"] == "done"
    assert small_fleet.file(f"agent/{ticket}-look", "new.txt") == "/nix/store"


def test_a_long_folder_for_temporary_files_leaves_room_for_the_socket(standing_fleet: Fleet, tmp_path: Path) -> None:
    long = tmp_path / ("t" * 100)
    long.mkdir()
    standing_fleet.add("Work")
    config = _misbehaving(standing_fleet, f"{NEW}; {_says('done')}")
    assert standing_fleet.cycle(config, env={"TMPDIR": str(long)})["end"]["kind"] == "done"


def test_a_home_deeper_than_a_stack_and_closed_to_its_owner_goes_with_the_run(standing_fleet: Fleet) -> None:
    standing_fleet.add("Dig")
    dig = (
        "mkdir ~/d && cd ~/d && python3 -c 'import os; [(os.mkdir(chr(100)), os.chdir(chr(100))) for _ in range(1500)]'"
    )
    program = f"({dig}; chmod 0 ~/d); {NEW}; {_says('done')}"
    # What the pod cannot see counts for as much as the disk has filled, and others fill this one meanwhile.
    end = standing_fleet.cycle(_misbehaving(standing_fleet, program, sandbox={"disk": "8GiB"}))["end"]
    assert end["kind"] == "done", end
    assert not list((standing_fleet.folder / "pod-a" / "state" / "homes").iterdir())


def _pids() -> set[str]:
    return {one.name for one in Path("/proc").iterdir() if one.name.isdecimal()}


def _running(words: str) -> list[str]:
    found = []
    for pid in _pids():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if words in command:
            found.append(f"{pid} {command}")
    return found
