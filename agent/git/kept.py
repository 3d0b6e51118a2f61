"""Work that is at no branch: where it is kept, and what of it a person has not seen yet (T12).

A branch starts the forge's CI, and `[skip ci]` does not keep all of it away; a ref below `refs/agent` starts none. Only on
a remote that takes no such refs is kept work at a branch, and what is guarded stays on this host even there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from loguru import logger
from msgspec import Struct

from agent.errors import PodTrouble, TicketFailure
from agent.git import includes
from agent.git.blame import GitFailed
from agent.git.evidence import KEPT_TRAILER, RUN_TRAILER, SEEN_TRAILER, STARTER_TRAILER
from agent.git.guarded import Change, Entry, GuardedPaths, by_links, guarded_among, guarded_entries, hash_of
from agent.git.mirror import ADDRESS, Mirror
from agent.git.odd import led_to, read_blobs, tree_links
from agent.git.refs import HEADS, PROBES, KeepRefused, RepositoryUnreachable, names, rejected, told
from agent.git.worktree import UpToDate
from agent.texts.clean import in_sight, spelt_out

MOST_COMMITS: Final = 200
"""Commits on one branch that are looked at, the newest first."""
MOST_PATHS: Final = 50
LONGEST: Final = 20_000
"""Characters of a change that people are shown, all its files together; each may have the same."""
UNDONE: Final = (
    "[what people changed on the branch is undone: this is against the branch, and what comes of it is as in the base]"
)
SPELT: Final = r"[it has signs that are not seen: each is spelt out here, as \u202e]"
_RAW: Final = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-commit-id")
_WORDS: Final = (SEEN_TRAILER, STARTER_TRAILER, KEPT_TRAILER)
"""The trailers by which a commit of ours is a person's: let through, the operator's files, pushed by hand."""
_NEW_LINK: Final = b" 120000 "
"""Where that answer has it not, the commit has no link that the base lacks."""


class Kept(Struct, frozen=True):
    """Where kept work is: at a ref of the remote, or in a bundle on this host."""

    commit: str
    ref: str = ""
    bundle: str = ""
    refusal: str = ""
    """Why it is in a bundle, if the remote did not take it."""

    @property
    def branch(self) -> str:
        """The branch, if it is at one."""
        return self.ref.removeprefix(HEADS) if self.ref.startswith(HEADS) else ""


def refused(mirror: Mirror, porcelain: bytes, said: str, what: str) -> KeepRefused | None:
    """The remote's own words, if it said no; None where nobody did."""
    reasons = rejected(porcelain).values()
    if not reasons:
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


async def keep(mirror: Mirror, name: str, commit: str, below: UpToDate) -> Kept:
    """Keep a commit under the name `agent/kept/…` or `agent/failed/…`.

    What a remote that takes such refs does not take is refused for what is in it (a name or a string like a secret, its
    size), and that no time mends: it is kept on this host, and nobody waits for it.

    Args:
        mirror: of the repository.
        name: below `refs/`, or `refs/heads/`.
        commit: what to keep.
        below: what it is made on.

    Raises:
        KeepRefused: the remote says no, and may be one that takes no such refs; everything is still here.
        RepositoryUnreachable: it did not get there, and the remote does not answer.
    """
    ref = f"refs/{name}"
    if mirror.hidden is False:
        if await _waits(mirror, below, commit):
            return Kept(commit, bundle=str(await _bundle(mirror, name, commit, below.base)))
        ref = f"{HEADS}{name}"
    if (trouble := await _push(mirror, commit, ref)) is None:
        _place(mirror, name).unlink(missing_ok=True)
        return Kept(commit, ref)
    if mirror.hidden is None:
        raise trouble
    if not isinstance(trouble, KeepRefused):  # too large for a proxy, or for the time
        await mirror.list_refs(f"{HEADS}{mirror.base}")
    bundle = str(await _bundle(mirror, name, commit, below.base))
    logger.warning("{}; it is in {}", trouble, bundle)
    return Kept(commit, bundle=bundle, refusal=str(trouble))


async def _push(mirror: Mirror, commit: str, ref: str) -> RepositoryUnreachable | None:
    try:
        done = await mirror.remote("push", "--porcelain", "--no-verify", "origin", f"+{commit}:{ref}")
    except RepositoryUnreachable as silent:
        return silent
    if done.ok:
        return None
    return refused(mirror, done.stdout, mirror.said(done), f"`{ref}`") or mirror.unreachable(done)


