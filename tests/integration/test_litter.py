"""A run that leaves files without number, and folders without end, holds no pod: whatever is looked at, its loop goes on.

What is made here is a small part of what a run can make. A loop that waited for it would stand for longer by the same
factor, until the watchdog killed the pod in its clean-up, again and again.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.devshell.flake import Flake, ShellRefused
from agent.devshell.key import MOST, look
from agent.errors import TicketFailure
from agent.execution import Execution
from agent.programs.processes import Processes
from agent.programs.removal import folder_for_others, remove_folder
from agent.settings import Ambient, load
from agent.texts.evidence import redactor
from support.git_bench import NEXT, RUN, Bench, message, write
from support.heartbeat import heartbeat
from support.litter import litter

CONFIG = """
pod = "pod-a"
state = "{state}"
[board]
url = "http://board.example"
[model]
kind = "command"
command = ["true"]
[repositories.shop]
url = "{state}"
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory, where files are made fast. It goes whatever is left in it: pytest cannot remove what is deep."""
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None, prefix="agent-litter-"))
    yield place
    remove_folder(place)


async def test_the_homes_of_runs_go_while_the_loop_goes_on(place: Path) -> None:
    (place / "agent.toml").write_text(CONFIG.format(state=place / "state"))
    settings = load(str(place / "agent.toml"), environ={"HOME": str(place)})
    ambient = Ambient(children={"HOME": str(place)}, journal=False, colour=False)
    execution = Execution(settings, ambient, Processes(), None, redactor())
    homes = place / "state/homes"
    await asyncio.gather(litter(homes / RUN), litter(homes / f"{NEXT}.checks", 5_000))
    async with heartbeat():
        await execution.forget(RUN)
        assert [one.name for one in homes.iterdir()] == [f"{NEXT}.checks"]
        await execution.tidy({RUN})
        assert list(homes.iterdir()) == []


async def test_a_folder_that_programs_of_others_filled_goes_while_the_loop_goes_on(place: Path) -> None:
    async with heartbeat(), folder_for_others(place, "enter-") as folder:
        await litter(folder)
    assert not folder.exists()


async def test_git_is_judged_checked_out_and_discarded_while_the_loop_goes_on(place: Path) -> None:
    bench = Bench(place)
    workspace = await bench.open()
    await litter(place / "state/mirror.git/hooks", deep=0)  # where a run without a sandbox wrote into our copy
    write(workspace, {"work.txt": "1"})
    async with heartbeat():
        with pytest.raises(TicketFailure, match="the model ran git"):
            await workspace.snapshot()
        sha = await workspace.commit((await workspace.snapshot()).tree, message())
        async with workspace.checkout(sha) as clean:
            await litter(clean.path / "target", 5_000)
        await bench.repo.discard(42)
    assert not (place / "state/work/42").exists()


async def test_a_shell_of_more_files_than_any_flake_has_is_refused(place: Path) -> None:
    files = tuple(f"{number}.nix" for number in range(MOST + 1))
    with pytest.raises(ShellRefused, match="more than 100000 files"):
        look(Flake(folder=place, files=files))
