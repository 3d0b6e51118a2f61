"""The relay put together: the model's only way out of the sandbox, and the run's meter."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import httpx

from agent.relay.app import App, Develop
from agent.relay.meter import Budget, Prices, Usage
from agent.relay.peers import Owner
from agent.relay.record import Record
from agent.relay.serve import Guests, serving
from agent.relay.upstream import Upstream


class Relay:
    """Between one run and the Messages API.

    Args:
        api: the address of the API, with a path if any.
        key: its key; it appears in requests to the API and nowhere else.
        models: the names of the models that the run may ask for.
        prices: what its tokens cost.
        priced: what a request may ask for besides, and how many times the plain price it then costs.
        more_keys: what a request may hold at its top beside what the relay knows.
        budget: what it may use, over every resume.
        record: the file in which its usage is kept.
        nix: the broker behind `POST /nix/develop`; None for no such endpoint.
        transport: the network, replaceable at its lowest edge.
        patience: how long the API may be silent.

    Raises:
        PodTrouble: the record of an earlier try cannot be read.
        ConfigurationError: the address or the key cannot be one.
    """

    def __init__(
        self,
        *,
        api: str,
        key: str,
        models: Collection[str],
        prices: Prices,
        budget: Budget,
        record: Path,
        priced: Mapping[str, float] = MappingProxyType({}),
        more_keys: Collection[str] = (),
        nix: Develop | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        patience: httpx.Timeout | None = None,
    ) -> None:
        self._record = Record(record, prices, budget)
        self._key = key
        self._models = tuple(models)
        self._priced = priced
        self._more_keys = tuple(more_keys)
        self._nix = nix
        self._api = api
        self._transport = transport
        self._patience = patience
        self._app: App | None = None

    @property
    def usage(self) -> Usage:
        """What the run has used so far; `refused` says which part of its budget is spent, if the relay had to say so."""
        return self._record.usage

    @property
    def trouble(self) -> str:
        """Why the relay refuses although the budget holds: the pod's fault, not the run's. Empty if it does not."""
        return self._record.trouble

    @property
    def stranger(self) -> str:
        """Why the session's last request was refused, if another process than the model's had come first."""
        return self._app.stranger if self._app else ""

    @property
    def crowded(self) -> bool:
        """Whether since the model's last request others held so many connections that one was turned away."""
        return self._app.crowded if self._app else False

    @property
    def answered(self) -> bool:
        """Whether the API has answered the session's last request: what is silent then is the model's program."""
        return self._app.answered if self._app else False

    @property
    def unfit(self) -> str:
        """Why the session's last request was refused, if it asked for what the relay does not pass on."""
        return self._app.unfit if self._app else ""

    @contextlib.asynccontextmanager
    async def serving(self, socket: Path) -> AsyncIterator[None]:
        """One session of the model, on a socket: the first process that asks is the one that may.

        Another process of the model needs another session, and there is one at a time.

        Raises:
            ConfigurationError: the socket's path is too long.
            PodTrouble: there is no room for the socket.
        """
        owner = Owner()
        async with Upstream(self._api, self._key, transport=self._transport, patience=self._patience) as upstream:
            self._app = App(
                upstream,
                key=self._key,
                models=self._models,
                priced=self._priced,
                more_keys=self._more_keys,
                record=self._record,
                owner=owner,
                nix=self._nix,
            )
            try:
                async with serving(self._app, socket, Guests(owner.has, self._app.crowd)):
                    yield
            finally:
                await self._record.settled()
