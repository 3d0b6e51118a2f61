"""The invariants, each with its name, judged at the moment at which something lands on the board or the remote."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from agent.git.refs import CLAIMS, HEADS
from agent.texts.report import Event, parse_marker
from simulation.board import Row, SimBoard
from simulation.clock import Process
from simulation.execution import Living
from simulation.history import History, Violation, Write
from simulation.oracle import DONE, EXECUTABLE, FLEET, WORKABLE, Token, epic_above, own_reasons, surroundings
from simulation.remote import Landed, SimRemote

if TYPE_CHECKING:
    from simulation.pods import SimPod

NONCE: Final = "every claim has a nonce of its own"
FOREIGN: Final = "a foreign token is never taken over"
SAME_RUN: Final = "a take-over keeps its run"
SUPERSEDED: Final = "no transition by a superseded run"
CLAIM: Final = "only what is available is claimed"
EXPIRY: Final = "a claim expires after its own lifetime plus grace, not before"
PERSON: Final = "what a person has set is never overwritten"
SPIKE_FIRST: Final = "a failed run is not offered without its Spike"
ONE_SPIKE: Final = "a failure makes one Spike"
ONCE: Final = "a comment lands at most once per event"
EXECUTED: Final = "nothing is executed that was not available at the read after its claim"
BURNS: Final = "no loop burns tries without bound"
NAMED: Final = "a comment names a run that held the work package"
TRIES: Final = "a run starts its model at most as often as it has tries"
OVERLAP: Final = "two models are alive on one branch for at most one watch interval"
WRITER: Final = "no push by one whose successor has set the claim ref"
REPORTED: Final = "what was reported is on the remote"
UNREPORTED: Final = "what was pushed is reported"
FAILURES: Final = "every failure has exactly one Spike, pod trouble has none"
FINALLY: Final = "every ticket is finally done, spiked, waiting or a person's"
REST: Final = "everything comes to rest"
STARVED: Final = "what a dead pod held is free within lifetime, grace and one cycle"
REQUESTS: Final = "the requests of a pass are bounded"
ALL: Final = (
    NONCE, FOREIGN, SAME_RUN, SUPERSEDED, CLAIM, EXPIRY, PERSON, SPIKE_FIRST, ONE_SPIKE, ONCE, EXECUTED, TRIES, BURNS,
    NAMED, OVERLAP, WRITER, REPORTED, UNREPORTED, FAILURES, FINALLY, REST, STARVED, REQUESTS,
)  # fmt: skip

MOST_TRIES: Final = 3
MOST_CALM: Final = 8
"""Models that one ticket needs at most once no faults occur: what was under way, and a run for each answered Spike."""
WATCH: Final = 60.0
DRIFT: Final = 0.96
"""What is left of a span when one host's seconds are long and another's are short."""
REPEATED: Final = frozenset({Event.INTERRUPTED, Event.TAKEN_OVER})
"""Events that every try has anew."""


class Claim(Struct, kw_only=True):
    """A token that landed on the board."""

    token: Token
    text: str
    ticket: int
    folder: str
    host: str
    landed: float
    gone: float | None = None
    reasons: frozenset[str] = frozenset()
    """What spoke against it when it landed, on an executable ticket."""


class Alive(Struct, kw_only=True):
    """A model at work."""

    process: Process
    folder: str
    living: Living
    owner: tuple[str, int]
    start: float
    overlaps: dict[int, float] = field(default_factory=dict)
    """Since when it shares its branch with a rightful one, by that one's identity."""


