"""How Claude Code is called: its arguments, its environment, its prompt."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.programs.claude import FRESH, NO_KEY, RESUMED, Options, arguments, lose, spoken, transcripts, variables
from agent.programs.claude_folder import ClaudeFolder
from agent.texts.prompt import VERDICT_SCHEMA

SESSION = "00000000-0000-4000-8000-000000000003"
OPTIONS = Options(
    program="/opt/claude", model="claude-sonnet-5", socket=Path("/run/relay.sock"), max_turns=200, max_usd=20
)
FOLDER = ClaudeFolder.below(Path("/home/agent"))


def called(*, schema: Mapping[str, Any] | None = None, resume: bool = False) -> tuple[str, ...]:
    return arguments(OPTIONS, schema or {}, SESSION, resume=resume, settings=FOLDER.settings)


def test_the_command_line_allows_six_tools_and_no_configuration_of_others() -> None:
    assert called(schema=VERDICT_SCHEMA) == (
        *("/opt/claude", "-p", "--output-format", "stream-json", "--verbose", "--session-id", SESSION),
        *("--model", "claude-sonnet-5", "--tools", "Read,Edit,Write,Glob,Grep,Bash"),
        *("--permission-mode", "acceptEdits", "--allowedTools", "Bash,Read,Glob,Grep"),
        *("--disallowedTools", "Bash(git:*)", "Bash(*/git *)", "--strict-mcp-config", "--setting-sources", ""),
        *("--settings", "/home/agent/.claude/flags.json"),
        *("--json-schema", json.dumps(VERDICT_SCHEMA), "--max-turns", "200", "--max-budget-usd", "20"),
    )


def test_a_session_is_begun_or_resumed_never_both() -> None:
    begun, resumed = (called(resume=one) for one in (False, True))
    assert ("--session-id" in begun, "--resume" in begun) == (True, False)
    assert ("--session-id" in resumed, "--resume" in resumed) == (False, True)


def test_no_limit_is_ever_nought_which_would_be_none() -> None:
    argv = arguments(replace(OPTIONS, max_turns=0), {}, SESSION, resume=False, settings=FOLDER.settings)
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


@given(st.text(), st.booleans())
def test_no_prompt_is_a_command_or_reads_a_file_in(prompt: str, resume: bool) -> None:
    text = spoken(prompt, resume=resume)
    assert text.startswith(RESUMED if resume else FRESH)
    assert not re.search(r"(^|\s)@", text)


def test_an_address_in_a_prompt_stays_what_it_is() -> None:
    assert spoken("ask a@b.org (@c) `@d`", resume=False) == FRESH + "ask a@b.org (@c) `@d`"


def test_a_transcript_is_found_whatever_folder_it_ran_in(tmp_path: Path) -> None:
    assert transcripts(tmp_path, SESSION) == []
    places = [tmp_path / ".claude" / "projects" / name for name in ("-repo", "-other")]
    for place in places:
        place.mkdir(parents=True)
        (place / f"{SESSION}.jsonl").touch()
        (place / "another.jsonl").touch()
    assert [one.parent.name for one in transcripts(tmp_path, SESSION)] == ["-other", "-repo"]


def test_whatever_stands_in_the_place_of_a_transcript_can_be_lost(tmp_path: Path) -> None:
    """A model can put anything there, and its next try would be the pod's trouble."""
    place = tmp_path / ".claude" / "projects" / "-repo" / f"{SESSION}.jsonl"
    makers: list[Callable[[], object]] = [
        place.touch,
        place.mkdir,
        lambda: place.symlink_to("/nowhere"),
        lambda: os.mkfifo(place),
    ]
    for make in makers:
        place.parent.mkdir(parents=True, exist_ok=True)
        make()
        assert transcripts(tmp_path, SESSION) == [place]
        lose(tmp_path, SESSION)
        assert transcripts(tmp_path, SESSION) == []
    place.parent.parent.joinpath("file").touch()
    assert transcripts(tmp_path, SESSION) == []


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


def test_what_an_earlier_try_left_in_its_folder_is_replaced_and_no_link_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "bash").write_text("mine")
    folder = ClaudeFolder.below(tmp_path)
    folder.path.symlink_to(elsewhere)
    prepared(tmp_path, {})
    (folder.projects / "x").mkdir()
    folder.environment.unlink()
    folder.environment.symlink_to(elsewhere / "bash")
    (folder.path / "bash").unlink()
    (folder.path / "bash").symlink_to(elsewhere / "bash")
    prepared(tmp_path, {"A": "1"})
    assert (folder.projects / "x").is_dir()
    assert (folder.environment.read_text(), (elsewhere / "bash").read_text()) == ("A=1\0", "mine")
    assert [one.name for one in elsewhere.iterdir()] == ["bash"]
