"""Work that is at no branch: where it is kept, and what of it a person has not seen yet (T12).

A branch starts the forge's CI, and `[skip ci]` does not keep all of it away; a ref below `refs/agent` starts none. Only on
a remote that takes no such refs is kept work at a branch, and what is guarded stays on this host even there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.errors import PodTrouble
from agent.git.evidence import SEEN_TRAILER
from agent.git.guarded import Change, Entry, hash_of, is_guarded, read_entries
from agent.git.mirror import ADDRESS, Mirror
from agent.git.refs import HEADS, PROBES, KeepRefused, names, rejected, told
from agent.texts.clean import spelt_out

MOST_COMMITS: Final = 200
"""People's commits on one branch that are looked at, the newest first."""
MOST_PATHS: Final = 50
LONGEST: Final = 20_000
"""Characters of a change that people are shown."""
SPELT: Final = r"[it has signs that are not seen: each is spelt out here, as \u202e]"
_DIED: Final = "remote failure"
"""What git reports for a ref when the other side ended without a word: no refusal."""
_RAW: Final = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-commit-id")


class Kept(Struct, frozen=True):
    """Where kept work is: at a ref of the remote, or in a bundle on this host."""

    commit: str
    ref: str = ""
    bundle: str = ""

    @property
    def branch(self) -> str:
        """The branch, if it is at one."""
        return self.ref.removeprefix(HEADS) if self.ref.startswith(HEADS) else ""


def refused(mirror: Mirror, porcelain: bytes, said: str, what: str) -> KeepRefused | None:
    """The remote's own words, if it said no; None where nobody did."""
    reasons = rejected(porcelain.decode("utf-8", "replace")).values()
    if not any(_DIED not in reason for reason in reasons):
        return None
    words = "; ".join((*reasons, *told(said).splitlines()))
    return KeepRefused(f"the repository {mirror.place} does not take {what}: {words}")


async def probe(mirror: Mirror, pod: str) -> bool:
    """Whether the remote takes refs below `refs/agent`: one of this pod's own is set and deleted.

    Raises:
        RepositoryUnreachable: it did not say.
    """
    done = await mirror.local("hash-object", "-w", "--stdin", stdin=f"a probe of {pod}\n".encode())
    mine = hashlib.sha256(pod.encode()).hexdigest()[:16]  # a name that is none of git's may be a pod's
    blob, ref = done.stdout.decode().strip(), f"{PROBES}{mine}"
    for update in (f"+{blob}:{ref}", f":{ref}"):
        pushed = await mirror.remote("push", "--porcelain", "--no-verify", "origin", update)
        if not pushed.ok:
            if refused(mirror, pushed.stdout, mirror.said(pushed), ref) is None:
                raise mirror.unreachable(pushed)
            return False
    return True


async def keep(mirror: Mirror, name: str, commit: str, *, base: str, tip: str) -> Kept:
    """Keep a commit under the name `agent/kept/…` or `agent/failed/…`.

    Args:
        mirror: of the repository.
        name: below `refs/`, or `refs/heads/`.
        commit: what to keep.
        base: the base that it contains.
        tip: of the remote's branch that it contains; empty if there is none.

    Raises:
        KeepRefused: the remote says no; everything is still here.
        RepositoryUnreachable: it did not get there.
    """
    ref = f"refs/{name}"
    if mirror.hidden is False:
        if await unseen(mirror, base, commit, tip):
            return Kept(commit, bundle=str(await _bundle(mirror, name, commit, base)))
        ref = f"{HEADS}{name}"
    done = await mirror.remote("push", "--porcelain", "--no-verify", "origin", f"+{commit}:{ref}")
    if done.ok:
        return Kept(commit, ref)
    raise refused(mirror, done.stdout, mirror.said(done), f"`{ref}`") or mirror.unreachable(done)


