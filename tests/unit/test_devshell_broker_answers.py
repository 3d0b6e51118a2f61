"""What the broker believes, how much it answers, and what it says when it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.devshell.broker import WAITING, Broker
from agent.devshell.flake import Flake, Saved, ShellRefused
from agent.errors import PodTrouble, TicketFailure, Unreachable
from agent.texts.evidence import redactor

FLAKE = Flake(Path("/work/tree"), ("flake.nix",))
SAVED = Saved(Path("/saved/key.rc"), Path("/nix/store/x-env"))


class Shop:
    """Gives one shell, or an error, or takes its time."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[str] = []
        self.busy = 0
        self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, flake: Flake, shell: str = "default", *, timeout: float) -> Saved:  # noqa: ASYNC109
        assert flake == FLAKE
        assert timeout > 0
        self.asked.append(shell)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await self.gate.wait()
        finally:
            self.busy -= 1
        if self.error is not None:
            raise self.error
        return SAVED


async def flake() -> Flake:
    return FLAKE


def broker(shop: Shop, *, timeout: float = 10, answers: int = 200) -> Broker:
    return Broker(flake=flake, shells=shop, redact=redactor(["hunter2hunter2"]), timeout=timeout, answers=answers)


async def test_a_shell_is_answered_with_its_script() -> None:
    shop = Shop()
    assert await broker(shop)(b'{"shell": "tests"}') == (200, {"script": "/saved/key.rc", "folder": "/work/tree"})
    assert (await broker(shop)(b"{}"))[0] == 200
    assert shop.asked == ["tests", "default"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"shell": 1}',
        b'{"shell": "x", "folder": "/etc"}',
        b'{"shell": "x", "options": {"substituters": "http://evil"}}',
        b'{"shell": "' + b"x" * 5000 + b'"}',
        b"[" * 4000,
        b"\xff",
    ],
)
async def test_nothing_but_a_name_is_believed(body: bytes) -> None:
    shop = Shop()
    status, document = await broker(shop)(body)
    assert (status, list(document)) == (400, ["refused"])
    assert shop.asked == []


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ShellRefused("the shell would fetch x: take y"), 403, "the shell would fetch x: take y"),
        (TicketFailure("it does not evaluate", evidence="line 3"), 403, "it does not evaluate"),
        (PodTrouble("the disk is full"), 503, "no development shell can be made just now: the disk is full"),
        (Unreachable("no answer"), 500, "no answer"),
        (TicketFailure("token hunter2hunter2 is wrong"), 403, "token [redacted] is wrong"),
    ],
)
async def test_an_error_is_a_sentence(error: Exception, status: int, said: str) -> None:
    one = broker(Shop(error))
    answered, document = await one(b"{}")
    assert (answered, document["refused"]) == (status, said)
    assert document.get("evidence", "") == getattr(error, "evidence", "")
    assert bool(one.trouble) == isinstance(error, PodTrouble)


async def test_trouble_is_over_when_the_next_shell_is_made() -> None:
    shop = Shop(PodTrouble("the disk is full"))
    one = broker(shop)
    await one(b"{}")
    shop.error = None
    await one(b"{}")
    assert one.trouble == ""


async def test_one_question_at_a_time_and_a_bounded_queue() -> None:
    shop = Shop()
    shop.gate.clear()
    one = broker(shop)
    tasks = [asyncio.create_task(one(b"{}")) for _ in range(WAITING)]
    await asyncio.sleep(0)
    assert (await one(b"{}"))[0] == 429
    shop.gate.set()
    assert [status for status, _ in await asyncio.gather(*tasks)] == [200] * WAITING
    assert shop.most == 1
    assert (await one(b"{}"))[0] == 200


async def test_a_run_has_so_many_questions_and_no_more() -> None:
    shop = Shop()
    one = broker(shop, answers=2)
    assert [(await one(b"{}"))[0] for _ in range(3)] == [200, 200, 429]
    assert len(shop.asked) == 2


async def test_a_question_without_end_ends() -> None:
    shop = Shop()
    shop.gate.clear()
    status, document = await broker(shop, timeout=0.05)(b"{}")
    assert (status, document["refused"]) == (403, "the development shell was not ready after 0 s: make it smaller")
    assert shop.busy == 0


async def test_a_caller_that_goes_away_frees_the_place() -> None:
    shop = Shop()
    shop.gate.clear()
    one = broker(shop)
    task = asyncio.create_task(one(b"{}"))
    waiting = asyncio.create_task(one(b"{}"))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait((task,))
    shop.gate.set()
    assert (await waiting)[0] == 200
    assert shop.busy == 0