async def _waits(mirror: Mirror, below: UpToDate, commit: str) -> bool:
    """Whether something of it is for people to see first, as what is more than they could look at is."""
    try:
        return bool((await unseen(mirror, below, commit))[0])
    except TicketFailure:
        return True


async def fetch_kept(mirror: Mirror, name: str) -> str | None:
    """The commit that was kept under this name, now here; None if it is nowhere to be had."""
    bundle = _place(mirror, name)
    if bundle.is_file():  # it is later than what the remote has
        try:
            await mirror.local("bundle", "unbundle", str(bundle))
            heads = await mirror.local("bundle", "list-heads", str(bundle))
        except GitFailed as failed:
            raise TicketFailure(f"the kept work in {bundle} cannot be read: {failed}") from failed
        return heads.stdout.decode("utf-8", "replace").partition(" ")[0] or None
    ref = f"refs/{name}"
    found = await mirror.remote("ls-remote", "--refs", "origin", ref)
    if not found.ok:
        raise mirror.unreachable(found)
    lines = (line.split("\t") for line in found.stdout.decode("utf-8", "replace").splitlines())
    sha = next((line[0] for line in lines if line[1:] == [ref]), "")  # it matches longer names, too
    if sha:
        done = await mirror.remote("fetch", "--no-tags", "--no-write-fetch-head", "--quiet", "origin", ref)
        if not done.ok:
            raise mirror.unreachable(done)
    return sha or None


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


async def unseen(mirror: Mirror, below: UpToDate, commit: str) -> tuple[list[Entry], Collection[str]]:
    """The guarded paths of which a commit has something that neither the base nor people's own commits left there.

    What the run itself made of a path is new, be it what people took back or what the base has and people changed on the
    branch. What was there before is theirs if the last commit of the branch that changed it is a person's: one that a person
    let through by its hash counts as that (see `SEEN_TRAILER`), and the operator's starter does.

    Returns:
        The paths as the commit has them, and those that differ from the base.

    Raises:
        TicketFailure: they are more than people could look at, or behind links that cannot be followed.
    """
    raw = await _changed(mirror, below.base, commit)
    paths = await _paths(mirror, below.base, commit, raw)
    differs = await asyncio.to_thread(guarded_entries, raw, paths)
    if below.onto == below.base:
        return list(differs.values()), differs
    made = await _guarded(mirror, paths, below.onto, commit)
    if not (differs or made):
        return [], differs
    hands = await _hands(mirror, paths, below)
    undone = [one for path, one in made.items() if path not in differs and path not in hands.ours]
    return undone + [one for path, one in differs.items() if path in made or hands.theirs.get(path) != one], differs


async def _paths(mirror: Mirror, base: str, commit: str, raw: bytes) -> GuardedPaths:
    """What is guarded, with what guarded links lead to and guarded definitions take in.

    That is so at the base, and in a commit that differs from it by `raw`.
    """
    places = await _led(mirror, base)
    definitions = await asyncio.to_thread(guarded_entries, raw, by_links(mirror.guarded, ()))
    if definitions or _NEW_LINK in raw:
        places |= await _led(mirror, commit)
    return by_links(mirror.guarded, places)


async def _led(mirror: Mirror, commit: str) -> set[str]:
    listed = (await mirror.local("ls-tree", "-r", "-z", commit)).stdout
    return await _linked(mirror, listed) | await _taken_in(mirror, listed)


async def _taken_in(mirror: Mirror, listed: bytes) -> set[str]:
    known = await asyncio.to_thread(includes.definitions, listed)
    todo = await asyncio.to_thread(guarded_among, known, mirror.guarded)
    found: set[str] = set()
    seen: set[str] = set()
    for _ in range(includes.DEEPEST):
        if not todo:
            break
        seen.update(todo)
        some = {path: known[path] for path in todo[: includes.MOST]}
        blobs = await mirror.local("cat-file", "--batch", stdin="".join(f"{one}\n" for one in some.values()).encode())
        texts = await asyncio.to_thread(read_blobs, blobs.stdout, some)
        found |= await asyncio.to_thread(includes.taken_in, texts, known)
        todo = sorted(found & known.keys() - seen)
    return found


async def _linked(mirror: Mirror, listed: bytes) -> set[str]:
    links = await asyncio.to_thread(tree_links, listed)
    starts = await asyncio.to_thread(guarded_among, links, mirror.guarded)
    if not starts:
        return set()
    wanted = "".join(f"{blob}\n" for blob in links.values())
    blobs = await mirror.local("cat-file", "--batch", stdin=wanted.encode())
    return await asyncio.to_thread(lambda: led_to(read_blobs(blobs.stdout, links), starts))


