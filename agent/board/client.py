"""The board's client: OpenProject API v3 over httpx (reference: openproject-api.md).

Reads are repeated within a bound when the board is busy or silent; writes never are, but for 429, because only the
protocol knows whether a repetition is safe. Every answer to a write is checked for what was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Self

import httpx
import tenacity
from loguru import logger

from agent.board import forms, query, wire
from agent.board.query import Filter
from agent.board.wire import Fields, Malformed
from agent.clock import Clock, Randomness
from agent.errors import BoardError, ConfigurationError, Conflict, Ignored, NotFound, Refused, Unreachable
from agent.model import Activity, Changes, Draft, Named, Principal, Project, Relation, Row, Status, WorkPackage

BY_ID: Final = (("id", "asc"),)
"""The order of a list that is read whole."""

ATTEMPTS: Final = 4
"""How often a read is sent before the board counts as unreachable."""

LONGEST_WAIT: Final = 60.0
"""Seconds. Whoever is asked to come back later than that (`Retry-After`) does not wait within one request."""

PAGE: Final = 1000
"""Rows asked for at once; the board may clamp it (reference, section 1.6)."""

MOST_PAGES: Final = 10_000
"""Pages of one list. A board that shows new ids for ever would keep a pod for ever."""

LONGEST_ANSWER: Final = 180.0
"""Seconds for one request in all: each byte of a slow answer starts the network's own time-outs again."""

LARGEST_ANSWER: Final = 256 << 20
"""Bytes of one answer, unpacked. A hundred descriptions of 1 MB with their HTML fit."""

FULL_PAGE: Final = 100
"""Full work packages asked for at once: each costs the server 5 ms and more."""

_PATIENCE: Final = httpx.Timeout(60.0, connect=10.0)
_BUSY: Final = frozenset({408, 425, 429})
"""Besides all of 5xx."""
_ROW: Final = ",".join(
    ["total", "pageSize"]
    + [f"elements/{one}" for one in ("id", "subject", "project", "type", "status", "assignee", "dueDate", "date")]
)


class _Busy(Unreachable):
    """An answer that invites a repetition; `retry_after` in seconds, None where the board did not say."""

    retry_after: float | None = None


class _Network(httpx.AsyncBaseTransport):
    """The real one. Certificates are loaded with the first https address, which takes longer than an idle pass else."""

    def __init__(self) -> None:
        self._secured: httpx.AsyncHTTPTransport | None = None
        self._plain = httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        if request.url.scheme == "http":
            return await self._plain.handle_async_request(request)
        if self._secured is None:
            self._secured = httpx.AsyncHTTPTransport()
        return await self._secured.handle_async_request(request)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._plain.aclose()
        if self._secured is not None:
            await self._secured.aclose()


