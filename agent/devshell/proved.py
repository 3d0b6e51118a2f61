"""The proof that the stores of a repository work; one of ours that Nix cannot read any more is made anew.

Such a store is only a cache: all in it can be fetched or built again. What breaks one is the power, or a disk: no builder
gets to its database. The host's own is never touched.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import ClassVar, Final

from agent.devshell import client_probe
from agent.devshell.client_failures import host_failed, unreadable
from agent.devshell.client_options import HOST_STORE, Store
from agent.devshell.client_read import result_in
from agent.devshell.client_steps import Inside, Steps, Time
from agent.devshell.closure import store_path
from agent.devshell.stores import Stores
from agent.errors import PodTrouble
from agent.programs.removal import remove_folder
from agent.programs.runner import Finished
from agent.texts.evidence import Redact

_READ: Final = """\
"$0-store" --verify
exec "$0-store" --dump-db > /dev/null
"""
"""What its database has and the disk has lost is struck out; then all of it is read once."""
_LIMIT: Final = 120.0
"""Seconds; a store of ten thousand paths takes less than one."""


class Proof:
    """Proves each store once per process.

    Args:
        steps: starts Nix.
        redact: takes out of Nix's words what must not be shown.
        system: for what is built to see how it is built.
    """

    _proved: ClassVar[set[tuple[str, Path]]] = set()

    def __init__(self, steps: Steps, redact: Redact, system: str) -> None:
        self._steps = steps
        self._redact = redact
        self._system = system

    async def check(self) -> None:
        """Prove that Nix works in the jail, and that a daemon builds without a network; for the preflight.

        Raises:
            PodTrouble: it does not.
        """
        for store in (await asyncio.to_thread(self._steps.stores)).all:
            if store.own or not (store.daemon or store.folder == HOST_STORE):
                await self._ours(store)
            else:
                await self._hosts(store)
            self._proved.add((store.uri, store.real))

    async def stores(self) -> Stores:
        """The stores of the repository, proved.

        Raises:
            PodTrouble: they cannot be made, or do not work, or there is no Nix.
        """
        stores = await asyncio.to_thread(self._steps.stores)
        if not self._proved.issuperset((store.uri, store.real) for store in stores.all):
            await self.check()
        return stores

    async def _ours(self, store: Store) -> None:
        done = await self._read(store)
        if unreadable(done):
            await asyncio.to_thread(_emptied, store)
            done = await self._read(store)
        if not done.ok:
            raise host_failed(done, self._redact)

    async def _read(self, store: Store) -> Finished:
        async with self._steps.inside("check", store) as nix:
            return await nix.script(_READ, time=Time(_LIMIT))

    async def _hosts(self, store: Store) -> None:
        async with self._steps.inside("check", store) as nix:
            done = await nix.run("store", "info", time=Time(60))
            if not done.ok:
                raise host_failed(done, self._redact)
            if store.daemon:
                await self._probe(nix, store)

    async def _probe(self, nix: Inside, store: Store) -> None:
        name = f"agent-probe-{secrets.token_hex(8)}"
        expression = client_probe.expression(str(nix.home), name, self._system)
        done = await nix.run("build", "--no-link", "--print-out-paths", "--expr", expression, time=Time(120))
        path = done.stdout.decode("utf-8", "replace").strip()
        found = result_in(store, path) if store_path(path, str(store.folder)) else ""
        trouble = client_probe.judge(done, found, self._redact)
        if trouble is not None:
            raise trouble


def _emptied(store: Store) -> None:
    try:
        remove_folder(store.state / "db")  # first: it is not to be believed about what is gone
        for entry in store.real.iterdir() if store.real.is_dir() else ():
            remove_folder(entry)
    except OSError as error:
        raise PodTrouble(
            f"Nix cannot read its store {store.real} any more, and it cannot be emptied ({error.strerror}): remove it"
        ) from error