async def _guarded(mirror: Mirror, paths: GuardedPaths, *commits: str) -> dict[str, Entry]:
    """The guarded paths that differ between two commits, or that one commit changed, as it has them, by path."""
    return await asyncio.to_thread(guarded_entries, await _changed(mirror, *commits), paths)


async def _changed(mirror: Mirror, *commits: str) -> bytes:
    return (await mirror.local(*_RAW, "--root", "--diff-merges=first-parent", *commits)).stdout


class _Hands(Struct, frozen=True):
    """Whose commits left guarded paths as they are; of what is in neither, nobody knows."""

    theirs: dict[str, Entry]
    """What people left, by path."""
    ours: set[str]
    """Paths that only a run of ours changed last. A merge of ours is no hand: what it left is of people and of the base."""


async def _hands(mirror: Mirror, paths: GuardedPaths, below: UpToDate) -> _Hands:
    """Who changed each guarded path last, between the base and what the run was made on.

    Of a commit that people let through by its hash, all that differed from its base is theirs: what they saw may stand in a
    commit of ours below it, a merge or the starter.
    """
    shown = "%x00".join(f"%(trailers:key={one},valueonly,unfold)" for one in (RUN_TRAILER, *_WORDS))
    form = f"--format=%H%x00%P%x00%ce%x00{shown}%x01"
    log = await mirror.local("log", "--first-parent", form, below.onto, f"^{below.base}", "--")
    known: set[str] = set()
    hands = _Hands({}, set())
    for line in log.stdout.decode("utf-8", "replace").split("\x01")[:MOST_COMMITS]:
        sha, parents, address, run, seen, *words = (part.strip() for part in (*line.split("\0"), *[""] * 7)[:7])
        if not sha:
            continue
        found = await _guarded(mirror, paths, sha)
        if address == ADDRESS and seen:
            base = await mirror.local("merge-base", below.base, sha)
            found |= await _guarded(mirror, paths, base.stdout.decode().strip(), sha)
        for path, one in found.items():
            # The address alone is no proof: git makes it up for whoever is called `agent` on his own host.
            is_ours = address == ADDRESS and (run or " " in parents)
            if path not in known and (not is_ours or seen or any(words)):
                hands.theirs[path] = one
            elif path not in known and " " not in parents:
                hands.ours.add(path)
        known |= found.keys()
    return hands


async def unseen_change(mirror: Mirror, below: UpToDate, commit: str) -> Change | None:
    """The same as people read it; None where nothing waits for them."""
    entries, differs = await unseen(mirror, below, commit)
    if not entries:
        return None
    paths = tuple(sorted(one.path for one in entries))
    shown = await _diff(mirror, below.base, commit, tuple(path for path in paths if path in differs))
    undone = await _diff(mirror, below.onto, commit, tuple(path for path in paths if path not in differs))
    listed = "\n".join(f"{one.mode} {one.path}" for one in sorted(entries, key=lambda one: one.path))
    named = in_sight(spelt_out(listed.encode("utf-8", "surrogateescape")[:LONGEST]))[:LONGEST] if len(paths) > 1 else ""
    return Change(hash_of(entries), paths, "\n".join(filter(None, (named, shown, undone and f"{UNDONE}\n{undone}"))))


async def _diff(mirror: Mirror, base: str, commit: str, paths: tuple[str, ...]) -> str:
    """Each file's for itself, so that a long one hides no other."""
    shown = paths[:MOST_PATHS]
    texts = [await _diff_of(mirror, base, commit, path, LONGEST // len(shown)) for path in shown]
    if len(shown) < len(paths):
        texts.append(f"[… and {len(paths) - len(shown)} more files: fetch it to see them]")
    return "\n".join(texts)


async def _diff_of(mirror: Mirror, base: str, commit: str, path: str, longest: int) -> str:
    options = ("--text", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index")
    try:
        done = await mirror.local("diff", *options, base, commit, "--", path, env={"GIT_LITERAL_PATHSPECS": "1"})
    except PodTrouble as trouble:  # too long even to be read
        return f"{names((path,))} cannot be shown: {trouble}"
    raw = done.stdout[: 4 * longest]
    text = spelt_out(raw)
    if text.encode() != raw:
        text = f"{SPELT}\n{text}"
    text = in_sight(text)
    return text if len(text) <= longest else f"{text[:longest]}\n[… cut here: fetch it to see the whole]"
