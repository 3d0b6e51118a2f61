"""One suite, two repositories: the real git and its stand-in in memory hold to the same contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from agent.errors import Superseded, TicketFailure
from agent.git.refs import (
    ClaimRefRefused,
    KeepRefused,
    LeaseRefused,
    PushRefused,
    Refusal,
    RepositoryUnreachable,
    branch_for,
)
from agent.programs.runner import Finished
from simulation.remote import Fault, SimRemote
from simulation.workspace import HostFolder, Line, SimRepository, SimWorkspace
from support.fake_clock import FakeClock
from support.git_bench import BRANCH, CLAIM, KEPT, NEXT, OTHER, RUN, TOKEN, Bench, message
from support.git_bench import read as read_file
from support.git_bench import write as write_files
from support.git_repo import PROJECT

STARTER: Final = Path(__file__).resolve().parents[2] / "agent" / "starter"


class Remote(Protocol):
    """What a person does to a repository and sees of it."""

    def push(self, branch: str, files: Mapping[str, str | None], message: str = ...) -> str: ...
    def merge(self, branch: str, into: str = ...) -> str: ...
    def tip(self, branch: str) -> str: ...
    def ref(self, name: str) -> str: ...
    def show(self, revision: str, name: str) -> str | None: ...
    def message(self, revision: str) -> str: ...


class World(Protocol):
    """A remote, hosts of pods, and faults between them."""

    remote: Remote

    def host(self, name: str = "state") -> Any: ...
    def write(self, workspace: Any, files: Mapping[str, str]) -> None: ...
    def read(self, workspace: Any, name: str) -> str | None: ...
    def fault(self, kind: Fault, *, times: int = 1) -> None: ...
    def refuse(self, prefix: str) -> None: ...
    def meanwhile(self, ref: str, value: str) -> None: ...


class Real:
    """The real git, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._bench = Bench(folder)
        self.remote: Remote = self._bench.remote
        self._left = 0

    def host(self, name: str = "state") -> Any:
        return self._bench.pod(name)

    def write(self, workspace: Any, files: Mapping[str, str]) -> None:
        write_files(workspace, files)

    def read(self, workspace: Any, name: str) -> str | None:
        return read_file(workspace, name)

    def fault(self, kind: Fault, *, times: int = 1) -> None:
        self._left = times
        broken = Finished(128, stderr=b"fatal: the remote end hung up unexpectedly")

        def fault(argv: list[str], done: Finished | None) -> Finished | None:
            if "push" not in argv or not self._left or (done is None) is (kind is Fault.LOST):
                return None
            self._left -= 1
            return broken

        self._bench.runner.fault = fault

    def refuse(self, prefix: str) -> None:
        self._bench.remote.hook("update", f'case "$1" in {prefix}*) echo "not here" >&2; exit 1;; esac')

    def meanwhile(self, ref: str, value: str) -> None:
        self._bench.remote.hook("pre-receive", f"env -u GIT_QUARANTINE_PATH git update-ref {ref} {value}")


class StandIn:
    """The same in memory."""

    def __init__(self, _: Path) -> None:
        self._sim = SimRemote(PROJECT)
        self.remote: Remote = self._sim
        self._folders: dict[str, HostFolder] = {}
        self._faults: list[Fault] = []

    def host(self, name: str = "state") -> Any:
        folder = self._folders.setdefault(name, HostFolder())
        return SimRepository(Line(self._sim, FakeClock(), fault=self._draw), folder)

    def _draw(self, _: str, verb: str) -> Fault:
        return self._faults.pop() if self._faults and verb not in ("list", "fetch") else Fault.NONE

    def write(self, workspace: SimWorkspace, files: Mapping[str, str]) -> None:
        workspace.files.update(files)

    def read(self, workspace: SimWorkspace, name: str) -> str | None:
        return workspace.files.get(name)

    def fault(self, kind: Fault, *, times: int = 1) -> None:
        self._faults = [kind] * times

    def refuse(self, prefix: str) -> None:
        self._sim.refuses = lambda ref, _new: "not here" if ref.startswith(prefix) else ""

    def meanwhile(self, ref: str, value: str) -> None:
        def set_it(_ref: str, _new: str) -> str:
            self._sim.refs[ref] = value
            return ""

        self._sim.refuses = set_it


