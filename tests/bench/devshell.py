"""Entering a development shell: by `nix develop`, by the saved shell, and plain bash beside them, in one run."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from agent.devshell.client import NixClient
from agent.devshell.client_options import configuration, private_store
from agent.devshell.enter import DevShell
from agent.devshell.flake import Client, Flake
from agent.devshell.nix import Nix
from agent.devshell.shells import Shells
from agent.errors import PodTrouble
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from agent.texts.evidence import redactor
from bench.measure import MILLI, Measured, at_least, at_most
from support.git_repo import FLAKE, PROJECT, git
from support.nix_client import PlainClient, listed, writable
from support.nix_jail import Jails

ROUNDS: Final = 9
SLOW_ROUNDS: Final = 3
LEAST_EVALUATION_S: Final = 0.25
FASTER: Final = 20.0
OVER_BASH_MS: Final = 5.0
HEAVY: Final = (
    "builtins.toString (builtins.foldl' (a: n: a + builtins.foldl' (b: m: b + m) n (builtins.genList (m: m) 1000)) 0 "
    "(builtins.genList (n: n) %d))"
)
"""Arithmetic that Nix has to do at every evaluation; the shell holds the result."""
Enter = Callable[[], Awaitable[Finished]]


async def measure(folder: Path) -> list[Measured]:
    """The milliseconds of each way in, and their ratios."""
    try:
        return await _Bench(folder).measure()
    finally:
        writable(folder)


class _Bench:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.checkout = folder / "checkout"
        self.runner = Processes()
        self.edits = 0
        self.steps = 100
        self.stores = 0
        self.fresh()
        for name, content in PROJECT.items():
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / name).write_text(content)
        git(self.checkout, "init", "--quiet", "-b", "main")
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "-m", "First commit")

    def fresh(self) -> None:
        """Nix without a memory: no store, no cache."""
        self.stores += 1
        home = self.folder / f"home-{self.stores}"
        home.mkdir()
        self.options = private_store(self.folder / f"store-{self.stores}")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "NIX_CONFIG": configuration(self.options),
        }
        self.nix = Nix(runner=self.runner, folder=self.folder, env=self.env, redact=redactor())

    # The ways in.

    async def bash(self) -> Finished:
        return await self.run("bash", "--norc", "--noprofile", "-c", 'exec "$@"', "enter", "true")

    async def develop(self) -> Finished:
        return await self.run("nix", "develop", "--no-write-lock-file", "--command", "true")

    def saved(self, name: str, client: Client) -> Enter:
        """The whole way within a run, with its one `git ls-files` and the key."""
        shell = self.shell(name, client)
        return lambda: shell.run(self.job("true"))

    def first(self, name: str, client: Client) -> Enter:
        """The first entry of a run: nothing is in memory, the version of Nix apart, which a pod asks once."""
        return lambda: self.shell(name, client).run(self.job("true"))

    def shell(self, name: str, client: Client) -> DevShell:
        shells = Shells(
            client, self.folder / name, nix=self.nix, shown=self.folder / f"{name}-shown", options=self.options
        )

        async def flake() -> Flake:
            return await listed(self.checkout, runner=self.runner)

        return DevShell(runner=self.runner, shells=shells, flake=flake, redact=redactor())

    def job(self, *argv: str) -> Job:
        return Job(argv=argv, cwd=self.checkout, env=self.env, timeout=120)

    async def run(self, *argv: str) -> Finished:
        return await self.runner.run(self.job(*argv))

    # What happens before one enters.

    def nothing(self) -> None:
        """The checkout is as it was."""

    def edit(self) -> None:
        """A tracked file changed, as always in an agent's checkout."""
        self.edits += 1
        (self.checkout / "README.md").write_text(f"# Shop\n\nEdit {self.edits}.\n")

    def change(self) -> None:
        """The shell itself changed."""
        self.edits += 1
        heavy = f'HEAVY = {HEAVY % self.steps}; EDIT = "{self.edits}"; SOME_VAR ='
        (self.checkout / "flake.nix").write_text(FLAKE.replace("SOME_VAR =", heavy))

    def commit_edit(self) -> None:
        """The next ticket's tree: something changed that the flake does not read."""
        self.edit()
        git(self.checkout, "commit", "--quiet", "--all", "--message", "An edit")

    def commit_change(self) -> None:
        """The next ticket's tree: the shell changed."""
        self.change()
        git(self.checkout, "commit", "--quiet", "--all", "--message", "A change")

    # Taking the time.

    async def seconds(self, enter: Enter, before: Callable[[], None]) -> float:
        before()
        started = time.perf_counter()
        done = await enter()
        taken = time.perf_counter() - started
        if not done.ok:
            raise PodTrouble(f"a shell was not entered: {done.stderr.decode()}")
        return taken

    async def tune(self) -> None:
        """Make the evaluation cost enough on this machine."""
        ways = {"edited": (self.develop, self.edit), **self.unchanged()}
        while True:
            self.change()
            best = await self.best(ways, SLOW_ROUNDS)
            if best["edited"] - best["unchanged"] >= 1.2 * LEAST_EVALUATION_S:
                return
            self.steps *= 2

    def unchanged(self) -> dict[str, tuple[Enter, Callable[[], None]]]:
        """The second entry after an edit still evaluates; only from the third on does `nix develop` know the result."""
        return {"second": (self.develop, self.nothing), "unchanged": (self.develop, self.nothing)}

    async def best(self, ways: Mapping[str, tuple[Enter, Callable[[], None]]], rounds: int) -> dict[str, float]:
        """The shortest of some rounds, the ways taken in turn: the machine is not alone, and all meet the same company."""
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (enter, before) in ways.items():
                taken[name].append(await self.seconds(enter, before))
        return {name: min(times) for name, times in taken.items()}

    async def measure(self) -> list[Measured]:
        await self.tune()
        plain = self.saved("plain", PlainClient(self.runner, self.env))
        jailed = self.saved("jailed", self.jailed())
        misses: dict[str, tuple[Enter, Callable[[], None]]] = {
            "changed": (self.develop, self.change),
            "missed": (plain, self.change),
            "missed, jailed": (jailed, self.change),
        }
        best = await self.best(misses, SLOW_ROUNDS)
        ways: dict[str, tuple[Enter, Callable[[], None]]] = {
            "bash": (self.bash, self.nothing),
            "hit, edited": (jailed, self.edit),
            "edited": (self.develop, self.edit),
            "hit": (jailed, self.nothing),
            **self.unchanged(),
        }
        best |= await self.best(ways, ROUNDS)
        self.commit_change()
        first = self.first("jailed", self.jailed())
        firsts: dict[str, tuple[Enter, Callable[[], None]]] = {
            "first, changed": (first, self.commit_change),
            "first, edited": (first, self.commit_edit),
            "first": (first, self.nothing),
        }
        best |= await self.best(firsts, ROUNDS)
        best |= await self.best({"cold": (self.develop, self.fresh)}, SLOW_ROUNDS)
        return _figures(best)

    def jailed(self) -> NixClient:
        """What a pod has."""
        return NixClient(
            jail=Jails(self.folder / "jails"),
            fetch=self.runner,
            folder=self.folder / "client",
            env={"PATH": os.environ["PATH"]},
            options=self.options,
            redact=redactor(),
        )


