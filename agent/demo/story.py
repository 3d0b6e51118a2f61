"""The order of events: two pods, one backlog, one human, and nobody who dispatches."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from agent.demo import outcome
from agent.demo.board import Stage
from agent.demo.hands import Hands, Ticket
from agent.demo.outcome import Row
from agent.demo.pods import NAMES, Pass, Pods, Seen
from agent.demo.project import Repository
from agent.demo.screen import Screen
from agent.demo.trouble import DemoError

ANSWER: Final = "The carrier says: 490 cents a parcel, 50 cents a kilogram begun."
"""What the human knows and the model does not."""
LOOK_S: Final = 0.4
"""Between two looks at the board, at least."""
LONGEST_LOOK_S: Final = 2.0
"""A slow board gets longer pauses, for it is there for the pods."""
QUESTIONS: Final = 6
"""So often a pod is asked about an owned Epic: the Epic may be free again before the answer comes."""


class Story:
    """One performance.

    Args:
        stage: the board.
        pods: the two pods.
        hands: the human's.
        repository: what the pods push to.
        screen: who watches.
        longest_s: seconds that an act may take.
    """

    def __init__(
        self, stage: Stage, pods: Pods, hands: Hands, repository: Repository, screen: Screen, *, longest_s: float
    ) -> None:
        self._longest_s = longest_s
        self._stage = stage
        self._pods = pods
        self._hands = hands
        self._repository = repository
        self._screen = screen
        self._passes: list[Pass] = []
        self._rows: list[Row] = []
        self._seen: list[Seen] = []
        self._asking: list[Future[list[Seen]]] = []
        self._released: dict[int, int] = {}
        self._questions = QUESTIONS

    def play(self) -> list[str]:
        """All of it; what went wrong, each in a sentence.

        Raises:
            DemoError: it could not be played to its end.
        """
        with ThreadPoolExecutor(2, thread_name_prefix="question") as self._pool:
            self._screen.headline("Before the first pod starts: why is nobody taking these?")
            self._ask(NAMES[0], "at the start")
            self._screen.headline("Two pods, no dispatcher: each asks the board what to do")
            self._act()
            self._screen.headline("Nothing is left that a pod may take. What keeps the rest?")
            self._ask(NAMES[0], "when idle")
            self._human()
            self._screen.headline("The pods again")
            self._act()
        board = self._hands.tickets()
        return [*self._curtain(board), *self._checked(board)]

    # -- the acts --------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Both pods until they are idle, with the board on the screen."""
        self._pods.start()
        end = time.monotonic() + self._longest_s
        try:
            while True:
                running, passes = self._pods.running(), self._pods.passes()
                began = time.monotonic()
                board = self._hands.tickets()
                for one in passes:
                    self._note(one, board)
                self._screen.board(board.values())
                self._wonder(board)
                if not running:
                    break
                if began > end:
                    raise DemoError(f"After {self._longest_s:.0f} s these are still at work: {', '.join(running)}.")
                time.sleep(min(max(LOOK_S, 4 * (time.monotonic() - began)), LONGEST_LOOK_S))
        finally:
            self._screen.clear()
            self._pods.stop()
        self._answered()
        if failures := self._pods.failures():
            raise DemoError("\n".join(failures))
        for epic in (one for one in board.values() if one.type == "Epic"):
            found = list(outcome.releases(epic, self._hands.comments(epic.id)))
            for row in found[self._released.get(epic.id, 0) :]:
                self._rows.append(row)
                self._screen.event(row.pod, f"rung 3  Epic #{row.ticket} {row.subject}: released, now {epic.status}")
            self._released[epic.id] = len(found)

    def _note(self, one: Pass, board: dict[int, Ticket]) -> None:
        ticket = board[one.ticket]
        self._passes.append(one)
        self._rows += outcome.rows([one], board)
        start = f"rung {one.rung}  #{one.ticket} {ticket.subject}"
        if one.kind == "done":
            self._screen.event(one.pod, f"{start}: {one.commit[:7]} on {one.branch}", "green")
        else:
            asked = f", Spike #{one.spike} asks a person" if one.spike else ""
            self._screen.event(one.pod, f"{start}: {one.kind}{asked}", "red")
            self._screen.more(one.reason)

    def _human(self) -> None:
        """Open what is held back: answer the Spikes, start the second phase."""
        board = self._hands.tickets()
        self._screen.headline("Now the human (played by this demo)")
        for spike in (one for one in board.values() if one.type == "Spike" and one.status in outcome.OPEN):
            self._hands.comment(spike.id, ANSWER)
            self._hands.move(spike.id, "Closed")
            self._screen.event("human", f"answers Spike #{spike.id} and closes it:")
            self._screen.more(ANSWER)
        gate = self._stage.ids["abroad"]
        self._hands.move(gate, "In progress")
        self._screen.event("human", f"starts the phase #{gate} {board[gate].subject}")

    # -- questions -------------------------------------------------------------------------------------------------

    def _ask(self, pod: str, when: str) -> None:
        """What `agent explain` names, and for each reason that is new what `agent explain ID` says."""
        known = {one.reason for one in self._seen}
        for reason, ticket in self._pods.overview(pod).items():
            # A real OpenProject has tickets of others too.
            if reason not in known and ticket in self._stage.ids.values():
                self._asking.append(self._pool.submit(self._pods.why, pod, ticket, when))
        self._answered()

    def _wonder(self, board: dict[int, Ticket]) -> None:
        """While one pod owns an Epic, ask the other about a ready ticket in it."""
        if any(not one.done() for one in self._asking):
            return
        self._answered()
        if not self._questions or "Epic" in outcome.reasons(self._seen):
            return
        for epic, ticket in _ready_below_owned(board.values()):
            self._questions -= 1
            other = next(one for one in NAMES if one != epic.pod)
            self._asking.append(self._pool.submit(self._pods.why, other, ticket.id, "meanwhile"))
            return

    def _answered(self) -> None:
        for one in self._asking:
            new = [seen for seen in one.result() if seen.reason not in outcome.reasons(self._seen)]
            self._seen += new
            for seen in new:
                name = outcome.name_of(seen.reason)
                self._screen.event(seen.pod, f"does not take #{seen.ticket} ({name}): {seen.detail}", "dim")
        self._asking.clear()

    # -- the end ---------------------------------------------------------------------------------------------------

    def _curtain(self, board: dict[int, Ticket]) -> Iterator[str]:
        self._screen.headline("What was done")
        self._screen.table(self._rows)
        self._screen.headline("Why tickets were left alone")
        self._screen.reasons(outcome.reasons(self._seen).values())
        yield from outcome.wrong(self._rows, self._seen, board)

    def _checked(self, board: dict[int, Ticket]) -> Iterator[str]:
        """What git says of it, and that the human's answer is in the code."""
        done: Sequence[Pass] = [one for one in self._passes if one.kind == "done"]
        for one in done:
            if not self._repository.holds(one.commit, one.branch, one.ticket):
                yield f"The remote has no commit {one.commit[:7]} for #{one.ticket} on {one.branch}."
        postage = self._stage.ids["postage"]
        branches = [one.branch for one in done if one.ticket == postage]
        if not any("490 + 50" in self._repository.file(branch, "shop/delivery.py") for branch in branches):
            yield f"The human's answer is not in the code of #{postage} {board[postage].subject}."


def _ready_below_owned(tickets: Collection[Ticket]) -> Iterator[tuple[Ticket, Ticket]]:
    epics = {one.id: one for one in tickets if one.type == "Epic" and one.run and one.pod in NAMES}
    for one in tickets:
        if one.type in outcome.EXECUTABLE and one.status == "New" and not one.run:
            yield from ((epics[number], one) for number in one.ancestors if number in epics)