class Board:
    """One account's view of the board.

    Args:
        url: where OpenProject lives, with its sub-path if any; a trailing `/api/v3` is understood.
        token: the account's API token.
        transport: the network, replaceable at its lowest edge.
        clock: for pauses and for the durations in the log.
        randomness: for jitter.

    Raises:
        ConfigurationError: the url is none.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/api/v3").rstrip("/")
        self.fields = Fields()
        self._clock = clock
        self._randomness = randomness
        try:
            address = httpx.URL(f"{self.url}/api/v3/")
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"board.url is no address of a board: {error}") from error
        self._client = httpx.AsyncClient(
            base_url=address,
            auth=httpx.BasicAuth("apikey", token),
            headers={"Accept": "application/hal+json, application/json"},
            timeout=_PATIENCE,
            follow_redirects=True,
            transport=transport or _Network(),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        """The client, closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    # -- work packages ---------------------------------------------------------------------------------------------

    async def work_package(self, number: int, purpose: str) -> WorkPackage:
        """A work package in full.

        Raises:
            NotFound: it is gone, or this account may not see it.
        """
        document = await self._read(f"work_packages/{number}", purpose)
        return wire.work_package(document, self.fields)

    async def work_packages(
        self, filters: Iterable[Filter | None], purpose: str, *, size: int = FULL_PAGE
    ) -> list[WorkPackage]:
        """Every match in full: dear, so only for what is about to be touched."""
        parameters = _list(filters, BY_ID)
        found = []
        async for page in self._pages("work_packages", parameters, purpose, size):
            found += [wire.work_package(one, self.fields) for one in page]
        return found

    async def rows(
        self,
        filters: Iterable[Filter | None],
        purpose: str,
        *,
        sort: Sequence[tuple[str, str]] = BY_ID,
        first_page: bool = False,
    ) -> list[Row]:
        """Every match as a row, or those of the first page."""
        found: dict[int, Row] = {}
        async for page in self.row_pages(filters, purpose, sort=sort):
            found |= {one.id: one for one in page}
            if first_page:
                break
        return list(found.values())

    async def row_pages(
        self, filters: Iterable[Filter | None], purpose: str, *, sort: Sequence[tuple[str, str]] = BY_ID
    ) -> AsyncIterator[list[Row]]:
        """The matches as rows, page by page; a page is asked for when the one before it did not do."""
        parameters = _list(filters, sort) | {"select": _ROW}
        async for page in self._pages("work_packages", parameters, purpose, PAGE):
            yield [wire.row(one) for one in page]

    async def rows_of(self, numbers: Iterable[int], purpose: str) -> list[Row]:
        """These work packages as rows; in as many requests as a query string has room for.

        Raises:
            Refused: one of them is gone (reference, section 2.3).
        """
        found = []
        for some in query.portions(numbers):
            found += await self.rows([query.one_of("id", some)], purpose)
        return found

    async def sample(self, filters: Iterable[Filter | None], limit: int, purpose: str) -> tuple[int, list[Row]]:
        """How many match, and the first of them by id: one request whatever their number."""
        parameters = _list(filters, BY_ID) | {"select": _ROW, "pageSize": str(limit)}
        page = wire.page(await self._read("work_packages", purpose, parameters))
        return page.total, [wire.row(one) for one in page.elements]

    async def count(self, filters: Iterable[Filter | None], purpose: str) -> int:
        """How many match."""
        parameters = {"filters": query.encode(filters), "pageSize": "0", "select": "total"}
        document = await self._read("work_packages", purpose, parameters)
        return wire.total(document)

    async def groups(self, filters: Iterable[Filter | None], by: str, purpose: str) -> dict[str, int]:
        """How many match for each value of a property: its id where it has one, else its text; "" is empty."""
        parameters = {"filters": query.encode(filters), "pageSize": "0", "groupBy": by}
        return wire.groups(await self._read("work_packages", purpose, parameters))

    async def patch(self, item: WorkPackage, wanted: Changes, purpose: str, *, notify: bool = False) -> WorkPackage:
        """Compare-and-swap on the lockVersion that `item` was read with.

        Raises:
            Conflict: the work package, or an ancestor of it, changed meanwhile.
            Unreachable: nobody knows whether it happened: read it again.
            Refused: the workflow or a permission forbids it.
            Ignored: part of it was dropped in silence; the rest was written.
        """
        body = wire.changes(wanted, item.lock_version, self.fields)
        with _unsettled(purpose):
            document = await self._write("PATCH", f"work_packages/{item.id}", body, purpose, notify=notify)
            answer = wire.work_package(document, self.fields)
        missing = wire.dropped(wanted, answer)
        if missing:
            raise Ignored(
                f"The board answered the change of #{item.id} with success but did not write: {', '.join(missing)}. "
                "Is the field on this type?"
            )
        return answer

    async def create(self, draft: Draft, purpose: str, *, notify: bool) -> WorkPackage:
        """A new work package. Not safe to repeat: look for it first."""
        with _unsettled(purpose):
            document = await self._write("POST", "work_packages", wire.creation(draft), purpose, notify=notify)
            return wire.work_package(document, self.fields)

    async def allowed_statuses(self, item: WorkPackage, purpose: str) -> tuple[int, ...]:
        """The statuses that the workflow offers this account, the present one included. Costs a form: no hot path."""
        body = {"lockVersion": item.lock_version}
        return forms.allowed_statuses(await self._write("POST", f"work_packages/{item.id}/form", body, purpose))

    async def creation_refusals(self, draft: Draft, purpose: str) -> dict[str, str]:
        """Why a creation would be refused, by property; nothing is created.

        Raises:
            Refused: this account may create nothing in the project.
        """
        path = f"projects/{draft.project}/work_packages/form"
        return forms.refusals(await self._write("POST", path, wire.creation(draft), purpose))

    async def abilities(self, number: int, purpose: str) -> frozenset[str]:
        """What this account may do to a work package: the names of its links."""
        return forms.abilities(await self._read(f"work_packages/{number}", purpose))

    # -- what people read ------------------------------------------------------------------------------------------

    async def activities(self, number: int, purpose: str) -> list[Activity]:
        """The whole journal of a work package, oldest first; never paged by the board."""
        return [wire.activity(one) for one in await self._all(f"work_packages/{number}/activities", purpose)]

    async def comment(self, number: int, text: str, purpose: str, *, notify: bool = False) -> None:
        """A comment. Not safe to repeat: look for its marker first."""
        body = {"comment": {"raw": text}}
        with _unsettled(purpose):
            await self._write("POST", f"work_packages/{number}/activities", body, purpose, notify=notify)

    async def relations(self, numbers: Iterable[int], purpose: str) -> list[Relation]:
        """All relations in which one of these takes part; ids that do not exist are passed over by the board."""
        found: dict[int, Relation] = {}
        for some in query.portions(numbers):
            parameters = {"filters": query.encode([query.one_of("involved", some)])}
            async for page in self._pages("relations", parameters, purpose, PAGE):
                found |= {one.id: one for one in map(wire.relation, page)}
        return [found[number] for number in sorted(found)]

    # -- discovery -------------------------------------------------------------------------------------------------

    async def me(self) -> Principal:
        """Whom the token belongs to.

        Raises:
            Refused: nobody, or the anonymous user.
        """
        document = await self._read("users/me", "who am I")
        if wire.is_anonymous(document):
            raise Refused(f"{self.url} takes the token for nobody's: set another one", status=401)
        return wire.principal(document)

    async def statuses(self) -> list[Status]:
        """Every status."""
        return [wire.status(one) for one in await self._all("statuses", "statuses")]

    async def types(self) -> list[Named]:
        """Every type of the board."""
        return [wire.named(one) for one in await self._all("types", "types")]

    async def priorities(self) -> tuple[Named, ...]:
        """Every priority, most urgent first."""
        return wire.priorities(await self._all("priorities", "priorities"))

    async def project(self, identifier: str) -> Project:
        """A project by identifier or id."""
        return wire.project(await self._read(f"projects/{identifier}", f"project {identifier}"))

    async def project_types(self, project: int) -> list[Named]:
        """The types switched on in a project."""
        return [wire.named(one) for one in await self._all(f"projects/{project}/types", "types of a project")]

    async def assignable(self, project: int) -> list[Principal]:
        """Whom work in a project can be assigned to."""
        path = f"projects/{project}/available_assignees"
        return [wire.principal(one) for one in await self._all(path, "possible assignees")]

    async def members(self, project: int) -> list[Principal]:
        """The users who are members of a project."""
        listed = query.encode([query.one_of("member", [project]), query.one_of("type", ["User"])])
        pages = self._pages("principals", {"filters": listed}, "members", PAGE)
        return [wire.principal(one) async for page in pages for one in page]

    async def schema_fields(self, pairs: Iterable[tuple[int, int]], names: Fields) -> dict[tuple[int, int], Fields]:
        """Under which keys each pair of project and type keeps the fleet's fields; missing pairs have none."""
        listed = query.encode([query.one_of("id", [f"{project}-{kind}" for project, kind in pairs])])
        elements = await self._all("work_packages/schemas", "where the fleet's fields are", {"filters": listed})
        found = [wire.schema_fields(one, names) for one in elements]
        return {(project, kind): fields for project, kind, fields in found}

    # -- transport -------------------------------------------------------------------------------------------------

    async def _all(self, path: str, purpose: str, parameters: dict[str, str] | None = None) -> tuple[Any, ...]:
        """A collection that the board does not page; should one do it all the same, nothing is cut off."""
        page = wire.page(await self._read(path, purpose, parameters))
        if page.total <= len(page.elements):
            return page.elements
        return tuple([one async for page in self._pages(path, parameters or {}, purpose, PAGE) for one in page])

    async def _pages(self, path: str, parameters: dict[str, str], purpose: str, size: int) -> AsyncIterator[list[Any]]:
        """The elements of one page after the other.

        `offset` is a page number and the size is clamped in silence, so only the total and an empty page end it. A page
        without new ids would go on for ever and is an error: a part is never taken for the whole (reference, 1.6).
        """
        seen: set[Any] = set()
        number = 1
        while True:
            wanted = parameters | {"offset": str(number), "pageSize": str(size)}
            page = wire.page(await self._read(path, purpose, wanted))
            fresh = [one for one in page.elements if wire.identity(one) not in seen]
            seen |= {wire.identity(one) for one in fresh}
            yield fresh
            if not page.elements or len(seen) >= page.total:
                return
            if not fresh:
                raise Malformed(f"The board repeats a page ({purpose}): {len(seen)} of {page.total} were shown")
            number += 1
            if number > MOST_PAGES:
                raise Malformed(f"The board's list has no end ({purpose}): {len(seen)} were shown")

    async def _read(self, path: str, purpose: str, parameters: dict[str, str] | None = None) -> Any:
        target = f"{path}?{query.query_string(parameters)}" if parameters else path
        return await self._repeated(partial(self._send, "GET", target, None, purpose), lambda _: True)

    async def _write(self, method: str, path: str, body: Any, purpose: str, *, notify: bool | None = None) -> Any:
        target = path if notify is None else f"{path}?notify={'true' if notify else 'false'}"
        return await self._repeated(partial(self._send, method, target, body, purpose), _turned_away)

    async def _repeated(self, send: Callable[[], Awaitable[Any]], again: Callable[[_Busy], bool]) -> Any:
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, _Busy) and (error.retry_after or 0) <= LONGEST_WAIT and again(error)
            ),
            wait=self._pause,
            sleep=self._clock.sleep,
            reraise=True,
        )
        return await retrying(send)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _Busy) else None
        if asked is not None:
            return asked + self._randomness.uniform(0.0, 0.5)
        return self._randomness.uniform(0.0, min(LONGEST_WAIT, 0.5 * 2.0**state.attempt_number))

    async def _send(self, method: str, target: str, body: Any, purpose: str) -> Any:
        content = None if body is None else wire.dump(body)
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(LONGEST_ANSWER):
                answer, content = await self._exchange(method, target, content, purpose)
        except httpx.TooManyRedirects as error:
            raise Unreachable(f"The board at {self.url} redirects in a circle ({purpose})") from error
        except (httpx.InvalidURL, UnicodeError) as error:  # the latter is a host name that a redirect leads to
            raise BoardError(f"The board cannot be asked ({purpose}): {error}") from error
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            logger.debug("board {} {} for {}: {!r}", method, target.partition("?")[0], purpose, error)
            raise _Busy(f"The board at {self.url} did not answer ({purpose}): {_word(error)}") from error
        took = 1000 * (self._clock.monotonic() - started)
        logger.debug(
            "board {} {} for {}: {} in {:.0f} ms", method, target.partition("?")[0], purpose, answer.status_code, took
        )
        if answer.request.method != method:
            raise Refused(
                f"{self.url} redirects to {answer.url.copy_with(query=None)}, which loses what was to be written "
                f"({purpose}): set the address of the board itself",
                status=answer.history[0].status_code,
            )
        if answer.is_success:
            return wire.parse(content) if content else None
        raise self._error(answer, content, purpose)

    async def _exchange(
        self, method: str, target: str, content: bytes | None, purpose: str
    ) -> tuple[httpx.Response, bytes]:
        """The answer with its whole body, within bounds."""
        headers = {"Content-Type": "application/json"}
        body = bytearray()
        async with self._client.stream(method, target, content=content, headers=headers) as answer:
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > LARGEST_ANSWER:
                    raise Malformed(f"The board's answer is larger than {LARGEST_ANSWER >> 20} MiB ({purpose})")
        return answer, bytes(body)

    def _error(self, answer: httpx.Response, content: bytes, purpose: str) -> BoardError:
        message, identifier, attribute = wire.error(content)
        code = answer.status_code
        words = f"The board answered {code} to “{purpose}”: {message or answer.reason_phrase or 'no words'}"
        kind = {404: NotFound, 409: Conflict}.get(code, Refused)
        if answer.is_server_error or code in _BUSY:
            busy = _Busy(words, status=code, identifier=identifier, attribute=attribute)
            busy.retry_after = _retry_after(answer.headers.get("Retry-After", ""))
            return busy
        return kind(words, status=code, identifier=identifier, attribute=attribute)


def _list(filters: Iterable[Filter | None], sort: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters of an ordered list."""
    return {"filters": query.encode(filters), "sortBy": wire.text(sort)}


@contextlib.contextmanager
def _unsettled(purpose: str) -> Iterator[None]:
    """An answer to a write that cannot be read is none: it may have happened all the same."""
    try:
        yield
    except Malformed as error:
        raise Unreachable(f"The board's answer to “{purpose}” settles nothing: {error}") from error


def _turned_away(error: _Busy) -> bool:
    """429 means that nothing was done: the one case in which a write may be repeated blindly."""
    return error.status == httpx.codes.TOO_MANY_REQUESTS


def _retry_after(header: str) -> float | None:
    """Seconds; the date form is passed over, since a board without a clock of its own cannot mean it well."""
    return float(header) if header.isascii() and header.isdigit() else None


def _word(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