def _figures(best: Mapping[str, float]) -> list[Measured]:
    cost = best["edited"] - best["unchanged"]
    how = f"best of {ROUNDS} in turn ({SLOW_ROUNDS} where it is built); an evaluation of {cost:.2f} s, a private store, `true` as the program"
    rows = {
        "bash": "plain bash",
        "cold": "nix develop, cold",
        "unchanged": "nix develop, unchanged",
        "edited": "nix develop, a tracked file edited",
        "changed": "nix develop, the shell changed",
        "hit": "saved shell, within a run",
        "hit, edited": "saved shell, within a run, a tracked file edited",
        "first": "saved shell, first entry of a run, a tree that is known",
        "first, edited": "saved shell, first entry of a run, a file changed that the flake does not read",
        "first, changed": "saved shell, first entry of a run, the shell changed",
        "missed": "saved shell, made anew without a jail",
        "missed, jailed": "saved shell, made anew in the jail",
    }
    return [
        at_least("cost of the evaluation", cost, "s", LEAST_EVALUATION_S, how),
        *(
            Measured(name=f"enter: {words}", value=best[name] * MILLI, unit="ms", how=how)
            for name, words in rows.items()
        ),
        at_least(
            "saved shell over nix develop, after an edit", best["edited"] / best["hit, edited"], "times", FASTER, how
        ),
        at_least("saved shell over nix develop, unchanged", best["unchanged"] / best["hit"], "times", 1.0, how),
        at_least("saved shell over nix develop, cold", best["cold"] / best["hit"], "times", 1.0, how),
        Measured(name="made anew over nix develop", value=best["changed"] / best["missed"], unit="times", how=how),
        Measured(name="… in the jail", value=best["changed"] / best["missed, jailed"], unit="times", how=how),
        at_most(
            "saved shell more than plain bash", (best["hit, edited"] - best["bash"]) * MILLI, "ms", OVER_BASH_MS, how
        ),
    ]
