"""What the fleet writes on the board: one comment per event, the Spike, and the marker that finds them again.

The first lines are the wording of DESIGN, section 5. The last line of every text is a marker that people do not see,
`<!-- agent run=<full run id> event=<name> -->`: OpenProject keeps it in `raw` and leaves it out of the page. Reading
the trail back is `agent.texts.trail`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from agent.model import BoardText
from agent.texts import outlet
from agent.texts.bounded import LINE, Start, Whole
from agent.texts.claim_token import RUN_ID
from agent.texts.markup import last_lines, spoken
from agent.texts.outlet import code, fence, line, link, quote
from agent.texts.where import NOWHERE, Where

NOTHING_LEFT: Final = "nothing left to do in this Epic"
SUBJECT_LIMIT: Final = 255
"""OpenProject's longest subject."""

_MARKER: Final = Whole(
    "report: a marker",
    rf"<!-- agent run=({RUN_ID}) event=([a-z_]{{1,40}}) -->",
    sees="the last line of a comment or description",
    longest=LINE,
)
SPIKE_SUBJECT: Final = "Agent stuck on #"
"""How the subject of every Spike of ours begins; the ticket's number follows."""

_SPIKE_SUBJECT: Final = Start(
    "report: the subject of a Spike", rf"{SPIKE_SUBJECT}([1-9][0-9]{{0,17}}):", sees="a subject", longest=LINE
)
_PLAIN: Final = Whole(
    "report: a name that needs no quoting",
    r"[A-Za-z0-9][A-Za-z0-9./-]*+",
    sees="`verify.carry` of a repository",
    longest=LINE,
)
_COMMIT_DIGITS: Final = 7
_PUSHES: Final = "The next run verifies and pushes "


class Event(enum.StrEnum):
    """What a marker stands for; a step is done when its event is there for its run."""

    CLAIMED = "claimed"
    TAKEN_OVER = "taken_over"
    STARTER_ADDED = "starter_added"
    COMPLETED = "completed"
    PUSHED = "pushed"
    ALREADY_DONE = "already_done"
    FAILED = "failed"
    SPIKE_CREATED = "spike_created"
    SPIKE = "spike"
    SPIKE_DUPLICATE = "spike_duplicate"
    SPIKE_REOPENED = "spike_reopened"
    NOT_READ = "not_read"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"
    GIVEN_BACK = "given_back"
    STOPPED = "stopped"
    EPIC_TAKEN = "epic_taken"
    EPIC_RELEASED = "epic_released"
    TEXT_CHANGED = "text_changed"
    REFUSED = "refused"
    RELEASED = "released"
    COPIED = "copied"


class Spent(Struct, frozen=True):
    """What a run has used: all tokens that were read or cached, those written, and their price."""

    input_tokens: int
    output_tokens: int
    usd: float


class Marker(Struct, frozen=True):
    """A marker read back; `event` is plain text, since a newer version may know more of them."""

    run: str
    event: str


def marker(run: str, event: str) -> str:
    """The last line of every text of ours.

    Raises:
        ValueError: the run id is none; such a marker could not be read back.
    """
    made = f"<!-- agent run={run} event={event} -->"
    if _MARKER.match(made) is None:
        raise ValueError(f"not a marker: {made}")
    return made


def parse_marker(raw: str) -> Marker | None:
    """The marker in the last line of a comment or description; one quoted further up is somebody's quotation."""
    found = _MARKER.match(raw.rstrip().rpartition("\n")[2])
    return None if found is None else Marker(found[1], found[2])


def unmarked(raw: str) -> str:
    """The text without its marker."""
    return raw if parse_marker(raw) is None else raw.rstrip().rpartition("\n")[0]


def _text(run: str, event: Event, first_line: str, *blocks: str) -> BoardText:
    return outlet.board(first_line, *blocks, marker(run, event))


# --- the claim ---------------------------------------------------------------------------------------------------


def claimed(run: str, *, pod: str) -> BoardText:
    """A claim was won."""
    return _text(run, Event.CLAIMED, f"Claimed by pod {code(pod)} — session {code(run)}")


