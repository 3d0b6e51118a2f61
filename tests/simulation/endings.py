"""The invariants that are judged when nothing moves any more."""

from __future__ import annotations

from typing import Final

from agent.texts.report import Event, spike_ticket
from simulation.board import Row
from simulation.invariants import (
    FAILURES,
    FINALLY,
    REPORTED,
    REQUESTS,
    REST,
    SPIKE_FIRST,
    STARVED,
    UNREPORTED,
    Judge,
    reported_commit,
)
from simulation.oracle import CLOSED, EXECUTABLE, own_reasons, surroundings

ENDED: Final = (Event.STOPPED, Event.EXPIRED, Event.REFUSED, Event.GIVEN_BACK)
"""How a run may end besides its report."""
PASS: Final = 60
"""Requests of a pass without faults, besides what the watch asks: three a minute."""
AGAIN: Final = 20
"""More for each write that the board turned away: the pass looks for another ticket."""


def judge_the_end(judge: Judge, *, rested: bool) -> None:
    """All of them."""
    if not rested:
        _rest(judge)
        return
    _tickets(judge)
    _failures(judge)
    _commits(judge)
    _dead_claims(judge)
    _requests(judge)


def _rest(judge: Judge) -> None:
    held = [f"#{one.id} {one.status} {one.run[:60]}" for one in judge.held()]
    busy = [one.host.name for one in judge.pods if not one.down and one.idle_since is None]
    judge.broken(REST, f"held: {held}, not idle: {busy}")


def _tickets(judge: Judge) -> None:
    living = [one for one in judge.pods if not one.down]
    for row in judge.board.rows():
        refused = any((row.id, run, Event.REFUSED) in judge.said for run in judge.attempts)
        if row.run:
            judge.broken(FINALLY, f"#{row.id} carries {row.run}")
        elif row.status == "In progress" and row.type in ("Epic", *EXECUTABLE):
            if not refused and (row.id, "status") not in judge.by_person:
                judge.broken(FINALLY, f"{row.type} #{row.id} is active and nobody's")
        elif row.type in EXECUTABLE:
            _is_left(judge, row, [one.name for one in living])


def _is_left(judge: Judge, row: Row, pods: list[str]) -> None:
    for pod in pods:
        why = own_reasons(row, pod) | surroundings(judge.board, row, pod, frozenset())
        if not why and not _is_forbidden(judge, row):
            judge.broken(FINALLY, f"#{row.id} is available to {pod} and was left")


def _is_forbidden(judge: Judge, row: Row) -> bool:
    """The workflow refuses the claim of the ticket or of an Epic above it."""
    board = judge.board
    kinds = {row.type: row.status} | {one.type: one.status for one in board.ancestors(row.id) if one.type == "Epic"}
    return any(
        board.db.execute(
            "SELECT 1 FROM workflows WHERE type_id = ? AND old_status_id = ? AND new_status_id = ? LIMIT 1",
            (board.types[kind], board.statuses[status], board.statuses["In progress"]),
        ).fetchone()
        is None
        and status != "In progress"
        for kind, status in kinds.items()
    )


def _failures(judge: Judge) -> None:
    ended = {(ticket, run): event for ticket, run, event in judge.said if event in ENDED}
    rows = {one.id: one for one in judge.board.rows()}
    for ticket, run, at in judge.ready_without_spike:
        if (ticket, run) not in ended and ticket in rows and not judge.spikes.get(run):
            judge.broken(SPIKE_FIRST, f"#{ticket} run {run[:8]} at {at / 3600:.3f} h")
    for ticket, run, event in list(judge.said):
        if event != Event.FAILED or ticket not in rows or (ticket, run) in ended:
            continue
        asked = [one.ticket for one in judge.spikes.get(run, ()) if one.ticket in rows]
        still = [one for one in asked if rows[one].status not in CLOSED]
        if not asked or len(still) > 1:
            judge.broken(FAILURES, f"#{ticket} run {run[:8]} failed and has the Spikes {asked}, open {still}")
    for run, made in judge.spikes.items():
        for one in made:
            text = one.body["description"]["raw"]
            about = spike_ticket(one.body["subject"])
            if (about, run, Event.FAILED) not in judge.said:
                judge.broken(FAILURES, f"Spike #{one.ticket} of run {run[:8]} on #{about} without a failure")
            elif "**Reason:** the model's API answered" in text:
                judge.broken(FAILURES, f"Spike #{one.ticket} of run {run[:8]} on #{about} for pod trouble")


def _commits(judge: Judge) -> None:
    on_remote = set()
    for remote in judge.remotes.values():
        tips = [to for ref, to in remote.refs.items() if ref.startswith("refs/heads/")]
        on_remote |= {one.id for one in remote.history(tips)}
    for (ticket, run, event), writes in judge.said.items():
        commit = reported_commit(writes[0].body["comment"]["raw"]) if event == Event.PUSHED else ""
        if commit and not any(one.startswith(commit) for one in on_remote):
            judge.broken(REPORTED, f"{commit} of run {run[:8]} on #{ticket}")
    by_run = {(run, event) for _, run, event in judge.said}
    rows = {one.id for one in judge.board.rows()}
    for project, commit, run, at in judge.results:
        tickets = {one.ticket for one in judge.claims.values() if one.token.run == run}
        told = any((run, event) in by_run for event in (Event.PUSHED, Event.ALREADY_DONE, *ENDED))
        if not told and tickets & rows:
            judge.broken(UNREPORTED, f"{commit[:7]} in {project} of run {run[:8]} on {tickets} at {at / 3600:.3f} h")


def _dead_claims(judge: Judge) -> None:
    longest = max(one.lifetime for one in judge.pods)
    folders = {one.folder for one in judge.pods if not one.down}
    for claim in judge.claims.values():
        if claim.folder in folders or claim.gone is None or claim.gone < judge.calm:
            continue
        owner = judge.pod_of(claim.host)
        grace = max(one.grace for one in judge.pods)
        most = (owner.lifetime + 1.5 * grace + longest + 1.5 * 1000.0) / 0.96
        took = claim.gone - max(claim.landed, judge.calm)
        if took > most:
            judge.broken(STARVED, f"#{claim.ticket} of {claim.folder} after {took:.0f} s instead of {most:.0f}")


def _requests(judge: Judge) -> None:
    for one in judge.history.passes:
        minutes = (one.end - one.start) / 60
        if not one.faulty and one.requests > PASS + AGAIN * one.refusals + 3.3 * minutes:
            judge.broken(REQUESTS, f"{one.requests} in a pass of {minutes:.0f} min of {one.process}")
