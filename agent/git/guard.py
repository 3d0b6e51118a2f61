"""What must be as it was after a run: everything of git but the index and the objects.

Everything in the mirror is ours and small, so all of it is looked at, and whatever differs was touched by the model or by
a check of the repository. This is cheap, and no fence: that is the sandbox.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from agent.git.folder import read_plain, remove, write_plain
from agent.git.refs import REMOTE, TAGS, names

OWN: Final = "own/"
"""Before the names of the worktree's own files, which lie in different places."""
CONFIGURATION: Final = "git's configuration was changed"
_REFS: Final = "refs/"
_OURS: Final = (REMOTE, TAGS)
_WORKTREES: Final = "worktrees/"
_BAD: Final = ("hooks", "packed-refs", _REFS, _WORKTREES)
"""What is named first, if more than one thing was touched."""
_PARTS: Final = ("HEAD", "config", "info", "objects", "packed-refs", "refs", "shallow", "worktrees")
"""What a mirror consists of."""
_BULK: Final = ("objects", "worktrees")
_LARGEST: Final = 64 << 20
"""Of one file; `packed-refs` of a large repository has a few MiB."""


class Look(NamedTuple):
    """One of git's files as it was seen.

    Attributes:
        content: a hash of it, or what else it is.
        stamp: inode, size and times: as long as they are the same, it need not be read again.
    """

    content: bytes
    stamp: tuple[int, ...]


Seal: TypeAlias = Mapping[str, Look]
"""By name."""


def seal(mirror: Path, admin: Path, pointer: Path, known: Seal) -> dict[str, Look]:
    """What git's files hold.

    Args:
        mirror: the bare repository.
        admin: the worktree's part of it.
        pointer: the worktree's `.git`.
        known: an earlier look; of refs there may be thousands.
    """
    files = dict(_files(mirror, skip=_BULK))
    files |= {f"{OWN}{name}": path for name, path in _files(admin) if not name.startswith(("index", "sharedindex"))}
    files[f"{OWN}.git"] = str(pointer)
    found = {name: _look(path, known.get(name) if name.startswith(_REFS) else None) for name, path in files.items()}
    for name, path in _files(mirror / "objects" / "info"):
        stamp = _stamp(path)
        found[f"objects/info/{name}"] = Look(repr(stamp).encode(), stamp)
    for worktree in _names(mirror / "worktrees"):
        found[f"{_WORKTREES}{worktree}"] = Look(b"", ())
    return found


def touched(before: Seal, after: Seal) -> list[str]:
    """The names whose content differs; a worktree that is gone is made anew when it is needed."""
    changes = [name for name, look in after.items() if name not in before or before[name].content != look.content]
    changes += [name for name in before if name not in after and not name.startswith(_WORKTREES)]
    return sorted(changes)


def said(changes: Sequence[str], before: Seal, after: Seal) -> str:
    """The worst of the changes, behind "the model ran git: "; empty if there is none."""
    if f"{OWN}HEAD" in changes:
        return "HEAD moved"
    if f"{OWN}.git" in changes:
        return "`.git` was changed"
    if any(name.startswith(("config", f"{OWN}config")) for name in changes):
        return CONFIGURATION
    changes = next(filter(None, ([one for one in changes if one.startswith(kind)] for kind in _BAD)), changes)
    for what, group in (
        ("made", [name for name in changes if name not in before]),
        ("deleted", [name for name in changes if name not in after]),
        ("changed", changes),
    ):
        if group:
            return f"{names(name.removeprefix(OWN) for name in group)} {'was' if len(group) == 1 else 'were'} {what}"
    return ""


def mend(mirror: Path, changes: Sequence[str], living: Collection[str]) -> None:
    """Put away what does not belong into a mirror, and what of it was touched; the next fetch brings back the rest.

    Args:
        mirror: the bare repository.
        changes: from `touched`.
        living: the names of worktrees that are ours.
    """
    for name in changes:
        if name.startswith(("packed-refs", _REFS, "objects/info/")):
            remove(mirror / name)
    strange = [mirror / name for name in _names(mirror) if name not in _PARTS]
    strange += [mirror / "info" / name for name in _names(mirror / "info") if name != "refs"]
    strange += [mirror / "objects" / "info" / name for name in ("alternates", "http-alternates")]
    strange += [mirror / "worktrees" / name for name in _names(mirror / "worktrees") if name not in living]
    strange += [Path(path) for name, path in _files(mirror / _REFS) if not f"{_REFS}{name}".startswith(_OURS)]
    for path in strange:
        remove(path)
    unlock(mirror)
    packed = mirror / "packed-refs"
    lines = (read_plain(packed, _LARGEST) or b"").splitlines(keepends=True)
    ours = list(_ours(lines))
    if ours != lines:
        write_plain(packed, b"".join(ours))


def _ours(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Of `packed-refs`; a line that begins with `^` says what the tag before it leads to."""
    kept = False
    for line in lines:
        if not line.startswith(b"^"):
            kept = line.startswith(b"#") or line.partition(b" ")[2].decode("utf-8", "replace").startswith(_OURS)
        if kept:
            yield line


def unlock(mirror: Path) -> None:
    """Put away the locks of a git that was killed: one process a state folder, so nobody holds them."""
    for pattern in ("*.lock", "refs/**/*.lock", "worktrees/*/*.lock"):
        for stale in mirror.glob(pattern):
            remove(stale)


def clear_drafts(mirror: Path) -> None:
    """Put away the objects that a git was writing when it was killed: a pack may be as large as the repository."""
    for pattern in ("objects/pack/tmp_*", "objects/??/tmp_obj_*"):
        for stale in mirror.glob(pattern):
            remove(stale)


def forget_refs(mirror: Path) -> None:
    """All refs are gone, whatever state they were in; the next fetch brings them back."""
    remove(mirror / "packed-refs")
    remove(mirror / _REFS)
    (mirror / _REFS / "heads").mkdir(parents=True)


def _files(folder: Path, *, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Everything below that is no folder, by its relative name; locks come and go."""
    todo = [""]
    while todo:
        here = todo.pop()
        try:
            entries = list(os.scandir(f"{folder}/{here}"))
        except OSError:
            continue
        for entry in entries:
            name = f"{here}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if name not in skip:
                    todo.append(f"{name}/")
            elif not name.endswith(".lock"):
                yield name, entry.path


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _stamp(path: str) -> tuple[int, ...]:
    try:
        at = os.lstat(path)
    except OSError:
        return ()
    return at.st_mode, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns


def _look(path: str, known: Look | None) -> Look:
    stamp = _stamp(path)
    if known is not None and stamp and known.stamp == stamp:
        return known
    data = read_plain(Path(path), _LARGEST)
    if data is not None:
        return Look(hashlib.sha256(data).digest(), stamp)
    try:
        return Look(bytes(Path(path).readlink()), stamp)
    except OSError:
        return Look(repr(stamp[:1]).encode(), stamp)
