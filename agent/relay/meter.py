"""Pure: what the Messages API's answers cost, and whether a run's budget is spent.

An answer is a JSON document or a stream of server-sent events. The counts of a stream are cumulative: `message_start`
has the input and a first count of the output, `message_delta` the last one. So of each count the greatest is taken;
adding them up would count twice.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
from msgspec import Struct

MOST_IN_ONE: Final = 10**12
"""No answer counts more than that of anything: a number beyond is an upstream's mistake."""
LONGEST_EVENT: Final = 1 << 20
"""Bytes of an event that is read; a longer one is passed over, since none that counts is that long."""
LONGEST_DOCUMENT: Final = 16 << 20
"""Bytes of a JSON answer that is read."""
_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
LONGEST_COUNT: Final = 1 << 16
"""Bytes of the part of an answer that holds its counts, or its error."""


class Usage(Struct, frozen=True, kw_only=True):
    """What a run has used so far.

    Attributes:
        turns: requests that the API took; what it turned down with an error is none.
        usd: by the prices that held when each answer came.
        refused: why the relay refused to go on; empty while the budget holds.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    turns: int = 0
    usd: float = 0.0
    refused: str = ""

    @property
    def read_tokens(self) -> int:
        """What went in, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def tokens(self) -> int:
        """All of them: read, written, and cached in either direction."""
        return self.read_tokens + self.output_tokens


