"""What a fresh clone of the remote has, as a folder of objects: the mirror holds more, what runs left that did not pass.

It follows the remote's branches by packs, each with what is new, and is made anew where they lost something, and where it is
not what was noted of it: a kill or a disk may leave it in any state.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from agent.git.blame import GitFailed
from agent.git.folder import read_plain, remove
from agent.git.mirror import OUTPUT, Mirror
from agent.git.refs import REMOTE

_MOST_PACKS: Final = 50
"""With more, git becomes slow."""
_LONGEST_NOTE: Final = 2 * OUTPUT
"""Bytes; git's list of branches is no longer than `OUTPUT`."""
_PASSING: Final = ("-c", "core.fsync=none")
"""For what is made anew each time: nobody needs to wait until it is on the disk."""
_CONFIG: Final = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"


def objects_of(mirror: Mirror) -> Path:
    """The folder."""
    return mirror.folder / "published" / "objects"


async def forget(mirror: Mirror) -> None:
    """It is not believed any more: the next clone has it made anew."""
    await asyncio.to_thread(_forget, objects_of(mirror).parent)


def _forget(folder: Path) -> None:
    remove(folder / "branches")  # first: of what is killed in here, nothing is believed
    remove(folder)


async def clone(mirror: Mirror, gitdir: Path, commit: str, *, config: str = _CONFIG) -> None:
    """Make a repository that has what a fresh clone has after a push of `commit`, which is its HEAD.

    Raises:
        GitFailed: git cannot.
    """
    branches = await _follow(mirror)
    await asyncio.to_thread(_lay_out, gitdir, objects_of(mirror), commit, branches, config)
    known = {line.split(b" ")[0].decode() for line in branches.splitlines()}
    await _pack(mirror, gitdir / "objects", {commit} - known, known, *_PASSING)


def _lay_out(gitdir: Path, objects: Path, commit: str, branches: bytes, config: str) -> None:
    for part in ("objects/info", "objects/pack", "refs"):
        (gitdir / part).mkdir(parents=True)
    (gitdir / "config").write_text(config)
    (gitdir / "objects/info/alternates").write_text(f"{objects}\n")
    (gitdir / "packed-refs").write_bytes(branches)
    (gitdir / "HEAD").write_text(f"{commit}\n")


async def _follow(mirror: Mirror) -> bytes:
    """Bring the folder to where the remote's branches are; returns them, as lines of `packed-refs`."""
    objects = objects_of(mirror)
    note = objects.with_name("branches")
    branches = (await mirror.local("for-each-ref", "--format=%(objectname) %(refname)", REMOTE)).stdout
    noted, _, before = (await asyncio.to_thread(read_plain, note, _LONGEST_NOTE) or b"").partition(b"\n\n")
    packs = await asyncio.to_thread(_packs, objects)
    if noted != packs:  # not whole, or more than whole
        before = b""
    elif before == branches:
        return branches
    known, wanted = ({line.split(b" ")[0].decode() for line in lines.splitlines()} for lines in (before, branches))
    if packs.count(b".pack ") >= _MOST_PACKS or await _lost(mirror, known - wanted):
        known = set()
    if not known:
        await forget(mirror)
    (objects / "pack").mkdir(parents=True, exist_ok=True)
    await _pack(mirror, objects, wanted - known, known)
    await asyncio.to_thread(_note, note, await asyncio.to_thread(_packs, objects), branches)
    return branches


def _packs(objects: Path) -> bytes:
    """What is there, by names and sizes: all that can be asked of large packs each time."""
    found = sorted((objects / "pack").glob("*"))
    return b"\n".join(f"{one.name} {one.lstat().st_size}".encode() for one in found)


def _note(note: Path, packs: bytes, branches: bytes) -> None:
    """Last, and at once: until then, all of it is made again."""
    draft = note.with_name("branches.new")
    draft.write_bytes(packs + b"\n\n" + branches)
    draft.replace(note)


async def _lost(mirror: Mirror, gone: set[str]) -> bool:
    """Whether something of these commits is at no branch any more."""
    if not gone:
        return False
    try:
        words = ("rev-list", "--max-count=1", "--stdin", "--not", f"--glob={REMOTE}*")  # arguments would be too many
        left = await mirror.local(*words, stdin="".join(f"{sha}\n" for sha in gone).encode())
    except GitFailed:  # not even here
        return True
    return bool(left.stdout)


async def _pack(mirror: Mirror, objects: Path, wanted: set[str], known: set[str], *settings: str) -> None:
    """What leads from `wanted` and not from `known`, as a pack."""
    if wanted:
        revisions = "".join(f"{sha}\n" for sha in wanted) + "".join(f"^{sha}\n" for sha in known)
        words = ("pack-objects", "--revs", "--non-empty", "-q", str(objects / "pack/pack"))
        await mirror.local(*settings, *words, stdin=revisions.encode())
