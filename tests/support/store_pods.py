"""A pod with two repositories on real Nix: rooms in which a run's programs work, without a board or a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from agent.git.tree import JailPaths
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from agent.room import Rooms
from agent.settings import Ambient, load
from agent.texts.evidence import redactor
from support.git_repo import PROJECT, git
from support.nix_jail import PATH, checkout

CANARY: Final = "canary-of-the-vault-7c1d"
SECRETS: Final = {**PROJECT, "stdenv/secret": f"{CANARY}\n", "secret.txt": f"{CANARY}\n"}


class Tree:
    """A checkout as a room wants it."""

    def __init__(self, project: str, path: Path) -> None:
        self.project = project
        self.path = path

    def made_of(self) -> str:
        return ""

    async def flake_files(self, _patterns: object = ()) -> tuple[str, ...]:
        return ("flake.nix",)

    async def show_to_nix(self, _patterns: object = ()) -> None: ...

    def begun(self) -> None: ...

    ties: tuple[Path, ...] = ()

    async def jail_paths(self) -> JailPaths:
        return JailPaths((), (), (self.path / ".git",))


class Pod:
    """One pod with two repositories, which are made in its folder if it has none."""

    def __init__(self, folder: Path, options: dict[str, str], store: Path, inputs: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.store = store
        self.state = folder / "state"
        self.trees = {
            name: Tree(name, folder / name if (folder / name).exists() else checkout(folder / name, files))
            for name, files in (("shop", PROJECT), ("vault", SECRETS))
        }
        nix = "".join(f'"{key}" = "{value}"\n' for key, value in options.items())
        config = folder / "agent.toml"
        config.write_text(
            f'pod = "pod-a"\nstate = "{self.state}"\n[board]\nurl = "http://board.example"\n'
            f'[model]\nkind = "command"\ncommand = ["true"]\n[nix]\ninputs = {json.dumps(inputs)}\n[nix.settings]\n{nix}'
            + "".join(f'[repositories.{name}]\nurl = "{folder / name}"\n' for name in self.trees)
        )
        self._settings = load(str(config), environ={"HOME": str(folder)})
        self.start()

    def start(self) -> None:
        """As after a restart: nothing of what an earlier process knew."""
        ambient = Ambient(children={"PATH": PATH, "HOME": str(self.folder)}, journal=False, colour=False)
        self.rooms = Rooms(self._settings, ambient, Processes(grace=0.3), "", redactor())

    def write(self, project: str, name: str, content: str) -> None:
        (self.trees[project].path / name).write_text(content)
        git(self.trees[project].path, "add", "--all")
        git(self.trees[project].path, "commit", "--quiet", "-m", "A change")

    async def run(self, project: str, script: str, run: str = "") -> Finished:
        """A program in the room of a run."""
        tree: Any = self.trees[project]
        async with self.rooms.open(tree, run or f"{project}-run") as room:
            env = {**room.env, "STORE": str(self.store)}
            return await room.runner.run(Job(argv=("sh", "-c", script), cwd=tree.path, env=env, timeout=90))
