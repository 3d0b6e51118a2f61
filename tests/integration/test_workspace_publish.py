"""The one push: what arrives, what is refused, and how that is known."""

import base64
import random
import signal
from pathlib import Path

import pytest

from agent.errors import PodTrouble, Superseded, TicketFailure
from agent.git.refs import KeepRefused, PushRefused, Refusal, RepositoryUnreachable
from agent.programs.runner import Ended, Finished
from agent.texts import outlet
from support.git_bench import BRANCH, CLAIM, NEXT, OTHER, RUN, Bench, message, read, work, write
from support.git_http import git_over_http
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_the_result_is_pushed_and_the_claim_given_back_in_one_push(bench: Bench) -> None:
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    pushes = []
    bench.runner.fault = lambda argv, done: pushes.append(argv) if done is None and "push" in argv else None
    assert await workspace.publish(sha, claim_blob=blob) == sha
    assert len(pushes) == 1
    assert bench.remote.tip(BRANCH) == sha
    assert bench.remote.ref(CLAIM) == ""
    author = git(bench.remote.path, "show", "-s", "--format=%an <%ae> %cn", sha)
    assert author == "Agent <agent@localhost> Agent"
    assert bench.remote.message(sha) == message().strip()
    assert await workspace.publish(sha, claim_blob=blob) == sha, "twice is as good as once"


async def test_done_is_refused_until_the_remote_shows_the_sha(bench: Bench) -> None:
    """I-31: a push that says it went well, and did nothing."""
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    lie = Finished(0, stdout=f"To x\n*\t{sha}:refs/heads/{BRANCH}\t[new branch]\nDone\n".encode())
    bench.runner.fault = lambda argv, done: lie if done is None and "push" in argv else None
    with pytest.raises(RepositoryUnreachable, match="did not arrive"):
        await workspace.publish(sha, claim_blob=blob)


async def test_a_push_that_dies_on_the_way_is_the_remotes_trouble_and_no_refusal(bench: Bench) -> None:
    """A time-out or a crash of the other side is not the ticket's fault: the push may even land later."""
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    hook = bench.remote.path / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    with pytest.raises(RepositoryUnreachable, match="did not arrive"):
        await workspace.publish(sha, claim_blob=blob)
    hook.unlink()
    assert await workspace.publish(sha, claim_blob=blob) == sha


@pytest.mark.parametrize("ended", [Ended.COMPLETED, Ended.TIMED_OUT])
async def test_a_lost_answer_to_the_push_is_resolved_by_looking(bench: Bench, ended: Ended) -> None:
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    lost = Finished(128, stderr=b"fatal: the remote end hung up", ended=ended)
    bench.runner.fault = lambda argv, done: lost if done is not None and "push" in argv else None
    assert await workspace.publish(sha, claim_blob=blob) == sha


async def test_a_commit_of_this_run_deeper_on_the_branch_is_success(bench: Bench) -> None:
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=blob)
    bench.remote.push(BRANCH, {"b.txt": "a person went on"})
    again = await bench.open(repo=bench.pod("state"))
    other = await again.commit((await again.snapshot()).tree, outlet.with_trailer(message(), "Extra", "x"))
    assert other != sha
    assert await again.publish(other, claim_blob=blob) == sha


async def test_superseded_holder_writes_nothing(bench: Bench) -> None:
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    taken = await bench.claim(OTHER, blob)
    with pytest.raises(Superseded):
        await workspace.publish(sha, claim_blob=blob)
    assert bench.remote.tip(BRANCH) == ""
    assert bench.remote.ref(CLAIM) == taken


