"""What programs of others leave goes, whatever it is."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.programs.removal import folder_for_others, held_folder, remove_folder

DEEP = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')\nopen('bottom', 'w').close()"
CLOSED = "mkdir -p go/mod/cache && touch go/mod/cache/file && chmod 555 go/mod/cache go/mod && chmod 000 go"
NOBODY = 65534


def test_a_folder_deeper_than_the_stack_of_python_goes(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", DEEP], cwd=folder, check=True)
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_closed_to_their_owner_go(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    subprocess.run(["sh", "-c", CLOSED], cwd=folder, check=True)
    folder.chmod(0)
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_can_do_it_too() -> None:
    pid = os.fork()
    if not pid:  # no exception may leave this process
        status = 1
        try:
            place = Path(f"/tmp/agent-removal-{os.getpid()}")
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            place.mkdir()
            subprocess.run(["sh", "-c", CLOSED], cwd=place, check=True)
            remove_folder(place)
            status = int(place.exists())
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    before = outside.stat().st_mode
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    remove_folder(folder)
    folder.symlink_to(outside)
    remove_folder(folder)
    assert [one.name for one in tmp_path.iterdir()] == ["outside"]
    assert (outside / "file").read_text() == "x"
    assert outside.stat().st_mode == before
    remove_folder(folder)


async def test_a_folder_for_others_goes_with_its_block(tmp_path: Path) -> None:
    async with folder_for_others(tmp_path, "enter-") as folder:
        assert folder.parent == tmp_path
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", DEEP], cwd=folder, check=True)
    assert not await asyncio.to_thread(os.listdir, tmp_path)


HOLD = """\
import asyncio, os, sys
from pathlib import Path
from agent.programs.removal import held_folder
async def main():
    async with held_folder(Path(sys.argv[1]), "build-") as folder:
        (folder / "result").write_text("half")
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""


def test_what_a_killed_process_held_goes_with_the_next_one_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], check=False)
    (left,) = tmp_path.glob("build-*/result")

    async def held() -> None:
        async with held_folder(tmp_path, "other-"):
            assert left.exists()
        async with held_folder(tmp_path, "build-") as first, held_folder(tmp_path, "build-") as second:
            assert not left.exists()
            assert first.is_dir()
            assert second.is_dir()
            for folder in (first, second):
                (folder / "result").write_text("whole")

    asyncio.run(held())
    assert not list(tmp_path.iterdir()), "nobody waited for it but the end of the loop"
