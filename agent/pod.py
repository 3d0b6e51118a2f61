"""One pod, assembled from its settings: the composition root of every command that talks to the board."""

from __future__ import annotations

import base64
import hashlib
import shlex
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
from loguru import logger
from msgspec import Struct
from msgspec.structs import replace

from agent.attempt import Place
from agent.board import catalog as catalogs
from agent.board.catalog import Catalog, Names
from agent.board.client import Board
from agent.board.discovery import discover
from agent.claim.memory import Memory
from agent.claim.protocol import Protocol
from agent.clock import Clock, Randomness
from agent.cycle import Cycle, Limits
from agent.execution import Execution
from agent.git.mirror import Mirror
from agent.git.refs import RepositoryUnreachable
from agent.git.repo import Repository
from agent.git.spare import Spares
from agent.model import Fleet
from agent.programs.runner import Runner
from agent.reporting import Links
from agent.settings import Ambient, BoardSettings, Credentials, Secret, Settings
from agent.settings import Repository as RepositorySettings
from agent.state import Reading
from agent.state_folder import StateFolder

STARTER: Final = Path(__file__).with_name("starter")
"""The flake on nixpkgs that a repository without one gets."""
SPARES: Final = 2
"""Checkouts that are there before they are needed: for the checks of a run, and for the worktree of the next."""
CATALOG_AGE: Final = 3600.0
"""Seconds after which the board is discovered anew: nothing else tells a pod that somebody may be assigned no more."""


class Pod(Struct, frozen=True, kw_only=True):
    """What a command works with. `memory` is read; only who holds the folder's lock may change it."""

    settings: Settings
    board: Board
    catalog: Catalog
    fleet: Fleet
    memory: Memory
    protocol: Protocol
    execution: Execution
    repositories: Mapping[int, Repository]
    """By the id of the project."""

    def cycle(self, say: Callable[[str], None]) -> Cycle:
        """A pass over the board; each pass takes a new one."""
        limits = Limits(grace=self.settings.execution.grace, tries=self.settings.execution.tries)
        return Cycle(self.protocol, self.execution, self.place, limits=limits, say=say)

    def project(self, number: int) -> str:
        """The identifier of a project of this fleet."""
        return next(one.project.identifier for one in self.catalog.projects if one.project.id == number)

    async def place(self, number: int) -> Place:
        """Ask a project's repository for what it has: the preflight before a claim.

        Raises:
            RepositoryUnreachable: it cannot be used, and why.
        """
        repository = self.repositories.get(number)
        if repository is None:
            raise RepositoryUnreachable(f"project {number} has no repository in the settings of this pod")
        settings = self.settings.repositories[self.project(number)]
        return Place(
            repository=repository,
            template=settings.branch,
            links=Links(branch=settings.branch_url, commit=settings.commit_url),
            refs=await repository.preflight(),
            starter=Path(self.settings.nix.starter or STARTER),
        )


@asynccontextmanager
async def connect(
    settings: Settings,
    credentials: Credentials,
    *,
    clock: Clock,
    randomness: Randomness,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Board]:
    """The board's client, before anything is known of the board."""
    async with Board(
        settings.board.url,
        credentials.board.reveal(),
        clock=clock,
        randomness=randomness,
        transport=transport,
    ) as board:
        yield board


@asynccontextmanager
async def open_pod(
    settings: Settings,
    credentials: Credentials,
    ambient: Ambient,
    *,
    clock: Clock,
    randomness: Randomness,
    runner: Runner,
    transport: httpx.AsyncBaseTransport | None = None,
    look_only: bool = False,
) -> AsyncIterator[Pod]:
    """Everything a pod works with, the board's catalog from the state folder if it fits.

    With `look_only` the state folder stays as it is, whatever is done with the pod: for commands that run beside the
    pod's own process, or as another user. Repositories are then looked at from a folder that goes with the pod.

    Raises:
        BoardError: the board does not answer, or does not know the token.
        ConfigurationError: the board lacks something that a fleet cannot do without.
    """
    folder = StateFolder(Path(settings.state))
    async with AsyncExitStack() as stack:
        board = await stack.enter_async_context(
            connect(settings, credentials, clock=clock, randomness=randomness, transport=transport)
        )
        scratch = settings
        if look_only:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True))
            scratch = replace(settings, state=place)
        memory = Memory(folder, clock, kept=not look_only)
        now = memory.now()
        found = await load_catalog(board, settings, credentials.board, folder, now, keep=not look_only)
        board.fields = found.fields
        waiting = memory.state.repositories_waiting(now.at, now.boot)
        fleet = catalogs.fleet(names(settings.board), found, pod=settings.pod, unreachable=waiting)
        protocol = Protocol(
            board, fleet, memory, clock=clock, randomness=randomness, lifetime=settings.execution.timeout
        )
        repositories = {
            one.project.id: repository(one.project.identifier, scratch, credentials, ambient, runner, brief=look_only)
            for one in found.projects
        }
        for one in repositories.values():
            stack.push_async_callback(one.close)
        yield Pod(
            settings=settings,
            board=board,
            catalog=found,
            fleet=fleet,
            memory=memory,
            protocol=protocol,
            execution=Execution(scratch, ambient, runner, credentials.model, credentials.redactor()),
            repositories=repositories,
        )