@pytest.fixture(params=[Real, StandIn], ids=["git", "stand-in"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    make: Callable[[Path], World] = request.param
    return make(tmp_path)


async def opened(repo: Any, run: str = RUN, *, owner: int = 42, branch: str = BRANCH) -> Any:
    await repo.fetch()
    return await repo.open(owner, branch, run)


async def worked(world: World, workspace: Any, files: Mapping[str, str], run: str = RUN) -> str:
    world.write(workspace, files)
    snapshot = await workspace.snapshot()
    assert snapshot.changed
    return str(await workspace.commit(snapshot.tree, message(run)))


# -- the claim ref ---------------------------------------------------------------------------------------------------


async def test_a_claim_ref_is_set_read_renewed_and_deleted(world: World) -> None:
    repo = world.host()
    assert await repo.read_claim(42) is None
    blob = await repo.set_claim(42, TOKEN, None)
    assert blob == repo.claim_blob(TOKEN) == await repo.read_claim(42) == world.remote.ref(CLAIM)
    assert (await repo.preflight()).claims == {42: blob}
    assert await repo.set_claim(42, OTHER, blob) == repo.claim_blob(OTHER)
    await repo.delete_claim(42, repo.claim_blob(OTHER))
    assert await repo.read_claim(42) is None


async def test_a_lease_on_something_else_is_lost(world: World) -> None:
    first, second = world.host(), world.host("other")
    blob = await first.set_claim(42, TOKEN, None)
    with pytest.raises(LeaseRefused):
        await second.set_claim(42, OTHER, None)
    await second.set_claim(42, OTHER, blob)
    with pytest.raises(LeaseRefused):
        await first.set_claim(42, f"{TOKEN} routed", blob)
    assert world.remote.ref(CLAIM) == second.claim_blob(OTHER)


async def test_a_push_of_the_refs_present_value_is_not_checked_and_a_deletion_is(world: World) -> None:
    repo = world.host()
    blob = await repo.set_claim(42, TOKEN, None)
    assert await repo.set_claim(42, TOKEN, repo.claim_blob(OTHER)) == blob
    await repo.delete_claim(42, repo.claim_blob(OTHER))
    assert world.remote.ref(CLAIM) == blob


async def test_a_lease_on_a_claim_ref_that_is_gone_is_lost(world: World) -> None:
    repo = world.host()
    with pytest.raises(LeaseRefused):
        await repo.set_claim(42, TOKEN, repo.claim_blob(OTHER))
    await repo.delete_claim(42, repo.claim_blob(OTHER))


async def test_a_lost_answer_to_a_claim_is_resolved_by_reading(world: World) -> None:
    repo = world.host()
    world.fault(Fault.LOST)
    assert await repo.set_claim(42, TOKEN, None) == world.remote.ref(CLAIM)
    world.fault(Fault.DOWN)
    with pytest.raises(RepositoryUnreachable) as caught:
        await repo.set_claim(43, TOKEN, None)
    assert not isinstance(caught.value, ClaimRefRefused)
    assert await repo.read_claim(43) is None


async def test_a_remote_without_claim_refs_is_told_from_a_lost_race(world: World) -> None:
    world.refuse("refs/agent/")
    with pytest.raises(ClaimRefRefused):
        await world.host().set_claim(42, TOKEN, None)


# -- the result ------------------------------------------------------------------------------------------------------


async def test_the_result_and_the_end_of_the_claim_are_one_push(world: World) -> None:
    repo = world.host()
    blob = await repo.set_claim(42, TOKEN, None)
    workspace = await opened(repo)
    sha = await worked(world, workspace, {"a.txt": "1"})
    assert await workspace.publish(sha, claim_blob=blob) == sha
    assert (world.remote.tip(BRANCH), world.remote.ref(CLAIM)) == (sha, "")
    assert world.remote.show(BRANCH, "a.txt") == "1"
    assert world.remote.message(sha) == message().strip()
    assert await workspace.publish(sha, claim_blob=blob) == sha, "twice is as good as once"


async def test_the_push_of_a_superseded_holder_fails_whole(world: World) -> None:
    first, second = world.host(), world.host("other")
    blob = await first.set_claim(42, TOKEN, None)
    workspace = await opened(first)
    sha = await worked(world, workspace, {"a.txt": "1"})
    taken = await second.set_claim(42, OTHER, blob)
    with pytest.raises(Superseded, match="claim ref of #42"):
        await workspace.publish(sha, claim_blob=blob)
    assert (world.remote.tip(BRANCH), world.remote.ref(CLAIM)) == ("", taken)
    await second.delete_claim(42, taken)
    with pytest.raises(Superseded):
        await workspace.publish(sha, claim_blob=blob)
    assert world.remote.tip(BRANCH) == ""


async def test_a_successor_that_sets_the_ref_during_the_push_wins(world: World) -> None:
    """Between what the pushing side was shown and what the remote does."""
    first, second = world.host(), world.host("other")
    blob = await first.set_claim(42, TOKEN, None)
    other = await second.set_claim(43, OTHER, None)
    workspace = await opened(first)
    sha = await worked(world, workspace, {"a.txt": "1"})
    world.meanwhile(CLAIM, other)
    with pytest.raises(Superseded):
        await workspace.publish(sha, claim_blob=blob)
    assert (world.remote.tip(BRANCH), world.remote.ref(CLAIM)) == ("", other)


@pytest.mark.parametrize("claimed", [True, False])
async def test_a_branch_that_moved_is_rebased_on(world: World, *, claimed: bool) -> None:
    world.remote.push(BRANCH, {"theirs.txt": "0"})
    repo = world.host()
    blob = await repo.set_claim(42, TOKEN, None) if claimed else None
    workspace = await opened(repo)
    sha = await worked(world, workspace, {"a.txt": "1"})
    moved = world.remote.push(BRANCH, {"theirs.txt": "1"})
    with pytest.raises(PushRefused) as caught:
        await workspace.publish(sha, claim_blob=blob)
    assert caught.value.kind is Refusal.BRANCH_MOVED
    assert world.remote.tip(BRANCH) == moved
    again = await workspace.rebase()
    assert (world.read(workspace, "theirs.txt"), world.read(workspace, "a.txt")) == ("1", "1")
    assert await workspace.publish(again, claim_blob=blob) == again == world.remote.tip(BRANCH)
    assert world.remote.message(again) == message().strip()


async def test_a_rebase_that_conflicts_names_the_files_and_the_work_can_be_kept(world: World) -> None:
    world.remote.push(BRANCH, {"a.txt": "0"})
    workspace = await opened(world.host())
    await worked(world, workspace, {"a.txt": "mine"})
    world.remote.push(BRANCH, {"a.txt": "theirs"})
    with pytest.raises(TicketFailure, match=r"rebasing on .* failed: conflict in `a\.txt`"):
        await workspace.rebase()
    assert await workspace.keep("agent/failed/42-7f9c0000", "Kept")
    assert world.remote.show("agent/failed/42-7f9c0000", "a.txt") == "mine"


async def test_without_claim_refs_the_lease_is_on_the_tip(world: World) -> None:
    first, second = world.host(), world.host("other")
    mine, theirs = await opened(first), await opened(second, NEXT)
    sha = await worked(world, mine, {"a.txt": "1"})
    other = await worked(world, theirs, {"b.txt": "1"}, NEXT)
    assert await theirs.publish(other, claim_blob=None) == other
    with pytest.raises(PushRefused) as caught:
        await mine.publish(sha, claim_blob=None)
    assert caught.value.kind is Refusal.BRANCH_MOVED


async def test_a_lost_answer_to_the_result_is_resolved_by_looking(world: World) -> None:
    repo = world.host()
    blob = await repo.set_claim(42, TOKEN, None)
    workspace = await opened(repo)
    sha = await worked(world, workspace, {"a.txt": "1"})
    world.fault(Fault.DOWN)
    with pytest.raises(RepositoryUnreachable, match="did not arrive"):
        await workspace.publish(sha, claim_blob=blob)
    assert (world.remote.tip(BRANCH), world.remote.ref(CLAIM)) == ("", blob)
    world.fault(Fault.LOST)
    assert await workspace.publish(sha, claim_blob=blob) == sha == world.remote.tip(BRANCH)


async def test_a_remote_that_refuses_the_branch_says_why(world: World) -> None:
    repo = world.host()
    blob = await repo.set_claim(42, TOKEN, None)
    workspace = await opened(repo)
    sha = await worked(world, workspace, {"a.txt": "1"})
    world.refuse("refs/heads/agent/42")
    with pytest.raises(PushRefused) as caught:
        await workspace.publish(sha, claim_blob=blob)
    assert caught.value.kind is Refusal.OTHER
    assert world.remote.ref(CLAIM) == blob


# -- evidence --------------------------------------------------------------------------------------------------------


async def test_a_take_over_finds_its_commit_even_below_anothers(world: World) -> None:
    repo = world.host()
    workspace = await opened(repo)
    sha = await worked(world, workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=None)
    world.remote.push(BRANCH, {"b.txt": "a person went on"})
    again = world.host()
    await again.fetch()
    assert await again.commit_of_run(RUN, BRANCH) == sha
    assert await again.commit_of_run(NEXT, BRANCH) is None
    assert await again.commits_of_ticket(42, BRANCH)
    assert not await again.commits_of_ticket(4, BRANCH)
    world.remote.merge(BRANCH)
    await again.fetch()
    assert await again.commit_of_run(RUN, "agent/42-no-more") == sha


async def test_evidence_is_what_was_fetched(world: World) -> None:
    first, second = world.host(), world.host("other")
    await second.fetch()
    workspace = await opened(first)
    sha = await worked(world, workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=None)
    assert await second.commit_of_run(RUN, BRANCH) is None
    await second.fetch()
    assert await second.commit_of_run(RUN, BRANCH) == sha
    assert await second.tip(BRANCH) == sha
    assert await second.tip("agent/43-new") == world.remote.tip("main")


async def test_an_existing_branch_of_the_owner_goes_on_under_its_name(world: World) -> None:
    world.remote.push(BRANCH, {"a.txt": "1"})
    refs = await world.host().preflight()
    assert branch_for(refs, 42, "agent/42-renamed") == BRANCH
    assert world.host().lacks(refs) == ""


# -- the worktree ----------------------------------------------------------------------------------------------------


async def test_a_branch_is_brought_up_to_its_base(world: World) -> None:
    world.remote.push(BRANCH, {"a.txt": "1"})
    world.remote.push("main", {"ground.txt": "solid"})
    workspace = await opened(world.host())
    assert (world.read(workspace, "a.txt"), world.read(workspace, "ground.txt")) == ("1", "solid")
    assert not (await workspace.snapshot()).changed
    assert await workspace.file_at_base("ground.txt") == "solid"
    assert await workspace.file_at_base("a.txt") is None, "the branch has it, and nobody merged it"


async def test_a_conflict_with_the_base_names_the_files(world: World) -> None:
    world.remote.push(BRANCH, {"a.txt": "1"})
    world.remote.push("main", {"a.txt": "2"})
    with pytest.raises(TicketFailure, match=r"merging `main` into .* failed: conflict in `a\.txt`"):
        await opened(world.host())


async def test_the_same_run_finds_its_files_and_another_starts_clean(world: World) -> None:
    workspace = await opened(world.host())
    world.write(workspace, {"half.txt": "half"})
    again = await opened(world.host())
    assert world.read(again, "half.txt") == "half"
    assert world.host().run_of(42) == RUN
    assert world.host().run_of(43) is None
    other = await opened(world.host(), NEXT)
    assert world.read(other, "half.txt") is None
    assert world.host().run_of(42) == NEXT
    assert world.remote.show(KEPT, "half.txt") == "half"
    assert "Agent-Run: " + RUN in world.remote.message(KEPT)


async def test_leftovers_that_the_remote_does_not_take_stay_and_are_kept_here_once_that_is_sure(world: World) -> None:
    workspace = await opened(world.host())
    world.write(workspace, {"half.txt": "half"})
    world.fault(Fault.DOWN)
    with pytest.raises(RepositoryUnreachable):
        await opened(world.host(), NEXT)
    assert world.read(workspace, "half.txt") == "half"
    world.refuse("refs/agent/kept")
    with pytest.raises(KeepRefused):  # it may be a remote that takes no such refs: that is known in an hour
        await opened(world.host(), NEXT)
    host = world.host()
    host.settle(hidden=False)
    world.refuse("refs/heads/agent/kept")
    after = await opened(host, NEXT)
    assert world.read(after, "half.txt") is None
    assert await host.fetch_kept(KEPT), "on the host"
    world.write(after, {"more.txt": "more"})
    kept = await after.keep("agent/kept/42-later", "Kept")
    assert kept is not None
    assert (kept.ref, bool(kept.bundle), "not here" in kept.refusal) == ("", True, True)


async def test_work_that_does_not_get_to_a_remote_that_answers_is_kept_here(world: World) -> None:
    host = world.host()
    host.settle(hidden=True)
    workspace = await opened(host)
    world.write(workspace, {"half.txt": "half"})
    world.fault(Fault.DOWN)
    kept = await workspace.keep(KEPT, "Kept")
    assert kept is not None
    assert (kept.ref, await host.fetch_kept(KEPT)) == ("", kept.commit)
    world.write(workspace, {"half.txt": "whole"})
    later = await workspace.keep(KEPT, "Kept")
    assert later is not None
    assert (later.ref, await host.fetch_kept(KEPT)) == (f"refs/{KEPT}", later.commit)


async def test_work_is_kept_once_and_what_came_later_too(world: World) -> None:
    workspace = await opened(world.host())
    assert await workspace.keep(KEPT, "Kept") is None
    world.write(workspace, {"half.txt": "half"})
    sha = await workspace.keep(KEPT, "Kept")
    assert sha is not None
    assert await workspace.keep(KEPT, "Kept") == sha
    assert sha.commit == world.remote.ref(f"refs/{KEPT}")
    assert not await workspace.has_leftovers()
    world.write(workspace, {"half.txt": "whole"})
    assert await workspace.has_leftovers()
    assert await workspace.keep(KEPT, "Kept") != sha
    assert world.remote.show(KEPT, "half.txt") == "whole"
    world.refuse("refs/agent/kept")
    world.write(workspace, {"half.txt": "more"})
    with pytest.raises(KeepRefused):
        await workspace.keep(KEPT, "Kept")


async def test_after_a_publication_the_rest_is_litter(world: World) -> None:
    workspace = await opened(world.host())
    sha = await worked(world, workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=None)
    world.write(workspace, {"litter.txt": "x"})
    other = await opened(world.host(), NEXT)
    assert world.read(other, "litter.txt") is None
    assert world.read(other, "a.txt") == "1"
    assert world.remote.tip(KEPT) == ""


async def test_a_discarded_worktree_is_gone_and_its_unpublished_work_is_not(world: World) -> None:
    workspace = await opened(world.host())
    world.write(workspace, {"half.txt": "half"})
    await world.host().discard(42)
    assert world.host().run_of(42) is None
    assert world.remote.show(KEPT, "half.txt") == "half"
    assert world.read(await opened(world.host()), "half.txt") is None


async def test_conflict_markers_block_the_commit(world: World) -> None:
    workspace = await opened(world.host())
    world.write(workspace, {"a.txt": "<<<<<<< ours\n1\n=======\n2\n>>>>>>> theirs\n"})
    with pytest.raises(TicketFailure, match="conflict markers"):
        await workspace.snapshot()


# -- the starter -----------------------------------------------------------------------------------------------------


async def test_a_starter_is_a_commit_below_the_work_and_no_evidence(world: World) -> None:
    world.remote.push("main", {"flake.nix": None})
    workspace = await opened(world.host())
    starter = await workspace.add_starter(STARTER, message())
    assert starter
    assert await workspace.add_starter(STARTER, message()) == starter == workspace.starter
    assert not (await workspace.snapshot()).changed
    sha = await worked(world, workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=None)
    assert world.remote.show(BRANCH, "flake.nix") is not None
    repo = world.host()
    await repo.fetch()
    assert await repo.commit_of_run(RUN, BRANCH) == sha
    assert await (await opened(repo, NEXT)).add_starter(STARTER, message(NEXT)) is None


async def test_a_starter_alone_is_no_commit_of_its_run(world: World) -> None:
    world.remote.push("main", {"flake.nix": None})
    workspace = await opened(world.host())
    starter = await workspace.add_starter(STARTER, message())
    await workspace.publish(starter, claim_blob=None)
    repo = world.host()
    await repo.fetch()
    assert await repo.commit_of_run(RUN, BRANCH) is None
    assert not await repo.commits_of_ticket(42, BRANCH)


async def test_a_branch_that_moved_gets_the_starter_again_unless_it_has_one(world: World) -> None:
    world.remote.push("main", {"flake.nix": None})
    world.remote.push(BRANCH, {"theirs.txt": "0"})
    workspace = await opened(world.host())
    starter = await workspace.add_starter(STARTER, message())
    await worked(world, workspace, {"a.txt": "1"})
    world.remote.push(BRANCH, {"theirs.txt": "1"})
    again = await workspace.rebase()
    assert workspace.starter not in ("", starter)
    world.remote.push(BRANCH, {"flake.nix": "{}"})
    with pytest.raises(PushRefused):
        await workspace.publish(again, claim_blob=None)
    last = await workspace.rebase()
    assert workspace.starter == ""
    await workspace.publish(last, claim_blob=None)
    assert world.remote.show(BRANCH, "flake.nix") == "{}"
    assert world.remote.show(BRANCH, "a.txt") == "1"


# -- the stand-in alone -----------------------------------------------------------------------------------------------


async def test_late_pushes_land_when_they_are_let(tmp_path: Path) -> None:
    """The stand-in alone: the real git cannot be made to wait between the two ends."""
    world = StandIn(tmp_path)
    remote = world.remote
    assert isinstance(remote, SimRemote)
    world.fault(Fault.LATE)
    with pytest.raises(RepositoryUnreachable):
        await world.host().set_claim(42, TOKEN, None)
    assert remote.ref(CLAIM) == ""
    assert remote.land() == 1
    assert remote.ref(CLAIM) == world.host().claim_blob(TOKEN)
    assert [one.verb for one in remote.landed] == ["push", "claim"]


async def test_an_empty_repository_passes_the_preflight_and_fails_the_ticket() -> None:
    """As `tests/integration/test_repo.py` says of the real one."""
    repo = SimRepository(Line(SimRemote(), FakeClock()), HostFolder())
    assert "is empty" in repo.lacks(await repo.preflight())
    with pytest.raises(TicketFailure, match="is empty"):
        await opened(repo)
