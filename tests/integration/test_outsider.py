"""T8: whatever somebody asks, the answer is that of a board on which what he may not see had never been."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.outsiders_walk import Step, steps
from support.two_boards import ACCOUNTS, Sides


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    made = Sides(tmp_path, monkeypatch)
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
        for step in itertools.islice(steps(sides), ACCOUNTS.index(account) * 7 % STRIDE, None, STRIDE):
            one, other = await answer(full, step), await answer(bare, step)
            statuses[one[0]] += 1
            if one != other:
                different.append((step, one, other))
    measured(
        f"outsider: {account} asked {statuses.total()} times ({dict(sorted(statuses.items()))}), {len(different)} differences"
    )
    assert not different, [
        (f"{s.method} {s.path} {s.body}", a[0], b[0], a[2][:300], b[2][:300]) for s, a, b in different[:5]
    ]
    assert 500 not in statuses


async def test_the_page_is_walked_whole(sides: Sides) -> None:
    """Few requests, each of which tells much."""
    for account in ACCOUNTS:
        full, bare = sides.clients(account)
        async with full, bare:
            for step in (one for one in steps(sides) if one.path.startswith("/page") and "?before" not in one.path):
                one, other = await answer(full, step), await answer(bare, step)
                assert one == other, (account, step)
                assert one[0] in (200, 404), (account, step)
