"""What people do one after the other on two boards, where they see the same, and what others do meanwhile where they do not look."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, Final

import httpx

from support.two_boards import Sides

API: Final = "/api/v3"
DAYS: Final = ("2026-12-01", "2026-12-03", "2026-12-11", "2027-01-20", None)
HOURS: Final = ("PT0H", "PT4H", "PT30H", None)
PEOPLE: Final = (12, 14, 15, 16, 17)


class Deeds:
    """Random ones.

    Args:
        sides: the two boards.
        chance: draws them.
    """

    def __init__(self, sides: Sides, chance: random.Random) -> None:
        self._sides = sides
        self._chance = chance
        self.visible = list(range(1, 9))

    async def visible_one(self) -> tuple[str, Any, Any]:
        """Something by somebody who sees the shop, on both: what, and how each board answered."""
        by = self._chance.choice(("mia", "mia", "paul", "vera", "nobody"))
        clients = self._sides.clients(by)
        async with clients[0] as full, clients[1] as bare:
            method, path, body = self._drawn()
            answers = []
            for client in (full, bare):
                if method == "PATCH":
                    now = (await client.get(f"{API}{path}")).json()
                    body = {**body, "lockVersion": now.get("lockVersion", 0)}
                answers.append(await client.request(method, API + path, json=body))
        self._sides.align()
        one, other = answers
        if one.status_code == 201 and path.endswith("/work_packages"):
            self.visible.append(one.json()["id"])
        return f"{by}: {method} {path} {body}", _seen(one), _seen(other)

    async def hidden_one(self) -> str:
        """Something by somebody who sees all, on one board."""
        client = self._sides.clients("admin")[0]
        async with client:
            hidden = [one for one in self._sides.ids("work_packages") if one not in self.visible]
            id_, other = self._chance.choice(hidden), self._chance.choice([*hidden, *self.visible])
            path, body = f"/work_packages/{id_}", self._change(other)
            body["_links"].pop("project", None)
            match self._chance.randrange(6):
                case 0:
                    made = {"subject": "Secret", "_links": {"parent": {"href": f"{API}/work_packages/{other}"}}}
                    await client.post(f"{API}/projects/vault/work_packages", json=made)
                case 1:
                    kind = self._chance.choice(("follows", "precedes", "blocks", "relates"))
                    link = {"to": {"href": f"{API}/work_packages/{other}"}}
                    await client.post(f"{API}{path}/relations", json={"type": kind, "_links": link})
                case 2:
                    said = {"comment": {"raw": f"secret words about ##{other}"}}
                    await client.post(f"{API}{path}/activities", json=said)
                case 3 if len(hidden) > 3 and not await self._is_above(client, id_):
                    await client.delete(API + path)
                    path = f"DELETE {path}"
                case _:
                    lock = (await client.get(API + path)).json()["lockVersion"]
                    await client.patch(API + path, json={**body, "lockVersion": lock})
        self._sides.align()
        return f"hidden: {path} {body}"

    async def difference(self, account: str) -> str:
        """What one account sees of the two boards, as far as it is not the same; empty if it is."""
        full, bare = self._sides.clients(account)
        every = f"{API}/work_packages?filters=%5B%5D&pageSize=200"
        paths = [
            every,
            f"{every}&groupBy=assignee&showSums=true",
            "/page/board",
            "/page/fleet?days=30",
            f"{API}/relations",
        ]
        for id_ in self.visible:
            paths += [f"{API}/work_packages/{id_}{rest}" for rest in ("", "/activities", "/relations", "/watchers")]
            paths.append(f"/page/work-packages/{id_}")
        async with full, bare:
            for path in paths:
                one, other = _seen(await full.get(path)), _seen(await bare.get(path))
                await asyncio.sleep(0)
                if one != other:
                    return f"{account} GET {path}: {_parted(one[2], other[2])}"
        return ""

    async def _is_above(self, client: httpx.AsyncClient, hidden: int) -> bool:
        """Whether what is visible would go with it."""
        below = json.dumps([{"ancestor": {"operator": "=", "values": [str(hidden)]}}])
        found = (await client.get(f"{API}/work_packages", params={"filters": below, "pageSize": 200})).json()
        return bool(set(self.visible) & {one["id"] for one in found["_embedded"]["elements"]})

    def _drawn(self) -> tuple[str, str, Any]:
        chance = self._chance
        one, other = chance.choice(self.visible), chance.choice(self.visible)
        item, link = f"/work_packages/{one}", {"href": f"{API}/work_packages/{other}"}
        kind = chance.choice(("follows", "precedes", "blocks", "relates", "requires", "partof"))
        person = {"href": f"{API}/users/{chance.choice(PEOPLE)}"}
        relation = chance.choice(self._sides.ids("relations") or [1])
        often, seldom = [("PATCH", item, self._change(other))], [("DELETE", item, None)]
        drawn: tuple[str, str, Any] = chance.choice(
            [
                *(often * 18 + seldom),
                *[("POST", "/projects/shop/work_packages", {"subject": "New", "_links": {"parent": link}})] * 3,
                *[("POST", f"{item}/relations", {"type": kind, "_links": {"to": link}})] * 3,
                *[("DELETE", f"/relations/{relation}", None)] * 3,
                *[("POST", f"{item}/activities", {"comment": {"raw": f"words about #{other} and ##{one}"}})] * 3,
                *[("POST", f"{item}/watchers", {"user": person})] * 3,
            ]
        )
        return drawn

    def _change(self, other: int) -> dict[str, Any]:
        chance = self._chance
        values: dict[str, Any] = {
            "subject": f"Number {chance.random()}", "startDate": chance.choice(DAYS), "dueDate": chance.choice(DAYS),
            "estimatedTime": chance.choice(HOURS), "remainingTime": chance.choice(HOURS), "percentageDone": chance.choice((0, 50, 100, None)),
            "scheduleManually": chance.choice((True, False)),
        }  # fmt: skip
        links: dict[str, Any] = {
            "parent": {"href": chance.choice((f"{API}/work_packages/{other}", None))},
            "assignee": {"href": chance.choice((f"{API}/users/{chance.choice(PEOPLE)}", None))},
            "status": {"href": f"{API}/statuses/{chance.randint(301, 314)}"},
            "version": {"href": chance.choice((f"{API}/versions/1000", None))},
            "project": {"href": f"{API}/projects/{chance.choice(('shop', 'blog', '101', '102'))}"},
        }
        names = chance.sample(sorted(values), chance.randint(0, 2))
        linked = chance.sample(sorted(links), chance.randint(0, 1))
        return {**{name: values[name] for name in names}, "_links": {name: links[name] for name in linked}}


def _seen(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, dict(answer.headers), answer.content


def _parted(one: bytes, other: bytes) -> str:
    """The first place where two documents differ, with what is around it."""
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return json.dumps([text[max(0, at - 150) : at + 100].decode(errors="replace") for text in (one, other)])
