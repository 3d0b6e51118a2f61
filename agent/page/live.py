"""The board as it goes on: one snapshot for all who listen, and what changed since any version that they may have.

    commit ──► heard at the next beat ──► snapshot (in a thread) ──► every stream writes its own difference

Nothing is read while nobody listens. A stream holds what it told last and nothing else: however slow its reader is, what it is
owed is worked out when it can be sent.

What somebody may not see changes nothing of what they are given, nor when: the beat is the same whatever happens, whoever asks
waits for a snapshot of their own, and versions, orders and what is still remembered depend on what they were told alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec
from msgspec import Struct

from agent.page import authors, snapshot
from agent.page.cards import Card, Pod
from agent.page.desk import Desk
from agent.page.pods import Seen, pods
from agent.page.scene import Setting
from agent.page.sightings import Sightings
from agent.page.snapshot import Look, Sight, View
from agent.page.versions import KEPT, Told, Versions
from agent.page.words import Words
from agent.server import sessions
from agent.server.access import Viewer
from agent.server.store import Db

SLACK: Final = 60.0
"""Differences are remembered so many seconds longer than what was told."""
CHANGES: Final = 20_000
"""And no more changed cards than these, for the sake of memory."""


class Frame(Struct, frozen=True, kw_only=True):
    """What the catalog is made of."""

    words: Words
    fleet: frozenset[int]
    users: list[tuple[Any, ...]]
    projects: list[tuple[Any, ...]]
    members: list[tuple[Any, ...]]

    def seen_by(self, viewer: Viewer, fleet: frozenset[int]) -> Frame:
        """As much of it as somebody sees, to whom these accounts are the fleet's."""
        if viewer.admin:
            return self
        # Whoever sees a project is a member of it.
        own = {project for project, user, _ in self.members if user == viewer.id}
        members = [one for one in self.members if one[0] in own]
        users = {viewer.id, *(user for _, user, _ in members)}
        return Frame(
            words=self.words,
            fleet=fleet & users,
            users=[one for one in self.users if one[0] in users],
            projects=[one for one in self.projects if one[0] in own],
            members=members,
        )


class Snapshot(Struct, frozen=True, kw_only=True):
    """The board at one moment."""

    number: int
    known: Setting
    frame: Frame
    """What the catalog is made of: when it changes, everything is to be asked for again."""
    sights: Mapping[int, Sight]
    closed: Mapping[int, int]
    seen: Mapping[int, Mapping[str, Seen]]
    """By project."""


class Delta(Struct, frozen=True, kw_only=True):
    """What somebody is to be told. Of a card that is gone its number only."""

    changed: list[Card]
    gone: list[int]
    closed: int
    pods: list[Pod]


