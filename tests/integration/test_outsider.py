"""T8: whatever somebody asks, the answer is that of a board on which what he may not see had never been."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.outsiders_deeds import Deeds
from support.outsiders_walk import Step, known, pages, steps
from support.two_boards import ACCOUNTS, NOW, Sides, changing

pytestmark = pytest.mark.unwatched("two boards and their visitor are one task, which never waits")


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    made = Sides(tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def going_on(tmp_path: Path) -> Iterator[Sides]:
    made = Sides(tmp_path, None)
    yield made
    made.close()


async def answer(client: httpx.AsyncClient, step: Step) -> tuple[int, dict[str, str], bytes]:
    kwargs: dict[str, Any] = {}
    if step.files:
        metadata = (None, json.dumps({"fileName": "a.txt"}))
        kwargs = {"files": {"metadata": metadata, "file": ("a.txt", b"abc")}}
        client.headers["content-type"] = "multipart/form-data; boundary=fixed"
    elif isinstance(step.body, str):
        kwargs = {"content": step.body, "headers": {"content-type": "text/plain"}}
    elif step.body is not None:
        kwargs = {"json": step.body}
    got = await client.request(step.method, step.path, **kwargs)
    # Nothing here waits for anything: the loop's other work has its turn now.
    await asyncio.sleep(0)
    client.headers.pop("content-type", None)
    return got.status_code, dict(got.headers), got.content


# Read before any test clears its environment.
STRIDE = 1 if os.environ.get("AGENT_WALK") == "all" else 41
"""Every so many-th request of the walk, each account another one; AGENT_WALK=all takes them all."""


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_nothing_tells_of_what_is_hidden(sides: Sides, account: str, measured: Callable[[str], None]) -> None:
    full, bare = sides.clients(account)
    different: list[tuple[Step, Any, Any]] = []
    statuses: Counter[int] = Counter()
    async with full, bare:
        every = await asyncio.to_thread(steps, sides)
        for step in every[ACCOUNTS.index(account) * 7 % STRIDE :: STRIDE]:
            one, other = await answer(full, step), await answer(bare, step)
            statuses[one[0]] += 1
            if one != other or one[0] == 500:
                different.append((step, one, other))
    measured(
        f"outsider: {account} asked {statuses.total()} times ({dict(sorted(statuses.items()))}), {len(different)} differences"
    )
    assert not different, "\n".join(
        f"{s.method} {s.path} {s.body}\n    {a[0]} {a[2][:300]!r}\n    {b[0]} {b[2][:300]!r}"
        for s, a, b in different[:20]
    )


async def test_what_fits_does_not_tell_how_much_others_attached(going_on: Sides) -> None:
    with changing(going_on.full) as db:
        db.run("UPDATE attachments SET size = (1 << 30) - 1 WHERE file_name = 'secret.txt'")
    upload = Step("POST", "/api/v3/work_packages/2/attachments", files=True)
    full, bare = going_on.clients("mia")
    async with full, bare:
        assert [(await answer(one, upload))[0] for one in (full, bare)] == [201, 201]
        with changing(going_on.full) as db:
            db.run("UPDATE attachments SET size = (1 << 30) - 1 WHERE work_package_id = 2")
        assert (await answer(full, upload))[0] == 507


async def test_the_page_is_walked_whole(sides: Sides) -> None:
    """Few requests, each of which tells much."""
    of_page = [one for one in pages(sides, known(sides)) if "?before" not in one.path]
    for account in ACCOUNTS:
        full, bare = sides.clients(account)
        async with full, bare:
            for step in of_page:
                one, other = await answer(full, step), await answer(bare, step)
                assert one == other, (account, step)
                assert one[0] in (200, 404), (account, step)


async def test_a_long_trail_counts_nothing_of_what_is_hidden(going_on: Sides) -> None:
    """More entries than the panel shows at once, and between them such as tell only of a hidden parent."""
    item = 7
    hidden = range(90_001, 90_061)
    with changing(going_on.full) as db:
        above = db.value("SELECT id FROM work_packages WHERE subject = 'Secret Epic'")
    for folder in (going_on.full, going_on.bare):
        with changing(folder) as db:
            data = json.loads(db.value("SELECT data FROM journals WHERE work_package_id = ? AND version = 1", item))
            secret = iter(hidden if folder == going_on.full else ())
            version = 1
            for n in range(620):
                told = [(80_000 + n, f"words {n}")]
                if n % 20 < 2 and (id_ := next(secret, 0)):
                    data["parent_id"] = None if n % 20 else above
                    told.insert(0, (id_, ""))
                for id_, notes in told:
                    version += 1
                    db.run(
                        "INSERT INTO journals (id, work_package_id, user_id, version, notes, data, created_at, updated_at)"
                        " VALUES (?, ?, 11, ?, ?, ?, ?, ?)",
                        id_, item, version, notes, json.dumps(data), NOW.isoformat(), NOW.isoformat(),
                    )  # fmt: skip
    # The last two are a hidden entry, and one that there is nowhere.
    befores = [f"?before={one}" for one in (80_619, 80_300, 80_040, 80_000, hidden[2], 99_999)]
    for account in ACCOUNTS:
        full, bare = going_on.clients(account)
        async with full, bare:
            for asked in ["", *befores]:
                step = Step("GET", f"/page/work-packages/{item}{asked}")
                one, other = await answer(full, step), await answer(bare, step)
                assert one == other, (account, asked, one[2][-20:], other[2][-20:])


DEEDS = 40 if os.environ.get("AGENT_WALK") == "all" else 20


@pytest.mark.parametrize("seed", range(1 if DEEDS == 20 else 20))
async def test_whatever_people_do_meanwhile_each_sees_the_same_as_without_what_is_hidden(
    going_on: Sides, seed: int
) -> None:
    """Sequences: what is hidden must not come out by what it does to what is visible, now or later."""
    chance = random.Random(seed)
    deeds, told = Deeds(going_on, chance), list[str]()
    for _ in range(DEEDS):
        going_on.now += dt.timedelta(minutes=chance.choice((0, 1, 10)))
        if chance.random() < 0.4:
            told.append(await deeds.hidden_one())
        else:
            what, one, other = await deeds.visible_one()
            told.append(f"{what} -> {one[0]}")
            assert one == other, "\n".join(told)
        different = await deeds.difference(chance.choice(ACCOUNTS[:3]))
        assert not different, "\n".join([*told, different])
