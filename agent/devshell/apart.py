"""Builds without a daemon: each derivation in a store of its own, from which its result alone is taken over.

Where no daemon builds, builders run in the jail of Nix, as its user, and can write to all that it can: results of others,
its database. Nix's own sandbox does not help: without users of its own to build as, it shows a builder its inputs
writable (Nix 2.26). So nothing that matters is in that jail. It has a new store, in which the inputs of one derivation,
and all that these need, are read-only mounts; what it holds afterwards is that derivation's own affair. Another jail, in which no
builder ever ran, copies the results by the names that the derivation has given them, and of what was said about them
takes only what they refer to.

What Nix trusts of the repository's own store was so written by Nix alone. A pod that is killed leaves a folder to remove.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import platform
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.devshell.client_failures import build_failed, host_failed, unreadable
from agent.devshell.client_options import Store
from agent.devshell.client_read import derivation_in
from agent.devshell.client_steps import CONTROLLED, OUTPUT, Inside, Seen, Steps, Time
from agent.devshell.closure import Derivation, registered, store_path
from agent.errors import AgentError, PodTrouble, TicketFailure
from agent.programs.runner import Ended, Finished
from agent.texts.evidence import Redact
from agent.texts.markup import one_line

_CLOSURE: Final = """\
tr '\\n' '\\0' | xargs -0 -r "$0-store" --query --requisites > found
sort -u found | tr '\\n' '\\0' | xargs -0 -r "$0-store" --dump-db
"""
"""Of paths, one a line: all are more than a program can be given, and each may have blanks, at which `--stdin` would split it."""
_BRIEF: Final = """\
export NIX_CONFIG="$NIX_CONFIG
fsync-metadata = false
gc-reserved-space = 0
"
"""
"""For a store that outlives no power cut, and has no garbage to collect."""
_PLAN: Final = f"""\
{_BRIEF}"$0-store" --load-db
exec "$0" print-dev-env --max-jobs 0 "$1"
"""
"""Writes the derivation of the environment, and may build nothing."""
_BUILD: Final = f"""\
{_BRIEF}"$0-store" --load-db
"$0" build --no-link "$1^*" < /dev/null
shift
for one; do echo "$one"; "$0-store" --query --references "$one"; echo; done
"""
_SAID: Final = 4 << 20
"""Bytes of what is said about results, to which builders can add: 30,000 names are three of them."""
_TAKE: Final = """\
from=$1 to=$2
shift 2
away() { set +f; rm -rf "$to"/.taken-*; set -f; }
away
trap away EXIT
for name; do
  if "$0-store" --check-validity "$to/$name" 2> /dev/null; then continue; fi
  rm -rf "$to/$name"
  "$0-store" --dump "$from/$name" | "$0-store" --restore "$to/.taken-$name"
  mv "$to/.taken-$name" "$to/$name"
