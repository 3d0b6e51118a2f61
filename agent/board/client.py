"""The board's client: OpenProject API v3, a verb for each thing that is asked (reference: openproject-api.md).

Every answer to a write is checked for what was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final, Self

import httpx
from loguru import logger

from agent.board import forms, query, wire
from agent.board.allowance import Allowance
from agent.board.exchange import Exchange
from agent.board.query import Filter
from agent.board.wire import Fields, Malformed
from agent.clock import Clock, Randomness
from agent.errors import Ignored, NotFound, Refused, TooLarge, Unreachable
from agent.model import (
    Activity,
    BoardText,
    Changes,
    Draft,
    Named,
    Principal,
    Project,
    Relation,
    Row,
    Status,
    WorkPackage,
)

BY_ID: Final = (("id", "asc"),)
"""The order of a list that is read whole."""

PAGE: Final = 1000
"""Rows asked for at once; the board may clamp it (reference, section 1.6)."""

MOST_PAGES: Final = 10_000
"""Pages of one list. A board that shows new ids for ever would keep a pod for ever."""

MOST_SHOWN: Final = 500_000
"""Elements of one list: their ids are kept, even where nothing else of them is."""

AT_ONCE: Final = 5_000
"""Entries of a journal with their changes that are made into values before the loop has a turn: some ten milliseconds."""

FULL_PAGE: Final = 100
"""Full work packages asked for at once: each costs the server 5 ms and more."""

"""Besides all of 5xx."""
_ROW: Final = ",".join(
    ["total", "pageSize"]
    + [f"elements/{one}" for one in ("id", "subject", "project", "type", "status", "assignee", "dueDate", "date")]
)


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
        self._api = Exchange(self.url, token, transport=transport, clock=clock, randomness=randomness)

    async def __aenter__(self) -> Self:
        """The client, closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()

    # -- work packages ---------------------------------------------------------------------------------------------

    async def work_package(self, number: int, purpose: str) -> WorkPackage:
        """A work package in full.

        Raises:
            NotFound: it is gone, or this account may not see it.
        """
        document = await self._api.read(f"work_packages/{number}", purpose)
        return wire.work_package(document, self.fields)

    async def work_packages(
        self, filters: Iterable[Filter | None], purpose: str, *, size: int = FULL_PAGE
    ) -> list[WorkPackage]:
        """Every match in full: dear, so only for what is about to be touched.

        Where their texts are too long together they are read one by one, and what is too long alone, or for what is left
        of the allowance, is left out: a caller that must know of each looks which came.
        """
        wanted = list(filters)
        try:
            return await self._page_by_page(wanted, purpose, size)
        except (TooLarge, Refused) as together:
            if isinstance(together, Refused) and together.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
            logger.warning("{}; they are read one by one", together)
        return await self._one_by_one(await self.rows(wanted, purpose), purpose)

    async def _page_by_page(self, filters: Iterable[Filter | None], purpose: str, size: int) -> list[WorkPackage]:
        found, allowance = [], Allowance(purpose)
        async for page in self._pages("work_packages", _list(filters, BY_ID), purpose, size):
            found += allowance.keep(wire.work_package(one, self.fields) for one in page)
        return found

    async def _one_by_one(self, rows: Iterable[Row], purpose: str) -> list[WorkPackage]:
        found, allowance = [], Allowance(purpose)
        for row in rows:
            try:
                found += allowance.keep([await self.work_package(row.id, purpose)])
            except NotFound:
                continue
            except TooLarge as alone:
                logger.warning("#{} is left out: {}", row.id, alone)
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
        allowance = Allowance(purpose)
        async for page in self.row_pages(filters, purpose, sort=sort):
            found |= {one.id: one for one in allowance.keep(page)}
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
        found, allowance = [], Allowance(purpose)
        for some in query.portions(numbers):
            async for page in self.row_pages([query.one_of("id", some)], purpose):
                found += allowance.keep(page)
        return found

    async def sample(self, filters: Iterable[Filter | None], limit: int, purpose: str) -> tuple[int, list[Row]]:
        """How many match, and the first of them by id: one request whatever their number."""
        parameters = _list(filters, BY_ID) | {"select": _ROW, "pageSize": str(limit)}
        page = wire.page(await self._api.read("work_packages", purpose, parameters))
        return page.total, [wire.row(one) for one in page.elements]

    async def count(self, filters: Iterable[Filter | None], purpose: str) -> int:
        """How many match."""
        parameters = {"filters": query.encode(filters), "pageSize": "0", "select": "total"}
        document = await self._api.read("work_packages", purpose, parameters)
        return wire.total(document)

    async def groups(self, filters: Iterable[Filter | None], by: str, purpose: str) -> dict[str, int]:
        """How many match for each value of a property: its id where it has one, else its text; "" is empty."""
        parameters = {"filters": query.encode(filters), "pageSize": "0", "groupBy": by}
        return wire.groups(await self._api.read("work_packages", purpose, parameters))

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
            document = await self._api.write("PATCH", f"work_packages/{item.id}", body, purpose, notify=notify)
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
            document = await self._api.write("POST", "work_packages", wire.creation(draft), purpose, notify=notify)
            return wire.work_package(document, self.fields)

    async def allowed_statuses(self, item: WorkPackage, purpose: str) -> tuple[int, ...]:
        """The statuses that the workflow offers this account, the present one included. Costs a form: no hot path."""
        body = {"lockVersion": item.lock_version}
        return forms.allowed_statuses(await self._api.write("POST", f"work_packages/{item.id}/form", body, purpose))

    async def creation_refusals(self, draft: Draft, purpose: str) -> dict[str, str]:
        """Why a creation would be refused, by property; nothing is created.

        Raises:
            Refused: this account may create nothing in the project.
        """
        path = f"projects/{draft.project}/work_packages/form"
        return forms.refusals(await self._api.write("POST", path, wire.creation(draft), purpose))

    async def abilities(self, number: int, purpose: str) -> frozenset[str]:
        """What this account may do to a work package: the names of its links."""
        return forms.abilities(await self._api.read(f"work_packages/{number}", purpose))

    # -- what people read ------------------------------------------------------------------------------------------

    async def activities(self, number: int, purpose: str) -> list[Activity]:
        """The whole journal of a work package, oldest first; never paged by the board."""
        found, read = [], 0
        for one in await self._all(f"work_packages/{number}/activities", purpose):
            found.append(entry := wire.activity(one))
            read += 1 + len(entry.changes)
            if read >= AT_ONCE:
                read = 0
                await asyncio.sleep(0)
        return found

    async def comment(self, number: int, text: BoardText, purpose: str, *, notify: bool = False) -> None:
        """A comment. Not safe to repeat: look for its marker first."""
        body = {"comment": {"raw": text}}
        with _unsettled(purpose):
            await self._api.write("POST", f"work_packages/{number}/activities", body, purpose, notify=notify)

    async def relations(self, numbers: Iterable[int], purpose: str) -> list[Relation]:
        """All relations in which one of these takes part; ids that do not exist are passed over by the board."""
        found: dict[int, Relation] = {}
        allowance = Allowance(purpose)
        for some in query.portions(numbers):
            parameters = {"filters": query.encode([query.one_of("involved", some)])}
            async for page in self._pages("relations", parameters, purpose, PAGE):
                found |= {one.id: one for one in allowance.keep(map(wire.relation, page))}
        return [found[number] for number in sorted(found)]

    # -- discovery -------------------------------------------------------------------------------------------------

    async def me(self) -> Principal:
        """Whom the token belongs to.

        Raises:
            Refused: nobody, or the anonymous user.
        """
        document = await self._api.read("users/me", "who am I")
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
        return wire.project(await self._api.read(f"projects/{identifier}", f"project {identifier}"))

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
        found, allowance = [], Allowance("members")
        async for page in self._pages("principals", {"filters": listed}, "members", PAGE):
            found += allowance.keep(map(wire.principal, page))
        return found

    async def schema_fields(self, pairs: Iterable[tuple[int, int]], names: Fields) -> dict[tuple[int, int], Fields]:
        """Under which keys each pair of project and type keeps the fleet's fields; missing pairs have none."""
        listed = query.encode([query.one_of("id", [f"{project}-{kind}" for project, kind in pairs])])
        elements = await self._all("work_packages/schemas", "where the fleet's fields are", {"filters": listed})
        found = [wire.schema_fields(one, names) for one in elements]
        return {(project, kind): fields for project, kind, fields in found}

    # -- transport -------------------------------------------------------------------------------------------------

    async def _all(self, path: str, purpose: str, parameters: dict[str, str] | None = None) -> tuple[Any, ...]:
        """A collection that the board does not page; should one do it all the same, nothing is cut off."""
        page = wire.page(await self._api.read(path, purpose, parameters))
        if page.total <= len(page.elements):
            return page.elements
        found, allowance = [], Allowance(purpose)
        async for part in self._pages(path, parameters or {}, purpose, PAGE):
            found += allowance.keep(part)
        return tuple(found)

    async def _pages(self, path: str, parameters: dict[str, str], purpose: str, size: int) -> AsyncIterator[list[Any]]:
        """The elements of one page after the other.

        `offset` is a page number and the size is clamped in silence, so only the total and an empty page end it. A page
        without new ids would go on for ever and is an error: a part is never taken for the whole (reference, 1.6).
        """
        seen: set[Any] = set()
        number = 1
        while True:
            wanted = parameters | {"offset": str(number), "pageSize": str(size)}
            page = wire.page(await self._api.read(path, purpose, wanted))
            fresh = [one for one in page.elements if wire.identity(one) not in seen]
            seen |= {wire.identity(one) for one in fresh}
            yield fresh
            if not page.elements or len(seen) >= page.total:
                return
            if not fresh:
                raise Malformed(f"The board repeats a page ({purpose}): {len(seen)} of {page.total} were shown")
            number += 1
            if number > MOST_PAGES or len(seen) > MOST_SHOWN:
                raise Malformed(f"The board's list has no end ({purpose}): {len(seen)} were shown")


def _list(filters: Iterable[Filter | None], sort: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters of an ordered list."""
    return {"filters": query.encode(filters), "sortBy": wire.text(sort)}


@contextlib.contextmanager
def _unsettled(purpose: str) -> Iterator[None]:
    """An answer to a write that cannot be read is none: it may have happened all the same."""
    try:
        yield
    except (Malformed, TooLarge) as error:
        raise Unreachable(f"The board's answer to “{purpose}” settles nothing: {error}") from error