class Prices(Struct, frozen=True, kw_only=True):
    """Dollars for a million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float


class Budget(Struct, frozen=True, kw_only=True):
    """What a run may use. 0 is nothing at all, never endless (incidents.md, I-46)."""

    tokens: int
    turns: int
    usd: float


def cost(seen: Usage, prices: Prices) -> float:
    """Dollars for the tokens of an answer."""
    return (
        seen.input_tokens * prices.input
        + seen.output_tokens * prices.output
        + seen.cache_read_tokens * prices.cache_read
        + seen.cache_write_tokens * prices.cache_write
    ) / 1e6


def after(before: Usage, answer: Usage, prices: Prices, factor: float = 1.0) -> Usage:
    """The usage with one more turn, whose answer counted this much, at so many times the price."""
    return Usage(
        input_tokens=before.input_tokens + answer.input_tokens,
        output_tokens=before.output_tokens + answer.output_tokens,
        cache_read_tokens=before.cache_read_tokens + answer.cache_read_tokens,
        cache_write_tokens=before.cache_write_tokens + answer.cache_write_tokens,
        turns=before.turns + 1,
        usd=before.usd + factor * cost(answer, prices),
    )


def exceeded(usage: Usage, budget: Budget) -> str:
    """Which part of the budget is spent, as a sentence without its full stop; empty if none is."""
    # Written so that a comparison with something that is no number counts as spent.
    if not usage.usd < budget.usd:
        return f"the run's budget of ${budget.usd:,.2f} is spent"
    if not usage.tokens < budget.tokens:
        return f"the run's budget of {_count(budget.tokens, 'token')} is spent"
    if not usage.turns < budget.turns:
        return f"the run's budget of {_count(budget.turns, 'turn')} is spent"
    return ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class _Part(Struct):
    """What counts of an answer or an event, undecoded: the rest of it never becomes objects."""

    type: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class Meter:
    """Reads one answer as it comes, in whatever pieces; nothing that arrives makes it raise.

    Attributes:
        begun: whether a message came, or a part of one.
        error: the type of the error that came instead, or in the middle: `overloaded_error`.
    """

    def __init__(self) -> None:
        self.begun = False
        self.error = ""
        self._counted = Usage()
        self._pieces = 0
        self._settled = False
        self._document: bool | None = None
        self._buffer = bytearray()
        self._searched = 0  # how much of the buffer holds no end of a line
        self._after_cr = False
        self._data: list[bytes] = []
        self._size = 0

    @property
    def seen(self) -> Usage:
        """The tokens that the answer has counted so far.

        Each piece of a stream holds a token at least. That is all one knows of one that breaks off before its last count.
        """
        if self._settled or self._pieces <= self._counted.output_tokens:
            return self._counted
        return msgspec.structs.replace(self._counted, output_tokens=self._pieces)

    def feed(self, chunk: bytes) -> None:
        """The next piece of the answer's body."""
        if self._document is None:
            chunk = chunk.lstrip()
            if not chunk:
                return
            self._document = chunk.startswith(b"{")
        if not self._document:
            self._stream(chunk)
        elif len(self._buffer) <= LONGEST_DOCUMENT:
            self._buffer += chunk

    def close(self) -> None:
        """The body is over, or broken off: what is left over counts too."""
        left = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        if self._document:
            self._message(left)
        else:
            self._line(left)
            self._line(b"")

    def _stream(self, chunk: bytes) -> None:
        if self._after_cr and chunk.startswith(
            b"\n"
        ):  # lines end in CR LF, LF or CR, and a pair may come in two pieces
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        self._buffer += chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            self._line(bytes(self._buffer[start:end]))
            start = end + 1
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if self._searched > LONGEST_EVENT:
            self._buffer[:] = b":"  # the rest of a line that is past reading becomes a comment
            self._searched, self._size = 1, LONGEST_EVENT + 1

    def _line(self, line: bytes) -> None:
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._size += len(value) + 1
                if self._size <= LONGEST_EVENT:
                    self._data.append(value)
                else:
                    self._data.clear()
        else:
            data, self._data, self._size = self._data, [], 0
            if data:
                self._event(_part(b"\n".join(data)))

    def _event(self, event: _Part) -> None:
        kind = _value(event.type)
        if kind == "message_start":
            self.begun = True
            self._count(_table(_part(event.message).usage))
        elif kind == "content_block_delta":
            self.begun = True
            self._pieces += 1
        elif kind == "message_delta":
            self.begun = True
            usage = _table(event.usage)
            self._settled = self._settled or _number(usage, "output_tokens") > 0
            self._count(usage)
        elif kind == "error":
            self._fail(event)

    def _message(self, raw: bytes) -> None:
        document = _part(raw)
        if _value(document.type) == "error":
            self._fail(document)
        elif bytes(document.usage):
            self.begun = True
            self._count(_table(document.usage))

    def _fail(self, event: _Part) -> None:
        kind = _table(event.error).get("type")
        self.error = kind if isinstance(kind, str) and kind else "error"

    def _count(self, usage: dict[str, Any]) -> None:
        """The greater of what it says in all and of what its parts add up to: a part may be in no sum (a compaction)."""
        self._greatest(usage)
        parts = usage.get("iterations")
        listed = [one for one in parts if isinstance(one, dict)] if isinstance(parts, list) else []
        self._greatest({key: sum(_number(one, key) for one in listed) for key in _COUNTS})

    def _greatest(self, usage: dict[str, Any]) -> None:
        before = self._counted
        self._counted = Usage(
            input_tokens=max(before.input_tokens, _number(usage, "input_tokens")),
            output_tokens=max(before.output_tokens, _number(usage, "output_tokens")),
            cache_read_tokens=max(before.cache_read_tokens, _number(usage, "cache_read_input_tokens")),
            cache_write_tokens=max(before.cache_write_tokens, _number(usage, "cache_creation_input_tokens")),
        )


def _part(raw: bytes | msgspec.Raw) -> _Part:
    try:
        return msgspec.json.decode(raw, type=_Part)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Part()


def _value(raw: msgspec.Raw) -> Any:
    if len(bytes(raw)) > LONGEST_COUNT:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _table(raw: msgspec.Raw) -> dict[str, Any]:
    found = _value(raw)
    return found if isinstance(found, dict) else {}


def _number(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return 0
    return math.ceil(min(value, MOST_IN_ONE))
