"""What operators look at on a terminal, pure: values in, lines of at most the terminal's width out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size

from agent.choose import Reason, Rung
from agent.operate.explain import Explanation, Kept, Overview
from agent.operate.findings import Finding, Kind
from agent.operate.release import Released
from agent.operate.status import Status
from agent.texts.markup import spoken
from agent.texts.outlet import terminal

Paint = Callable[[str, str], str]
"""A text and what it is (`good`, `bad`, `dim`, `strong`) to a text with colour."""

RUNG_WORDS: Final = {
    Rung.FINISH: "my work in progress",
    Rung.CONTINUE_EPIC: "my Epic",
    Rung.RELEASE_EPIC: "my stale Epic",
    Rung.BUG: "a bug",
    Rung.EPIC_TASK: "a task in an Epic",
    Rung.STANDALONE: "standalone work",
    Rung.NOTHING: "nothing",
}

CELL: Final = 40
"""Columns that a name of others may take in a table."""

REASON_WORDS: Final = {
    Reason.NOT_EXECUTABLE: ("no type that agents execute", "Only the types in board.types are taken."),
    Reason.NOT_READY: ("not in the ready status", "Set it to the ready status when agents may take it."),
    Reason.NO_REPOSITORY: ("in a project without a repository", "Add the project to [repositories] in the settings."),
    Reason.UNREACHABLE: ("their repository cannot be used", "`agent doctor` says what is wrong with it."),
    Reason.NOT_ASSIGNABLE: (
        "this account cannot be an assignee there",
        "Make the pod's account a member of the project, in a role that may be assigned work.",
    ),
    Reason.FIELDS: ("their type lacks the fleet's fields", "Add both fields to the type (Administration → Types)."),
    Reason.REFUSED: ("the board refuses the claim", "Allow the step in the type's workflow for the account's role."),
    Reason.NO_SPIKE: ("no Spike can be created there", "Switch the Spike type on in the project's settings."),
    Reason.TAKEN: ("assigned to a person, who keeps it", "Unassign it, or assign it to a fleet user."),
    Reason.ROUTED: ("routed to another pod", "Clear `Agent pod` so that any pod may take it."),
    Reason.EPIC: ("below an Epic that is closed to this pod", "Wait for its pod, or reopen or reroute the Epic."),
    Reason.GATED: ("below a gate that is not active", "Set the gate to the active status."),
    Reason.CONTAINER: ("they have children that are work of their own", "Agents take the children instead."),
    Reason.SPIKED: ("an open Spike waits for a person", "Answer in the Spike, then close it."),
    Reason.BLOCKED: ("something incomplete holds them back", "Finish what it waits for, or remove the relation."),
    Reason.TOO_LONG: (
        "what is written on them is too long to be read",
        "Shorten its text, or that of what is around it.",
    ),
}
"""What a reason means for many tickets, and what to do about it for one."""


def plain(text: str, _: str) -> str:
    """No colour."""
    return text


def fit(text: str, width: int) -> str:
    """Text of others on one line, cut to that many columns."""
    line = " ".join(terminal(text).split())
    if cell_len(line) <= width:
        return line
    return set_cell_size(line, max(width - 1, 0)).rstrip() + "…"


def counted(count: int, noun: str) -> str:
    """A number and what it counts."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """A sentence over as many lines as it takes; long words stay whole, so that they can be copied."""
    lines, line = [], ""
    for word in terminal(text).split():
        if line and cell_len(indent + line) + 1 + cell_len(word) > width:
            lines.append(indent + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, indent + line] if line else lines


def columns(rows: Sequence[Sequence[str]], width: int, *, indent: str = "  ") -> list[str]:
    """Rows with aligned columns; the last column takes what is left of the line."""
    if not rows:
        return []
    rows = [[*(fit(cell, CELL) for cell in row[:-1]), row[-1]] for row in rows]
    count = max(map(len, rows))
    sizes = [max(cell_len(row[one]) for row in rows if one < len(row)) for one in range(count)]
    lines = []
    for row in rows:
        head = indent + "".join(set_cell_size(cell, sizes[one]) + "  " for one, cell in enumerate(row[:-1]))
        lines.append((head + fit(row[-1], max(width - cell_len(head), 8))).rstrip())
    return lines


def overview(seen: Overview, width: int = 80, paint: Paint = plain) -> list[str]:
    """The choice, and each reason with its count and the first of its tickets."""
    lines = _choice(seen, width, paint)
    if seen.ready:
        lines += ["", f"Ready on the whole board: {counted(seen.ready, 'executable ticket')}."]
    else:
        lines += ["", "Not one executable ticket is ready."]
    if seen.reasons:
        lines += wrapped(
            "What keeps tickets from this pod, and the first of them; one ticket may have several reasons:", width
        )
    for kept in seen.reasons:
        lines += ["", *_kept(kept, width, paint)]
    return [*lines, *_notes(seen.notes, width, paint)]


def _choice(seen: Overview, width: int, paint: Paint) -> list[str]:
    lines = []
    if seen.releases:
        epics = ", ".join(f"#{one}" for one in seen.releases)
        lines = wrapped(f"{seen.pod} would first release its Epic {epics}: nothing in it is available.", width)
    if seen.ticket is None:
        return [*lines, f"{seen.pod} would take {paint('nothing', 'strong')} now."]
    verb = "finish" if seen.rung is Rung.FINISH else "take"
    head = f"{seen.pod} would {verb} #{seen.ticket} "
    where = f"rung {seen.rung:d}, {RUNG_WORDS[seen.rung]}" + (f", in Epic #{seen.epic}" if seen.epic else "")
    return [*lines, head + paint(fit(seen.subject, width - len(head)), "strong"), f"  ({where})"]


def _kept(kept: Kept, width: int, paint: Paint) -> list[str]:
    count = f"at least {kept.count:,}" if kept.at_least else f"{kept.count:,}"
    lines = [f"{paint(kept.reason, 'strong')}: {count} — {REASON_WORDS[kept.reason][0]}"]
    digits = max((len(str(one.id)) for one in kept.first), default=1) + 1
    for one in kept.first:
        room = width - 4 - digits
        named = fit(one.subject, width) or "(no subject)"
        detail = fit(one.detail, max(30, room - 3 - cell_len(named)))
        subject = fit(named, max(room - (cell_len(detail) + 3 if detail else 0), 20))
        lines.append(f"  {f'#{one.id}':>{digits}}  {subject}" + paint(f" — {detail}", "dim") * bool(detail))
    return lines


def explanation(seen: Explanation, width: int = 80, paint: Paint = plain) -> list[str]:
    """One ticket, and everything that keeps this pod from it."""
    head = f"#{seen.ticket} "
    lines = [
        head + paint(fit(seen.subject, width - len(head)), "strong"),
        paint(fit(f"{seen.type} · {seen.status} · {seen.priority}", width), "dim"),
        "",
    ]
    if seen.claimed:
        lines += [*wrapped(f"Claimed by {seen.claimed}.", width), ""]
    if seen.reasons:
        lines.append(f"{seen.pod} does not take it:")
        size = max(len(one.reason) for one in seen.reasons)
        for one in seen.reasons:
            text = wrapped(one.detail[:1].upper() + one.detail[1:] + ".", width - size - 4) or [""]
            remedy = wrapped(REASON_WORDS[one.reason][1], width - size - 4)
            lines.append(f"  {paint(f'{one.reason:<{size}}', 'bad')}  {text[0]}".replace("..", "."))
            lines += [f"{'':<{size + 4}}{line}" for line in text[1:]]
            lines += [paint(f"{'':<{size + 4}}{line}", "dim") for line in remedy]
    elif seen.rung is not None:
        lines += wrapped(_available(seen), width)
    return [*lines, *_notes(seen.notes, width, paint)]


def _available(seen: Explanation) -> str:
    if seen.rung is Rung.FINISH:
        return f"{seen.pod} goes on with it (rung {seen.rung:d}, {RUNG_WORDS[seen.rung]})."
    rung = f"Available on rung {seen.rung:d} ({RUNG_WORDS[seen.rung or Rung.NOTHING]})"
    if seen.next == seen.ticket:
        return f"{rung}: {seen.pod} would take it now."
    first = f"; it would take #{seen.next} now" if seen.next else ""
    others = f"up to {seen.before:,} others come" if seen.before > 1 else "another one comes"
    return f"{rung}, but for {seen.pod} {others} before it{first}."


def _notes(notes: Iterable[str], width: int, paint: Paint) -> list[str]:
    listed = [paint(line, "bad") for one in notes for line in wrapped(one, width)]
    return ["", *listed] if listed else []


def status(seen: Status, width: int = 80, paint: Paint = plain) -> list[str]:
    """The fleet: pods, what they hold, and what waits for somebody."""
    lines = [paint("Pods", "strong"), *columns([(name, _holds(seen, name)) for name in seen.pods], width)]
    for title, claims in (
        ("Runs in progress", [one for one in seen.claims if not one.is_epic]),
        ("Epics owned", [one for one in seen.claims if one.is_epic]),
    ):
        rows = [(f"#{one.ticket}", one.pod, f"since {one.since}, try {one.attempt}", one.subject) for one in claims]
        lines += ["", paint(f"{title}: {len(claims)}", "strong"), *columns(rows, width)]
    for title, listed, note in (
        ("Open Spikes", seen.spikes, "{}"),
        ("Routed to one pod and untouched for a day", seen.untouched, "for {}"),
        ("Active without a claim", seen.unclaimed, "{}"),
    ):
        lines += ["", paint(f"{title}: {listed.count:,}", "strong")]
        named = any(one.whom for one in listed.first)
        whom = [(note.format(one.whom) if one.whom else "",) if named else () for one in listed.first]
        found = [(f"#{one.id}", *who, one.subject) for one, who in zip(listed.first, whom, strict=True)]
        lines += columns(found, width)
    return [*lines, *_notes(_troubles(seen), width, paint)]


def _holds(seen: Status, name: str) -> str:
    held = [f"{'Epic ' if one.is_epic else ''}#{one.ticket}" for one in seen.claims if one.pod == name]
    words = f"holds {', '.join(held)}" if held else "holds nothing"
    return f"{words} (this pod)" if name == seen.pod else words


def _troubles(seen: Status) -> list[str]:
    foreign = [f"#{one.ticket}" for one in seen.claims if one.foreign]
    moved = [f"#{one.ticket}" for one in seen.claims if not one.active]
    found = []
    if foreign:
        found.append(
            f"{', '.join(foreign)}: a claim in the name of {seen.pod} that this state folder does not know. Another host "
            "has this name, or the state folder was lost: it expires, or `agent release ID` gives it back."
        )
    if moved:
        found.append(f"{', '.join(moved)}: claimed, but no longer active: its holder stops and lets go.")
    if seen.failures:
        wait = f" It waits {spoken(seen.backoff_s)} more." if seen.backoff_s else ""
        what = f" The last one: {seen.trouble.rstrip('.')}." if seen.trouble else ""
        found.append(
            f"This pod had trouble {counted(seen.failures, 'time')} in a row.{what}{wait} `agent doctor` looks at all that a "
            "pod needs."
        )
    if seen.repositories:
        found.append(f"The repository could not be used lately: {', '.join(seen.repositories)}. It is asked again.")
    return found


def released(found: Sequence[Released], width: int = 80) -> list[str]:
    """What became of each claim."""
    lines = []
    for one in found:
        if not one.done:
            end = ": the claim changed hands meanwhile; look again."
        elif one.ready:
            end = ": given back, ready for any pod."
        else:
            end = ": given back; its status stays as it is."
        head = f"#{one.ticket} "
        lines.append(head + fit(one.subject, max(width - len(head + end), 20)) + end)
    return lines


_FINDING_STYLE: Final = {Kind.OK: "good", Kind.WARN: "warn", Kind.FAIL: "bad", Kind.UNKNOWN: "dim"}


def findings(found: Sequence[Finding], width: int | None = 80, paint: Paint = plain) -> list[str]:
    """A line each, and what they come to; without a width no line is broken, so that each can be searched for."""
    lines = []
    size = max((len(one.area) for one in found), default=0)
    indent = 4 + 2 + size + 2
    for one in found:
        text = f"{one.text} — {one.remedy}" if one.remedy else one.text
        first, *rest = wrapped(text, (width or 10_000) - indent) or [""]
        lines.append(f"{paint(f'{one.kind:<4}', _FINDING_STYLE[one.kind])}  {one.area:<{size}}  {first}")
        lines += [" " * indent + line for line in rest]
    counts = {kind: sum(one.kind is kind for one in found) for kind in Kind}
    if counts[Kind.FAIL]:
        verdict = paint(f"{counts[Kind.FAIL]} to mend before a pod can work here.", "bad")
    else:
        verdict = paint("A pod can work here.", "good")
    asides = [
        f"{counts[kind]} {word}"
        for kind, word in ((Kind.WARN, "to know"), (Kind.UNKNOWN, "not checked"))
        if counts[kind]
    ]
    return [*lines, "", verdict + (f" Besides: {', '.join(asides)}." if asides else "")]


def keys(found: Iterable[tuple[str, str, str, str]], width: int = 80, paint: Paint = plain) -> list[str]:
    """Every setting with its meaning, its allowed values and its default."""
    lines = wrapped("Settings by their TOML keys; `*` stands for the identifier of a project on the board.", width)
    for key, meaning, allowed, default in found:
        lines += ["", paint(key, "strong"), *wrapped(f"{meaning[:1].upper()}{meaning[1:]}.", width, "  ")]
        for label, text in (("Allowed", allowed), ("Default", default)):
            first, *rest = wrapped(text, width - 11)
            lines += [paint(f"  {label}: ", "dim") + first, *(" " * 11 + line for line in rest)]
    return lines
