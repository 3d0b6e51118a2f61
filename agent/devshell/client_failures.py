"""Pure: what Nix said when it failed, and whose fault that is: the flake's, this host's, or a wish that is not granted.

Measured with Nix 2.26. Outside the jail nothing of the repository speaks; inside, a flake can say anything (`throw`), and
so can a builder: whoever reads there that the host is the trouble tries the host with something of ours first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from agent.devshell.flake import ShellRefused
from agent.devshell.inputs import INSTEAD
from agent.errors import AgentError, PodTrouble, TicketFailure
from agent.programs.runner import Ended, Finished
from agent.texts.bounded import LINE, Search, Whole, ending
from agent.texts.clean import clean
from agent.texts.evidence import LONGEST, Redact, last_words
from agent.texts.markup import one_line, spoken

_SEES: Final = "what Nix says, and a flake by `throw`"
_POD: Final = Search(
    "nix: trouble of the pod",
    r"cannot connect to (the )?(socket|daemon)|bwrap: "
    r"|(opening lock file|opening file|creating directory|getting status of) '[^']{0,500}+': (permission denied|read-only file system)"
    r"|no space left on device|opening pseudoterminal|database disk image is malformed|database (?:'[^']{0,500}+' )?is (?:locked|busy)"
    r"|is required, but there is no substituter|does not support the kernel namespaces|out of memory|cannot allocate memory"
    r"|the group '[^']{0,100}' specified in 'build-users-group' does not exist",
    sees=_SEES,
    longest=LINE,
)
"""What Nix says when it, its store or its daemon is the trouble."""
_UNREADABLE: Final = Search(
    "nix: a store that cannot be read",
    r"' is corrupt|database disk image is malformed|file is not a database|no such (?:table|column)|schema is version"
    r"|disappeared, but it still has valid referrers",
    sees=_SEES,
    longest=LINE,
)
"""What Nix says where the disk has not what it wrote; not of a full disk, or of missing rights."""
_UNREACHABLE: Final = Search(
    "nix: the network is not there",
    r"unable to (download|fetch)|could not (resolve|connect)|couldn't (resolve|connect)|failed to (connect|fetch)|timed out"
    r"|cannot find git revision|program 'git' failed|connection (refused|reset)|unable to access|http error",
    sees=_SEES,
    longest=LINE,
)
_NOT_THERE: Final = Search(
    "nix: an input that is not there",
    r"http error 4(?:04|10|22)|unrecognized archive format|not supported by scheme|is not an? (?:string|boolean|integer)"
    r"|cannot find git revision",
    sees=_SEES,
    longest=LINE,
)
"""What Nix says when a place has no such thing as `flake.lock` names."""
_NOT_ASKED: Final = Search(
    "nix: git did not get through",
    r"unable to access|could not (?:resolve|read|connect)|authentication failed|connection (?:refused|reset)|timed out",
    sees=_SEES,
    longest=LINE,
)
"""What git says before Nix misses the revision that it did not get."""
_POSITION: Final = Whole("nix: where an error is", r"\s*+at (?!«|<)(\S+:[0-9]+:[0-9]+):?\s*+", sees=_SEES, longest=LINE)

_Sentence = Callable[[re.Match[str]], str]
_WISHES: Final[tuple[tuple[Search[str], _Sentence], ...]] = (
    (
        Search(
            "nix: a download",
            r"access to URI '([^'?]{0,1000}+)(?:\?[^']{0,1000}+)?' is forbidden in restricted mode",
            sees=_SEES,
        ),
        lambda found: (
            f"evaluating `flake.nix` would download {one_line(found[1])}: nothing is fetched while it is evaluated; "
            f"take it from the pinned nixpkgs or put it into the repository"
        ),
    ),
    (
        Search(
            "nix: a new input",
            r"cannot update unlocked flake input '([^']{0,1000})'|cannot find flake 'flake:([^']{0,1000})'",
            sees=_SEES,
        ),
        lambda found: (
            f"the flake input `{one_line(found[1] or found[2])}` is not pinned in `flake.lock`, and new inputs are not "
            f"fetched here: {INSTEAD}"
        ),
    ),
    (
        Search("nix: an input that is not locked", r"requires lock file changes", sees=_SEES),
        lambda _found: f"`flake.nix` asks for inputs that `flake.lock` does not pin: {INSTEAD}",
    ),
    (
        Search("nix: an import from a derivation", r"allow-import-from-derivation", sees=_SEES),
        lambda _found: (
            "evaluating `flake.nix` would have to build something first (import from derivation), which is off here: "
            "write the generated Nix code into the repository"
        ),
    ),
    (
        Search(
            "nix: an unfree package",
            r"Package [\u2018'`]([^\u2018\u2019'`]{0,200}+)[\u2019'][^\u2018\u2019'`\n]{0,200} has an unfree license",
            sees=_SEES,
        ),
        lambda found: (
            f"the package `{one_line(found[1], 80)}` is unfree, and unfree packages are not taken here: take a free one, "
            f"or end with the verdict `stuck` and ask for it"
        ),
    ),
    (
        Search("nix: an experimental feature", r"experimental Nix feature '([^']{0,1000})' is disabled", sees=_SEES),
        lambda found: (
            f"`flake.nix` uses Nix's experimental feature `{one_line(found[1], 60)}`, which is off here: do without it"
        ),
    ),
    (
        Search(
            "nix: a file outside the repository",
            r"access to absolute path '([^']{0,1000})' is forbidden|is (?:not allowed|forbidden) in (?:pure|restricted)",
            sees=_SEES,
        ),
        lambda found: (
            f"`flake.nix` reads {'`' + one_line(found[1], 120) + '`' if found[1] else 'something'} outside the repository: "
            "only files that git lists and pinned inputs can be used"
        ),
    ),
)


def evaluation_failed(done: Finished, redact: Redact, *sources: str) -> AgentError:
    """Whose fault it is that the flake was not evaluated: without network, by a Nix that obeys the repository.

    Args:
        done: the Nix that failed.
        redact: takes out what must not be shown.
        sources: what stands for the checkout: itself, or its copy in the store, by where it is and by what it is called.
    """
    if done.ended is not Ended.COMPLETED:
        return _too_long(done, "evaluated", redact)
    lines = _lines(done, *sources)
    text = "\n".join(lines)
    gist = _gist(lines, done, redact)
    for pattern, sentence in _WISHES:
        found = pattern.first(text)
        if found is not None:
            return ShellRefused(redact(sentence(found)), evidence=_evidence(lines, redact))
    if _UNREACHABLE.first(gist.lower()):
        return ShellRefused(
            f"evaluating `flake.nix` would use the network, which is not there: {gist}; "
            "take it from the pinned nixpkgs or put it into the repository",
            evidence=_evidence(lines, redact),
        )
    if _POD.first(gist.lower()):
        return PodTrouble(f"Nix cannot evaluate the development shell: {gist}")
    if gist.startswith("path 'flake.nix' does not exist") or "/flake.nix' file" in gist:
        gist = "the repository has no `flake.nix` that git lists"
    return TicketFailure(f"`flake.nix` cannot be evaluated: {gist}", evidence=_evidence(lines, redact))


def build_failed(done: Finished, redact: Redact) -> AgentError:
    """Whose fault it is that the shell was not built."""
    if done.ended is not Ended.COMPLETED:
        return _too_long(done, "built", redact)
    lines = _lines(done)
    gist = _gist(lines, done, redact)
    if any(_POD.first(line.lower()) for line in lines if line.lstrip().startswith(("error:", "bwrap:"))):
        return PodTrouble(f"Nix cannot build the development shell: {gist}")
    return TicketFailure(
        f"the development shell of `flake.nix` cannot be built: {gist}", evidence=_evidence(lines, redact)
    )


def fetch_failed(done: Finished, redact: Redact, what: str) -> AgentError:
    """Whose fault it is that something pinned could not be had; no code of the repository had a part in it."""
    lines = _lines(done)
    gist = _gist(lines, done, redact)
    if "hash mismatch in" in gist.lower():
        return TicketFailure(
            f"{what} is not what `flake.lock` says (hash mismatch): restore the committed `flake.lock`",
            evidence=_evidence(lines, redact),
        )
    return PodTrouble(f"{what} cannot be fetched: {gist if done.ended is Ended.COMPLETED else done.ended.value}")


def input_failed(done: Finished, redact: Redact, what: str) -> AgentError:
    """Whose fault it is that an input could not be had: whoever writes `flake.lock` can name what is nowhere."""
    lines = _lines(done)
    gist = _gist(lines, done, redact)
    if _NOT_THERE.first(gist.lower()) and not any(_NOT_ASKED.first(line.lower()) for line in lines):
        return TicketFailure(
            f"{what} cannot be had as `flake.lock` pins it: {gist}; restore the committed `flake.lock`",
            evidence=_evidence(lines, redact),
        )
    return fetch_failed(done, redact, what)


def unreachable(done: Finished, redact: Redact) -> PodTrouble | None:
    """A cache that was not reached while Nix made its plan: what it has would seem to be missing."""
    lines = clean(ending(done.stderr, LONGEST).decode("utf-8", "replace")).splitlines()
    found = [line for line in lines if not line.startswith("  ") and _UNREACHABLE.first(line.lower())]
    return PodTrouble(f"a binary cache cannot be used: {one_line(redact(found[-1]), 300)}") if found else None


def unreadable(done: Finished) -> bool:
    """Whether Nix ended because it cannot read its store; asked where nothing of a repository is said."""
    return not done.ok and any(_UNREADABLE.first(line) for line in _lines(done))


def host_failed(done: Finished, redact: Redact) -> PodTrouble:
    """Nix does not work here at all."""
    return PodTrouble(
        f"Nix cannot be used on this host: {_gist(_lines(done), done, redact)}; "
        "mend it, or give it a store of its own: `[nix.settings] store = …`"
    )


def _too_long(done: Finished, what: str, redact: Redact) -> TicketFailure:
    why = (done.limit and f"it {done.limit}") or f"{done.ended.value} after {spoken(done.duration)}"
    return TicketFailure(
        f"the development shell of `flake.nix` was not {what}: {why}", evidence=last_words(done.stderr, redact=redact)
    )


def _lines(done: Finished, *sources: str) -> list[str]:
    """What is about the end: warnings come before a retry that may have gone well."""
    text = clean(ending(done.stderr, LONGEST).decode("utf-8", "replace"))
    for source in sources:
        text = text.replace(f"{source}/", "").replace(source, "flake.nix")
    return [
        line for line in text.splitlines() if line.strip() and not line.startswith(("warning:", "error (ignored):"))
    ]


def _evidence(lines: list[str], redact: Redact) -> str:
    return last_words("\n".join(lines).encode(), redact=redact)


def _gist(lines: list[str], done: Finished, redact: Redact) -> str:
    """The last error, and where it is if Nix says so."""
    for index in range(len(lines) - 1, -1, -1):
        word = lines[index].strip()
        if word.startswith(("error: ", "bwrap: ")):
            where = next((found[1] for line in lines[index + 1 :] if (found := _POSITION.match(line))), "")
            said = one_line(redact(word.removeprefix("error: ")), 300).rstrip(".")
            return f"{said} ({one_line(where)})" if where else said
    return f"Nix ended with exit code {done.returncode}"
