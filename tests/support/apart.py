"""The real Claude Code in the sandbox, the real relay and a development shell whose hook attacks."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from agent.demo.messages_api import serving
from agent.demo.turns import Answer, by_answers, call, verdict
from agent.devshell.enter import DevShell, enter
from agent.devshell.flake import Flake, Saved
from agent.programs.claude_folder import ClaudeFolder
from agent.programs.runner import Finished, Job, Runner
from agent.programs.verdict import ModelResult
from agent.relay import Relay
from agent.room import before_the_coder
from agent.sandbox.closed import library
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from agent.texts.evidence import redactor
from support.claude_cli import Session
from support.relay_world import KEY, PLENTY, PRICES
from support.shell_attacks import ATTACKERS

SHOW = call("Bash", command='echo "shell: $FROM_SHELL"')
_BEFORE = 'LD_PRELOAD=$0; export LD_PRELOAD; exec "$@"'


class Entered:
    """A runner whose coder comes out of the bash that has run the hook, as it did once."""

    def __init__(self, runner: Runner, script: Path) -> None:
        self._runner = runner
        self._script = script

    async def run(self, job: Job) -> Finished:
        return await enter(self._runner, Saved(self._script, Path("/none")), _out_of_it(job), redactor())


class OneShell:
    """Has the same shell for all."""

    def __init__(self, script: Path) -> None:
        self._saved = Saved(script, Path("/none"))

    async def get(self, flake: Flake, shell: str = "default", *, timeout: float) -> Saved:  # noqa: ASYNC109 - the shells'
        assert (flake.files, shell, timeout > 0) == ((), "default", True)
        return self._saved


async def no_flake() -> Flake:
    return Flake(folder=Path("/none"), files=(), commit="")


def _out_of_it(job: Job) -> Job:
    start = next(place for place, word in enumerate(job.argv[1:], 1) if "=" not in word)
    own = dict(word.split("=", 1) for word in job.argv[1:start])
    closed = ("/bin/sh", "-c", _BEFORE, own.pop("LD_PRELOAD"))
    for name in ("HOME", "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_SHELL", "CLAUDE_ENV_FILE"):
        del own[name]
    return replace(job, argv=(*closed, *job.argv[start:]), env={**job.env, **own}, apart=None)


class Attacked:
    """One run; `taken` is what the hook reached."""

    def __init__(self, session: Session, place: Path) -> None:
        self.session = session
        self.place = place
        self.told: list[str] = []
        self.asked: list[dict[str, Any]] = []

    async def run(self, hook: str, *calls: Answer, out_of_it: bool = False) -> ModelResult:
        session, place = self.session, self.place
        for name, text in ATTACKERS.items():
            (session.tree / name).write_text(text)
        (place / "closed.so").write_bytes(library(platform.machine()))
        script = place / "shell.rc"
        script.write_text(f'export FROM_SHELL=1 RELAY={place}/relay.sock FIRST_HOME="$HOME"\n{hook}\n')
        session.change(socket=place / "relay.sock", preload=place / "closed.so")
        folder = ClaudeFolder.below(session.home)
        jail = Jail(
            writable=(session.tree, session.home, *(() if out_of_it else folder.writable)),
            readable=(place, Path(session.options.program)),
            nested=() if out_of_it else (folder.path,),
            tmp=session.home / "tmp",
        )
        mute = before_the_coder(jail, session.home, place / "relay.sock")
        limits = Limits(disk=1 << 30, processes=200)
        inside, before = (Sandbox(runner=session.runner, jail=one, limits=limits, closed=True) for one in (jail, mute))
        claude = session.claude()
        shells = OneShell(script)
        claude._runner = (
            Entered(inside, script)
            if out_of_it
            else DevShell(runner=inside, before=before, shells=shells, flake=no_flake, redact=redactor())
        )
        with serving(by_answers(*(calls or (SHOW,)), verdict("done"))) as api:
            relay = Relay(
                api=api.url,
                key=KEY,
                models=(session.options.model,),
                prices=PRICES,
                budget=PLENTY,
                record=place / "usage.json",
            )
            try:
                async with relay.serving(place / "relay.sock"):
                    return await claude.run("Try.", cwd=session.tree, run=session.run_id, timeout=90, idle=60)
            finally:
                self.told = [one for asked in api.seen if asked.body["messages"] for one in asked.results()]
                self.asked = [dict(one.body) for one in api.seen]

    @property
    def taken(self) -> list[str]:
        """What is proved; a process of the number 2 is the coder."""
        tree = self.session.tree
        said = (tree / "taken").read_text().splitlines() if (tree / "taken").exists() else []
        loaded = (tree / "loaded.2").read_bytes() if (tree / "loaded.2").exists() else b""
        said += ["its start by the loader"] if b"/claude" in loaded else []
        said += ["its variables"] if any(one["max_tokens"] == 7 for one in self.asked) else []
        return sorted(set(said))
