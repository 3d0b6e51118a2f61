"""What a pod would decide about a work package, in its own words: rows in, badges and reasons out. Pure.

The reasons are those of `agent.choose`, asked for the pod that the ticket is meant for: the one that it is routed to, else
the one that its Epic belongs to, else any. So "routed" is a badge and no reason. What only a pod's settings know, such as
its repositories, is taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from agent import choose
from agent.choose import Reason, Why
from agent.model import Around, Fleet, WorkPackage
from agent.page.cards import Because
from agent.page.words import Words
from agent.texts import claim_token
from agent.texts.claim_token import SIGN, Key

BADGES = {
    Reason.TAKEN: "taken",
    Reason.GATED: "gated",
    Reason.CONTAINER: "container",
    Reason.SPIKED: "spiked",
    Reason.BLOCKED: "blocked",
}
"""Reasons that are shown as badges too, and not of waiting tickets alone."""


class Verdict(Struct, frozen=True):
    """What is to be said of a work package."""

    badges: tuple[str, ...] = ()
    reasons: tuple[Because, ...] = ()


class Judge:
    """The fleet as the board shows it.

    Args:
        words: what the board's ids mean.
        users: the accounts that pods act as.
        projects: every project.
        unassignable: those in which no account of the fleet can be an assignee.
    """

    def __init__(
        self, words: Words, users: Iterable[int], projects: Iterable[int], unassignable: Iterable[int]
    ) -> None:
        self._words = words
        self._users = frozenset(users)
        self._projects = frozenset(projects)
        self._unassignable = frozenset(unassignable)
        self._fleets: dict[tuple[str, frozenset[Key]], Fleet] = {}

    def fleet(self, ticket: WorkPackage, ancestors: Sequence[WorkPackage]) -> Fleet:
        """The fleet through the eyes of the pod that a ticket is meant for."""
        epics = [one for one in ancestors if one.type in self._words.epics]
        pod = ticket.pod or next((one.pod for one in epics if one.pod), "")
        claims = {claim_token.key(one.id, one.run) for one in epics if pod and _owner(one.run) == pod}
        return self._of(pod, frozenset(one for one in claims if one is not None))

    def _of(self, pod: str, mine: frozenset[Key]) -> Fleet:
        found = self._fleets.get((pod, mine))
        if found is None:
            words = self._words
            found = self._fleets[pod, mine] = Fleet(
                pod=pod,
                me=min(self._users, default=0),
                users=self._users,
                ready=words.ready,
                active=words.active,
                done=words.done,
                closed=words.closed,
                bugs=words.bugs,
                tasks=words.tasks,
                epics=words.epics,
                stories=words.stories,
                spikes=words.spikes,
                gates=words.gates,
                priorities=words.priorities,
                projects=self._projects,
                unassignable=self._unassignable,
                mine=mine,
            )
        return found

    def reasons(self, ticket: WorkPackage, around: Around) -> list[Why]:
        """All that keeps the pod from it, whatever it is."""
        return choose.reasons(ticket, around, self.fleet(ticket, around.ancestors))

    def verdict(self, ticket: WorkPackage, around: Around) -> Verdict:
        """Badges of whatever is not done yet; reasons of what a pod could take."""
        words = self._words
        if ticket.status in words.closed or ticket.status in words.done:
            return Verdict()
        fleet = self.fleet(ticket, around.ancestors)
        executable = ticket.type in words.executable
        if executable:
            found = choose.reasons(ticket, around, fleet)
        else:
            found = [why for why in choose.surrounding_reasons(ticket, around, fleet) if why.reason != Reason.CONTAINER]
        badges = [BADGES[why.reason] for why in found if why.reason in BADGES]
        if SIGN in ticket.run:
            if ticket.type in words.epics and ticket.status == words.active:
                badges.append("owned")
        elif ticket.pod:
            badges.append("routed")
        if not executable or ticket.status != words.ready:
            return Verdict(tuple(dict.fromkeys(badges)))
        return Verdict(tuple(dict.fromkeys(badges)), tuple(Because(str(why.reason), why.detail) for why in found))


def _owner(run: str) -> str:
    token = claim_token.parse(run)
    return "" if token is None else token.pod
