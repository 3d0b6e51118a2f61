"""The repositories of the projects, as a pass can use them: which answer, which do not, and whether this host can work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from loguru import logger

from agent.attempt import Place
from agent.claim.protocol import Protocol
from agent.errors import PodTrouble
from agent.execution import Execution
from agent.git.repo import Repository


class Places:
    """Each repository is asked once per pass, and this host is looked at once.

    Args:
        protocol: with the memory behind it.
        execution: says whether this host can work.
        ask: asks the repository of a project; raises PodTrouble with a sentence when it cannot be used.
    """

    def __init__(self, protocol: Protocol, execution: Execution, ask: Callable[[int], Awaitable[Place]]) -> None:
        self.known: dict[int, Place] = {}
        self.troubles: dict[int, str] = {}
        self._protocol = protocol
        self._memory = protocol.memory
        self._execution = execution
        self._ask = ask
        self._ready_to_work = False

    async def preflight(self) -> None:
        """Before any claim or resume: disk, Nix, the model; once per pass."""
        if not self._ready_to_work:
            await self._execution.preflight()
            self._ready_to_work = True

    async def answers(self, project: int) -> bool:
        """Whether a project's repository can be used; a failing one is asked again with back-off."""
        if project in self.troubles:
            return False
        try:
            await self.of(project)
        except PodTrouble as trouble:
            now = self._memory.now()
            self.troubles[project] = str(trouble)
            self._memory.change(lambda state: state.with_repository_trouble(project, now.at, now.boot))
            logger.warning("{}", trouble)
            return False
        await self.preflight()
        return True

    async def of(self, project: int) -> Place:
        """Where the work of a project goes.

        Raises:
            PodTrouble: its repository cannot be used now.
        """
        if project not in self.known:
            place = await self._ask(project)
            await self._probe(project, place.repository)
            self.known[project] = place
            self._memory.change(lambda state: state.with_repository(project))
        return self.known[project]

    async def _probe(self, project: int, repository: Repository) -> None:
        """Whether the remote takes refs that start no CI: asked at first, and after a day."""
        now, known = self._memory.now(), self._memory.state.probes.get(project)
        if known is None or known.is_due(now.at, now.boot):
            try:
                takes = await repository.probe(self._protocol.fleet.pod)
            except PodTrouble as silent:
                logger.info("whether {} takes refs below refs/agent is not known yet: {}", repository.place, silent)
            else:
                self._memory.change(lambda state: state.with_probe(project, now.at, now.boot, takes=takes))
                known = self._memory.state.probes[project]
        repository.settle(hidden=known.takes if known is not None else None)
