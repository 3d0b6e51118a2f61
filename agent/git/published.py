"""What a fresh clone of the remote has, as a folder of objects: the mirror holds more, what runs left that did not pass.

It follows the remote's branches and tags by packs, each with what is new, and is made anew where they lost something, and
where it is not what was noted of it: a kill or a disk may leave it in any state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.git.blame import GitFailed
from agent.git.folder import read_plain, remove
from agent.git.mirror import OUTPUT, Mirror
from agent.git.refs import REMOTE, TAGS

_MOST_PACKS: Final = 50
"""With more, git becomes slow."""
_LONGEST_NOTE: Final = 2 * OUTPUT
"""Bytes; git's list of refs is no longer than `OUTPUT`."""
_PASSING: Final = ("-c", "core.fsync=none")
"""For what is made anew each time: nobody needs to wait until it is on the disk."""
_CONFIG: Final = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
_ORIGIN: Final = '[remote "origin"]\n\turl = "{}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'


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

    Its `origin` has the address without credentials, and takes the base for the remote's own branch.

    Raises:
        GitFailed: git cannot.
    """
    refs = await _follow(mirror)
    url = mirror.place.replace("\\", "\\\\").replace('"', '\\"')
    files = {
        "config": (config + _ORIGIN.format(url)).encode(),
        "objects/info/alternates": f"{objects_of(mirror)}\n".encode(),
        "packed-refs": refs,
        f"{REMOTE}HEAD": f"ref: {REMOTE}{mirror.base}\n".encode(),
        "HEAD": f"{commit}\n".encode(),
    }
    await asyncio.to_thread(_lay_out, gitdir, files)
    known = {line.split(b" ")[0].decode() for line in refs.splitlines()}
    await _pack(mirror, gitdir / "objects", {commit} - known, known, *_PASSING)


def _lay_out(gitdir: Path, files: Mapping[str, bytes]) -> None:
    (gitdir / "objects/pack").mkdir(parents=True)
    for name, content in files.items():
        (gitdir / name).parent.mkdir(parents=True, exist_ok=True)
        (gitdir / name).write_bytes(content)


async def _follow(mirror: Mirror) -> bytes:
    """Bring the folder to where the remote's branches and tags are; returns them, as lines of `packed-refs`."""
    objects = objects_of(mirror)
    note = objects.with_name("branches")
    listed = await mirror.local("for-each-ref", "--format=%(objectname) %(refname)", REMOTE, TAGS)
    refs = listed.stdout.replace(f" {TAGS}".encode(), b" refs/tags/")
    noted, _, before = (await asyncio.to_thread(read_plain, note, _LONGEST_NOTE) or b"").partition(b"\n\n")
    packs = await asyncio.to_thread(_packs, objects)
    if noted != packs:  # not whole, or more than whole
        before = b""
    elif before == refs:
        return refs
    known, wanted = ({line.split(b" ")[0].decode() for line in lines.splitlines()} for lines in (before, refs))
    if packs.count(b".pack ") >= _MOST_PACKS or await _lost(mirror, known - wanted):
        known = set()
    if not known:
        await forget(mirror)
    (objects / "pack").mkdir(parents=True, exist_ok=True)
    await _pack(mirror, objects, wanted - known, known)
    await asyncio.to_thread(_note, note, await asyncio.to_thread(_packs, objects), refs)
    return refs


def _packs(objects: Path) -> bytes:
    """What is there, by names and sizes: all that can be asked of large packs each time."""
    found = sorted((objects / "pack").glob("*"))
    return b"\n".join(f"{one.name} {one.lstat().st_size}".encode() for one in found)


def _note(note: Path, packs: bytes, refs: bytes) -> None:
    """Last, and at once: until then, all of it is made again."""
    draft = note.with_name("branches.new")
    draft.write_bytes(packs + b"\n\n" + refs)
    draft.replace(note)


async def _lost(mirror: Mirror, gone: set[str]) -> bool:
    """Whether something of these is at no branch or tag any more."""
    if not gone:
        return False
    try:
        words = ("rev-list", "--objects", "--max-count=1", "--stdin", "--not", f"--glob={REMOTE}*", f"--glob={TAGS}*")
        shas = "".join(f"{sha}\n" for sha in gone)  # as arguments they would be too many
        left = await mirror.local(*words, stdin=shas.encode())
    except GitFailed:  # not even here
        return True
    return bool(left.stdout)


async def _pack(mirror: Mirror, objects: Path, wanted: set[str], known: set[str], *settings: str) -> None:
    """What leads from `wanted` and not from `known`, as a pack."""
    if wanted:
        revisions = "".join(f"{sha}\n" for sha in wanted) + "".join(f"^{sha}\n" for sha in known)
        words = ("pack-objects", "--revs", "--non-empty", "-q", str(objects / "pack/pack"))
        await mirror.local(*settings, *words, stdin=revisions.encode())
