"""Pure: names of branches: what a template of the settings gives a ticket, and what git and the fleet forbid.

The settings' reader judges a template once, with the base branch beside it; a template that got past it can only fail
for one ticket, by the version that is set there.
"""

from __future__ import annotations

import string
import unicodedata
from typing import Final

from agent.errors import TicketFailure
from agent.texts.bounded import LINE, Search


def _only(signs: str) -> bytes:
    """A table that makes blanks of all other bytes."""
    return bytes(sign if sign in signs.encode() else ord(" ") for sign in range(256))


KEPT: Final = "agent/kept/"
"""Where work goes that a run left behind."""
FAILED: Final = "agent/failed/"
"""Where work goes that did not pass."""
SLUG: Final = 40
"""Characters of a subject that a branch name carries."""
_FIELDS: Final = ("id", "slug", "version")
_FORBIDDEN: Final = Search(
    "branches: what git forbids",
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{",
    sees="a branch named by a version, the settings or a remote",
)
_SLUG: Final = _only(string.ascii_lowercase + string.digits)
_VERSION: Final = _only(string.ascii_letters + string.digits + "._+-")


def slug(subject: str) -> str:
    """A subject as part of a branch name: ASCII, lower case, words joined by dashes, never empty."""
    plain = unicodedata.normalize("NFKD", subject[:LINE]).encode("ascii", "ignore").lower()
    words = "-".join(plain.translate(_SLUG).decode().split())
    if len(words) > SLUG:
        cut = words[: SLUG + 1].rpartition("-")[0]
        words = cut or words[:SLUG]
    return words.strip("-") or "work"


def wrong_with_template(template: str, *, base: str) -> str:
    """Why a template cannot give each ticket its branch, as it stands behind a colon; empty if it can."""
    try:
        fields = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        return str(error)
    for name, form, conversion in fields:
        if name not in _FIELDS or form or conversion is not None:
            shown = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}}}"
            return f"it has {shown}; there are {{id}}, {{slug}} and {{version}}"
    if not {"id", "version"} & {name for name, _, _ in fields}:
        return "without {id} and {version} tickets would share a branch"
    sample = template.format(id=1, slug="work", version="1")
    problem = wrong_with(sample, base=base)
    return f"it gives `{sample}`, which {problem}" if problem else ""


def branch_name(template: str, *, id: int, subject: str, version: str = "", base: str = "main") -> str:  # noqa: A002
    """The branch of a ticket or Epic: `agent/{id}-{slug}`, or `release/{version}`.

    Args:
        template: one that nothing is wrong with.
        id: of the Epic or standalone work package.
        subject: its subject.
        version: the name of the version that is set on it.
        base: the main branch.

    Raises:
        TicketFailure: it is wrong for this ticket: no version, or one that gives a name that is taken.
    """
    part = _part(version)
    if "{version}" in template and not part:
        raise TicketFailure(f"no version is set, which the branch template `{template}` needs")
    name = template.format(id=id, slug=slug(subject), version=part)
    if problem := wrong_with(name, base=base):
        raise TicketFailure(f"its branch would be `{name}`, which {problem}")
    return name


def around_slug(template: str, *, id: int, version: str = "") -> tuple[str, str]:  # noqa: A002
    """What stands before and behind the subject in every branch of this ticket or Epic; twice empty if that is not told apart.

    It is not where a person's branch could be called so (`{id}-{slug}` is GitLab's own), or the subject begin or end elsewhere.
    """
    start, slug, end = template.partition("{slug}")
    if not slug or "{slug}" in end or "{id}" not in start or "/" not in start:
        return "", ""
    start, end = (part.format(id=id, version=_part(version)) for part in (start, end))
    return ("", "") if start[-1:].isalnum() or end[:1].isalnum() else (start, end)


def _part(version: str) -> str:
    """The name of a version as part of a branch."""
    part = "-".join(version[:LINE].encode("ascii", "replace").translate(_VERSION).decode().split()).strip("-.")
    while ".." in part:
        part = part.replace("..", ".")
    return part


def wrong_with(name: str, *, base: str) -> str:
    """Why a result may not be pushed to the branch `name`; empty if it may."""
    if malformed(name):
        return "is no valid name of a branch"
    taken = (base, "HEAD", KEPT.rstrip("/"), FAILED.rstrip("/"))
    # A branch is a file in git's eyes: `a` and `a/b` cannot both be.
    if any(name == other or other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in taken):
        return "is taken"
    return ""


def malformed(name: str) -> bool:
    """Whether it cannot be a branch at all. The rules of `git check-ref-format`."""
    if len(name) > LINE or _FORBIDDEN.first(name) or name in ("", "@") or name[0] == "-":
        return True
    if name.startswith("refs/") or name.endswith("."):
        return True
    return any(not part or part.startswith(".") or part.endswith(".lock") for part in name.split("/"))