class Live:
    """The snapshots of one board, newest last.

    Args:
        folder: where the board is kept.
        clock: tells the time in UTC without saying so.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.desk = Desk(folder, "snapshots")
        """Where all of this is done, `delta` too."""
        self._clock = clock
        self.versions = Versions()
        self._sightings = Sightings()
        self._latest: Snapshot | None = None
        self._look: Look | None = None
        self._heard = -1
        self._begun_at = 0.0
        self._turn = asyncio.Lock()
        self._history: deque[tuple[int, float, dict[int, Sight | None]]] = deque()
        """Of each snapshot, when it was made and what differs from the one before: what was there, None if nothing was."""
        self._catalogs: dict[int, tuple[Frame, View, bytes]] = {}
        """The last digest for each account, and of what."""
        self.count = 0
        """Snapshots made so far."""

    def close(self) -> None:
        """Let go of the file; a snapshot in the making is waited for."""
        self.desk.close()

    async def latest(self) -> Snapshot:
        """The board as it was while this was waited for. It is read in any case: how long that takes tells nothing."""
        time = asyncio.get_running_loop().time
        asked = time()
        async with self._turn:
            if self._latest is None or self._begun_at < asked:
                # Whoever asks at the same time shares it.
                await asyncio.sleep(0)
                self._begun_at = time()
                return await self.desk.do(self._make)
            return self._latest

    @property
    def present(self) -> Snapshot | None:
        """The last snapshot, however old."""
        return self._latest

    async def changed(self) -> bool:
        """Whether the file has changed since the last snapshot was begun."""
        return await self.desk.do(self.desk.store.changes) != self._heard

    async def alive(self) -> frozenset[str]:
        """The sessions that have not ended."""
        return await self.desk.read(lambda db: sessions.alive(db, self._clock()))

    def view_of(self, cookie: str, now: Snapshot) -> View | None:
        """With whose eyes a cookie looks; None if the session is over. Called at the desk."""
        with self.desk.store.transaction(write=False) as db:
            session = sessions.find(db, cookie, self._clock())
            return None if session is None else view(db, session.viewer, now)

    def _make(self) -> Snapshot:
        # Heard before it is read: what comes in between is seen now and heard of again.
        self._heard = self.desk.store.changes()
        with self.desk.store.transaction(write=False) as db:
            look = self._look = snapshot.look(db, self._look)
            seen = self._sightings.read(db, self._clock())
            frame = _frame(db, look.scene.known)
        known, found, closed = look.scene.known, look.sights, look.closed
        self.count += 1
        before = self._latest
        number = before.number + 1 if before else 1
        if before is not None:
            changes = {
                id_: one
                for id_ in before.sights.keys() | found.keys()
                if (one := before.sights.get(id_)) is not (other := found.get(id_)) and one != other
            }
            if before.frame == frame:
                frame = before.frame
                if not changes and before.closed == closed and before.seen == seen:
                    return before
            self._history.append((number, monotonic(), changes))
            self._forget()
        self._latest = Snapshot(number=number, known=known, frame=frame, sights=found, closed=closed, seen=seen)
        return self._latest

    def _forget(self) -> None:
        until = monotonic() - KEPT - SLACK
        while self._history and (
            self._history[0][1] < until or sum(len(changes) for _, _, changes in self._history) > CHANGES
        ):
            self._history.popleft()

    def told(self, view: View, now: Snapshot) -> Told:
        """What somebody knows who is told how the board is now."""
        viewer = view.viewer
        frame, old, catalog = self._catalogs.get(viewer.id, (None, None, b""))
        if frame is not now.frame or old is None or (old.viewer, old.fleet) != (viewer, view.fleet):
            catalog = _digest([now.frame.seen_by(viewer, view.fleet), viewer.admin, sorted(viewer.projects.items())])
            self._catalogs[viewer.id] = now.frame, view, catalog
        rest = _digest([closed(now, view), pods_of(now, view)])
        return Told(user=viewer.id, number=now.number, catalog=catalog, rest=rest, at=monotonic())

    def leads_on(self, before: Told, after: Told) -> bool:
        """Whether one who knows the first can be told what differs, or must ask for everything again."""
        oldest = self._history[0][0] - 1 if self._history else after.number
        return (
            before.catalog == after.catalog and oldest <= before.number <= after.number and after.at - before.at <= KEPT
        )

    def delta(self, number: int, now: Snapshot, view: View) -> Delta:
        """What somebody with these eyes who knows that snapshot is to be told."""
        before: dict[int, Sight | None] = {}
        for at, _, changes in self._history:
            if number < at <= now.number:
                for id_, sight in changes.items():
                    before.setdefault(id_, sight)
        changed, gone = [], []
        for id_, sight in sorted(before.items()):
            old = snapshot.seen_by(view, sight) if sight is not None else None
            card = snapshot.seen_by(view, now.sights[id_]) if id_ in now.sights else None
            if card is not None and card != old:
                changed.append(card)
            elif card is None and old is not None:
                gone.append(id_)
        return Delta(changed=changed, gone=gone, closed=closed(now, view), pods=pods_of(now, view))


def view(db: Db, viewer: Viewer, now: Snapshot) -> View:
    """Somebody's eyes: to them, accounts are the fleet's for what these did in projects that they see."""
    fleet = authors.fleet(db, now.known.words.run_field, viewer.projects)
    return View(viewer=viewer, known=now.known.with_fleet(fleet))


def cards(now: Snapshot, view: View) -> list[Card]:
    """All that somebody sees."""
    found = (snapshot.seen_by(view, sight) for sight in now.sights.values())
    return [card for card in found if card is not None]


def closed(now: Snapshot, view: View) -> int:
    """How many closed ones there are, shown or not."""
    return sum(count for project, count in now.closed.items() if project in view.projects)


def pods_of(now: Snapshot, view: View) -> list[Pod]:
    """The pods as somebody's projects show them."""
    seen: dict[str, Seen] = {}
    for project, of_project in now.seen.items():
        if project in view.projects:
            for name, one in of_project.items():
                seen[name] = max(one, seen.get(name, one), key=lambda found: found.at)
    of_pods = (s.card for s in now.sights.values() if s.card.pod or s.card.claim)
    return pods((card for card in of_pods if card.project in view.projects), seen, now.known.words)


def _digest(document: Any) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(document, order="deterministic"), digest_size=16).digest()


def _frame(db: Db, known: Setting) -> Frame:
    return Frame(
        words=known.words,
        fleet=known.facts.fleet,
        users=[tuple(row) for row in db.rows("SELECT id, login, name, admin FROM users")],
        projects=[tuple(row) for row in db.rows("SELECT id, identifier, name FROM projects")],
        members=[tuple(row) for row in db.rows("SELECT project_id, user_id, role_id FROM members")],
    )