def taken_over(run: str, *, pod: str, attempt: int = 0, tries: int = 0) -> BoardText:
    """The same pod goes on with its run after a crash or restart; the try is told if it is given."""
    note = f"Try {attempt} of {tries}." if attempt else ""
    return _text(
        run, Event.TAKEN_OVER, f"Taken over by pod {code(pod)} after an interruption — session {code(run)}", note
    )


def epic_taken(run: str, *, pod: str) -> BoardText:
    """An Epic was claimed, for whatever is below it."""
    return _text(run, Event.EPIC_TAKEN, f"Epic taken by pod {code(pod)}")


def epic_released(run: str, *, reason: str = NOTHING_LEFT) -> BoardText:
    """An Epic was given back; the reason follows "Released: "."""
    return _text(run, Event.EPIC_RELEASED, f"Released: {line(reason)}")


# --- a run that ends well ----------------------------------------------------------------------------------------


LET_THROUGH: Final = "The kept work, which a person let through"


def completed(
    run: str,
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    summary: str = "",
    cost_usd: float | None = None,
    duration_s: float | None = None,
    verified: Sequence[str] = (),
    carried: Sequence[str] = (),
) -> BoardText:
    """The work is done and verified.

    Args:
        run: the run id.
        input_tokens: input, cache creation and cache read added up; None where the model does not count.
        output_tokens: likewise.
        summary: the model's own words.
        cost_usd: as the model's command line reckons; None where it does not.
        duration_s: of the whole run.
        verified: the commands that passed; none says "not verified".
        carried: folders that were there besides what is pushed.
    """
    counted = input_tokens is not None and output_tokens is not None
    tokens = f", {input_tokens} input tokens / {output_tokens} output tokens" if counted else ""
    figures = (
        f"Cost: {cost_usd:.2f} USD" if cost_usd is not None else "",
        f"Duration: {spoken(duration_s)}" if duration_s is not None else "",
        verification(verified),
        f"Verified with {', '.join(map(_folder, carried))} carried over" if carried else "",
    )
    return _text(
        run,
        Event.COMPLETED,
        f"Execution complete — session {code(run)}{tokens}",
        quote(summary) if summary.strip() else "",
        " · ".join(filter(None, figures)),
    )


def verification(commands: Sequence[str]) -> str:
    """What the result was verified with; without commands in `.agent.toml` a person must know that nothing was."""
    if not commands:
        return "Not verified: `.agent.toml` names no commands in `[verify]`"
    return "Verified with " + ", ".join(code(command) for command in commands)


def starter_added(run: str, *, commit: str, commit_url: str = "") -> BoardText:
    """The repository had no `flake.nix`, and has one now."""
    return _text(run, Event.STARTER_ADDED, f"Added a starter `flake.nix` — commit {_commit(commit, commit_url)}")


def pushed(run: str, *, branch: str, commit: str, branch_url: str = "", commit_url: str = "") -> BoardText:
    """The result is on the remote."""
    where = f"Pushed to {link(branch, branch_url)} — commit {_commit(commit, commit_url)}"
    return _text(run, Event.PUSHED, where)


def already_done(run: str, *, branch: str, commit: str, branch_url: str = "", commit_url: str = "") -> BoardText:
    """The model found nothing to do, and the branch has a commit for this ticket that passes."""
    where = f"Already done: {link(branch, branch_url)} has it — commit {_commit(commit, commit_url)}"
    return _text(run, Event.ALREADY_DONE, where)


def text_changed(run: str, *, commit: str, commit_url: str = "") -> BoardText:
    """Subject or description changed since the claim; what was done is pushed all the same."""
    again = f"The text changed during the run; it will be worked on again from commit {_commit(commit, commit_url)}"
    return _text(run, Event.TEXT_CHANGED, again)


# --- a run that does not -----------------------------------------------------------------------------------------


