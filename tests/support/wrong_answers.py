"""Every way in which a board's answer can be wrong: the good answers are recorded, and spoilt as hypothesis likes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import httpx
from hypothesis import strategies as st
from msgspec import Struct

from support.pods import read_whole

MOST_REQUESTS: Final = 200
"""Whoever asks more often in one call goes on for ever."""

TEXTS: Final = st.sampled_from(
    ["", "x", "1", "\0", "é\n\u202e🦀", "null", "/api/v3/statuses/7", "2026-13-45", "/api/v3/users/" + "9" * 5000]
)
PLAIN: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.sampled_from([0.5, -1.0, 1e300])
    | TEXTS
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
ANY: Final = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("href"), inner, max_size=3),
    max_leaves=5,
)
WALK: Final = st.lists(st.integers(0, 30), min_size=1, max_size=8)
"""Which way one goes down a document, modulo what is there."""

STATUSES: Final = st.sampled_from(
    [
        *(201, 203, 204, 205, 206, 299, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408),
        *(409, 410, 411, 412, 413, 418, 422, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 511, 520, 599, 600, 999),
    ]
)  # fmt: skip
HEADERS: Final = st.sampled_from(
    [
        *(("content-type", one) for one in ("", "text/html", "image/png", "application/json; charset=klingon", "x" * 9999)),
        *(("content-encoding", one) for one in ("gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "rot13")),
        *(("retry-after", one) for one in ("", "0", "1", "59", "-1", "1e9", "NaN", "9" * 400, "Wed, 21 Oct 2026 07:28:00 GMT")),
        *(("set-cookie", one) for one in ("", "=;;;", "a=b; expires=never; domain=\xff", "a" * 9999)),
        *(("content-length", one) for one in ("-1", "0", "x", "99999999999999999999")),
        ("link", "<<<>>>;;;"),
    ]
)  # fmt: skip
LOCATIONS: Final = st.sampled_from(
    [
        *("", "/", "//", "http://", "http://[", "http://[::1", "https://elsewhere.example/", "ftp://x/", "javascript:alert(1)"),
        *("?", "#", "http://a:b@c:999999/", "http://xn--/", "/api/v3/" + "x" * 70_000, "\x7f", "é", "mailto:x", "../../.."),
    ]
)  # fmt: skip
BREAKS: Final = st.sampled_from(
    [
        *(httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout, httpx.ReadError),
        *(httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError, httpx.LocalProtocolError, httpx.ProxyError),
        *(httpx.UnsupportedProtocol, httpx.DecodingError, httpx.TooManyRedirects),
    ]
)  # fmt: skip


_NUMBER: Final = re.compile(rb"(?<=:)-?[0-9]+(?=[,}])")


class Answer(Struct, frozen=True):
    """What the board sends back. With `breaks` the connection ends so, before or (`late`) within the body."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/hal+json; charset=utf-8"),)
    body: bytes = b""
    breaks: type[httpx.RequestError] | None = None
    late: bool = False


Spoil = Callable[[Answer], Answer]


