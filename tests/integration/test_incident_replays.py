"""Incidents of other fleets, replayed on a pod in this process: what happens on the board between any two of its requests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.main import get_command

from agent import execution
from agent.cli import app
from agent.daemon import Pass
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from support import pods
from support.boards import embedded_board
from support.fleet import Fleet

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    board = embedded_board(tmp_path / "board")
    yield Fleet(board, "shop", tmp_path)
    board.close()


class Told(httpx.AsyncBaseTransport):
    """The network, which does something once, before or after the first request that fits."""

    def __init__(self, fits: Callable[[str, str], bool], act: Callable[[], object], *, after: bool = False) -> None:
        self.sent: list[tuple[str, str]] = []
        self._inner = httpx.AsyncHTTPTransport()
        self._fits, self._act, self._after = fits, act, after
        self._acted = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.method, request.url.path))
        mine = not self._acted and self._fits(request.method, request.url.path)
        self._acted = self._acted or mine
        if mine and not self._after:
            self._act()
        answer = await pods.read_whole(await self._inner.handle_async_request(request))
        if mine and self._after:
            self._act()
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class Watched(Processes):
    """The real runner; notes how many requests had been sent when each program was started."""

    started: list[tuple[str, int]]
    network: Told

    async def run(self, job: Job) -> Finished:
        self.started.append((" ".join(job.argv), len(self.network.sent)))
        return await super().run(job)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    Watched.started = []
    monkeypatch.setattr(pods, "Processes", Watched)
    return Watched


def claims(ticket: int) -> Callable[[str, str], bool]:
    return lambda method, path: method == "PATCH" and path.endswith(f"/work_packages/{ticket}")


def models(runner: type[Watched]) -> list[int]:
    return [sent for words, sent in runner.started if "scripted_model" in words]


async def test_child_update_conflict_is_not_a_lost_claim(fleet: Fleet) -> None:
    """I-11: a 409 without a rival: somebody else's edit came in between, and the claim is tried again."""
    ticket = fleet.add("Buy")
    network = Told(claims(ticket), lambda: fleet.change(ticket, priority="High"))
    async with pods.opened(fleet.pod(), transport=network) as pod:
        result = await pod.cycle(lambda _: None).run()
    assert (result.ticket, fleet.status(ticket)) == (ticket, "In testing")


async def test_agent_starts_only_after_a_verified_claim(fleet: Fleet, runner: type[Watched]) -> None:
    """I-12, I-13: claim, then the last look at what is around the ticket, then the model."""
    ticket = fleet.add("Buy")
    fleet.relate(ticket, "relates", fleet.add("Beside", kind="User story"))
    runner.network = network = Told(lambda *_: False, lambda: None)
    async with pods.opened(fleet.pod(), transport=network) as pod:
        await pod.cycle(lambda _: None).run()
    claimed = next(n for n, request in enumerate(network.sent) if claims(ticket)(*request))
    looked = next(
        n for n, (method, path) in enumerate(network.sent) if n > claimed and method == "GET" and "relations" in path
    )
    [started] = models(runner)
    assert claimed < looked < started


async def test_claim_is_checked_after_the_last_wait(fleet: Fleet, runner: type[Watched]) -> None:
    """I-13: what came up while the claim was on its way keeps the model from starting, and the ticket goes back."""
    ticket = fleet.add("Buy")
    blocker = fleet.add("First", kind="User story")
    runner.network = network = Told(claims(ticket), lambda: fleet.relate(blocker, "blocks", ticket), after=True)
    async with pods.opened(fleet.pod(), transport=network) as pod:
        result = await pod.cycle(lambda _: None).run()
    assert result.outcome is Pass.NOTHING
    assert models(runner) == []
    assert (fleet.status(ticket), fleet.run_of(ticket) or None, fleet.assignee(ticket)) == ("New", None, None)


async def test_idle_poll_starts_no_agent(fleet: Fleet, runner: type[Watched]) -> None:
    """I-63: a pass that finds nothing starts no program at all."""
    fleet.add("Story", kind="User story")
    runner.network = network = Told(lambda *_: False, lambda: None)
    async with pods.opened(fleet.pod(), transport=network) as pod:
        assert (await pod.cycle(lambda _: None).run()).outcome is Pass.NOTHING
    assert runner.started == []


async def test_too_little_disk_stops_claiming(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """I-39, I-67: room is asked for before anything is claimed, at no try of the ticket."""
    monkeypatch.setattr(execution, "LEAST_DISK", 1 << 62)
    ticket = fleet.add("Buy")
    async with pods.opened(fleet.pod()) as pod:
        result = await pod.cycle(lambda _: None).run()
    assert result.outcome is Pass.TROUBLE
    assert "make room" in result.reason
    assert (fleet.status(ticket), fleet.comments(ticket)) == ("New", [])


async def test_attempts_are_on_the_ticket_and_survive_the_pod(fleet: Fleet) -> None:
    """I-40, I-41, I-66: a failed ticket waits for a person, and no restart and no other pod runs it again."""
    ticket = fleet.add("Buy")
    for name in ("pod-a", "pod-a", "pod-b", "pod-c"):
        async with pods.opened(fleet.pod(name, script={"verdict": "stuck", "question": "How?"})) as pod:
            await pod.cycle(lambda _: None).run()
    lines = fleet.first_lines(ticket)
    assert [line.startswith("Claimed by") for line in lines].count(True) == 1, lines
    assert len(fleet.children(ticket)) == 1


def documented() -> list[list[str]]:
    """The commands that the README says to type, in blocks and within sentences."""
    text = README.read_text(encoding="utf-8")
    found = re.findall(r"^ *\$ (agent .+)$", text, re.MULTILINE) + re.findall(r"`(agent [^`\n]+)`", text)
    return [shlex.split(one.replace("…", ""), comments=True) for one in found]


def test_every_command_of_the_readme_exists() -> None:
    """I-68: what the README says to type is understood; the demo itself runs in test_demo."""
    assert documented()
    for words in documented():
        command: Any = get_command(app)
        context = typer.Context(command, info_name="agent")
        rest = words[1:]
        while rest and not rest[0].startswith("-") and hasattr(command, "get_command"):
            command = command.get_command(context, rest[0])
            assert command is not None, words
            rest = rest[1:]
        known = {option for one in command.get_params(context) for option in one.opts}
        assert {one.partition("=")[0] for one in rest if one.startswith("--")} <= known, words
