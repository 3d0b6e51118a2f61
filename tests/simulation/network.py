"""The network between the pods and the board: loses, repeats, delays and breaks what goes over it, as the seed says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import httpx
import msgspec

from agent.texts.report import parse_marker
from simulation.board import API, SimBoard
from simulation.clock import Process
from simulation.history import History, Write
from simulation.plan import Swarm

PATIENCE: Final = 60.0
"""Seconds after which the client stops waiting, as its own time-out says."""


class Network:
    """All of it, for one history.

    Args:
        board: the far end.
        swarm: what goes wrong.
        history: what is told to people.
        landed: hears of every write at the moment at which it lands.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        board: SimBoard,
        swarm: Swarm,
        history: History,
        *,
        landed: Callable[[Write], None],
    ) -> None:
        self.loop = loop
        self.board = board
        self.swarm = swarm
        self.history = history
        self.landed = landed
        self.meddle: Callable[[int], None] = lambda _: None
        """Somebody does something to a work package just before a request for it lands."""
        self.flying = 0
        """Requests that have not landed yet."""

    def land(self, request: httpx.Request, write: Write) -> httpx.Response:
        """The request takes effect now."""
        self.flying -= 1
        reads = request.method == "GET"
        number = _number(write.path)
        if request.method == "PATCH" and number and self.swarm.strikes("storm"):
            self.board.touch(number)
        if number and self.swarm.strikes("meddle"):
            self.meddle(number)
        if not reads and number:
            write.before = self.board.row(number)
        answer = self.board.answer(request)
        write.at, write.status = self.loop.time(), answer.status_code
        if reads:
            return answer
        if write.method == "POST" and answer.is_success and write.path == "work_packages":
            number = int(msgspec.json.decode(answer.content)["id"])
        write.ticket = number
        write.after = self.board.row(number) if number else None
        self.landed(write)
        return answer


class Wire(httpx.AsyncBaseTransport):
    """One process's way to the board.

    Args:
        network: what it goes over.
        process: whose it is.
        folder: its state folder.
        pod: its name.
    """

    def __init__(self, network: Network, process: Process, *, folder: str, pod: str) -> None:
        self._network = network
        self._process = process
        self._folder = folder
        self._pod = pod

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        network, process, swarm, loop = self._network, self._process, self._network.swarm, self._network.loop
        await request.aread()
        process.touch(f"send {request.method}")
        process.requests += 1
        network.history.requests += 1
        write = self._write(request)
        answered: asyncio.Future[httpx.Response] = loop.create_future()
        answered.add_done_callback(lambda one: one.cancelled() or one.exception())  # whoever asked may be gone
        gone: list[bool] = []
        faults = sum(swarm.happened.values())
        there, back = _leg(swarm), _leg(swarm)
        if swarm.strikes("busy"):
            answered.set_result(_busy(swarm))
        elif swarm.strikes("lost_request"):
            if swarm.chance("lost_request").random() < 0.5:
                process.troubles.append(loop.time())
                await asyncio.sleep(0.1)
                await process.cross("lost")
                raise httpx.ConnectError("no way to the board", request=request)
        else:
            answers = not swarm.strikes("lost_response")
            broken = swarm.strikes("broken_answer")
            cut = not answers and swarm.chance("lost_response").random() < 0.5

            def arrive() -> None:
                write.late = bool(gone) or not process.alive
                answer = network.land(request, write)
                if broken:
                    answer = httpx.Response(502, content=b"<h1>Bad gateway</h1>")
                if answers:
                    loop.call_later(back, _settle, answered, answer)
                elif cut:
                    error = httpx.ReadError("cut off", request=request)
                    loop.call_later(back, _settle, answered, error)

            network.flying += 1
            loop.call_later(there, arrive)
            if swarm.strikes("duplicate"):
                second = msgspec.structs.replace(write, copy=True)
                network.flying += 1
                loop.call_later(there + swarm.chance("duplicate").uniform(0.0, 90.0), network.land, request, second)
        if sum(swarm.happened.values()) != faults or max(there, back) > 1.0:
            process.troubles.append(loop.time())
        try:
            return await self._answer(answered, request)
        finally:
            gone.append(True)

    async def _answer(self, answered: asyncio.Future[httpx.Response], request: httpx.Request) -> httpx.Response:
        process = self._process
        done, _ = await asyncio.wait({answered}, timeout=PATIENCE)
        await process.cross(f"hear {request.method}")
        if not done:
            answered.cancel()
            raise httpx.ReadTimeout("no answer", request=request)
        answer = answered.result()
        process.refusals += request.method != "GET" and not answer.is_success
        return answer

    def _write(self, request: httpx.Request) -> Write:
        body = None
        if request.method != "GET" and request.content:
            body = msgspec.json.decode(request.content)
        path = request.url.path.partition(API)[2]
        comment = body.get("comment", {}).get("raw", "") if isinstance(body, dict) else ""
        return Write(
            at=0.0,
            sent=self._network.loop.time(),
            process=self._process.name,
            folder=self._folder,
            pod=self._pod,
            method=request.method,
            path=path,
            purpose=request.extensions.get("purpose", ""),
            ticket=0,
            before=None,
            after=None,
            status=0,
            body=body,
            mark=parse_marker(comment) if comment else None,
        )


def _settle(answered: asyncio.Future[httpx.Response], how: httpx.Response | Exception) -> None:
    """The answer is there, or the line is cut, if anybody still waits."""
    if answered.done():
        return
    if isinstance(how, Exception):
        answered.set_exception(how)
    else:
        answered.set_result(how)


def _leg(swarm: Swarm) -> float:
    """Seconds on the way."""
    if swarm.strikes("delay"):
        return swarm.chance("delay").choice((5.0, 20.0, 50.0, 100.0, 400.0)) * swarm.chance("delay").random()
    return 0.05


def _busy(swarm: Swarm) -> httpx.Response:
    chance = swarm.chance("busy")
    status = chance.choice((429, 429, 503, 500))
    headers = {"Retry-After": str(chance.choice((1, 5, 30, 120)))} if status == 429 and chance.random() < 0.7 else {}
    return httpx.Response(status, headers=headers, content=b"{}")


def _number(path: str) -> int:
    """The work package that a path is about; 0 for none."""
    parts = path.split("/")
    return int(parts[1]) if len(parts) > 1 and parts[0] == "work_packages" and parts[1].isdecimal() else 0