async def fetch_kept(mirror: Mirror, name: str) -> str | None:
    """The commit that was kept under this name, now here; None if it is nowhere to be had."""
    ref = f"refs/{name}"
    found = await mirror.remote("ls-remote", "--refs", "origin", ref)
    if not found.ok:
        raise mirror.unreachable(found)
    sha = found.stdout.decode("utf-8", "replace").partition("\t")[0].strip()
    if sha:
        done = await mirror.remote("fetch", "--no-tags", "--no-write-fetch-head", "--quiet", "origin", ref)
        if not done.ok:
            raise mirror.unreachable(done)
        return sha
    bundle = _place(mirror, name)
    if not bundle.is_file():
        return None
    await mirror.local("bundle", "unbundle", str(bundle))
    heads = await mirror.local("bundle", "list-heads", str(bundle))
    return heads.stdout.decode("utf-8", "replace").partition(" ")[0] or None


async def _bundle(mirror: Mirror, name: str, commit: str, base: str) -> Path:
    """A file of git beside the mirror: no ref of ours would outlive a model's run there."""
    place = _place(mirror, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = f"refs/agent/bundle/{place.stem}"
    await mirror.local("update-ref", scratch, commit)
    try:
        await mirror.local("bundle", "create", "--quiet", str(place), scratch, f"^{base}")
    finally:
        await mirror.local("update-ref", "-d", scratch)
    return place


def _place(mirror: Mirror, name: str) -> Path:
    return mirror.folder / "kept" / f"{name.replace('/', '-')}.bundle"


# --- what a person has not seen -----------------------------------------------------------------------------------


async def unseen(mirror: Mirror, base: str, commit: str, tip: str) -> list[Entry]:
    """The guarded paths that differ between base and commit, less what people's own commits on the branch made so.

    What a person let through by its hash counts as theirs; see `SEEN_TRAILER`.
    """
    changed = [one for one in await _entries(mirror, base, commit) if is_guarded(one.path, mirror.guarded)]
    if not changed or not tip:
        return changed
    form = f"--format=%H%x00%ce%x00%(trailers:key={SEEN_TRAILER},valueonly,unfold)%x01"
    log = await mirror.local("log", form, tip, f"^{base}", "--")
    theirs: set[Entry] = set()
    for entry in log.stdout.decode("utf-8", "replace").split("\x01")[:MOST_COMMITS]:
        sha, address, seen = (*entry.strip().split("\0"), "", "")[:3]
        if sha and (address != ADDRESS or seen.strip()):
            theirs.update(await _entries(mirror, sha))
    return [one for one in changed if one not in theirs]


async def _entries(mirror: Mirror, *commits: str) -> list[Entry]:
    return read_entries((await mirror.local(*_RAW, "--root", "--diff-merges=first-parent", *commits)).stdout)


async def unseen_change(mirror: Mirror, base: str, commit: str, tip: str) -> Change | None:
    """The same as people read it; None where nothing waits for them."""
    entries = await unseen(mirror, base, commit, tip)
    if not entries:
        return None
    paths = tuple(sorted(one.path for one in entries))
    return Change(hash_of(entries), paths, await _diff(mirror, base, commit, paths))


async def _diff(mirror: Mirror, base: str, commit: str, paths: tuple[str, ...]) -> str:
    shown = paths[:MOST_PATHS]
    options = ("--text", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index")
    try:
        done = await mirror.local("diff", *options, base, commit, "--", *shown, env={"GIT_LITERAL_PATHSPECS": "1"})
    except PodTrouble as trouble:  # too long even to be read
        return f"{names(paths)} cannot be shown: {trouble}"
    raw = done.stdout[: 4 * LONGEST]
    text = spelt_out(raw)
    if text.encode() != raw:
        text = f"{SPELT}\n{text}"
    rest = "" if len(shown) == len(paths) else f"\n[… and {len(paths) - len(shown)} more files]"
    if len(text) > LONGEST:
        return f"{text[:LONGEST]}\n[… cut here: fetch it to see the whole]{rest}"
    return text + rest
