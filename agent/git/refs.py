"""Pure: what git says, as values. Names of branches and refs, the lists a remote sends, and the words of its refusals."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlunsplit

from msgspec import Struct

from agent.errors import AgentError, PodTrouble
from agent.texts.bounded import Search, joined, split_url
from agent.texts.branches import FAILED, KEPT
from agent.texts.markup import code

CLAIMS: Final = "refs/agent/claim/"
PROBES: Final = "refs/agent/probe/"
"""Where a pod tries whether the remote takes such refs, each under its own name."""
HEADS: Final = "refs/heads/"
_LONGEST_ID: Final = 18
"""Digits of a work package's id."""
REMOTE: Final = "refs/remotes/origin/"
"""Where the mirror keeps the remote's branches."""
TAGS: Final = "refs/agent/tags/"
"""Where it keeps the remote's tags, so that none is taken for anything else. It has no other refs: the model made any other."""


class RepositoryUnreachable(PodTrouble):
    """The remote cannot be used now, whatever the ticket: it is a reason for the tickets of this repository."""


class TooSlow(RepositoryUnreachable):
    """A command that talks to the remote came to no end in its time."""


class ClaimRefRefused(RepositoryUnreachable):
    """The remote answers but does not take refs below `refs/agent/claim`; the lease on the branch tip remains."""


class KeepRefused(RepositoryUnreachable):
    """The remote answers but does not take the ref with work that was not finished."""


class LeaseRefused(AgentError):
    """The claim ref is not what was expected: somebody set it meanwhile. Read it, then the board."""


class Refusal(enum.Enum):
    """Why a push of the result did not happen."""

    BRANCH_MOVED = "the branch moved"
    OTHER = "the remote refused it"


class PushRefused(AgentError):
    """The result is not on the remote, and that was looked up.

    Args:
        kind: what to do about it: rebase, or report.
        detail: the remote's words, redacted.
    """

    def __init__(self, kind: Refusal, detail: str) -> None:
        super().__init__(f"The push was refused: {kind.value}. {detail}".strip())
        self.kind = kind
        self.detail = detail


class Refs(Struct, frozen=True):
    """What a remote has: branches by name, claim refs by the id of their branch owner."""

    heads: Mapping[str, str]
    claims: Mapping[int, str]


def read_refs(listing: bytes) -> Refs:
    """The answer of `git ls-remote`; refs that are neither branch nor claim are left out."""
    heads: dict[str, str] = {}
    claims: dict[int, str] = {}
    start = 0
    while (end := listing.find(b"\n", start)) >= 0:  # one after the other: there may be hundreds of thousands
        sha, _, ref = listing[start:end].decode("utf-8", "replace").partition("\t")
        start = end + 1
        owner = ref.removeprefix(CLAIMS)
        if ref.startswith(HEADS):
            heads[ref.removeprefix(HEADS)] = sha
        elif owner != ref and len(owner) <= _LONGEST_ID and owner.isascii() and owner.isdigit():
            claims[int(owner)] = sha
    return Refs(heads, claims)


def branch_for(refs: Refs, owner: int, name: str, around: tuple[str, str] = ("", "")) -> str:
    """The branch of this owner: one that exists under an earlier subject goes on under its name, else `name`.

    Args:
        refs: what there is.
        owner: its ticket or Epic.
        name: what it is called by its present subject.
        around: what its names have in common, see `branches.around_slug`; `agent/<owner>-…` is its own in any case.
    """
    if name in refs.heads:
        return name
    for start, end in (around, (f"agent/{owner}-", "")):
        for head in sorted(refs.heads) if start or end else ():
            slug = head[len(start) : len(head) - len(end)]
            if head == f"{start}{slug}{end}" and slug and "/" not in slug:
                return head
    return name


def in_the_way(refs: Refs, name: str) -> str:
    """The branch because of which git cannot make one of this name: one is a folder of the other; empty if none is."""
    parts = name.split("/")
    above = ("/".join(parts[:size]) for size in range(1, len(parts)))
    below = (head for head in refs.heads if head.startswith(f"{name}/"))
    return next((one for one in above if one in refs.heads), "") or next(below, "")


def no_base(place: str, base: str, *, empty: bool) -> str:
    """What is said of a repository without its main branch: it answers, so this is for a person who owns it."""
    if empty:
        return f"the repository {place} is empty: push a first commit to `{base}`"
    return f"the repository {place} has no branch `{base}`: push one, or mend `base` in the settings"


def claim_ref(owner: int) -> str:
    """The ref that fences the branch of this owner."""
    return f"{CLAIMS}{owner}"


def kept_name(owner: int, run: str) -> str:
    """Where work goes that a run left behind: below `refs/`, or `refs/heads/` on a remote that takes no such refs."""
    return f"{KEPT}{owner}-{run[:8]}"