done
"$0-store" --register-validity
"""
"""What is there and not valid, a process left that was killed here. Registering, Nix takes the hashes and sets the modes."""
_CONTROL: Final = (
    'derivation { name = "agent-control"; system = "%s"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; }'
)
_MOST: Final = 30_000
"""Paths that one build may need, its derivations among them; each is a mount, of which the kernel has 100,000."""


class _Scratch(Struct, frozen=True):
    """A store for one build.

    Attributes:
        store: as a Nix in its jail has it.
        seen: what it has of the other one.
        registration: what its database is told of that.
    """

    store: Store
    seen: Seen
    registration: bytes


class Apart:
    """Builds derivations whose inputs are in the store already.

    Args:
        steps: starts Nix.
        redact: takes out of Nix's words what must not be shown.
    """

    def __init__(self, steps: Steps, redact: Redact) -> None:
        self._steps = steps
        self._redact = redact

    async def build(self, store: Store, drv: Derivation, inputs: Sequence[str], time: Time) -> None:
        """Build a derivation.

        Args:
            store: gets its results.
            drv: what is built.
            inputs: paths of the results that it is built from.
            time: what is left of it.

        Raises:
            TicketFailure: it does not build, or not in time.
            PodTrouble: the store or the host is the trouble.
        """
        async with self._scratch(store, (drv.path, *inputs), time) as scratch:
            await self._made(store, scratch, drv, time)

    async def environment(self, store: Store, drv: Derivation, inputs: Sequence[str], time: Time) -> None:
        """Build what `nix print-dev-env` makes of a shell's derivation, as `build` does."""
        async with self._scratch(store, (drv.path, *inputs), time) as scratch:
            async with self._inside("plan", scratch) as nix:
                done = await nix.script(_PLAN, drv.path, time=time, stdin=scratch.registration)
            new = set(await asyncio.to_thread(os.listdir, scratch.store.real)).difference(scratch.seen.names)
            planned = [name for name in new if name.endswith("-env.drv")]
            if len(planned) != 1:
                raise build_failed(done, self._redact)
            environment = await asyncio.to_thread(derivation_in, scratch.store, f"{store.folder}/{planned[0]}")
            await self._made(store, replace(scratch, registration=b""), environment, time)

    def _inside(self, name: str, scratch: _Scratch) -> contextlib.AbstractAsyncContextManager[Inside]:
        return self._steps.inside(name, scratch.store, seen=scratch.seen)

    @contextlib.asynccontextmanager
    async def _scratch(self, store: Store, roots: Sequence[str], time: Time) -> AsyncIterator[_Scratch]:
        """A store in which the closures of these paths are."""
        registration = await self._registration(store, roots, time) if roots else b""
        try:
            names = registered(registration.decode("utf-8", "replace"), str(store.folder))
        except ValueError as error:
            raise PodTrouble(f"what Nix knows of its store cannot be read: {one_line(str(error))}") from error
        if len(names) > _MOST:
            raise _too_many(f"more than {_MOST:,} things to be built")
        async with self._steps.scratch() as place:
            folders = tuple(place / name for name in ("store", "state", "log"))
            for folder in folders:
                folder.mkdir()
            inside = tuple(where for _, where in store.elsewhere) or store.writable
            new = replace(
                store,
                real=folders[0],
                state=folders[1],
                writable=(),
                elsewhere=tuple(zip(folders, inside, strict=True)),
            )
            yield _Scratch(new, Seen(store.real, store.folder, names), registration)

    async def _registration(self, store: Store, roots: Sequence[str], time: Time) -> bytes:
        """What Nix knows of these paths and of all that they need; no builder is near, and the repository chose the paths."""
        async with self._steps.inside("ask", store) as nix:
            done = await nix.script(_CLOSURE, time=time, stdin="".join(f"{path}\n" for path in roots).encode())
            if done.ok and not done.dropped:
                return done.stdout
            if done.ok:
                raise _too_many(f"more than {OUTPUT >> 20} MiB of names of things that need each other")
            error = build_failed(done, self._redact)
            if done.ended is not Ended.COMPLETED or isinstance(error, PodTrouble):
                raise error
            control = await nix.script(_CLOSURE, time=Time(CONTROLLED))
        raise error if control.ok and not unreadable(done) else host_failed(done, self._redact)

    async def _made(self, store: Store, scratch: _Scratch, drv: Derivation, time: Time) -> None:
        results = sorted({output.path for output in drv.outputs.values()})
        if not all(store_path(path, str(store.folder)) for path in results):
            raise TicketFailure(f"the build {drv.path} has no place in the store")
        async with self._inside("build", scratch) as nix:
            done = await nix.script(_BUILD, drv.path, *results, time=time, stdin=scratch.registration, output=_SAID)
        if not done.ok:
            raise await self._blamed(store, done)
        if len(done.stdout) > _SAID:  # something was left out of it
            raise TicketFailure(
                f"the build {drv.path} says more than {_SAID >> 20} MiB about its results: make it smaller"
            )
        known = {*results, *(f"{store.folder}/{name}" for name in scratch.seen.names)}
        said = await asyncio.to_thread(_references, done.stdout, results, known)
        text = "".join(_entry(path, drv.path, sorted(said[path])) for path in results)
        names = [Path(path).name for path in results]
        async with _alone(store, time), self._steps.inside("take", store, readable=(scratch.store.real,)) as nix:
            words = (str(scratch.store.real), str(store.folder), *names)
            done = await nix.script(_TAKE, *words, time=time, stdin=text.encode())
        if not done.ok:
            raise await self._blamed(store, done)

    async def _blamed(self, store: Store, done: Finished) -> AgentError:
        """Whose fault it is that something was not built; a host that is blamed is asked to build something of ours.

        A builder can speak for Nix, and break the store that is its own.
        """
        error = build_failed(done, self._redact)
        if not isinstance(error, PodTrouble):
            return error
        expression = _CONTROL % f"{platform.machine()}-{platform.system().lower()}"
        async with self._scratch(store, (), Time(CONTROLLED)) as scratch, self._inside("control", scratch) as nix:
            control = await nix.run("build", "--no-link", "--expr", expression, time=Time(CONTROLLED))
        return TicketFailure(str(error)) if control.ok else error


def _too_many(what: str) -> TicketFailure:
    return TicketFailure(f"the development shell needs {what}: make it smaller")


def _references(said: bytes, results: Sequence[str], known: AbstractSet[str]) -> dict[str, set[str]]:
    """What each result is said to refer to, of what is known: a builder can have written before Nix did, and the last word counts."""
    found: dict[str, set[str]] = {path: set() for path in results}
    block: set[str] = set()
    begins = True
    for raw in io.BytesIO(said):  # no list: most lines may be a builder's, and there may be millions
        line = raw.rstrip(b"\n").decode("utf-8", "replace")
        if begins and line in found:
            block = found[line] = set()
        elif begins or not line:
            block = set()
        elif line in known:
            block.add(line)
        begins = not line
    return found


def _entry(path: str, deriver: str, references: Sequence[str]) -> str:
    """As `nix-store --register-validity` reads it."""
    return "".join(f"{line}\n" for line in (path, deriver, len(references), *references))


@contextlib.asynccontextmanager
async def _alone(store: Store, time: Time) -> AsyncIterator[None]:
    """Nobody else takes something over into the store; asked again and again, so that the event loop goes on."""
    try:
        handle = os.open(store.state / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise PodTrouble(f"the Nix store {store.real} cannot be written: {error.strerror}") from error
    try:
        pause = 0.01
        while not _taken(handle):
            if time.left <= 0:
                raise TicketFailure("the development shell was not built in time: others were building")
            await asyncio.sleep(pause)
            time.left -= pause
            pause = min(2 * pause, 0.25)
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