class Judge:
    """Hears of everything and says what must not have happened.

    Args:
        board: its store.
        remotes: the repositories, by project.
        history: the record.
        now: virtual seconds.
        pods: all of them.
    """

    def __init__(
        self,
        board: SimBoard,
        remotes: dict[str, SimRemote],
        history: History,
        now: Callable[[], float],
        pods: Sequence[SimPod],
    ) -> None:
        self.board = board
        self.remotes = remotes
        self.history = history
        self.now = now
        self.pods = pods
        self.calm = float("inf")
        """Since when no faults occur."""
        self.violations: list[Violation] = []
        self.claims: dict[str, Claim] = {}
        self.attempts: Counter[str] = Counter()
        """Tokens by run."""
        self.of_run: dict[str, set[int]] = defaultdict(set)
        """What a run has held."""
        self.calm_starts: Counter[int] = Counter()
        self.said: dict[tuple[int, str, str], list[Write]] = defaultdict(list)
        """Comments by ticket, run and event."""
        self.spikes: dict[str, list[Write]] = defaultdict(list)
        """Creations by run."""
        self.starts: Counter[str] = Counter()
        self.ready_without_spike: list[tuple[int, str, float]] = []
        self.results: list[tuple[str, str, str, float]] = []
        """Result pushes: project, commit, run, when."""
        self.by_person: set[tuple[int, str]] = set()
        """Tickets and fields that a person has set and nobody has changed since."""
        self.touched: set[int] = set()
        """Tickets that a person has changed at all."""
        self._known: dict[int, Row] = {}
        self._alive: list[Alive] = []
        self._fences: dict[tuple[str, int], str] = {}

    def broken(self, invariant: str, detail: str) -> None:
        """Note a violation, once for each invariant and detail."""
        if not any((one.invariant, one.detail) == (invariant, detail) for one in self.violations):
            self.violations.append(Violation(invariant, self.now(), detail))
            self.history.add(self.now(), "VIOLATION", f"{invariant}: {detail}")

    def held(self) -> list[Row]:
        """What carries a token."""
        return [one for one in self.board.rows() if "@" in one.run]

    def pod_of(self, host: str) -> SimPod:
        return next(one for one in self.pods if one.host.name == host)

    def mine(self, folder: str) -> frozenset[str]:
        """The tokens that pods with this state folder wrote."""
        return frozenset(one.text for one in self.claims.values() if one.folder == folder)

    # -- the board -------------------------------------------------------------------------------------------------

    def hand(self, what: str, ticket: int) -> None:
        """A person did something; what they changed is theirs."""
        self.touched.add(ticket)
        before, after = self._known.get(ticket), self.board.row(ticket)
        copied = Token.read(after.run) if after is not None and what == "copy" else None
        if copied is not None:
            self.of_run[copied.run].add(ticket)  # what ends the copied claim says so there
        if after is None:
            self._known.pop(ticket, None)
            return
        for name in ("status", "pod", "assignee"):
            if before is None or getattr(before, name) != getattr(after, name):
                self.by_person.add((ticket, name))
        token = Token.read(after.run)
        if token is not None and token.pod == after.pod and not token.routed:
            self.by_person.discard((ticket, "pod"))  # away and back again looks as its holder had left it
        self._known[ticket] = after

    def landed(self, write: Write) -> None:
        """A write of a pod took effect."""
        if write.status >= 300 or write.after is None:
            return
        if write.method == "PATCH" and write.before is not None:
            self._patched(write, write.before, write.after)
            for name in ("status", "pod", "assignee"):
                if getattr(write.before, name) != getattr(write.after, name):
                    self.by_person.discard((write.ticket, name))
        elif write.path == "work_packages":
            self._created(write)
        elif write.mark is not None:
            self._commented(write)
        self._known[write.ticket] = write.after

    def _patched(self, write: Write, before: Row, after: Row) -> None:
        who = f"{write.process} ({write.purpose})"
        self._keeps_what_is_a_persons(who, before, after)
        if after.run and after.run != before.run:
            self._claimed(write, before, after)
        elif before.run and not after.run:
            self._ended(write, before, after)
        elif before.type in EXECUTABLE and before.run == after.run and before.status != after.status:
            self.broken(SUPERSEDED, f"#{before.id} from {before.status} to {after.status} by {who} without a claim")
        if before.run and after.run != before.run and before.run in self.claims:
            self.claims[before.run].gone = self.now()

    def _keeps_what_is_a_persons(self, who: str, before: Row, after: Row) -> None:
        number = before.id
        if before.assignee and before.assignee not in FLEET and after.assignee != before.assignee:
            self.broken(PERSON, f"assignee of #{number} by {who}")
        for name in ("parent", "project", "type", "subject", "description"):
            if getattr(before, name) != getattr(after, name):
                self.broken(PERSON, f"{name} of #{number} by {who}")
        if before.pod and before.pod != after.pod and (number, "pod") in self.by_person:
            self.broken(PERSON, f"route of #{number} to {before.pod} by {who}")
        mine = before.status in ("New", "In progress") or (before.type == "Epic" and before.status in WORKABLE)
        if before.status != after.status and not mine and (number, "status") in self.by_person:
            self.broken(PERSON, f"status {before.status} of #{number} by {who}")

    def _claimed(self, write: Write, before: Row, after: Row) -> None:
        token, who = Token.read(after.run), f"{write.process} on #{after.id}"
        if token is None:
            self.broken(NONCE, f"no token of ours by {who}: {after.run}")
            return
        if any((one.token.run, one.token.nonce) == (token.run, token.nonce) for one in self.claims.values()):
            self.broken(NONCE, f"nonce {token.nonce} once more by {who}")
        if any(one.token.nonce == token.nonce for one in self.claims.values()):
            self.broken(NONCE, f"nonce {token.nonce} once more by {who}")
        old = self.claims.get(before.run)
        living = old is not None and before.status == "In progress"
        executable = before.type in EXECUTABLE
        if old is not None and living:
            if old.folder != write.folder:
                self.broken(FOREIGN, f"{who} took the token of {old.folder}")
            if old.token.run != token.run:
                self.broken(SAME_RUN, f"{who}: {old.token.run[:8]} became {token.run[:8]}")
            if executable and own_reasons(before, write.pod) - {"not ready"}:
                self.broken(CLAIM, f"{who} took over what was {', '.join(sorted(own_reasons(before, write.pod)))}")
        elif executable and (why := own_reasons(before, write.pod)):
            self.broken(CLAIM, f"{who} claimed what was {', '.join(sorted(why))}")
        elif before.type == "Epic" and (before.status not in WORKABLE or before.pod not in ("", write.pod)):
            self.broken(CLAIM, f"{who} claimed an Epic that was {before.status}, routed to {before.pod or 'nobody'}")
        self.attempts[token.run] += 1
        self.of_run[token.run].add(after.id)
        reasons = frozenset(surroundings(self.board, after, write.pod, self.mine(write.folder)) if executable else ())
        host = write.process.partition("#")[0]
        self.claims[after.run] = Claim(
            token=token,
            text=after.run,
            ticket=after.id,
            folder=write.folder,
            host=host,
            landed=self.now(),
            reasons=reasons,
        )

    def _ended(self, write: Write, before: Row, after: Row) -> None:
        claim, who = self.claims.get(before.run), f"{write.process} ({write.purpose})"
        if claim is None:
            return
        if claim.folder != write.folder:
            age = self.now() - claim.landed
            lifetime, grace = self.pod_of(claim.host).lifetime, self.pod_of(write.process.partition("#")[0]).grace
            if age < (lifetime + grace) * DRIFT:
                self.broken(
                    EXPIRY, f"#{before.id} of {claim.folder} after {age:.0f} s of {lifetime} + {grace} by {who}"
                )
            if after.status in DONE and before.status not in DONE:
                self.broken(SUPERSEDED, f"#{before.id} is {after.status} by {who}, who does not hold it")
        failed = (before.id, claim.token.run, Event.FAILED.value) in self.said
        if failed and before.type in EXECUTABLE and after.status == "New" and not self.spikes.get(claim.token.run):
            self.ready_without_spike.append((before.id, claim.token.run, self.now()))

    def _created(self, write: Write) -> None:
        mark = parse_marker(write.body.get("description", {}).get("raw", ""))
        if mark is None:
            return
        self.spikes[mark.run].append(write)
        timely = [one for one in self.spikes[mark.run] if not one.copy and not one.late]
        if len(timely) > 1:
            self.broken(ONE_SPIKE, f"{len(timely)} Spikes for run {mark.run[:8]}: {[one.ticket for one in timely]}")

    def _commented(self, write: Write) -> None:
        assert write.mark is not None
        run, event = write.mark.run, write.mark.event
        if write.ticket not in self.of_run[run] and event != Event.SPIKE_DUPLICATE:
            self.broken(NAMED, f"“{event}” of run {run[:8]} on #{write.ticket} by {write.process}")
        said = self.said[write.ticket, run, event]
        said.append(write)
        timely = [one for one in said if not one.copy and not one.late]
        most = max(1, self.attempts[run]) if event in REPEATED else 1
        if len(timely) > most:
            self.broken(
                ONCE, f"“{event}” of run {run[:8]} on #{write.ticket} {len(timely)} times, now by {write.process}"
            )

    # -- the models ------------------------------------------------------------------------------------------------

    def model(self, process: Process, folder: str, living: Living, *, lives: bool) -> None:
        """A model started or ended."""
        if not lives:
            ended = next((one for one in self._alive if one.process is process and one.living == living), None)
            if ended is not None:  # else its ticket was deleted before it started
                self._alive.remove(ended)
                self._judge_overlaps(ended)
            return
        self.starts[living.run] += 1
        self.calm_starts[living.ticket] += self.now() > self.calm
        if self.calm_starts[living.ticket] > MOST_CALM:
            self.broken(BURNS, f"{self.calm_starts[living.ticket]} starts on #{living.ticket} since the faults ended")
        if self.starts[living.run] > MOST_TRIES:
            self.broken(TRIES, f"{self.starts[living.run]} starts of run {living.run[:8]} on #{living.ticket}")
        row = self.board.row(living.ticket)
        if row is None:
            return
        epic = epic_above(self.board.ancestors(row.id))
        started = Alive(
            process=process,
            folder=folder,
            living=living,
            owner=("owner", epic.id if epic else row.id),
            start=self.now(),
        )
        made = [one for one in self.claims.values() if one.folder == folder and one.token.run == living.run]
        claims = [one for one in made if one.ticket == living.ticket]
        if claims:
            now = surroundings(self.board, row, process_pod(self, process), self.mine(folder))
            if why := sorted(claims[-1].reasons & now):
                self.broken(EXECUTED, f"#{row.id} by {process.name} since its claim: {', '.join(why)}")
        else:
            self.broken(EXECUTED, f"#{row.id} by {process.name} without a claim")
        self._alive.append(started)
        self._note_overlaps()

    def _note_overlaps(self) -> None:
        for one in self._alive:
            for other in self._alive:
                if (
                    one is not other
                    and one.owner == other.owner
                    and other.folder != one.folder
                    and not self._rightful(one)
                ):
                    one.overlaps.setdefault(id(other), self.now())

    def _rightful(self, one: Alive) -> bool:
        row = self.board.row(one.living.ticket)
        if row is None or not row.run.startswith(one.living.run):
            return False
        epic = epic_above(self.board.ancestors(row.id))
        return epic is None or epic.run in self.mine(one.folder)

    def _judge_overlaps(self, ended: Alive) -> None:
        for start in ended.overlaps.values():
            now = self.now()
            running = now - start - ended.process.frozen_within(start, now)
            trouble = sum(1 for at in ended.process.troubles if at >= start - 2 * WATCH)
            if running > (WATCH + 15.0) / DRIFT + 250.0 * trouble:
                self.broken(
                    OVERLAP, f"#{ended.living.ticket} by {ended.process.name} for {running:.0f} s beside its successor"
                )

    # -- the remote ------------------------------------------------------------------------------------------------

    def pushed(self, project: str, landed: Landed) -> None:
        """A push landed."""
        remote = self.remotes[project]
        claims = {ref: change for ref, change in landed.changes.items() if ref.startswith(CLAIMS)}
        for ref, (_, new) in claims.items():
            if new:
                self._fences[project, int(ref.removeprefix(CLAIMS))] = remote.blobs.get(new, "")
        if landed.verb != "result":
            return
        for ref, (_, new) in landed.changes.items():
            if not ref.startswith(HEADS) or not new:
                continue
            run = next(iter(remote.commits[new].trailers("Agent-Run")), "")
            self.results.append((project, new, run, self.now()))
            fence = Token.read(next((remote.blobs.get(old, "") for old, _ in claims.values()), ""))
            latest = next((self._fences.get((project, int(one.removeprefix(CLAIMS))), "") for one in claims), "")
            if fence is None or fence.run != run or Token.read(latest) != fence:
                self.broken(
                    WRITER, f"{landed.who} to {ref} for run {run[:8]}, the claim ref was of {fence}, latest {latest}"
                )
            owner = self._owner(run)
            if owner and int(next(iter(claims), f"{CLAIMS}0").removeprefix(CLAIMS)) not in owner:
                self.broken(WRITER, f"{landed.who} to {ref} for run {run[:8]} with the claim ref of another branch")

    def _owner(self, run: str) -> set[int]:
        """Who may own the branch of a run: its ticket, or any Epic."""
        tickets = {one.ticket for one in self.claims.values() if one.token.run == run}
        return tickets | {one.id for one in self.board.rows() if one.type == "Epic"} if tickets else set()


def process_pod(judge: Judge, process: Process) -> str:
    """The name of the pod that a process is of."""
    return judge.pod_of(process.host.name).name


_SHA: Final = re.compile(r"commit `([0-9a-f]{7})`")


def reported_commit(text: str) -> str:
    """The commit that a comment names; empty for none."""
    found = _SHA.search(text)
    return found[1] if found else ""
