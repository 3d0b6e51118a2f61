"""The starter flake: a repository without one gets an environment to work in, by a commit of its own.

It lies below the run's commit and goes to the branch with it, in the same push; so the two are never apart, and what a
run changed is told from what it was given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.errors import PodTrouble, TicketFailure
from agent.git.evidence import STARTER_TRAILER
from agent.git.folder import write_plain
from agent.git.refs import names
from agent.git.worktree import Worktree
from agent.texts import outlet
from agent.texts.outlet import CommitText

FLAKE: Final = "flake.nix"
LOCK: Final = "flake.lock"
_PROGRAM: Final = 0o111


async def commit_starter(worktree: Worktree, onto: str, template: Path, message: CommitText) -> str | None:
    """A commit on `onto` with the files of the template, which are in the folder then; None if it has a flake.

    Files that are there stay as they are; only a lock file without a flake is replaced.

    Raises:
        TicketFailure: the repository has something in the way.
        PodTrouble: the template is none.
    """
    files = _files(template)
    if FLAKE not in files:
        raise PodTrouble(f"the template folder {template} has no {FLAKE}: mend the setting that names it")
    above = {str(parent) for name in files for parent in Path(name).parents} - {"."}
    listed = await worktree.git("ls-tree", "-z", onto, "--", *files, *above)
    kinds = {}
    for line in listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        head, _, path = line.partition("\t")
        kinds[path] = head.split(" ")[1]
    if FLAKE in kinds:
        return None
    if wrong := [path for path, kind in kinds.items() if (kind == "tree") != (path in above)]:
        raise TicketFailure(f"the starter flake does not fit into the repository: {names(wrong)} is in the way")
    new = [name for name in files if name not in kinds or name == LOCK]
    for name in new:
        place = worktree.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        write_plain(place, files[name].read_bytes())
        place.chmod(_mode(files[name]))
    await worktree.add("--force", paths=new)
    whole = outlet.with_trailer(message, STARTER_TRAILER, FLAKE)
    return await worktree.commit(await worktree.answer("write-tree"), (onto,), whole)


async def move_starter(worktree: Worktree, starter: str, onto: str) -> str | None:
    """The starter commit once more, on another commit; None if that has a flake by now.

    Raises:
        TicketFailure: they conflict.
    """
    if (await worktree.git("cat-file", "-e", f"{onto}:{FLAKE}", ok=(0, 1, 128))).returncode == 0:
        return None
    tree = await worktree.merged(onto, starter, base=f"{starter}^")
    return await worktree.commit(tree, (onto,), await worktree.message(starter))


def _files(template: Path) -> dict[str, Path]:
    return {str(path.relative_to(template)): path for path in sorted(template.rglob("*")) if path.is_file()}


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & _PROGRAM else 0o644
