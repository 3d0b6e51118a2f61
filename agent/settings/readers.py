"""What a TOML value means: one in, ours out, or `Unfit`. Pure; `agent.settings.keys` says which setting is read by which."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from agent.texts.branches import malformed
from agent.texts.claim_token import is_pod_name, parse_duration

LONGEST_S: Final = 30 * 24 * 3600
MOST_TRIES: Final = 20
MOST_DOLLARS: Final = 100_000


class Unfit(Exception):
    """The value is not among the allowed ones; the text, if any, says more."""


_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_HTTP: Final = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_PASSWORD: Final = re.compile(r"\w+://[^/@\s]*:[^/@\s]*@")
_NIX_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")


def read_text(value: object) -> str:
    """One line without control characters or blanks around it."""
    if not isinstance(value, str) or _PLAIN.fullmatch(value) is None or value != value.strip():
        raise Unfit
    return value


def read_name(value: object) -> str:
    """A display name, or an id as digits."""
    return str(read_count(1, 10**12)(value)) if isinstance(value, int) else read_text(value)


def read_names(value: object) -> tuple[str, ...]:
    """A list of these, empty or not."""
    if not isinstance(value, list):
        raise Unfit
    return tuple(read_name(one) for one in value)


def read_some_names(value: object) -> tuple[str, ...]:
    """A list of at least one."""
    names = read_names(value)
    if not names:
        raise Unfit
    return names


def read_argv(value: object) -> tuple[str, ...]:
    """A program and its arguments."""
    if not isinstance(value, list) or not value or any(not isinstance(word, str) or "\0" in word for word in value):
        raise Unfit
    return (read_text(value[0]), *value[1:])


def read_pod(value: object) -> str:
    """The name of a pod."""
    if not is_pod_name(read_text(value)):
        raise Unfit
    return read_text(value)


def read_http(value: object) -> str:
    """An address for HTTP, without a slash at its end."""
    if _HTTP.fullmatch(read_text(value)) is None:
        raise Unfit
    return read_text(value).rstrip("/")


def read_git(value: object) -> str:
    """An address for git; never an option, a helper or a password."""
    address = read_text(value)
    if _PASSWORD.match(address):
        raise Unfit("it holds a password, which belongs into `token_file`")
    if address.startswith(("-", "ext::")) or " " in address:
        raise Unfit
    return address


def read_ref(value: object) -> str:
    """A branch name."""
    if malformed(read_text(value)):
        raise Unfit
    return read_text(value)


def read_duration(value: object) -> int:
    """Seconds, from a duration or a number."""
    seconds = parse_duration(value) if isinstance(value, str) else value
    return read_count(1, LONGEST_S)(seconds)


def read_count(low: int, high: int) -> Callable[[object], int]:
    """A whole number within bounds."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Unfit
        return value

    return read


def read_choice(*allowed: str) -> Callable[[object], str]:
    """One of these words."""

    def read(value: object) -> str:
        if value not in allowed:
            raise Unfit
        return str(value)

    return read


_SIZE: Final = re.compile(r"(\d+) ?([KMGT])iB")


def read_size(value: object) -> int:
    """Bytes, from a size or a number."""
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        value = int(found[1]) << 10 * ("KMGT".index(found[2]) + 1)
    return read_count(1 << 20, 1 << 50)(value)


def read_amount(value: object) -> float:
    """Dollars, above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_DOLLARS:
        raise Unfit
    return float(value)


def read_price(value: object) -> float:
    """Dollars for a million tokens; some are free."""
    return 0.0 if value == 0 and not isinstance(value, bool) else read_amount(value)


def read_inner_paths(value: object) -> tuple[str, ...]:
    """Paths that stay inside the repository."""
    paths = read_texts(value)
    for path in paths:
        if path.startswith("/") or ".." in path.split("/"):
            raise Unfit(f"`{path}` leads out of the repository")
    return paths


def read_guarded(value: object) -> tuple[str, ...]:
    """The same; what would match nothing, since it is of another language of patterns, is refused: it guards nothing."""
    paths = read_inner_paths(value)
    for path in paths:
        parts = path.removesuffix("/").split("/")
        if any(part in ("", ".") or ("**" in part and part != "**") for part in parts) or set(path) & set("?[]{}!\\"):
            raise Unfit(f"`{path}` matches nothing: `*` is any characters of a name and `**`, alone, any folders")
    return paths


_ALIASES: Final = ("best", "default", "haiku", "opus", "opusplan", "sonnet")
"""What Claude Code understands, and moves to another model one day; the relay lets only the one that was named through."""


def read_model(value: object) -> str:
    """The full name of a model."""
    if (name := read_text(value)).partition("[")[0] in _ALIASES:
        raise Unfit(f"`{name}` is an alias")
    return name


def read_texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise Unfit
    return tuple(read_text(one) for one in value)


def read_nix(value: object) -> Mapping[str, str]:
    """Settings of Nix, each as its configuration writes it."""
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
    return "" if value == "" else read_text(value)
