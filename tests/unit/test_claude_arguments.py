"""How Claude Code is called: its arguments, its environment, its prompt."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.programs.claude import (
    _PRELOAD,
    FRESH,
    NO_KEY,
    RESUMED,
    Options,
    arguments,
    environment,
    lose,
    spoken,
    transcripts,
)
from agent.texts.prompt import VERDICT_SCHEMA

SESSION = "00000000-0000-4000-8000-000000000003"
OPTIONS = Options(
    program="/opt/claude", model="claude-sonnet-5", socket=Path("/run/relay.sock"), max_turns=200, max_usd=20
)
BASE = {"PATH": "/usr/bin", "HOME": "/home/agent", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "AGENT_RUN": SESSION}


def test_the_command_line_allows_six_tools_and_no_configuration_of_others() -> None:
    argv = arguments(OPTIONS, VERDICT_SCHEMA, SESSION, resume=False)
    assert argv == (
        *("/opt/claude", "-p", "--output-format", "stream-json", "--verbose", "--session-id", SESSION),
        *("--model", "claude-sonnet-5", "--tools", "Read,Edit,Write,Glob,Grep,Bash"),
        *("--permission-mode", "acceptEdits", "--allowedTools", "Bash,Read,Glob,Grep"),
        *("--disallowedTools", "Bash(git:*)", "Bash(*/git *)", "--strict-mcp-config", "--setting-sources", ""),
        *("--settings", '{"env": {"LD_PRELOAD": ""}}'),
        *("--json-schema", json.dumps(VERDICT_SCHEMA), "--max-turns", "200", "--max-budget-usd", "20"),
    )


def test_a_session_is_begun_or_resumed_never_both() -> None:
    begun, resumed = (arguments(OPTIONS, {}, SESSION, resume=one) for one in (False, True))
    assert ("--session-id" in begun, "--resume" in begun) == (True, False)
    assert ("--session-id" in resumed, "--resume" in resumed) == (False, True)


def test_no_limit_is_ever_nought_which_would_be_none() -> None:
    argv = arguments(Options(program="c", model="m", socket=Path("s"), max_turns=0, max_usd=1), {}, "x", resume=False)
    assert argv[argv.index("--max-turns") + 1] == "1"


def test_the_environment_holds_a_dummy_key_and_leads_to_the_relay_only() -> None:
    env = environment(OPTIONS, BASE, idle=900)
    assert env.items() >= BASE.items()
    assert env["ANTHROPIC_API_KEY"] == NO_KEY
    assert env["ANTHROPIC_UNIX_SOCKET"] == "/run/relay.sock"
    assert re.fullmatch(r"http://[a-z]+", env["ANTHROPIC_BASE_URL"])


@pytest.mark.parametrize("idle", [10.0, 600.0, 900.0, None])
def test_the_programs_own_limits_end_before_the_idle_time(idle: float | None) -> None:
    env = environment(OPTIONS, BASE, idle=idle)
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


def test_in_a_sandbox_a_shell_starts_it_with_the_library_that_closes_it() -> None:
    options = replace(OPTIONS, preload=Path("/place/closed.so"))
    plain = arguments(OPTIONS, {}, "x", resume=False)
    shell = ("/bin/sh", "-c", _PRELOAD, "/place/closed.so")
    assert arguments(options, {}, "x", resume=False) == (*shell, *plain)


@pytest.mark.parametrize("shell", [("/bin/sh",), ("bash", "--posix")])
def test_no_variable_of_a_development_shell_brings_code_into_the_program(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    """A value may have lines that look like further variables."""
    own = {
        "PATH": os.environ["PATH"],
        "BUN_LIKE_IT": "kept? no",
        "NODE_OPTIONS": "--x",
        "OTHER": "a\nexport PATH='x'\nexport no-name=1\nb",
    }
    bad = {"BUN_OPTIONS": "--preload ./evil.js", "BUN_INSPECT": "1", "LD_AUDIT": "evil.so", "LD_DEBUG_OUTPUT": "a\nb"}
    words = (*shell, "-c", _PRELOAD, "", sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    done = subprocess.run(words, env={**own, **bad}, cwd=tmp_path, capture_output=True, check=True)
    seen = json.loads(done.stdout)
    assert not [name for name in seen if name.startswith(("BUN_", "LD_AUDIT", "LD_DEBUG"))]
    assert {name: seen[name] for name in ("PATH", "NODE_OPTIONS", "OTHER")} == {
        name: own[name] for name in ("PATH", "NODE_OPTIONS", "OTHER")
    }
    assert "line" not in seen
    assert seen["LD_PRELOAD"] == ""
