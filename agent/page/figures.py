"""The fleet in figures: what it finished, what it cost, how long tickets stay where they are, how long people are waited for.

All is read from the journals of the span, by the index `journals_by_time`, and from the runs' own comments in it. Tokens and
cost are those that a run tells at its end, well or not.
"""

from __future__ import annotations

import datetime as dt
import json
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from agent.page import scene
from agent.page.words import Words
from agent.server.access import Viewer
from agent.server.store import Db
from agent.texts import told
from agent.texts.report import Event
from agent.texts.told import Told

LONGEST: Final = 366
"""Days."""
_ENDS: Final = (Event.COMPLETED, Event.ALREADY_DONE, Event.FAILED)
_P90: Final = 90


class Run(Struct, frozen=True, kw_only=True):
    """A run that came to an end: done or failed."""

    day: str
    pod: str
    done: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


Comment = tuple[str, Told]
"""The day, and what was said."""


class Move(Struct, frozen=True):
    """A work package left one status for another."""

    type: int
    ticket: int
    version: int
    at: str
    left: int
    to: int
    since: str | None
    """When it came to the status that it left, if that was in the span."""


class Span(Struct, frozen=True):
    """Whole days of UTC, the last of them today."""

    days: tuple[str, ...]
    end: str

    @property
    def start(self) -> str:
        """Its first moment, as journals write it."""
        return self.days[0]


def fleet(db: Db, viewer: Viewer, days: int, now: dt.datetime) -> dict[str, Any]:
    """The figures of the projects that the viewer sees.

    Args:
        db: the board's file.
        viewer: who looks.
        days: how many, up to `LONGEST`, today among them.
        now: UTC.
    """
    known = scene.setting(db, projects=viewer.projects)
    words = known.words
    over = span(days, now)
    runs = _runs(db, viewer, known.facts.fleet, over)
    by_day: defaultdict[str, list[Run]] = defaultdict(list)
    by_pod: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_day[run.day].append(run)
        by_pod[run.pod].append(run)
    moves = list(_moves(db, viewer, sorted(words.executable | words.spikes), over))
    return {
        "days": [{"day": day, **totals(by_day[day])} for day in over.days],
        "by_pod": [{"pod": pod, **totals(some)} for pod, some in sorted(by_pod.items())],
        "time_in_status": _time_in_status(db, moves, words),
        "spikes": _spikes(db, viewer, moves, words),
    }


def span(days: int, now: dt.datetime) -> Span:
    """So many days up to today, at least one."""
    count = min(max(days, 1), LONGEST)
    found = tuple((now.date() - dt.timedelta(days=back)).isoformat() for back in reversed(range(count)))
    return Span(found, (now.date() + dt.timedelta(days=1)).isoformat())


def totals(some: Sequence[Run]) -> dict[str, Any]:
    """Some runs added up."""
    return {
        "done": sum(run.done for run in some),
        "failed": sum(not run.done for run in some),
        "input_tokens": sum(run.input_tokens for run in some),
        "output_tokens": sum(run.output_tokens for run in some),
        "cost_usd": round(sum(run.cost_usd for run in some), 2),
    }


