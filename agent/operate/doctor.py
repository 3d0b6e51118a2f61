"""Whether a pod could work here, one finding a line (`agent doctor`): the board, the repositories, this host.

Nothing of anybody's is changed: the one write is a claim ref of its own, set and deleted again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.errors import AgentError, BoardError, ConfigurationError, PodTrouble
from agent.execution import LEAST_DISK
from agent.git.refs import ClaimRefRefused, LeaseRefused
from agent.git.refs import names as names_of
from agent.git.starter import FLAKE
from agent.operate.doctor_board import BoardDoctor
from agent.operate.findings import LEAST_GIT, Finding, Kind, fail, ok, too_old, unknown, warn
from agent.operate.station import Station
from agent.pod import names, repository
from agent.private import is_shown, refuse_shown
from agent.programs.instructions import NAME
from agent.programs.runner import Job
from agent.relay import probe
from agent.room import Rooms
from agent.settings.keys import GUARDED
from agent.state import State

NOBODY: Final = 0
"""The id of the claim ref that doctor sets: no work package has it."""


class Doctor:
    """Looks at all that a pod needs.

    Args:
        here: what the pod is made of.
    """

    def __init__(self, here: Station) -> None:
        self._here = here
        self._settings = here.settings

    async def examine(self) -> list[Finding]:
        """Everything, in the order in which a pod meets it."""
        with tempfile.TemporaryDirectory(prefix="agent-doctor-", ignore_cleanup_errors=True) as scratch:
            place = Path(scratch)
            found = self._host()
            found += await self._programs(place)
            state = self._state(found)
            found += await self._board(state)
            for identifier in sorted(self._settings.repositories):
                found += await self._repository(identifier, place)
            if state is not None and state.trouble:
                remedy = "mend that, if nothing above says it too; the pod tries again by itself"
                found.append(warn("trouble", f"the last time that this pod could not work: {state.trouble}", remedy))
            return found

    # -- this host -------------------------------------------------------------------------------------------------

    def _host(self) -> list[Finding]:
        credentials = self._here.credentials
        found = [fail("secrets", one, "put it there, or mend the setting") for one in credentials.lacking]
        found += [warn("secrets", one) for one in credentials.warnings]
        folder = Path(self._settings.state)
        there = next(one for one in (folder, *folder.parents) if one.exists())
        if os.access(there, os.W_OK):
            found.append(ok("state", f"{folder} can be written"))
        else:
            remedy = "run doctor as the pod's user, or give that user the folder"
            found.append(fail("state", f"{folder} cannot be written by this user", remedy))
        free = shutil.disk_usage(there).free
        room = f"{free // 2**20:,} MiB are free below {there}"
        if free < LEAST_DISK:
            found.append(fail("disk", room, f"make room: {LEAST_DISK // 2**20} MiB are needed before any claim"))
        else:
            found.append(ok("disk", room))
        if self._settings.sandbox.kind == "none":
            text = "the model runs without a sandbox: it can read and change whatever this user can"
            found.append(warn("sandbox", text, "run it as a user of its own, and only on repositories you trust"))
        return found

    def _state(self, found: list[Finding]) -> State | None:
        try:
            return self._here.folder.load()
        except ConfigurationError as error:
            found.append(unknown("state", str(error), "run doctor as the pod's user"))
            return None

    async def _programs(self, place: Path) -> list[Finding]:
        path = self._here.ambient.children.get("PATH", "/usr/bin:/bin")
        tools = ("git", "nix", "bwrap") if self._settings.sandbox.kind == "bubblewrap" else ("git", "nix")
        found = [await self._version(one, path, place) for one in tools]
        if all(one.kind is Kind.OK for one in found):
            found.append(await self._rooms(place))
        return [*found, *await self._model(path)]

    def _is_seen(self, program: str, path: str) -> bool:
        """Whether a run finds it: a path as it stands, a name in whichever folder of `$PATH` the sandbox shows."""
        folders = [""] if "/" in program else path.split(":")
        found = (shutil.which(program, path=folder) for folder in folders)
        return any(is_shown(self._settings, Path(one)) for one in found if one)

    async def _model(self, path: str) -> list[Finding]:
        model = self._settings.model
        program = model.command[0] if model.kind == "command" else model.program
        place = shutil.which(program, path=path)
        if place and model.kind == "command" and not self._is_seen(program, path):
            # A name may be what each repository's development shell brings.
            tell, or_else = (fail, "") if "/" in program else (warn, ", or add it to each flake.nix")
            remedy = f"install it below /usr, or name its folder in sandbox.readable{or_else}"
            found = [tell("model", f"model.command: the sandbox does not show {place}", remedy)]
        elif place:
            found = [ok("model", f"{program} is there")]
        elif model.kind == "claude" or "/" in program:
            setting = "model.program" if model.kind == "claude" else "model.command"
            found = [fail("model", f"{program} does not exist or may not be run", f"install it, or mend {setting}")]
        else:
            text = f"{program} is not on this host: every repository's development shell must bring it"
            found = [unknown("model", text, "install it, or add it to each flake.nix")]
        return [*found, await self._api()] if model.kind == "claude" else found

    async def _api(self) -> Finding:
        """A question that costs nothing."""
        key = self._here.credentials.model
        if key is None:
            return fail("model", "there is no key for the Messages API", "set model.key_file, or $AGENT_MODEL_KEY")
        try:
            await probe(self._settings.model.api, key.reveal())
        except PodTrouble as trouble:
            return fail("model", str(trouble), "see model.api and model.key_file")
        return ok("model", "its API answers, and takes the key")

    async def _version(self, program: str, path: str, place: Path) -> Finding:
        try:
            done = await self._here.runner.run(
                Job(argv=(program, "--version"), cwd=place, env={"PATH": path, "HOME": str(place)}, timeout=60)
            )
        except PodTrouble as trouble:
            return fail(program, str(trouble), "install it on this host")
        said = done.stdout.decode("utf-8", "replace").strip()
        if too_old(program, said):
            least = ".".join(map(str, LEAST_GIT))
            return fail(program, f"{said} is too old", f"install {program} {least} or a later one")
        return ok(program, said) if done.ok else fail(program, f"{program} does not run", "install it anew")

    async def _rooms(self, place: Path) -> Finding:
        """Nix and the sandbox together, as a run needs them."""
        scratch = replace(self._settings, state=str(place))
        rooms = Rooms(scratch, self._here.ambient, self._here.runner, "", self._here.credentials.redactor())
        try:
            refuse_shown(self._settings, self._here.ambient)  # the state folder itself, and not the one above
            await rooms.check()
        except PodTrouble as trouble:
            return fail("sandbox and nix", str(trouble), "agents work inside both")
        if self._settings.sandbox.kind != "bubblewrap":
            return ok("sandbox and nix", "the store of Nix opens")
        if rooms.own_stores:
            text = (
                "both work; Nix has no daemon here, so each repository has a Nix store of its own in the state folder"
            )
            return ok("sandbox and nix", f"{text} (for the daemon's, Debian: install nix-setup-systemd)")
        return ok("sandbox and nix", "both work")

    # -- the board -------------------------------------------------------------------------------------------------

    async def _board(self, state: State | None) -> list[Finding]:
        settings = self._settings
        if not self._here.credentials.board.reveal():
            return [unknown("board", "not asked: there is no token for it", "see secrets")]
        try:
            async with self._here.board() as board:
                doctor = BoardDoctor(
                    board,
                    names(settings.board),
                    sorted(settings.repositories),
                    pod=settings.pod,
                    state=state,
                )
                return await doctor.look()
        except BoardError as error:
            return [fail("board", str(error), "run doctor again with -v: it shows every request")]

    # -- repositories ----------------------------------------------------------------------------------------------

    async def _repository(self, identifier: str, place: Path) -> list[Finding]:
        scratch = replace(self._settings, state=str(place))
        one = repository(identifier, scratch, self._here.credentials, self._here.ambient, self._here.runner, brief=True)
        try:
            refs = await one.preflight()
            if lack := one.lacks(refs):
                return [fail("repository", f"{identifier}: {lack}", "until then each of its tickets fails")]
            found = [
                ok("repository", f"{identifier}: {one.place} answers ({self._credential(identifier)}), has {one.base}")
            ]
            if await one.has_at_base(FLAKE, refs):
                found.append(ok("repository", f"{identifier}: {FLAKE} is there"))
            else:
                text = f"{identifier}: no {FLAKE} on {one.base}: the first run adds a starter"
                found.append(warn("repository", text, "add one with the tools that the repository needs"))
            guarded = await one.guarded_at_base(refs)
            found += self._ci(identifier, guarded, await one.guarded_at_base(refs, GUARDED))
        except AgentError as error:
            return [fail("repository", f"{identifier}: {error}", "`git ls-remote` as the pod's user shows the same")]
        try:
            blob = await one.set_claim(NOBODY, f"doctor {self._here.randomness.uuid()}", refs.claims.get(NOBODY))
            await one.delete_claim(NOBODY, blob)
        except ClaimRefRefused as refused:
            remedy = (
                "allow refs below refs/agent/ there; until then the lease on the branch tip remains, kept work goes to "
                "branches, which start CI, and guarded work stays on this host"
            )
            found.append(warn("claim ref", f"{identifier}: {refused}", remedy))
        except LeaseRefused:
            found.append(unknown("claim ref", f"{identifier}: not checked, another doctor is at it"))
        except AgentError as error:
            remedy = f"give the credential of [repositories.{identifier}] the right to push"
            found.append(fail("claim ref", f"{identifier}: nothing can be pushed: {error}", remedy))
        else:
            found.append(ok("claim ref", f"{identifier}: can be set and deleted"))
        return found

    @staticmethod
    def _ci(identifier: str, guarded: list[str], by_default: list[str]) -> list[Finding]:
        """The forge's CI, as far as git shows it; whom to ask and how pods verify is guarded too, and runs nothing."""
        found = []
        runs = [path for path in guarded if path.rpartition("/")[2] not in ("CODEOWNERS", NAME)]
        if runs:
            text = f"{identifier}: {names_of(runs)} may run on agent/* with secrets and a network: not to be seen from here"
            found.append(warn("ci", text, "docs/operating.md says how to keep both away, and what else to guard"))
        known = set(guarded)
        if left := [path for path in by_default if path not in known]:
            text = f"{identifier}: `guarded` leaves out {names_of(left)}: runs may change that unseen"
            found.append(warn("guarded", text, "add it: what is set there stands in the place of the default list"))
        return found

    def _credential(self, identifier: str) -> str:
        if identifier in self._here.credentials.ssh_keys:
            return "with its ssh key"
        if identifier in self._here.credentials.repositories:
            return "with its token"
        return "without a credential of its own"
