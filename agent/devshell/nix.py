"""What is asked of Nix about no repository: its version, and to keep a path from being collected."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from agent.devshell.client_options import Store
from agent.devshell.roots import root
from agent.errors import PodTrouble
from agent.programs.runner import Finished, Job, Runner, missing
from agent.texts.clean import clean
from agent.texts.evidence import Redact

_TIMEOUT: Final = 120.0


class Nix:
    """Nix for questions that no byte of a repository answers.

    Args:
        runner: what starts processes; on the host, not in a sandbox.
        folder: where they run.
        env: their whole environment; its PATH leads to Nix, its NIX_CONFIG to the store.
        redact: takes out of Nix's words what must not be shown.
        stores: the stores of a repository, which are written here and not by Nix: it would follow a link in them. What is in
            none of them is a daemon's.
    """

    def __init__(
        self,
        *,
        runner: Runner,
        folder: Path,
        env: Mapping[str, str],
        redact: Redact,
        stores: Callable[[], Sequence[Store]] = tuple,
    ) -> None:
        self._runner = runner
        self._folder = folder
        self._env = dict(env)
        self._redact = redact
        self._stores = stores
        self._versions: dict[tuple[str, int, int], str] = {}

    async def version(self) -> str:
        """What Nix says about itself; asked once per program and process.

        Raises:
            PodTrouble: there is no Nix, or it does not work.
        """
        program = self._program("nix")
        known = _identity(program)
        if known not in self._versions:
            done = await self._run(program, "--version")
            self._versions[known] = done.stdout.decode("utf-8", "replace").strip()
        return self._versions[known]

    async def keep(self, paths: Sequence[Path], link: Path) -> None:
        """Keep store paths from being collected, by links that begin with `link`.

        Raises:
            PodTrouble: they are gone, or the store cannot be written.
        """
        if others := await asyncio.to_thread(self._rooted, paths, link):
            program = self._program("nix-store")
            await self._run(program, "--realise", *others, "--add-root", str(link))

    def _rooted(self, paths: Sequence[Path], link: Path) -> list[str]:
        """Links for the paths of local stores; which are of others."""
        stores = {store.real: store for store in self._stores() if not store.daemon}
        for number, path in enumerate(paths):
            if path.parent in stores:
                root(stores[path.parent], link.with_name(f"{link.name}-{number + 1}" if number else link.name), path)
        return [str(path) for path in paths if path.parent not in stores]

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self._env.get("PATH", ""))
        if found is None:
            raise missing("nix")
        return found

    async def _run(self, *argv: str) -> Finished:
        self._folder.mkdir(parents=True, exist_ok=True)
        done = await self._runner.run(Job(argv=argv, cwd=self._folder, env=self._env, timeout=_TIMEOUT))
        if not done.ok:
            lines = clean(done.stderr.decode("utf-8", "replace")).splitlines()
            errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
            said = (errors or [f"exit code {done.returncode}"])[-1]
            raise PodTrouble(
                f"Nix cannot be used on this host: {self._redact(said)[:300].rstrip('.')}; "
                "mend it, or give it a store of its own: `[nix.settings] store = …`"
            )
        return done


def _identity(program: str) -> tuple[str, int, int]:
    try:
        found = Path(program).stat()
    except OSError as error:
        raise missing("nix") from error
    return program, found.st_mtime_ns, found.st_size