def _changed(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    """With another document; what is none stays as it is."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return answer
    return _with(answer, body=json.dumps(change(document)).encode())


def _with(answer: Answer, **more: Any) -> Answer:
    kept = {name: getattr(answer, name) for name in Answer.__struct_fields__}
    return Answer(**{**kept, **more})


def _walked(document: Any, walk: Sequence[int], change: Callable[[Any, Any], None]) -> Any:
    """The document, changed where the walk ends."""
    place = document
    for number, step in enumerate(walk):
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return document
        key = keys[step % len(keys)]
        if number + 1 < len(walk) and isinstance(place[key], dict | list) and place[key]:
            place = place[key]
            continue
        change(place, key)
        break
    return document


def _replaced(walk: Sequence[int], value: Any) -> Spoil:
    def put(place: Any, key: Any) -> None:
        place[key] = value

    return lambda answer: _changed(answer, lambda one: _walked(one, walk, put) if isinstance(one, dict | list) else one)


def _dropped(walk: Sequence[int]) -> Spoil:
    def drop(place: Any, key: Any) -> None:
        del place[key]

    return lambda answer: _changed(
        answer, lambda one: _walked(one, walk, drop) if isinstance(one, dict | list) else one
    )


def _turned(walk: Sequence[int]) -> Spoil:
    """An array where an object was, and the other way round."""

    def turn(place: Any, key: Any) -> None:
        value = place[key]
        place[key] = dict(enumerate(value)) if isinstance(value, list) else [value]

    return lambda answer: _changed(
        answer, lambda one: _walked(one, walk, turn) if isinstance(one, dict | list) else one
    )


def _nested(opening: bytes, depth: int) -> Spoil:
    return lambda answer: _with(answer, body=opening * depth)


def _numbered(which: int, number: bytes) -> Spoil:
    """Another number, as JSON spells it or nearly so."""

    def spoil(answer: Answer) -> Answer:
        found = list(_NUMBER.finditer(answer.body))
        if not found:
            return answer
        start, end = found[which % len(found)].span()
        return _with(answer, body=answer.body[:start] + number + answer.body[end:])

    return spoil


def _huge(walk: Sequence[int], size: int) -> Spoil:
    return _replaced(walk, "ж" * size)


SPOILS: Final[st.SearchStrategy[Spoil]] = st.one_of(
    st.builds(_replaced, WALK, ANY),
    st.builds(_replaced, WALK, ANY),
    st.builds(
        _numbered,
        st.integers(0, 200),
        st.sampled_from([b"9" * 5000, b"1e400", b"-1", b"0", b"1.5", b"1e2", b"NaN", b"01", b"18446744073709551616"]),
    ),
    st.builds(_dropped, WALK),
    st.builds(_turned, WALK),
    st.builds(_nested, st.sampled_from([b"[", b'{"_links":', b'{"_embedded":{"elements":[', b'"']), st.integers(1, 20_000)),
    st.builds(_huge, WALK, st.sampled_from([10_000, 1_000_000])),
    ANY.map(lambda value: lambda answer: _with(answer, body=json.dumps(value).encode())),
    st.binary(max_size=60).map(lambda body: lambda answer: _with(answer, body=body)),
    st.floats(0, 1).map(lambda part: lambda answer: _with(answer, body=answer.body[: int(len(answer.body) * part)])),
    STATUSES.map(lambda status: lambda answer: _with(answer, status=status)),
    STATUSES.map(lambda status: lambda answer: _with(answer, status=status, body=b"")),
    HEADERS.map(lambda header: lambda answer: _with(answer, headers=(*answer.headers, header))),
    st.builds(lambda status, header: lambda answer: _with(answer, status=status, headers=(*answer.headers, header)), STATUSES, HEADERS),
    st.builds(
        lambda status, place: lambda answer: _with(answer, status=status, headers=(("location", place),)),
        st.sampled_from([301, 302, 303, 307, 308]),
        LOCATIONS,
    ),
    st.builds(lambda kind, late: lambda answer: _with(answer, breaks=kind, late=late), BREAKS, st.booleans()),
)  # fmt: skip


NO_ANSWER: Final[st.SearchStrategy[Spoil]] = st.one_of(
    st.sampled_from([203, 206, 300, 408, 425, 429, 500, 502, 503, 504, 520, 599]).map(
        lambda status: lambda answer: _with(answer, status=status, body=b"<html>")
    ),
    st.binary(min_size=1, max_size=30).map(lambda body: lambda answer: _with(answer, body=b"{" + body)),
    st.floats(0.01, 0.99).map(lambda part: lambda answer: _with(answer, body=answer.body[: int(len(answer.body) * part)] or b"{")),
    st.builds(_nested, st.sampled_from([b"[", b'{"_links":']), st.integers(1, 5_000)),
    st.builds(lambda kind, late: lambda answer: _with(answer, breaks=kind, late=late), BREAKS, st.booleans()),
    st.sampled_from(["http://xn--/", "http://["]).map(
        lambda place: lambda answer: _with(answer, status=302, headers=(("location", place),))
    ),
)  # fmt: skip
"""What nobody can take for an answer; what is believed and false (a ticket that is said to be gone) is another matter."""


class Wrong(httpx.AsyncBaseTransport):
    """A board that answers with these, one after the other, the last one again and again, each spoilt if it is its turn.

    Args:
        good: the answers of a board that is well.
        spoils: what happens to the first, second, … answer; None leaves it whole. The last goes on.
    """

    def __init__(self, good: Sequence[Answer], spoils: Sequence[Spoil | None]) -> None:
        self.asked = 0
        self._good = good
        self._spoils = spoils

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number, self.asked = self.asked, self.asked + 1
        assert self.asked <= MOST_REQUESTS, "the client asks without end"
        answer = self._good[min(number, len(self._good) - 1)]
        spoil = self._spoils[min(number, len(self._spoils) - 1)]
        return respond(spoil(answer) if spoil is not None else answer, request)


def respond(answer: Answer, request: httpx.Request) -> httpx.Response:
    """The answer as httpx has it from the network."""
    if answer.breaks is not None and not answer.late:
        raise answer.breaks("broken", request=request)
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
    return httpx.Response(answer.status, headers=headers, stream=_Stream(answer, request), request=request)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, answer: Answer, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._answer.body
        half = len(body) // 2
        yield body[:half]
        if self._answer.breaks is not None:
            raise self._answer.breaks("broken within", request=self._request)
        yield body[half:]


class Recorder(httpx.AsyncBaseTransport):
    """The network, with a record of the answers."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self.heard: list[Answer] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await read_whole(await self._inner.handle_async_request(request))
        body = await answer.aread()
        headers = tuple((name, value) for name, value in answer.headers.items() if name == "content-type")
        self.heard.append(Answer(answer.status_code, headers, body))
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class Spoiling(httpx.AsyncBaseTransport):
    """A board that is well behind a network that is not: what was asked has happened, and the answer is spoilt.

    Args:
        spoils: what happens to the first, second, … answer; the rest arrive as they are.
    """

    def __init__(self, spoils: Sequence[Spoil | None]) -> None:
        self.spoilt = 0
        self._inner = Recorder()
        self._spoils = list(spoils)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        spoil = self._spoils.pop(0) if self._spoils else None
        if spoil is None:
            return answer
        self.spoilt += 1
        return respond(spoil(self._inner.heard[-1]), request)

    async def aclose(self) -> None:
        await self._inner.aclose()