async def test_a_branch_that_moved_is_told_from_the_rest_and_rebasing_mends_it(bench: Bench) -> None:
    bench.remote.push(BRANCH, {"mine.txt": "1"})
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    write(workspace, {"litter.txt": "of the verification"})
    moved = bench.remote.push(BRANCH, {"b.txt": "2"})
    bench.remote.push("main", {"c.txt": "3"})
    with pytest.raises(PushRefused) as caught:
        await workspace.publish(sha, claim_blob=blob)
    assert caught.value.kind is Refusal.BRANCH_MOVED
    assert bench.remote.ref(CLAIM) == blob, "atomic: the claim stands while the result is not there"
    rebased = await workspace.rebase()
    assert [read(workspace, name) for name in ("mine.txt", "a.txt", "b.txt", "c.txt", "litter.txt")] == [
        "1",
        "1",
        "2",
        "3",
        None,
    ]
    assert not (await bench.repo.commit_of_run(RUN, BRANCH))
    assert await workspace.publish(rebased, claim_blob=blob) == rebased
    assert git(bench.remote.path, "merge-base", "--is-ancestor", moved, rebased) == ""
    assert bench.remote.message(rebased) == message().strip()
    assert "unittest" in (await workspace.file_at_base(".agent.toml") or "")


async def test_a_rebase_that_conflicts_names_the_files_and_keeps_the_work(bench: Bench) -> None:
    bench.remote.push(BRANCH, {"mine.txt": "1\n"})
    workspace = await bench.open()
    await work(workspace, {"mine.txt": "ours\n"})
    bench.remote.push(BRANCH, {"mine.txt": "theirs\n"})
    with pytest.raises(TicketFailure, match=rf"rebasing on `{BRANCH}`, which moved, failed: conflict in `mine.txt`"):
        await workspace.rebase()
    assert await workspace.keep("agent/failed/42-7f9c0000", message())
    assert bench.remote.show("agent/failed/42-7f9c0000", "mine.txt") == "ours"


async def test_a_forge_that_refuses_the_branch_says_why(bench: Bench) -> None:
    workspace = await bench.open()
    blob = await bench.claim()
    sha = await work(workspace, {"a.txt": "1"})
    words = 'case "$1" in refs/heads/*|refs/agent/failed/*) echo "protected branch:"; echo "ask Kim" >&2; exit 1;; esac'
    bench.remote.hook("update", words)
    with pytest.raises(PushRefused, match="hook declined") as caught:
        await workspace.publish(sha, claim_blob=blob)
    assert caught.value.kind is Refusal.OTHER
    assert "\nprotected branch:\nask Kim\n" in caught.value.detail, "in the words of the hook"
    with pytest.raises(
        KeepRefused, match=r"does not take `refs/agent/failed/.*hook declined.*; protected branch:; ask Kim"
    ):
        await workspace.keep("agent/failed/42-7f9c0000", message())
    assert isinstance(KeepRefused(""), RepositoryUnreachable), "who keeps work after a failure goes on without"


async def test_work_that_is_too_large_for_the_forges_proxy_is_refused_and_kept_here(bench: Bench) -> None:
    """It was the remote's trouble: each new try of the run was one with a model, and each ended there."""
    with git_over_http(bench.remote.path, "forge-token", most=2_000) as url:
        mirror, word = bench.repo._mirror, base64.b64encode(b"x-access-token:forge-token").decode()
        mirror._url, mirror.hidden = url, True
        mirror._credential = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {word}",
        }
        workspace = await bench.open()
        sha = await work(workspace, {"large.txt": random.Random(7).randbytes(5_000).hex()})
        with pytest.raises(PushRefused, match="413") as caught:
            await workspace.publish(sha, claim_blob=None)
        assert caught.value.kind is Refusal.OTHER
        kept = await workspace.keep("agent/failed/42-7f9c0000", message())
        assert kept is not None
        assert (kept.ref, bool(kept.bundle), "413" in kept.refusal) == ("", True, True)


async def test_work_that_the_remote_does_not_take_in_its_time_is_refused_and_kept_here(bench: Bench) -> None:
    """T6: some GiB, or a slow hook, were the pod's trouble: other work waited, and each new try of the run had a model."""
    workspace = await bench.open()
    claim = await bench.claim()
    bench.repo.settle(hidden=True)
    sha = await work(workspace, {"a.txt": "1"})
    pushes: list[str] = []

    def hangs(argv: list[str], done: Finished | None) -> Finished | None:
        if done is not None or "push" not in argv:
            return None
        pushes.append(argv[-1])
        return Finished(-9, ended=Ended.TIMED_OUT)

    bench.runner.fault = hangs
    with pytest.raises(PushRefused, match="did not take it in its time") as caught:
        await workspace.publish(sha, claim_blob=claim)
    assert caught.value.kind is Refusal.OTHER
    assert len(pushes) == 2, "once more, since the remote answered"
    kept = await workspace.keep("agent/failed/42-7f9c0000", message())
    assert kept is not None
    assert kept.bundle


