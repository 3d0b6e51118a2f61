"""What nobody needs any more is gone from its place at once, and from the disk soon, whatever it holds."""

import asyncio
from pathlib import Path

from agent.git.trash import Trash


def names(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


def filled(folder: Path) -> Path:
    closed = folder / "closed/deep"
    closed.mkdir(parents=True)
    (closed / "file").write_text("1")
    closed.chmod(0)
    folder.chmod(0o500)
    return folder


def fill(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / str(number)).touch()


async def test_a_tree_is_gone_whatever_it_holds(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "trash")
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(tmp_path)
    file.write_text("1")
    tree = filled(tmp_path / "tree")
    await trash.put(tree, tree / "closed", link, file, tmp_path / "none")
    assert names(tmp_path) == ["trash"]
    await trash.put(filled(tmp_path / "second"))
    assert len(names(tmp_path / "trash")) == 2, "nothing is taken away while the next tree is made"
    await trash.close()
    assert names(tmp_path / "trash") == []


async def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    filled(tmp_path / "trash/left")
    trash = Trash(tmp_path / "trash")
    await trash.close()
    await trash.put(filled(tmp_path / "tree"))
    await trash.close()
    assert names(tmp_path / "trash") == []


async def test_the_end_of_a_process_does_not_wait_for_all_that_a_run_left(tmp_path: Path) -> None:
    await asyncio.to_thread(fill, tmp_path / "tree/folder", 3000)
    trash = Trash(tmp_path / "trash", last=0)
    await trash.put(tmp_path / "tree")
    await trash.close()
    assert names(tmp_path / "trash"), "the rest stays"
    later = Trash(tmp_path / "trash")
    await later.put(filled(tmp_path / "second"))
    await later.close()
    assert names(tmp_path / "trash") == []


async def test_trees_are_taken_away_though_nobody_closes(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "trash", pause=0.01)
    await trash.put(filled(tmp_path / "tree"))
    async with asyncio.timeout(60):
        while names(tmp_path / "trash"):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)
