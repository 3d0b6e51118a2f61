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
MOST_DOLLARS: Final = 100_000


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


def _choice(*allowed: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in allowed:
            raise Unfit
        return str(value)

    return read


_SIZE: Final = re.compile(r"(\d+) ?([KMGT])iB")


def _size(value: object) -> int:
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        value = int(found[1]) << 10 * ("KMGT".index(found[2]) + 1)
    return _count(1 << 20, 1 << 50)(value)


def _amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_DOLLARS:
        raise Unfit
    return float(value)


def _price(value: object) -> float:
    return 0.0 if value == 0 and not isinstance(value, bool) else _amount(value)


def _inner_paths(value: object) -> tuple[str, ...]:
    paths = _texts(value)
    for path in paths:
        if path.startswith("/") or ".." in path.split("/"):
            raise Unfit(f"`{path}` leads out of the repository")
    return paths


_ALIASES: Final = ("best", "default", "haiku", "opus", "opusplan", "sonnet")
"""What Claude Code understands, and moves to another model one day; the relay lets only the one that was named through."""


def _model(value: object) -> str:
    if (name := _text(value)).partition("[")[0] in _ALIASES:
        raise Unfit(f"`{name}` is an alias")
    return name


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Unfit
    return tuple(_text(one) for one in value)


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
_BYTES = 'a size such as "512MiB" or "8GiB", or a whole number of bytes; at least 1MiB'
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
        "what serves `web`, which decides the links", "one of " + ", ".join(FORGES), _choice(*FORGES), "github"
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
    "repositories.*.shell_files": Key(
        "more files that the development shell depends on, beside flake.lock and every *.nix file",
        "a list of paths or patterns inside the repository, such as `rust-toolchain.toml` or `nix/*.json`",
        _inner_paths,
        (),
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
    "model.kind": Key(
        "which coding model works: Claude Code, or any program that prints its result document",
        "claude or command",
        _choice("claude", "command"),
        "claude",
    ),
    "model.command": Key(
        "for the kind `command`: the program that gets the prompt on its standard input, and its arguments",
        "a list of texts, the program first",
        _argv,
        (),
    ),
    "model.program": Key(
        "Claude Code's program: a name in $PATH or a path", "a text such as `claude`", _text, "claude"
    ),
    "model.name": Key(
        "the model that Claude Code asks for",
        "a full name such as `claude-sonnet-5`; aliases move",
        _model,
        "claude-sonnet-5",
    ),
    "model.api": Key(
        "the address of the Messages API; the pod's relay asks it, never the sandbox",
        "http:// or https://, without user name, password and query, and without /v1",
        _http,
        "https://api.anthropic.com",
        shown=False,
    ),
    "model.key_file": Key(
        "the file with the key for the Messages API; $CREDENTIALS_DIRECTORY/model-key comes before it, "
        "$AGENT_MODEL_KEY after",
        _FILE,
        _text,
        "",
    ),
    "model.max_turns": Key(
        "how often one run may ask the model", "a whole number from 1 to 100000", _count(1, 100_000), 200
    ),
    "model.max_tokens": Key(
        "how many tokens one run may spend: read, written and cached together",
        "a whole number from 1 to 10000000000",
        _count(1, 10**10),
        50_000_000,
    ),
    "model.max_usd": Key(
        "how many dollars one run may spend, by `model.prices`; 0 is refused, not endless",
        f"a number above 0 and at most {MOST_DOLLARS}",
        _amount,
        20.0,
    ),
    **{
        "model.prices." + kind: Key(
            f"dollars for a million {what}", f"a number from 0 to {MOST_DOLLARS}", _price, default
        )
        for kind, what, default in (
            ("input", "tokens that the model reads", 3.0),
            ("output", "tokens that it writes", 15.0),
            ("cache_write", "tokens that go into the API's cache", 3.75),
            ("cache_read", "tokens that come out of it", 0.3),
        )
    },
    "sandbox.kind": Key(
        "what model and checks are shut into; none is nothing at all: they can then do what the pod's user can",
        "bubblewrap or none",
        _choice("bubblewrap", "none"),
        "bubblewrap",
    ),
    "sandbox.nix": Key(
        "whether `nix develop` works inside the sandbox: the pod evaluates and builds for it, without a network",
        "broker or none",
        _choice("broker", "none"),
        "broker",
    ),
    "sandbox.readable": Key(
        "more paths that the sandbox shows, read-only: a tool outside /usr and the Nix store",
        "a list of paths",
        _texts,
        (),
    ),
    "sandbox.disk": Key(
        "how much a run may write: worktree, home and temporary files together, beyond what was there",
        _BYTES,
        _size,
        8 << 30,
    ),
    "sandbox.processes": Key(
        "how many processes a run may have at once", "a whole number from 16 to 100000", _count(16, 100_000), 1024
    ),
    "nix.settings": Key(
        "settings of Nix for this pod, such as substituters, in the words of nix.conf",
        "a table of texts, numbers, booleans and lists of texts",
        _nix,
        {},
    ),
    "nix.inputs": Key(
        "where the inputs of a repository's flake may come from; they must be pinned in its flake.lock",
        "a list of texts such as `github:NixOS/nixpkgs`; `github:acme/*` is all of acme's",
        _texts,
        ("github:NixOS/nixpkgs",),
    ),
    "nix.starter": Key(
        "the folder with the flake.nix and flake.lock that a repository without any gets; empty is ours, on nixpkgs",
        _FILE,
        _text,
        "",
    ),
}
