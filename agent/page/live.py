"""The board as it goes on: one snapshot for all who listen, and what changed since any version that they may have.

    commit ──► heard within TICK ──► snapshot (in a thread, at most two a second) ──► every stream writes its own difference

Nothing is read while nobody listens. A stream holds a version and nothing else: however slow its reader is, what it is owed is
worked out when it can be sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from agent.page import snapshot
from agent.page.cards import Card, Pod
from agent.page.desk import Desk
from agent.page.pods import Seen, pods
from agent.page.scene import Setting
from agent.page.sightings import Sightings
from agent.page.snapshot import Look, Sight
from agent.page.words import Words
from agent.server import sessions
from agent.server.access import Viewer
from agent.server.store import Db

TICK: Final = 0.1
"""Seconds between two looks whether the file has changed."""
PAUSE: Final = 0.5
"""Seconds from one snapshot to the next."""
VERSIONS: Final = 500
"""So many differences are remembered."""
CHANGES: Final = 50_000
"""And no more changed cards than these."""
FRAMES: Final = 20
"""Of accounts, projects and members as they were: they rarely change."""


class Frame(Struct, frozen=True, kw_only=True):
    """What the catalog is made of."""

    words: Words
    fleet: frozenset[int]
    users: list[tuple[Any, ...]]
    projects: list[tuple[Any, ...]]
    members: list[tuple[Any, ...]]

    def seen_by(self, viewer: Viewer) -> Frame:
        """As much of it as somebody sees."""
        if viewer.admin:
            return self
        # Whoever sees a project is a member of it.
        own = {project for project, user, _ in self.members if user == viewer.id}
        members = [one for one in self.members if one[0] in own]
        users = {viewer.id, *(user for _, user, _ in members)}
        return Frame(
            words=self.words,
            fleet=self.fleet & users,
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

    version: str
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
        self._life = secrets.token_bytes(16)
        self._sightings = Sightings()
        self._latest: Snapshot | None = None
        self._look: Look | None = None
        self._heard = -1
        self._begun_at = self._ended_at = 0.0
        self._turn = asyncio.Lock()
        self._history: deque[tuple[int, dict[int, Sight | None]]] = deque()
        """Of each snapshot, what differs from the one before: what was there, None if nothing was."""
        self._frames: deque[tuple[int, Frame]] = deque(maxlen=FRAMES)
        """Since when each was so."""
        self._names: dict[str, int] = {}
        """The numbers of snapshots by what they are called: how many there were between two is nobody's business."""
        self.count = 0
        """Snapshots made so far."""

    def close(self) -> None:
        """Let go of the file; a snapshot in the making is waited for."""
        self.desk.close()

    async def latest(self) -> Snapshot:
        """The board as it is now, or was while this was waited for."""
        time = asyncio.get_running_loop().time
        asked = time()
        async with self._turn:
            if self._latest is not None and (
                self._begun_at >= asked or await self.desk.do(self.desk.store.changes) == self._heard
            ):
                return self._latest
            await asyncio.sleep(self._ended_at + PAUSE - time())
            self._begun_at = time()
            made = await self.desk.do(self._make)
            self._ended_at = time()
            return made

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

    def session(self, cookie: str) -> sessions.Session | None:
        """Whose cookie it is; called at the desk."""
        with self.desk.store.transaction(write=False) as db:
            return sessions.find(db, cookie, self._clock())

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
        if before is None or before.frame != frame:
            self._frames.append((number, frame))
        if before is not None:
            changes = {
                id_: one
                for id_ in before.sights.keys() | found.keys()
                if (one := before.sights.get(id_)) is not (other := found.get(id_)) and one != other
            }
            if not changes and before.frame == frame and before.closed == closed and before.seen == seen:
                return before
            self._history.append((number, changes))
            self._forget()
        self._names[self._name(number)] = number
        self._latest = Snapshot(number=number, known=known, frame=frame, sights=found, closed=closed, seen=seen)
        return self._latest

    def _forget(self) -> None:
        while len(self._history) > VERSIONS or sum(len(changes) for _, changes in self._history) > CHANGES:
            number, _ = self._history.popleft()
            self._names.pop(self._name(number - 1), None)

    def _name(self, number: int) -> str:
        return hashlib.blake2b(str(number).encode(), key=self._life, digest_size=8).hexdigest()

    def version(self, of: Snapshot) -> str:
        """A snapshot's name, for this process only."""
        return self._name(of.number)

    def number(self, version: str) -> int | None:
        """The number of a version, if this process gave it and still knows what has changed since."""
        return self._names.get(version)

    def leads_on(self, number: int, now: Snapshot, viewer: Viewer) -> bool:
        """Whether one who has that snapshot can be told what differs, or must ask for everything again."""
        oldest = self._history[0][0] - 1 if self._history else now.number
        frame = next((frame for since, frame in reversed(self._frames) if since <= number), None)
        return (
            oldest <= number <= now.number
            and frame is not None
            and (frame is now.frame or frame.seen_by(viewer) == now.frame.seen_by(viewer))
        )

    def delta(self, number: int, now: Snapshot, projects: Mapping[int, object]) -> Delta:
        """What somebody who sees these projects and has that version is to be told."""
        before: dict[int, Sight | None] = {}
        for at, changes in self._history:
            if number < at <= now.number:
                for id_, sight in changes.items():
                    before.setdefault(id_, sight)
        changed, gone = [], []
        for id_, sight in before.items():
            old = snapshot.seen_by(now.known, sight, projects) if sight is not None else None
            card = snapshot.seen_by(now.known, now.sights[id_], projects) if id_ in now.sights else None
            if card is not None and card != old:
                changed.append(card)
            elif card is None and old is not None:
                gone.append(id_)
        return Delta(
            version=self.version(now),
            changed=changed,
            gone=gone,
            closed=closed(now, projects),
            pods=pods_of(now, projects),
        )


def cards(now: Snapshot, projects: Mapping[int, object]) -> list[Card]:
    """All that somebody sees who sees these projects."""
    found = (snapshot.seen_by(now.known, sight, projects) for sight in now.sights.values())
    return [card for card in found if card is not None]


def closed(now: Snapshot, projects: Mapping[int, object]) -> int:
    """How many closed ones there are, shown or not."""
    return sum(count for project, count in now.closed.items() if project in projects)


def pods_of(now: Snapshot, projects: Mapping[int, object]) -> list[Pod]:
    """The pods as these projects show them."""
    seen: dict[str, Seen] = {}
    for project, of_project in now.seen.items():
        if project in projects:
            for name, one in of_project.items():
                seen[name] = max(one, seen.get(name, one), key=lambda found: found.at)
    of_pods = (s.card for s in now.sights.values() if s.card.pod or s.card.claim)
    return pods((card for card in of_pods if card.project in projects), seen, now.known.words)


def _frame(db: Db, known: Setting) -> Frame:
    return Frame(
        words=known.words,
        fleet=known.facts.fleet,
        users=[tuple(row) for row in db.rows("SELECT id, login, name, admin FROM users")],
        projects=[tuple(row) for row in db.rows("SELECT id, identifier, name FROM projects")],
        members=[tuple(row) for row in db.rows("SELECT project_id, user_id, role_id FROM members")],
    )
