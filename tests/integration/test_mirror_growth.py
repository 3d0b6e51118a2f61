"""The mirror does not grow with the runs that fail, and what is not published yet is never among what goes."""

import secrets
from pathlib import Path

import pytest

from agent.git import tidying
from support.git_bench import KEPT, RUN, Bench, message, read, write
from support.git_repo import git

LOOSE = 2 << 20
ROUNDS = 6
"""Each leaves a mebibyte, so that all together are more than may lie there."""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(tidying, "LOOSE", LOOSE)
    return Bench(tmp_path)


def size(folder: Path) -> int:
    return sum(one.lstat().st_size for one in folder.rglob("*") if one.is_file())


@pytest.mark.parametrize("owners", [1, ROUNDS], ids=["of one ticket", "of as many tickets"])
async def test_objects_of_failed_runs_do_not_pile_up(bench: Bench, owners: int) -> None:
    sizes = []
    for number in range(ROUNDS):
        owner = 42 + number % owners
        workspace = await bench.open(f"{number:08}{RUN[8:]}", owner=owner, branch=f"agent/{owner}-failed")
        (workspace.path / "blob").write_bytes(secrets.token_bytes(1 << 20))
        snapshot = await workspace.snapshot()
        sha = await workspace.commit(snapshot.tree, message(f"{number:08}{RUN[8:]}"))
        async with workspace.checkout(sha):
            pass  # its checks fail
        git(bench.remote.path, "gc", "--quiet", "--prune=now")
        sizes.append(size(bench.folder / "state/mirror.git/objects"))
        await workspace.keep(f"agent/failed/42-{number}", message())
        git(bench.remote.path, "update-ref", "-d", f"refs/heads/agent/failed/42-{number}")
    assert max(sizes) <= LOOSE + (2 << 20), sizes


async def test_what_a_killed_git_was_writing_goes_with_the_next_process(bench: Bench) -> None:
    workspace = await bench.open()
    objects = bench.folder / "state/mirror.git/objects"
    drafts = [objects / "pack/tmp_pack_1", objects / "pack/tmp_idx_1", objects / "ab/tmp_obj_1"]
    for draft in drafts:
        draft.parent.mkdir(exist_ok=True)
        draft.write_bytes(bytes(1000))
    again = await bench.open(repo=bench.pod("state"))
    assert not [draft for draft in drafts if draft.exists()]
    assert again.start == workspace.start


async def test_what_is_not_published_stays(bench: Bench) -> None:
    bench.remote.push("agent/42-checkout", {"theirs.txt": "1"})
    bench.remote.push("main", {"base.txt": "1"})
    sibling = await bench.open(f"{1:08}{RUN[8:]}", owner=43, branch="agent/43-other")
    write(sibling, {"half.txt": "1"})
    await sibling.snapshot()
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    (workspace.path / "blob").write_bytes(secrets.token_bytes(LOOSE + 1))
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    for _ in range(2):
        await bench.repo.fetch()
    await workspace.sealed()
    git(bench.folder / "state/mirror.git", "fsck", "--connectivity-only", sha, workspace.start)
    assert await workspace.publish(sha, claim_blob=None) == sha
    again = await bench.open(f"{1:08}{RUN[8:]}", owner=43, branch="agent/43-other", repo=bench.pod("state"))
    assert read(again, "half.txt") == "1"
    assert await again.keep(KEPT, message())
