"""Words that close a ticket, and whatever names one behind them: forges and trackers do what a commit's message says. Pure.

They agree on neither: `Closes #7` is GitHub's, `Fixes SHOP-7` Jira's, `Finishes [sc-7]` Shortcut's, `Fixes T7` Phabricator's,
`closes ticket:7` Trac's, `Closes: bug 7` Debian's, and several follow one word. So what counts is the class: a closing word,
and behind it, over any signs, blanks and words for tickets, a number with or without a key. It is parted from its number,
so that the text says what it said, and no pattern for a name of a ticket finds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS: Final = "0123456789"
_WORD: Final = frozenset(_LETTERS + _DIGITS + "_")
_STEMS: Final = (
    *("close", "fix", "resolve", "solve", "implement", "complete", "finish", "deliver", "reopen"),
    *("wontfix", "invalidate", "spite"),
)
CLOSING: Final = frozenset(
    form
    for stem in _STEMS
    for form in (stem, f"{stem}s", f"{stem}es", f"{stem}d", f"{stem}ed", f"{stem}ing", f"{stem.removesuffix('e')}ing")
)
"""In lower case."""
_FOR_TICKETS: Final = frozenset({
    "issue", "issues", "ticket", "tickets", "bug", "bugs", "story", "stories", "task", "tasks", "item", "items", "defect", "defects",
    "feature", "features", "epic", "epics", "art", "number", "num", "nr", "no", "work", "package", "and", "or",
})  # fmt: skip
"""What may stand between a closing word and the number."""
_KEYS: Final = frozenset({"gh", "gl", "ch", "sc", "cu", "op", "pr", "mr", "rt", "lp", "bz"})
"""Keys that stand before their number with nothing between, besides words for tickets and single letters (`T7`)."""
_EVER: Final = frozenset({"gh", "gl"})
"""Keys that are the forge's own `#`, closing word or not."""
_ANNOUNCE: Final = frozenset(":#[")
"""With one of these a bare number behind a closing word is a ticket's; `fixed 3 tests` names none."""
_JOIN: Final = frozenset("-:/_.")


def parted(text: str, by: str, *, bare: str) -> str:
    """The text with each number that would be closed apart from what makes it a ticket's.

    Args:
        text: any.
        by: goes between a key and its number.
        bare: goes before a number without one.
    """
    return "".join(_pieces(["".join(run) for _, run in groupby(text, _WORD.__contains__)], by, bare))


def _pieces(runs: list[str], by: str, bare: str) -> Iterator[str]:
    closing = announced = keyed = False
    for place, run in enumerate(runs):
        if run[0] not in _WORD or (place and runs[place - 1].endswith("&#")):  # an entity is a sign
            announced = announced or not _ANNOUNCE.isdisjoint(run)
            yield run
            continue
        lower, key = run.lower(), run.rstrip(_DIGITS)
        if keyed:
            keyed = False
            yield f"{by}{run}"
        elif lower in CLOSING:
            closing, announced = True, False
            yield run
        elif (closing or lower in _EVER) and _is_key(runs, place):
            keyed = True
            yield run
        elif closing and lower in _FOR_TICKETS:
            announced = True
            yield run
        elif closing and key != run and (len(key) == 1 or key.lower() in _FOR_TICKETS | _KEYS):
            yield f"{key}{bare if key.lower() in _FOR_TICKETS else by}{run[len(key) :]}"
        elif closing and announced and not key:
            yield f"{bare}{run}"
        else:
            closing = False
            yield run


def _is_key(runs: list[str], place: int) -> bool:
    """Whether a word, one sign and a number follow each other with nothing between: `SHOP-7`, `ticket:7`."""
    sign, number, *_ = *runs[place + 1 : place + 3], "", ""
    return runs[place][0] in _LETTERS and len(sign) == 1 and sign in _JOIN and number[:1].isdigit()