async def test_without_claim_refs_the_lease_is_on_the_branch_tip(bench: Bench) -> None:
    workspace = await bench.open()
    sha = await work(workspace, {"a.txt": "1"})
    bench.remote.push(BRANCH, {"b.txt": "2"})
    with pytest.raises(PushRefused) as caught:
        await workspace.publish(sha, claim_blob=None)
    assert caught.value.kind is Refusal.BRANCH_MOVED
    sha = await workspace.rebase()
    assert await workspace.publish(sha, claim_blob=None) == sha


async def test_two_holders_of_a_lost_claim_never_both_publish(bench: Bench) -> None:
    """The old pod is slow; the new one has set the ref before it touches git."""
    old = await bench.open()
    first = await bench.claim()
    sha = await work(old, {"a.txt": "old"})
    successor = bench.pod("other")
    second = await successor.set_claim(42, OTHER, first)
    new = await bench.open(NEXT, repo=successor)
    newer = await work(new, {"a.txt": "new"}, NEXT)
    assert await new.publish(newer, claim_blob=second) == newer
    with pytest.raises(Superseded):
        await old.publish(sha, claim_blob=first)
    assert bench.remote.show(BRANCH, "a.txt") == "new"


async def test_unmerged_branch_is_never_deleted(bench: Bench) -> None:
    """I-30 and I-33: a whole life of a ticket deletes no branch of the remote, and touches only its own."""
    bench.remote.push("agent/43-sibling", {"x": "y"})
    before = bench.remote.refs()
    workspace = await bench.open()
    sha = await work(workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=await bench.claim())
    await bench.repo.discard(42)
    assert bench.remote.refs() == {**before, f"refs/heads/{BRANCH}": sha}


async def test_evidence_is_the_run_id_in_a_trailer_and_nothing_like_it(bench: Bench) -> None:
    bench.remote.push(BRANCH, {"a": "1"}, f"Quotes a run\n\nIt says Agent-Run: {RUN} somewhere.\n\nMore text.")
    bench.remote.push(BRANCH, {"a": "2"}, f"Longer\n\nAgent-Run: {RUN}0\nWork-Package: #420\n")
    await bench.repo.fetch()
    assert await bench.repo.commit_of_run(RUN, BRANCH) is None
    assert not await bench.repo.commits_of_ticket(42, BRANCH)
    sha = bench.remote.push(BRANCH, {"a": "3"}, message())
    bench.remote.push(BRANCH, {"a": "4"})
    await bench.repo.fetch()
    assert await bench.repo.commit_of_run(RUN, BRANCH) == sha
    assert await bench.repo.commits_of_ticket(42, BRANCH)
    assert await bench.repo.commit_of_run(RUN, "agent/no-such-branch") is None


async def test_evidence_outlives_the_merge_and_the_deletion_of_the_branch(bench: Bench) -> None:
    sha = bench.remote.push(BRANCH, {"a": "3"}, message())
    bench.remote.merge(BRANCH)
    await bench.repo.fetch()
    assert await bench.repo.commit_of_run(RUN, BRANCH) == sha
    git(bench.remote.clone, "push", "--quiet", "origin", f":{BRANCH}")
    await bench.repo.fetch()
    assert await bench.repo.commit_of_run(RUN, BRANCH) == sha


async def test_a_merge_commit_of_ours_is_no_evidence_of_a_run(bench: Bench) -> None:
    bench.remote.push(BRANCH, {"mine.txt": "1"})
    bench.remote.push("main", {"theirs.txt": "2"})
    workspace = await bench.open()
    assert "Agent-Run" not in git(workspace.path, "show", "-s", "--format=%B", workspace.start)


async def test_a_failing_git_is_pod_trouble_with_the_next_step(bench: Bench) -> None:
    await bench.open()
    bench.runner.fault = lambda argv, _done: Finished(-signal.SIGKILL) if "reset" in argv else None
    with pytest.raises(PodTrouble, match="move the folder away"):
        await bench.open(NEXT)
