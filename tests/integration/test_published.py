"""What a fresh clone has is kept as a folder of ours, and is not believed for ever: what a kill or a disk left of it comes back by itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.git.folder import remove
from agent.programs.runner import Finished
from support.git_bench import NEXT, RUN, Bench, message, write
from support.git_repo import git


def packs(folder: Path, what: str = "*") -> list[Path]:
    return sorted((folder / "objects/pack").glob(what))


def emptied(folder: Path) -> None:
    for one in packs(folder):
        one.unlink()


def cut(folder: Path) -> None:
    for one in packs(folder, "*.pack"):
        one.chmod(0o644)
        one.write_bytes(one.read_bytes()[:40])


def without_index(folder: Path) -> None:
    packs(folder, "*.idx")[0].unlink()


def with_a_draft(folder: Path) -> None:
    (folder / "objects/pack/tmp_pack_killed").write_bytes(b"PACK")


def noted_by_half(folder: Path) -> None:
    note = folder / "branches"
    note.write_bytes(note.read_bytes()[:-20])


def noted_as_before(folder: Path) -> None:
    """As a version did that noted the branches alone, and whose objects are gone."""
    note = folder / "branches"
    note.write_bytes(b"".join(line + b"\n" for line in note.read_bytes().splitlines() if b" refs/" in line))
    remove(folder / "objects")


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: remove(folder / "objects"),
        emptied,
        cut,
        without_index,
        with_a_draft,
        noted_by_half,
        noted_as_before,
    ],
    ids=["no objects", "emptied", "cut", "no index", "a draft", "half a note", "an old note"],
)
async def test_what_is_not_whole_is_made_anew(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    bench = Bench(tmp_path)
    bench.remote.push("side", {"side.txt": "only there"})
    await (await bench.open()).jail_paths()
    harm(tmp_path / "state/published")
    bench.remote.push("main", {"more.txt": "1"})
    workspace = await bench.open(NEXT, owner=43, branch="agent/43-x", repo=bench.pod("state"))
    seen = (await workspace.jail_paths()).instead[0][0]
    git(seen, "--git-dir", str(seen), "fsck", "--connectivity-only")
    assert not packs(tmp_path / "state/published", "tmp_*")
    async with workspace.checkout(workspace.start) as clean:
        git(clean.path, "fsck", "--connectivity-only")


async def test_damage_that_shows_only_to_git_is_mended_before_a_ticket_is_blamed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    workspace = await bench.open()
    await workspace.jail_paths()
    for one in packs(tmp_path / "state/published", "*.pack"):
        one.chmod(0o644)
        one.write_bytes(bytes(one.stat().st_size))
    write(workspace, {"work.txt": "1"})
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    async with workspace.checkout(sha) as clean:
        assert (clean.path / "work.txt").read_text() == "1"
        git(clean.path, "fsck", "--connectivity-only")


async def test_branches_that_are_gone_are_no_arguments(tmp_path: Path) -> None:
    """The kernel takes some forty thousand, and a remote may lose more at once."""
    bench = Bench(tmp_path)
    gone = {bench.remote.push(name, {f"{name}.txt": "1"}) for name in ("one", "two")}
    await (await bench.open()).jail_paths()
    for name in ("one", "two"):
        git(bench.remote.path, "branch", "-q", "-D", name)
    seen: list[str] = []

    def listen(argv: list[str], _done: Finished | None) -> None:
        seen.extend(argv)

    bench.runner.fault = listen
    workspace = await bench.open(RUN, owner=43, branch="agent/43-x")
    await workspace.jail_paths()
    assert "pack-objects" in seen
    assert not gone & set(seen)