def quantile(sorted_values: Sequence[int], percent: int) -> int:
    """The smallest value that so many percent of them do not exceed (nearest rank)."""
    return sorted_values[max(0, -(-len(sorted_values) * percent // 100) - 1)]


# --- runs --------------------------------------------------------------------------------------------------------


def ended(comments: Iterable[Comment], pods: Mapping[str, str]) -> list[Run]:
    """The runs that came to an end, from what they said, oldest first; what a run says twice counts once.

    Args:
        comments: of any event.
        pods: whose run it is, for those whose claim is not among the comments.
    """
    claimed = dict(pods)
    found: dict[str, Run] = {}
    for day, mark in comments:
        run = found.get(mark.run, Run(day=day, pod="", done=False))
        if mark.event == Event.CLAIMED:
            claimed[mark.run] = mark.pod
        elif mark.event in _ENDS:
            found[mark.run] = replace(run, done=mark.event != Event.FAILED, **_spent(mark))
    return [replace(run, pod=claimed.get(id_, "")) for id_, run in found.items()]


def _spent(mark: Told) -> dict[str, Any]:
    """What this comment says of it; one that says nothing leaves what was said before."""
    if mark.input_tokens is None and mark.cost_usd is None:
        return {}
    return {
        "input_tokens": mark.input_tokens or 0,
        "output_tokens": mark.output_tokens or 0,
        "cost_usd": mark.cost_usd or 0.0,
    }


def _runs(db: Db, viewer: Viewer, users: Collection[int], over: Span) -> list[Run]:
    # What is merged into a journal moves `updated_at` alone, so that it is never before `created_at`.
    rows = db.rows(
        "SELECT journals.id, work_package_id, substr(journals.created_at, 1, 10) AS day, notes FROM journals"
        " CROSS JOIN work_packages ON work_packages.id = work_package_id"
        " WHERE user_id IN (SELECT value FROM json_each(?)) AND journals.updated_at >= ? AND instr(notes, '<!-- ') > 0"
        " AND journals.created_at >= ? AND journals.created_at < ? AND project_id IN (SELECT value FROM json_each(?))"
        " AND (instr(notes, 'event=completed -->') OR instr(notes, 'event=failed -->') OR instr(notes, 'event=claimed -->')"
        " OR instr(notes, 'event=already_done -->')) ORDER BY journals.id",
        json.dumps(sorted(users)),
        over.start,
        over.start,
        over.end,
        json.dumps(list(viewer.projects)),
    )
    marks = [(row["work_package_id"], row["day"], mark) for row in rows if (mark := told.read(row["notes"]))]
    known = {mark.run for _, _, mark in marks if mark.event == Event.CLAIMED}
    unknown = {ticket for ticket, _, mark in marks if mark.event in _ENDS and mark.run not in known}
    return ended([(day, mark) for _, day, mark in marks], _pods(db, users, unknown))


def _pods(db: Db, users: Collection[int], tickets: Collection[int]) -> dict[str, str]:
    """Whose runs those are that began before the span."""
    rows = db.rows(
        "SELECT notes FROM journals WHERE work_package_id IN (SELECT value FROM json_each(?))"
        " AND user_id IN (SELECT value FROM json_each(?)) AND instr(notes, 'event=claimed -->')",
        json.dumps(sorted(tickets)),
        json.dumps(sorted(users)),
    )
    return {mark.run: mark.pod for row in rows if (mark := told.read(row["notes"])) and mark.event == Event.CLAIMED}


# --- moves from status to status ---------------------------------------------------------------------------------


def _moves(db: Db, viewer: Viewer, types: Sequence[int], over: Span) -> Iterator[Move]:
    """Every change of a status in the span, of these types, in the order of each work package's journals."""
    rows = db.rows(
        "SELECT work_package_id, version, journals.created_at AS at, type_id, json_extract(data, '$.status_id') AS status FROM journals"
        " CROSS JOIN work_packages ON work_packages.id = work_package_id"
        " WHERE journals.created_at >= ? AND journals.created_at < ? AND type_id IN (SELECT value FROM json_each(?))"
        " AND project_id IN (SELECT value FROM json_each(?)) ORDER BY journals.created_at, journals.id",
        over.start,
        over.end,
        json.dumps(list(types)),
        json.dumps(list(viewer.projects)),
    )
    first = {row["work_package_id"]: row["version"] for row in reversed(rows)}
    statuses = {
        row["work_package_id"]: row["status"]
        for row in db.rows(
            "SELECT work_package_id, json_extract(data, '$.status_id') AS status FROM json_each(?) AS one"
            " JOIN journals ON work_package_id = one.key AND version = one.value - 1",
            json.dumps(first),
        )
    }
    entered: dict[int, str] = {}
    for row in rows:
        ticket, status = row["work_package_id"], row["status"]
        before, at = statuses.get(ticket), row["at"]
        if before == status:
            continue
        if before is not None:
            since = entered.get(ticket)
            yield Move(row["type_id"], ticket, row["version"], at, before, status, since)
        statuses[ticket], entered[ticket] = status, at


def _time_in_status(db: Db, moves: Sequence[Move], words: Words) -> list[dict[str, int]]:
    """How long executable work packages had been in the statuses that they left in the span."""
    samples: defaultdict[int, list[int]] = defaultdict(list)
    for move in moves:
        if move.type in words.executable:
            samples[move.left].append(seconds(move.since or _entered(db, move), move.at))
    return [
        {
            "status": status,
            "median_s": int(statistics.median(some)),
            "p90_s": quantile(some, _P90),
            "samples": len(some),
        }
        for status, some in sorted((status, sorted(found)) for status, found in samples.items())
    ]


def _entered(db: Db, move: Move) -> str:
    """When a work package came to the status that it left: at the journal after the last with another one."""
    at: str = db.value(
        "SELECT created_at FROM journals WHERE work_package_id = ?1 AND version > coalesce((SELECT version FROM journals"
        " WHERE work_package_id = ?1 AND version < ?2 AND json_extract(data, '$.status_id') <> ?3 ORDER BY version DESC LIMIT 1), 0)"
        " ORDER BY version LIMIT 1",
        move.ticket,
        move.version,
        move.left,
    )
    return at


def _spikes(db: Db, viewer: Viewer, moves: Sequence[Move], words: Words) -> dict[str, int | None]:
    """Questions that wait for an answer, and how long people took for those that they answered in the span."""
    types, visible = json.dumps(sorted(words.spikes)), json.dumps(list(viewer.projects))
    waiting = db.value(
        "SELECT count(*) FROM work_packages WHERE status_id IN (SELECT value FROM json_each(?))"
        " AND type_id IN (SELECT value FROM json_each(?)) AND project_id IN (SELECT value FROM json_each(?))",
        json.dumps(words.opened),
        types,
        visible,
    )
    answered = {move.ticket: move.at for move in moves if move.type in words.spikes and move.to in words.closed}
    asked = {
        row["id"]: row["created_at"]
        for row in db.rows(
            "SELECT id, created_at FROM work_packages WHERE id IN (SELECT value FROM json_each(?))",
            json.dumps(sorted(answered)),
        )
    }
    took = sorted(seconds(asked[ticket], at) for ticket, at in answered.items())
    return {"open": waiting, "median_answer_s": int(statistics.median(took)) if took else None}


def seconds(since: str, until: str) -> int:
    """Between two moments as the board writes them; never less than none, whatever the clocks said."""
    return max(0, int((dt.datetime.fromisoformat(until) - dt.datetime.fromisoformat(since)).total_seconds()))
