"""Whoever applies what they are told, from whatever version on, has the board that they would be shown."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent import server
from agent.page import live, snapshot
from agent.page.cards import Card
from agent.page.live import Live, Snapshot
from agent.page.snapshot import View
from agent.server import store
from agent.server.web import utc_now
from support.backlogs import into_embedded
from support.page import eyes
from support.random_boards import MINE, random_backlog

STEPS = 12
VIEWS = ((101,), (102,), (101, 102))
"""Projects that somebody may see."""


def something(chance: random.Random, db: sqlite3.Connection) -> None:
    """One change, as the API would make it or as it would not."""
    ids = [row[0] for row in db.execute("SELECT id FROM work_packages")]
    if not ids:
        return
    one, other = chance.choice(ids), chance.choice(ids)
    status = chance.choice([301, 301, 307, 309, 312, 313, 314])
    match chance.randrange(8):
        case 0:
            db.execute(
                "UPDATE work_packages SET status_id = ?, updated_at = ? WHERE id = ?", (status, stamp(chance), one)
            )
        case 1:
            db.execute("UPDATE work_packages SET project_id = ? WHERE id = ?", (chance.choice([101, 102]), one))
        case 2:
            person = chance.choice([None, 12, 13])
            db.execute("UPDATE work_packages SET assigned_to_id = ? WHERE id = ?", (person, one))
        case 3:
            field, text = chance.choice([(601, "pod-a"), (601, "pod-b"), (602, MINE)])
            db.execute("INSERT OR REPLACE INTO custom_values VALUES (?, ?, ?)", (one, field, text))
        case 4:
            db.execute("DELETE FROM custom_values WHERE work_package_id = ?", (one,))
        case 5 if one < other:
            kind = chance.choice(["blocks", "relates"])
            sql = "INSERT OR IGNORE INTO relations (from_id, to_id, relation_type) VALUES (?, ?, ?)"
            db.execute(sql, (one, other, kind))
        case 6 if one < other:
            # Below an older one: so there are no circles.
            db.execute("UPDATE work_packages SET parent_id = ? WHERE id = ?", (one, other))
        case 7:
            db.execute("UPDATE work_packages SET parent_id = NULL WHERE parent_id = ?", (one,))
            db.execute("DELETE FROM work_packages WHERE id = ?", (one,))


def stamp(chance: random.Random) -> str:
    return f"2026-11-{chance.randint(10, 27)}T08:00:00.000Z"


def shown(now: Snapshot, view: View) -> dict[int, Card]:
    return {card.id: card for card in live.cards(now, view)}


@pytest.mark.parametrize("seed", range(20))
def test_what_one_is_told_leads_to_what_one_would_be_shown(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CLOSED_OF_A_PROJECT", 2)
    chance = random.Random(seed)
    server.create(tmp_path)
    server.import_backlog(tmp_path, '[[users]]\nlogin = "agent2"\nname = "Second Agent"\nprojects = []\n')
    for project in ("a", "b"):
        into_embedded(tmp_path, random_backlog(chance, project, 25))
    board = Live(tmp_path, utc_now)
    with closing(sqlite3.connect(tmp_path / store.FILE)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        now = board._make()
        past = {now.number: [shown(now, eyes(board, now, *projects)) for projects in VIEWS]}
        for _ in range(STEPS):
            with db:
                for _ in range(chance.randint(1, 3)):
                    something(chance, db)
            now = board._make()
            all_eyes = [eyes(board, now, *projects) for projects in VIEWS]
            views = [shown(now, view) for view in all_eyes]
            for number, before in past.items():
                for index, (view, old, wanted) in enumerate(zip(all_eyes, before, views, strict=True)):
                    delta = board.delta(number, now, view)
                    told = {**old, **{card.id: card for card in delta.changed}}
                    assert set(delta.gone) <= old.keys() | ever(past, index)
                    for gone in delta.gone:
                        told.pop(gone, None)
                    assert told == wanted
                    assert delta.closed == live.closed(now, view)
            past[now.number] = views
            # What was taken over from the snapshot before is what would be read anew.
            with board.desk.store.transaction(write=False) as fresh:
                assert snapshot.look(fresh).sights == now.sights
    board.close()


def ever(past: dict[int, list[dict[int, Card]]], view: int) -> set[int]:
    """All that was ever visible there."""
    return set().union(*(views[view].keys() for views in past.values()))