def failed(
    run: str, *, reason: str, evidence: str = "", spent: Spent | None = None, where: Where = NOWHERE
) -> BoardText:
    """The ticket's own failure.

    Args:
        run: the run id.
        reason: one line.
        evidence: output that supports it.
        spent: None where nobody counts.
        where: the work so far is.
    """
    return _text(
        run,
        Event.FAILED,
        f"Execution failed: {line(reason)}",
        fence(last_lines(evidence)) if evidence.strip() else "",
        f"Spent: {spent.input_tokens} input tokens / {spent.output_tokens} output tokens, {spent.usd:.2f} USD"
        if spent is not None
        else "",
        where.how,
        f"The work so far is in {where.link}." if where.place else "",
    )


def spike_created(run: str, *, spike: int) -> BoardText:
    """A person was asked."""
    return _text(run, Event.SPIKE_CREATED, f"Created spike #{spike} for human review")


def spike_duplicate(run: str, *, stays: int) -> BoardText:
    """On a Spike that a late request created a second time, as it is closed."""
    return _text(run, Event.SPIKE_DUPLICATE, f"Closed: #{stays} asks the same")


def left_out(user: int, *, integration: bool) -> str:
    """Whose words do not reach the model, and why; 0 is somebody whom the board does not tell."""
    who = f"user {user}" if user else "somebody"
    return f"not read: {who} is in board.integrations" if integration else f"not read: {who} may not be assigned here"


def left_out_comment(user: int, *, fleets: bool) -> str:
    """Why a comment does not reach the model although its author might count."""
    if fleets:
        return f"not read: user {user} is an account of the fleet"
    return f"not read: a comment of user {user} that ends with a marker of the fleet; write it without"


def left_out_text(spike: int) -> str:
    """Why a Spike's text does not, in which somebody who counts wrote as well."""
    return f"not read: the text of #{spike}, where somebody else wrote as well; answer in a comment"


def not_read(run: str, *, lines: Sequence[str]) -> BoardText:
    """On the ticket, once for each of those whose words were left out."""
    return _text(run, Event.NOT_READ, "\n".join(map(line, lines)))


def spike_reopened(run: str, *, why: str, never: bool) -> BoardText:
    """On a Spike that was closed by somebody whose word does not count, as it is opened again: once, or each time."""
    waits = "it waits for somebody who may be assigned here."
    return _text(
        run,
        Event.SPIKE_REOPENED,
        line(why),
        f"That closed this Spike, so it is opened again, as often as that happens: {waits}"
        if never
        else f"That closed this Spike, so it is opened again, this once: {waits} Closed again, it counts.",
    )


def interrupted(run: str, *, reason: str, attempt: int, tries: int) -> BoardText:
    """Pod trouble; the claim is kept and the run goes on later."""
    return _text(run, Event.INTERRUPTED, f"Interrupted: {line(reason)} (try {attempt} of {tries})")


def given_back(run: str, *, pod: str, reason: str, where: Where = NOWHERE) -> BoardText:
    """Pod trouble that did not pass; the one comment about it."""
    return _text(
        run,
        Event.GIVEN_BACK,
        f"Returned to the pool: {line(reason)}",
        *_left(where),
        f"This is trouble of pod {code(pod)} and says nothing about the ticket.",
    )


def expired(run: str, *, pod: str, silent_s: float) -> BoardText:
    """Another pod's claim was found expired after that many seconds of the same token."""
    return _text(
        run, Event.EXPIRED, f"Returned to the pool: pod {code(pod)} has not been heard of for {spoken(silent_s)}"
    )


def copied(run: str, *, original: int) -> BoardText:
    """Somebody duplicated a claimed work package, and its claim with it."""
    return _text(
        run, Event.COPIED, f"Returned to the pool: this is a copy of #{original}, and a claim cannot be copied"
    )


def released(run: str, *, pod: str) -> BoardText:
    """An operator gave a claim back by hand (`agent release`)."""
    return _text(run, Event.RELEASED, f"Returned to the pool: an operator released the claim of pod {code(pod)}")


