"""How Claude Code is called: its arguments, its environment, its prompt."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.programs.claude import FRESH, NO_KEY, Options, arguments, spoken, variables
from agent.programs.claude_folder import ClaudeFolder
from agent.programs.removal import remove_folder
from agent.texts.prompt import VERDICT_SCHEMA

OPTIONS = Options(
    program="/opt/claude", model="claude-sonnet-5", socket=Path("/run/relay.sock"), max_turns=200, max_usd=20
)
FOLDER = ClaudeFolder.below(Path("/home/agent"))


def called(*, schema: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    return arguments(OPTIONS, schema or {}, settings=FOLDER.settings)


def test_the_command_line_allows_six_tools_and_no_configuration_of_others() -> None:
    assert called(schema=VERDICT_SCHEMA) == (
        *("/opt/claude", "-p", "--output-format", "stream-json", "--verbose", "--no-session-persistence"),
        *("--model", "claude-sonnet-5", "--tools", "Read,Edit,Write,Glob,Grep,Bash"),
        *("--permission-mode", "acceptEdits", "--allowedTools", "Bash,Read,Glob,Grep"),
        *("--disallowedTools", "Bash(git:*)", "Bash(*/git *)", "--strict-mcp-config", "--setting-sources", ""),
        *("--settings", "/home/agent/.claude/flags.json"),
        *("--json-schema", json.dumps(VERDICT_SCHEMA), "--max-turns", "200", "--max-budget-usd", "20"),
    )


def test_no_limit_is_ever_nought_which_would_be_none() -> None:
    argv = arguments(replace(OPTIONS, max_turns=0), {}, settings=FOLDER.settings)
    assert argv[argv.index("--max-turns") + 1] == "1"


def test_the_environment_holds_a_dummy_key_and_leads_to_the_relay_only() -> None:
    env = variables(OPTIONS, FOLDER, idle=900)
    assert env["ANTHROPIC_API_KEY"] == NO_KEY
    assert env["ANTHROPIC_UNIX_SOCKET"] == "/run/relay.sock"
    assert re.fullmatch(r"http://[a-z]+", env["ANTHROPIC_BASE_URL"])


@pytest.mark.parametrize("idle", [10.0, 600.0, 900.0, None])
def test_the_programs_own_limits_end_before_the_idle_time(idle: float | None) -> None:
    env = variables(OPTIONS, FOLDER, idle=idle)
    for name in ("API_TIMEOUT_MS", "BASH_DEFAULT_TIMEOUT_MS", "BASH_MAX_TIMEOUT_MS"):
        assert 0 < int(env[name]) < (idle or 900) * 1000


@given(st.text())
def test_no_prompt_is_a_command_or_reads_a_file_in(prompt: str) -> None:
    text = spoken(prompt)
    assert text.startswith(FRESH)
    assert not re.search(r"(^|\s)@", text)


def test_an_address_in_a_prompt_stays_what_it_is() -> None:
    assert spoken("ask a@b.org (@c) `@d`") == FRESH + "ask a@b.org (@c) `@d`"


def test_in_a_sandbox_it_starts_with_the_library_that_closes_it() -> None:
    assert "LD_PRELOAD" not in variables(OPTIONS, FOLDER, idle=None)
    options = replace(OPTIONS, preload=Path("/place/closed.so"))
    assert variables(options, FOLDER, idle=None)["LD_PRELOAD"] == "/place/closed.so"


BASH, ENV = shutil.which("bash") or "", shutil.which("env") or ""


def prepared(home: Path, shell: Mapping[str, str]) -> ClaudeFolder:
    folder = ClaudeFolder.below(home)
    folder.prepare(bash=BASH, env=ENV, own=variables(OPTIONS, folder, idle=None), shell=shell)
    return folder


def test_its_commands_have_the_shells_variables_and_none_of_its_own(tmp_path: Path) -> None:
    folder = prepared(tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C"})
    odd = {
        "PATH": os.environ["PATH"],
        "HOME": "/h",
        "A": "a\nb=c d'",
        "a-b": "1",
        "é": "ü",
        "-u": "x",
        "LD_PRELOAD": "",
    }
    folder.environment.write_bytes(b"".join(os.fsencode(f"{name}={value}\0") for name, value in odd.items()))
    words = (folder.path / "bash", "-c", f"{(folder.path / 'before-each-command.sh').read_text()}\n: && {ENV} -0")
    env = {**variables(OPTIONS, folder, idle=None), "LANG": "C", "PATH": "/none", "CLAUDECODE": "1"}
    done = subprocess.run(words, env=env, capture_output=True, check=True)
    found = dict(one.split("=", 1) for one in os.fsdecode(done.stdout).split("\0") if one)
    assert {name: found.pop(name) for name in odd} == odd
    assert found.keys() - {"_", "PWD", "SHLVL", "OLDPWD"} == {"CLAUDECODE", "SHELL"}


def test_without_a_development_shell_its_commands_have_what_any_program_has(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "a folder", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    for gone in (False, True):
        if gone:
            folder.environment.unlink()
        env = {**variables(OPTIONS, folder, idle=None), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            (folder.path / "bash", "-c", 'echo "$HOME"; exit 3'), env=env, capture_output=True, check=False, text=True
        )
        assert (done.stdout, done.stderr, done.returncode) == ("\n" if gone else f"{tmp_path}\n", "", 3)


def test_nothing_that_an_earlier_try_left_in_its_folder_stays_and_no_link_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "bash").write_text("mine")
    folder = ClaudeFolder.below(tmp_path)

    def left() -> None:
        for place in folder.writable:
            (place / "-repo" / "memory").mkdir(parents=True)
            (place / "-repo" / "session.jsonl").touch()
            (place / "-repo").chmod(0)

    def links() -> None:
        for place in (*folder.writable, folder.environment, folder.path / "bash"):
            remove_folder(place)
            place.symlink_to(elsewhere)

    def file() -> None:
        remove_folder(folder.writable[0])
        os.mkfifo(folder.writable[0])

    def link() -> None:
        remove_folder(folder.path)
        folder.path.symlink_to(elsewhere)

    prepared(tmp_path, {"A": "1"})
    fresh = sorted(folder.path.rglob("*"))
    for leave in (left, links, file, link):
        leave()
        prepared(tmp_path, {"A": "1"})
        assert sorted(folder.path.rglob("*")) == fresh, leave
        assert not any(one.is_symlink() for one in (folder.path, *fresh)), leave
        assert folder.environment.read_text() == "A=1\0"
    assert (elsewhere / "bash").read_text() == "mine"
    assert [one.name for one in elsewhere.iterdir()] == ["bash"]
