"""The one table of what can be set: each setting's meaning, its allowed values and how it is read. Pure.

The judge (`agent.settings.rules`) reads with it, messages and documentation are made from it, and a test holds it
against the structs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from agent.texts.branches import malformed
from agent.texts.claim_token import POD_NAME, is_pod_name, parse_duration

FORGES: Final = {
    "github": ("/tree/{}", "/commit/{}"),
    "gitlab": ("/-/tree/{}", "/-/commit/{}"),
    "gitea": ("/src/branch/{}", "/commit/{}"),
    "cgit": ("/log/?h={}", "/commit/?id={}"),
}
"""Where each kind of forge shows a branch and a commit, below `web`."""

LONGEST_S: Final = 30 * 24 * 3600
MOST_TRIES: Final = 20


class Unfit(Exception):
    """The value is not among the allowed ones; the text, if any, says more."""


class Key(Struct, frozen=True):
    """One setting: what it means, what it may be, how it is read; without a default it must be set."""

    meaning: str
    allowed: str
    read: Callable[[Any], Any]
    default: Any = None
    required: bool = False
    shown: bool = True
    """Whether a refused value may be printed: an address can hold a password."""


# --- readers: a TOML value in, ours out, or Unfit -------------------------------------------------------------------

_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_HTTP: Final = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_PASSWORD: Final = re.compile(r"\w+://[^/@\s]*:[^/@\s]*@")
_NIX_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")


def _text(value: object) -> str:
    if not isinstance(value, str) or _PLAIN.fullmatch(value) is None or value != value.strip():
        raise Unfit
    return value


def _name(value: object) -> str:
    return str(_count(1, 10**12)(value)) if isinstance(value, int) else _text(value)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Unfit
    return tuple(_name(one) for one in value)


def _some_names(value: object) -> tuple[str, ...]:
    names = _names(value)
    if not names:
        raise Unfit
    return names


def _argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or any(not isinstance(word, str) or "\0" in word for word in value):
        raise Unfit
    return (_text(value[0]), *value[1:])


def _pod(value: object) -> str:
    if not is_pod_name(_text(value)):
        raise Unfit
    return _text(value)


def _http(value: object) -> str:
    if _HTTP.fullmatch(_text(value)) is None:
        raise Unfit
    return _text(value).rstrip("/")


def _git(value: object) -> str:
    address = _text(value)
    if _PASSWORD.match(address):
        raise Unfit("it holds a password, which belongs into `token_file`")
    if address.startswith(("-", "ext::")) or " " in address:
        raise Unfit
    return address


def _ref(value: object) -> str:
    if malformed(_text(value)):
        raise Unfit
    return _text(value)


def _duration(value: object) -> int:
    seconds = parse_duration(value) if isinstance(value, str) else value
    return _count(1, LONGEST_S)(seconds)


def _count(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Unfit
        return value

    return read


def _choice(now: tuple[str, ...], later: tuple[str, ...] = ()) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value in later:
            raise Unfit(f"`{value}` comes with a later release")
        if value not in now:
            raise Unfit
        return str(value)

    return read


def _nix(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise Unfit
    return {_nix_name(name): _nix_value(one) for name, one in value.items()}


def _nix_name(name: str) -> str:
    if _NIX_NAME.fullmatch(name) is None:
        raise Unfit(f"{name!r} is no name of a Nix setting")
    return name


def _nix_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return " ".join(_nix_value(one) for one in value)
    return "" if value == "" else _text(value)


# --- the table -----------------------------------------------------------------------------------------------------

_NAME = "a display name or an id"
_NAMES = "a list of display names or ids"
_FILE = "a path, from the folder of the settings file if it is relative"
_TIME = 'a duration such as "4h30m", "15m" or "45s", or a whole number of seconds; above zero and at most 720h'

KEYS: Final[Mapping[str, Key]] = {
    "pod": Key(
        "the name of this pod; `--pod` and $AGENT_POD come before it",
        f"a text like `pod-a`, as a whole {POD_NAME}",
        _pod,
        "",
    ),
    "state": Key(
        "the folder for what the pod remembers; else $STATE_DIRECTORY, $XDG_STATE_HOME/agent/<pod>, "
        "~/.local/state/agent/<pod>",
        _FILE,
        _text,
        "",
    ),
    "board.url": Key(
        "the address of the board, up to and without /api/v3",
        "http:// or https://, without user name, password and query",
        _http,
        required=True,
        shown=False,
    ),
    "board.token_file": Key(
        "the file with the board's API token; $CREDENTIALS_DIRECTORY/board-token comes before it, $AGENT_BOARD_TOKEN after",
        _FILE,
        _text,
        "",
    ),
    "board.fleet_users": Key(
        "the accounts that pods act as; without any, the account of this pod's token", _NAMES, _names, ()
    ),
    "board.types.bugs": Key("the types taken first, highest priority first", _NAMES, _names, ("Bug",)),
    "board.types.tasks": Key("the other types that pods implement", _NAMES, _some_names, ("Task", "Feature")),
    "board.types.epic": Key(
        "the type whose work packages are owned whole: one writer, one branch", _NAME, _name, "Epic"
    ),
    "board.types.story": Key("the type that groups work below an Epic", _NAME, _name, "User story"),
    "board.types.spike": Key("the type of the child that asks a person for help", _NAME, _name, "Spike"),
    "board.types.gates": Key(
        "the types that hold back all below them until they are active; none switches gating off",
        _NAMES,
        _names,
        ("Phase", "Summary task"),
    ),
    "board.statuses.ready": Key("the status of work that may be picked", _NAME, _name, "New"),
    "board.statuses.active": Key("the status of claimed work, owned Epics and open gates", _NAME, _name, "In progress"),
    "board.statuses.done": Key(
        "the statuses for finished work; the first one counts that the type's workflow allows",
        _NAMES,
        _some_names,
        ("In testing", "Closed"),
    ),
    "board.fields.pod": Key("the custom field that names a claim's pod", _NAME, _name, "Agent pod"),
    "board.fields.run": Key("the custom field that holds a claim's token", _NAME, _name, "Agent run"),
    "repositories.*.url": Key(
        "where git finds the project's repository",
        "an address for git, without blanks and without a password",
        _git,
        required=True,
        shown=False,
    ),
    "repositories.*.base": Key("the branch that work starts from and is brought up to", "a branch name", _ref, "main"),
    "repositories.*.branch": Key(
        "the branch that work is pushed to, named after the Epic or else the ticket",
        "a branch name with {id} or {version} in it, and {slug} if you like",
        _text,
        "agent/{id}-{slug}",
    ),
    "repositories.*.web": Key(
        "the repository's page, so that branches and commits become links",
        "http:// or https://, without user name, password and query",
        _http,
        "",
        shown=False,
    ),
    "repositories.*.forge": Key(
        "what serves `web`, which decides the links", "one of " + ", ".join(FORGES), _choice((*FORGES,)), "github"
    ),
    "repositories.*.token_file": Key(
        "the file with the token for an https address; $CREDENTIALS_DIRECTORY/repository-<project>-token comes before it",
        _FILE,
        _text,
        "",
    ),
    "repositories.*.ssh_key_file": Key(
        "the file with the private key for an ssh address; $CREDENTIALS_DIRECTORY/repository-<project>-key comes before it",
        _FILE,
        _text,
        "",
    ),
    "execution.timeout": Key(
        "the lifetime of a claim: at its end its holder stops every effect", _TIME, _duration, 14_400
    ),
    "execution.idle": Key(
        "how long the model may say nothing; a program that prints only at its end needs as much as its longest run",
        _TIME,
        _duration,
        900,
    ),
    "execution.grace": Key("how long after its lifetime a silent claim is freed by others", _TIME, _duration, 1800),
    "execution.margin": Key("how long before the lifetime's end model and verify stop", _TIME, _duration, 600),
    "execution.tries": Key(
        "how often one run is started before a person is asked",
        f"a whole number from 1 to {MOST_TRIES}",
        _count(1, MOST_TRIES),
        3,
    ),
    "model.kind": Key("which coding model works", "command", _choice(("command",), ("claude",)), "command"),
    "model.command": Key(
        "the program that gets the prompt on its standard input, and its arguments",
        "a list of texts, the program first",
        _argv,
        required=True,
    ),
    "sandbox.kind": Key(
        "what the model is shut into; none is nothing at all", "none", _choice(("none",), ("bubblewrap",)), "none"
    ),
    "nix.settings": Key(
        "settings of Nix for this pod, such as substituters, in the words of nix.conf",
        "a table of texts, numbers, booleans and lists of texts",
        _nix,
        {},
    ),
}

LATER: Final = ("model.max_turns", "model.max_usd", "sandbox.nix")
"""Settings of the design that a later release will know."""