def stopped(run: str, *, where: Where = NOWHERE, change: str = "") -> BoardText:
    """A person took the ticket out of our hands; `where` the work is kept, `change` is what was seen."""
    kept = f"the work is in {where.link}" if where.place else "there was no work to keep"
    return _text(
        run,
        Event.STOPPED,
        f"Stopped: this ticket was changed while it was being worked on; {kept}",
        where.how,
        f"What changed: {line(change)}" if change else "",
    )


def refused_report(run: str, *, refused: str, pod: str, where: Where = NOWHERE) -> BoardText:
    """The board does not take the result; the ticket stays active and is a person's."""
    return _text(
        run,
        Event.REFUSED,
        f"The board refused the report: {line(refused, 500)}",
        *_left(where),
        f"Pod {code(pod)} let go of the ticket and left its status: it is a person's now.",
    )


def _left(where: Where) -> tuple[str, ...]:
    """Where the work is of a run that ended before its time; nothing where there is none."""
    return (f"What it had done is in {where.link}.", where.how) if where.place else ()


# --- the Spike ---------------------------------------------------------------------------------------------------


def spike_subject(ticket: int, subject: str) -> BoardText:
    """The subject of the Spike for a ticket: one line that names it, within the board's bound."""
    start = f"{SPIKE_SUBJECT}{ticket}: "
    named = outlet.subject(start, subject, SUBJECT_LIMIT)
    return named if named != start else outlet.subject(start, "(no subject)", SUBJECT_LIMIT)


def spike_ticket(subject: str) -> int | None:
    """The ticket that a Spike of ours names in its subject; None for a Spike that a person wrote."""
    found = _SPIKE_SUBJECT.match(subject)
    return None if found is None else int(found[1])


def let_through_by(change: str, *, spike: int) -> str:
    """The summary of a run that took kept work, and asked no model."""
    return f"{LET_THROUGH} by `push {change}` on #{spike}."


def let_through(description: str) -> str:
    """The commit that a Spike of ours says would be pushed, in the last words of it; empty where it names none."""
    behind = description.rpartition(_PUSHES)[2]  # a run can write that sentence, too, into what is shown above it
    return behind[1:].partition("`")[0] if _PUSHES in description and behind.startswith("`") else ""


def spike_description(
    run: str,
    *,
    ticket: int,
    reason: str,
    question: str = "",
    evidence: str = "",
    where: Where = NOWHERE,
    change: str = "",
    diff: str = "",
) -> BoardText:
    """What a person needs to answer: why, the question, the evidence, the work so far, and what to do now.

    With `change`, the hash of what a person must see first, the text shows that (`diff`) and how to let it through.
    """
    return _text(
        run,
        Event.SPIKE,
        f"The fleet could not finish #{ticket} and needs a person.",
        f"**Reason:** {line(reason, 500)}",
        f"**The model asks:**\n\n{quote(question)}" if question.strip() else "",
        f"**Last lines of the output:**\n\n{fence(last_lines(evidence))}" if evidence.strip() else "",
        f"**The work so far** is in {where.link}." if where.place else "",
        where.how,
        f"**The change:**\n\n{fence(diff)}" if change else "",
        f"**To let exactly this through:** write {code(f'push {change}')} in a line of its own in a comment here, then "
        f"close this Spike. {_PUSHES}{code(where.commit) if where.commit else 'it'} without a model; if these lines "
        "change meanwhile, you are asked again. A later comment here takes it back: closed so, or without that line, "
        f"#{ticket} begins anew and reads what you wrote."
        if change
        else "**What to do:** answer in a comment here or in this description, or change the text of "
        f"#{ticket}. Then close this Spike: #{ticket} is picked up again, and the next run reads what you wrote.",
    )


def _folder(name: str) -> str:
    """As the words of a sentence, where Markdown would make nothing of it."""
    return f"{name}/" if _PLAIN.match(name) else code(f"{name}/")


def _commit(commit: str, url: str) -> str:
    return link(commit[:_COMMIT_DIGITS], url)