def failed_name(ticket: int, run: str) -> str:
    """The same for work that did not pass."""
    return f"{FAILED}{ticket}-{run[:8]}"


def blob_id(data: bytes) -> str:
    """The name that git gives to these bytes (SHA-1 repositories)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


_DIED: Final = "remote failure"
"""What git reports for a ref when the other side ended without a word: no refusal."""


def rejected(porcelain: bytes) -> dict[str, str]:
    """The refs that `git push --porcelain` reports as refused, with the reason in brackets; none where nobody said no."""
    found = {}
    for line in porcelain.decode("utf-8", "replace").splitlines():
        flag, _, rest = line.partition("\t")
        names, _, summary = rest.partition("\t")
        if flag == "!":
            found[names.rpartition(":")[2]] = summary
    return found if any(_DIED not in reason for reason in found.values()) else {}


_TROUBLES: Final = (
    (
        ("out of memory", "cannot allocate memory"),
        "it has more branches, or sends more, than git can hold in the memory that it may take here",
        "see what answers there",
    ),
    (
        ("hash algorithm", "mismatched algorithms"),
        "it names its objects by SHA-256, and agents work in repositories that name them by SHA-1",
        "have one made that does",
    ),
    (
        ("could not resolve", "name or service not known", "temporary failure in name resolution"),
        "its host name does not resolve",
        "check the `url` of this repository and the network of this host",
    ),
    (
        (
            "authentication failed",
            "could not read username",
            "could not read password",
            "permission denied (",
            "returned error: 401",
            "returned error: 403",
            "access denied",
            "host key",
        ),
        "it refuses our credential",
        "check the credential of this repository and what it may do",
    ),
    (
        ("not found", "does not appear to be a git repository", "does not exist", "no such file or directory"),
        "it does not exist, or this credential may not see it",
        "check the `url` of this repository",
    ),
    (
        (
            "connection refused",
            "connection timed out",
            "connection reset",
            "timed out",
            "unreachable",
            "failed to connect",
            "early eof",
            "hung up",
        ),
        "it does not answer",
        "it is tried again later",
    ),
    (("no space left", "disk quota"), "the disk is full", "free some space"),
)


def trouble(place: str, said: str) -> str:
    """The reason when a remote did not do its part; `said` is git's standard error, redacted."""
    lower = said.lower()
    for words, what, remedy in _TROUBLES:
        if any(word in lower for word in words):
            return f"the repository {place} cannot be used: {what}; {remedy}; git said: {_gist(said)}"
    return f"the repository {place} cannot be used; git said: {_gist(said)}"


def _gist(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if line.lower().startswith(("fatal", "error", "remote", "ssh")) or "denied" in line.lower()
    ]
    return (telling or lines or ["nothing"])[0][:300].rstrip(".")


def place_of(url: str) -> str:
    """The URL as it may be shown: without user, password or query."""
    scheme, sign, rest = url.partition("://")
    if not sign:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".partition("?")[0].partition("#")[0]


_NAME: Final = 200
"""Characters of a file's name in a sentence."""


_LOCATION: Final = Search(
    "refs: where a remote is now",
    r"(?i)<= recv header: location:[ ]?([^\r\n]{1,4000})",
    sees="git's trace of a remote's answer",
)
_INFO: Final = "/info/refs"


def redirected(url: str, trace: str) -> tuple[str, bool] | None:
    """Where a remote says that it is now, by git's trace of its answer, and whether that is the same origin.

    The address has the user and password of `url` where it is the same origin. None where nothing is said that git could use.
    """
    found = _LOCATION.first(trace)
    if found is None:
        return None
    try:
        old, new = split_url(url), split_url(joined(f"{url.rstrip('/')}{_INFO}", found[1].strip()))
        same = _origin(old) == _origin(new)
    except ValueError:
        return None
    if new.scheme not in ("http", "https") or not new.path.endswith(_INFO):
        return new.geturl(), False
    path = new.path.removesuffix(_INFO)
    return urlunsplit((new.scheme, old.netloc if same else new.netloc, path, "", "")), same


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    scheme = parts.scheme.lower()
    return scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(scheme)


def names(paths: Iterable[str], *, most: int = 5) -> str:
    """File names for a sentence."""
    found = sorted(set(paths))
    shown = ", ".join(code(path if len(path) <= _NAME else path[: _NAME - 1] + "…") for path in found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"


def told(stderr: str) -> str:
    """What the other side said while it took a push: the words of its hooks."""
    lines = [line.removeprefix("remote:").strip() for line in stderr.splitlines() if line.startswith("remote:")]
    return "\n".join(line for line in lines if line)