async def load_catalog(
    board: Board, settings: Settings, token: Secret, folder: StateFolder, now: Reading, *, keep: bool = True
) -> Catalog:
    """The cached discovery if it was made with these settings and this account, and lately; else a new one."""
    key = _fingerprint(settings, token)
    raw = folder.load_catalog()
    if raw is not None:
        try:
            cached = msgspec.json.decode(raw, type=_Cached)
        except msgspec.DecodeError as error:
            logger.info("the cached catalog cannot be read, asking the board again: {}", error)
        else:
            age = cached.made.age(now.at, now.boot)
            if cached.key == key and age is not None and age < CATALOG_AGE:
                return cached.catalog
    found = await discover(board, names(settings.board), settings.repositories)
    if keep:
        folder.save_catalog(msgspec.json.encode(_Cached(key, now, found)))
    return found


class _Cached(Struct, frozen=True):
    key: str
    made: Reading
    catalog: Catalog


def _fingerprint(settings: Settings, token: Secret) -> str:
    """What a cached catalog depends on; the token goes in as a hash only."""
    parts = [settings.board, sorted(settings.repositories), hashlib.sha256(token.reveal().encode()).hexdigest()]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def names(board: BoardSettings) -> Names:
    """The settings' names in the words of the catalog."""
    return Names(
        bugs=board.types.bugs,
        tasks=board.types.tasks,
        epic=board.types.epic,
        story=board.types.story,
        spike=board.types.spike,
        gates=board.types.gates,
        ready=board.statuses.ready,
        active=board.statuses.active,
        done=board.statuses.done,
        pod_field=board.fields.pod,
        run_field=board.fields.run,
        fleet_users=board.fleet_users,
        people=board.people,
        integrations=board.integrations,
    )


def repository(
    identifier: str,
    settings: Settings,
    credentials: Credentials,
    ambient: Ambient,
    runner: Runner,
    *,
    brief: bool = False,
) -> Repository:
    """The repository of a project, its files in the state folder."""
    one = settings.repositories[identifier]
    mirror = Mirror(
        url=one.url,
        base=one.base,
        folder=Path(settings.state) / "repositories" / identifier,
        runner=runner,
        redact=credentials.redactor(),
        credential=_credential(one, identifier, credentials) | _ssh_agent(ambient),
        path=ambient.children.get("PATH", "/usr/bin:/bin"),
        brief=brief,
        disk=settings.sandbox.disk,
        guarded=one.guarded,
    )
    return Repository(mirror, Spares(mirror, 0 if brief else SPARES))


def _credential(one: RepositorySettings, identifier: str, credentials: Credentials) -> dict[str, str]:
    """The variables by which git, and only a git that talks to the remote, gets its credential."""
    key, token = credentials.ssh_keys.get(identifier), credentials.repositories.get(identifier)
    variables = {}
    if key is not None:
        quoted = shlex.quote(str(key))
        variables["GIT_SSH_COMMAND"] = f"ssh -i {quoted} -o IdentitiesOnly=yes -o BatchMode=yes"
    if token is not None:
        basic = base64.b64encode(f"x-access-token:{token.reveal()}".encode()).decode()
        variables |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{one.url}.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    return variables


def _ssh_agent(ambient: Ambient) -> dict[str, str]:
    return {name: ambient.children[name] for name in ("SSH_AUTH_SOCK", "HOME") if name in ambient.children}
