"""People at the board and at the repository, at any moment: what they do is theirs, whatever a pod is about to do."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from agent.texts.report import SPIKE_SUBJECT
from simulation.board import Row, SimBoard
from simulation.plan import HANDS, Swarm
from simulation.remote import SimRemote

EXECUTABLE: Final = ("Task", "Feature", "Bug")
DONE: Final = ("In testing", "Closed", "Rejected")
CLOSED: Final = ("Closed", "Rejected")
ON_ONE: Final = (
    "edit", "close", "prioritise", "route", "reparent", "gate", "block", "take", "delete", "hold", "hold_epic", "route_epic",
    "spike", "answer", "comment", "give",
)  # fmt: skip
"""What is done to one work package."""
NOBODY: Final = "pod-nobody"
"""A pod that does not exist: what is routed to it waits for a person."""


class Hands:
    """Whoever works with the board.

    Args:
        board: the board.
        remotes: the repositories.
        swarm: their randomness.
        pods: names that tickets are routed to.
        note: hears of everything that is done.
    """

    def __init__(
        self,
        board: SimBoard,
        remotes: dict[str, SimRemote],
        swarm: Swarm,
        pods: Sequence[str],
        note: Callable[[str, int, str], None],
    ) -> None:
        self._board = board
        self._remotes = remotes
        self._swarm = swarm
        self._pods = (*pods, *pods, NOBODY, "")
        self._note = note
        self._target = 0
        self.answered: dict[int, int] = {}
        """How often a ticket's Spikes were closed by a person."""

    def act(self, what: str) -> None:
        """Do one thing of this kind, if there is anything to do it to."""
        assert what in HANDS
        chance = self._swarm.chance(f"hand_{what}")
        done = getattr(self, f"_{what}")(chance)
        if done:
            self._swarm.count(f"hand_{what}")

    def meddle(self, number: int) -> None:
        """Do something to this work package, or to the Epic above it, if people do such things in this history."""
        known = [one for one in ON_ONE if self._swarm.on(f"hand_{one}")]
        chance = self._swarm.chance("meddle")
        if not known:
            return
        above = [one.id for one in self._board.ancestors(number) if one.type == "Epic"]
        self._target = chance.choice([number, number, *above])
        try:
            self.act(chance.choice(known))
        finally:
            self._target = 0

    # -- on tickets ------------------------------------------------------------------------------------------------

    def _edit(self, chance: random.Random) -> bool:
        one = self._pick(chance, self._open())
        words = f"More words {chance.randrange(1000)}"
        return self._change(one, "edit", **{chance.choice(("subject", "description")): words})

    def _close(self, chance: random.Random) -> bool:
        return self._change(self._pick(chance, self._tickets()), "close", status="Closed")

    def _prioritise(self, chance: random.Random) -> bool:
        priority = chance.choice(("Low", "High", "Immediate"))
        return self._change(self._pick(chance, self._open()), "prioritise", priority=priority)

    def _route(self, chance: random.Random) -> bool:
        return self._change(self._pick(chance, self._open()), "route", pod=chance.choice(self._pods))

    def _reparent(self, chance: random.Random) -> bool:
        above = [one.id for one in self._board.rows() if one.type in ("Epic", "User story")]
        one = self._pick(chance, self._open())
        return self._change(one, "reparent", parent=chance.choice([None, *above]))

    def _take(self, chance: random.Random) -> bool:
        return self._change(self._pick(chance, self._open()), "take", assignee="human")

    def _give(self, chance: random.Random) -> bool:
        taken = [one for one in self._open() if one.assignee == "human"]
        return self._change(self._pick(chance, taken), "give", assignee=chance.choice((None, "agent")))

    def _delete(self, chance: random.Random) -> bool:
        one = self._pick(chance, self._tickets())
        if one is None or not self._board.request("DELETE", f"work_packages/{one.id}", None, "admin").is_success:
            return False
        self._note("delete", one.id, "")
        return True

    def _copy(self, chance: random.Random) -> bool:
        """Duplicate what is claimed, as the board's own form does: with all its fields."""
        kinds = (*EXECUTABLE, "Epic")
        one = self._pick(chance, [one for one in self._board.rows() if "@" in one.run and one.type in kinds])
        if one is None:
            return False
        fields: dict[str, Any] = {
            "type": one.type,
            "status": one.status,
            "assignee": one.assignee or None,
            "parent": one.parent,
        }
        project = self._project(one.project)
        subject = f"{one.subject} (copy)"
        made = self._board.create(subject=subject, project=project, pod=one.pod, run=one.run, **fields)
        if made:
            self._note("copy", made, f"of #{one.id}")
        return bool(made)

    def _hold(self, chance: random.Random) -> bool:
        one = self._pick(chance, [one for one in self._tickets() if one.status not in DONE])
        return self._change(one, "hold", status="New" if one and one.status == "On hold" else "On hold")

    def _reopen(self, chance: random.Random) -> bool:
        done = [one for one in self._tickets() if one.status in DONE]
        return self._change(self._pick(chance, done), "reopen", status="New")

    def _comment(self, chance: random.Random) -> bool:
        one = self._pick(chance, self._open())
        return one is not None and self._board.say(one.id, f"A word {chance.randrange(1000)}")

    def _new(self, chance: random.Random) -> bool:
        above = [one for one in self._board.rows() if one.type in ("Epic", "User story") and one.status not in CLOSED]
        parent = self._pick(chance, above) if chance.random() < 0.5 else None
        number = self._board.create(
            subject=f"New {chance.randrange(1000)}",
            type=chance.choice(EXECUTABLE),
            project="shop" if parent is None or parent.project == self._board.projects["shop"] else "blog",
            parent=parent.id if parent else None,
            priority=chance.choice(("Normal", "Immediate")),
        )
        self._note("new", number, f"below {parent.id if parent else None}")
        return bool(number)

    # -- around them -----------------------------------------------------------------------------------------------

    def _gate(self, chance: random.Random) -> bool:
        gates = [one for one in self._board.rows() if one.type == "Summary task"]
        if not gates or chance.random() < 0.3:
            status = chance.choice(("New", "In progress"))
            number = self._board.create(subject="Phase", type="Summary task", project="shop", status=status)
            top = [one for one in self._board.rows() if one.type in ("Epic", *EXECUTABLE) and one.parent is None]
            return self._change(self._pick(chance, top), f"put below gate ({status})", parent=number)
        gate = self._pick(chance, gates)
        status = "On hold" if gate and gate.status == "In progress" else "In progress"
        return self._change(gate, "gate", status=status)

    def _block(self, chance: random.Random) -> bool:
        one, other = self._pick(chance, self._open()), self._pick(chance, self._open())
        kind = chance.choice(("blocks", "precedes", "required"))
        if one is None or other is None or one.id == other.id or not self._board.relate(one.id, kind, other.id):
            return False
        self._note("block", other.id, f"#{one.id} {kind}")
        return True

    def _hold_epic(self, chance: random.Random) -> bool:
        epic = self._pick(chance, self._epics())
        return self._change(epic, "hold Epic", status="New" if epic and epic.status == "On hold" else "On hold")

    def _route_epic(self, chance: random.Random) -> bool:
        return self._change(self._pick(chance, self._epics()), "route Epic", pod=chance.choice(self._pods))

    def _spike(self, chance: random.Random) -> bool:
        one = self._pick(chance, self._open())
        if one is None:
            return False
        number = self._board.create(
            subject=f"How about #{one.id}?", type="Spike", project=self._project(one.project), parent=one.id
        )
        self._note("Spike", one.id, f"#{number}")
        return bool(number)

    def _answer(self, chance: random.Random) -> bool:
        spikes = [one for one in self._board.rows() if one.type == "Spike" and one.status not in CLOSED]
        return self.answer(self._pick(chance, spikes))

    def answer(self, spike: Row | None) -> bool:
        """Say something and close the Spike."""
        if spike is None:
            return False
        self._board.say(spike.id, "Do it like this.")
        if spike.parent is not None and spike.subject.startswith(SPIKE_SUBJECT):
            self.answered[spike.parent] = self.answered.get(spike.parent, 0) + 1
        return self._change(spike, "answer", status="Closed")

    def review(self, row: Row) -> None:
        """Close what is done."""
        self._change(row, "review", status="Closed")

    # -- at the repository -----------------------------------------------------------------------------------------

    def _push(self, chance: random.Random) -> bool:
        project = chance.choice(sorted(self._remotes))
        remote = self._remotes[project]
        branches = [
            ref.removeprefix("refs/heads/") for ref in sorted(remote.refs) if ref.startswith("refs/heads/agent/")
        ]
        branch = chance.choice(["main", *(one for one in branches if "/kept/" not in one and "/failed/" not in one)])
        remote.push(branch, {f"person-{chance.randrange(1000)}.txt": "by hand"}, "By hand")
        self._note("push", 0, f"to {branch} of {project}")
        return True

    def _merge(self, chance: random.Random) -> bool:
        project = chance.choice(sorted(self._remotes))
        remote = self._remotes[project]
        branches = [
            name
            for ref in sorted(remote.refs)
            if (name := ref.removeprefix("refs/heads/")).startswith("agent/") and name[6:7].isdigit()
        ]
        if not branches:
            return False
        branch = chance.choice(branches)
        remote.merge(branch)
        self._note("merge", 0, f"{branch} of {project}")
        return True

    # -- small things ----------------------------------------------------------------------------------------------

    def _tickets(self) -> list[Row]:
        return [one for one in self._board.rows() if one.type in EXECUTABLE]

    def _open(self) -> list[Row]:
        return [one for one in self._tickets() if one.status not in DONE]

    def _epics(self) -> list[Row]:
        return [one for one in self._board.rows() if one.type == "Epic"]

    def _project(self, number: int) -> str:
        return next(name for name, one in self._board.projects.items() if one == number)

    def _pick(self, chance: random.Random, among: Sequence[Row]) -> Row | None:
        aimed = [one for one in among if one.id == self._target]
        if not aimed and chance.random() < 0.5:
            aimed = [one for one in among if one.run]  # what is being worked on
        among = aimed or among
        return chance.choice(among) if among else None

    def _change(self, one: Row | None, what: str, **fields: Any) -> bool:
        if one is None or not self._board.change(one.id, **fields).is_success:
            return False
        self._note(what, one.id, " ".join(f"{key}={value}" for key, value in fields.items()))
        return True
