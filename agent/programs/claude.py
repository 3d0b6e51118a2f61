"""Claude Code as the coding model (reference/claude-cli.md): its arguments and its environment.

The adapter trusts the program with nothing. Its environment holds no secret: the key is a dummy, the API is a Unix socket
of the relay, and there is no other way out of the sandbox. What its flags forbid (git, the web) is a hint to the model;
the sandbox is the wall.

Each try of a run is a session of its own, and no transcript is kept. Whatever the program can write, all that runs beside it
can, so a session that is gone on with would be told others' words as the user's. What an interrupted try leaves is its files.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from agent.programs import command
from agent.programs.claude_folder import ClaudeFolder
from agent.programs.runner import Job, Runner, missing
from agent.programs.verdict import ModelResult, judge
from agent.texts.bounded import Every
from agent.texts.evidence import Redact

TOOLS: Final = "Read,Edit,Write,Glob,Grep,Bash"
UNASKED: Final = "Bash,Read,Glob,Grep"
"""Not Write and Edit: named here they would be allowed almost anywhere on the disk."""
NO_KEY: Final = "the-relay-adds-the-key"
"""The program wants a key and does not look at it."""
FRESH: Final = "What follows is your task. No person is there to answer while you work.\n\n"
"""Before every prompt: one that begins with `/word` would be a command to the program, not a task for the model."""
LONGEST_PROMPT: Final = 8 << 20
"""Characters; what `agent.texts.prompt` makes is shorter, even where all of it had to be escaped."""
_MENTION: Final = Every("claude: a path that is read in", r"(?<!\S)@", sees="the whole prompt", longest=LONGEST_PROMPT)
_SILENCE: Final = 900.0
"""Seconds, for the program's own limits where the run has none."""


class Options(Struct, frozen=True, kw_only=True):
    """How Claude Code is run.

    Attributes:
        program: a name in PATH, or better a path.
        model: the full name of a model; aliases move.
        socket: the relay's, where the program may read it.
        max_turns: requests in one run; the relay counts too. Never 0, which would be endless.
        max_usd: dollars by the program's own prices, likewise.
        retries: how often it repeats a request that failed, with growing pauses.
        preload: a shared library that closes it to what it starts (`agent.sandbox.closed`), where it lives in a sandbox.
    """

    program: str
    model: str
    socket: Path
    max_turns: int
    max_usd: float
    retries: int = 4
    preload: Path | None = None


def arguments(options: Options, schema: Mapping[str, Any], *, settings: Path) -> tuple[str, ...]:
    """The command line; the reasons are in the reference, section 1."""
    # fmt: off
    return (
        options.program, "-p",
        "--output-format", "stream-json", "--verbose",  # a sign of life with each step, the result document last
        "--no-session-persistence",
        "--model", options.model,
        "--tools", TOOLS, "--permission-mode", "acceptEdits", "--allowedTools", UNASKED,
        "--disallowedTools", "Bash(git:*)", "Bash(*/git *)",
        "--strict-mcp-config", "--setting-sources", "", "--settings", str(settings),
        "--json-schema", json.dumps(schema),
        "--max-turns", str(max(1, options.max_turns)), "--max-budget-usd", str(options.max_usd),
    )
    # fmt: on


def variables(options: Options, folder: ClaudeFolder, *, idle: float | None) -> dict[str, str]:
    """What the program gets to see beside what any program of others does; neither a hook nor its commands see it.

    Its own limits end before the run's idle time does, so that it says itself what kept it: a command of the model's that
    hangs, or an API that is silent.

    Args:
        options: how it is run.
        folder: its own.
        idle: seconds of silence after which the run is ended.
    """
    limit = str(round((idle or _SILENCE) * 1000 * 0.8))
    half = str(round((idle or _SILENCE) * 1000 / 2))
    return {
        **folder.variables(),
        "ANTHROPIC_API_KEY": NO_KEY,
        # http, or it would speak TLS on the socket; the host is only a header.
        "ANTHROPIC_BASE_URL": "http://relay",
        "ANTHROPIC_UNIX_SOCKET": str(options.socket),
        "API_TIMEOUT_MS": half,
        "BASH_DEFAULT_TIMEOUT_MS": limit,
        "BASH_MAX_TIMEOUT_MS": limit,
        "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": half,
        "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(options.retries),
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
        **({"LD_PRELOAD": str(options.preload)} if options.preload else {}),
    }


def spoken(prompt: str) -> str:
    """The prompt as it is handed over: never a command to the program, and without a path that it would read in."""
    return FRESH + _MENTION.replaced(prompt, "&#64;")


class Claude:
    """A coding model of kind `claude`.

    Args:
        runner: where it runs.
        options: how.
        schema: the form of its verdict, as JSON Schema.
        path: PATH outside the development shell.
        home: its HOME, of this run alone, with whatever the model leaves for later shells.
        redact: takes out of its words what must not be shown, should it get there after all.
        refused: why the relay refuses this run, for people; empty while it does not.
    """

    def __init__(
        self,
        *,
        runner: Runner,
        options: Options,
        schema: Mapping[str, Any],
        path: str,
        home: Path,
        redact: Redact,
        refused: Callable[[], str] = str,
    ) -> None:
        self._runner = runner
        self._options = options
        self._schema = schema
        self._path = path
        self._home = home.absolute()
        self._redact = redact
        self._refused = refused

    async def run(
        self,
        prompt: str,
        *,
        cwd: Path,
        run: str,
        timeout: float | None,  # noqa: ASYNC109 - the runner's
        idle: float | None = None,
    ) -> ModelResult:
        """Let it work in `cwd` until it has a verdict.

        Args:
            prompt: the task.
            cwd: the worktree.
            run: the run id, a UUID.
            timeout: seconds in all.
            idle: seconds without output.

        Raises:
            PodTrouble: the program, Nix or the model's API is the trouble.
            TicketFailure: it came to no verdict, or the relay has ended the run's budget.
        """
        base = command.environment(path=self._path, home=self._home, run=run)
        command.make_folders(base)
        folder = ClaudeFolder.below(self._home)
        own = variables(self._options, folder, idle=idle)
        program, bash, env = (self._there(name) for name in (self._options.program, "bash", "env"))
        await asyncio.to_thread(folder.prepare, bash=bash, env=env, own=own, shell=base)
        called = arguments(replace(self._options, program=program), self._schema, settings=folder.settings)
        job = Job(
            # Its own variables come with the last step: neither a hook nor its commands are to see them.
            argv=(env, *(f"{name}={value}" for name, value in own.items()), *called),
            apart=folder.environment,
            cwd=cwd,
            env=base,
            stdin=spoken(prompt).encode("utf-8", "replace"),
            timeout=timeout,
            idle=idle,
            output_limit=command.RESULT_LIMIT,
        )
        done = await self._runner.run(job)
        # A model that prints a million small events keeps this busy for a second.
        return await asyncio.to_thread(judge, done, redact=self._redact, streams=True, refused=self._refused())

    def _there(self, name: str) -> str:
        found = shutil.which(name, path=self._path)
        if found is None:
            raise missing(name)
        return found
