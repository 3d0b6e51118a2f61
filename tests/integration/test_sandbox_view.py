"""A sandbox sees the entries of a folder that it was shown and no other, and what is added while it runs."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.errors import PodTrouble
from agent.programs.runner import Finished, Job
from agent.sandbox.sandbox import Sandbox
from agent.sandbox.view import Shelf, View
from support.attacks import LIMITS, USERS, Cell, alive, prison, sh, until

SEEN = Path("/nix/store")
MANY = 1000


@pytest.fixture(params=USERS)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with prison(request.param) as made:
        yield made


@pytest.fixture
def store(cell: Cell) -> Path:
    """A folder with a tool, a file, a link and what nobody may see."""
    folder = cell.folder / "store"
    for name in ("tool", "later", "secret"):
        (folder / name / "bin").mkdir(parents=True)
        (folder / name / "bin/run").write_text(f"{name}\n")
    (folder / "script.sh").write_text("script\n")
    (folder / "link").symlink_to("/nix/store/tool/bin")
    (folder / "trap").symlink_to(folder / "secret")
    cell.own()
    return folder


@pytest.fixture
def view(store: Path) -> View:
    return View([Shelf(store, SEEN)], python="/usr/bin/python3")


async def run(cell: Cell, view: View, script: str, *words: str) -> Finished:
    sandbox = Sandbox(runner=cell.runner, jail=cell.jail, limits=LIMITS, view=view)
    return await sandbox.run(Job(argv=tuple(sh(script, *words)), cwd=cell.worktree, env=cell.env(), timeout=60))


async def test_what_was_shown_is_seen_read_only_and_nothing_else(cell: Cell, view: View) -> None:
    await view.show(0, ["tool", "script.sh", "link"])
    done = await run(cell, view, "ls /nix/store; cat /nix/store/tool/bin/run /nix/store/script.sh /nix/store/link/run")
    assert done.stdout.decode().split() == ["link", "script.sh", "tool", "tool", "script", "tool"], done.stderr
    for path in ("/nix/store/new", "/nix/store/tool/new", "/nix/store/script.sh", "/nix/new"):
        assert not (await run(cell, view, f"echo > {path}")).ok, path


async def test_a_link_is_never_followed(cell: Cell, view: View) -> None:
    await view.show(0, ["trap"])
    done = await run(cell, view, "ls /nix/store; cat /nix/store/trap/bin/run")
    assert done.stdout == b"trap\n"


async def test_what_is_added_is_seen_by_the_process_that_runs(cell: Cell, view: View) -> None:
    await view.show(0, ["tool"])
    running = asyncio.create_task(
        run(cell, view, "touch begun; until [ -e go ]; do sleep 0.01; done; ls /nix/store; echo > /nix/store/later/new")
    )
    await until((cell.worktree / "begun").exists)
    await view.show(0, ["later", "script.sh"])
    (cell.worktree / "go").touch()
    done = await running
    assert done.stdout == b"later\nscript.sh\ntool\n"
    assert b"Read-only file system" in done.stderr
    assert view.shown(0) == ("tool", "later", "script.sh")


async def test_what_is_added_while_a_sandbox_begins_is_seen_too(cell: Cell, view: View) -> None:
    running = asyncio.create_task(run(cell, view, "until [ -e /nix/store/later ]; do sleep 0.01; done; ls /nix/store"))
    await asyncio.sleep(0)
    await view.show(0, ["later"])
    assert (await running).stdout == b"later\n"


async def test_what_the_store_has_lost_is_the_pods_trouble_and_not_the_programs(cell: Cell, view: View) -> None:
    await view.show(0, ["gone"])
    with pytest.raises(PodTrouble, match=r"view: No such file or directory \(.*/gone\)"):
        await run(cell, view, "true")


async def test_a_running_sandbox_that_cannot_be_shown_more_is_the_pods_trouble(cell: Cell, view: View) -> None:
    running = asyncio.create_task(run(cell, view, "touch begun; until [ -e go ]; do sleep 0.01; done"))
    await until((cell.worktree / "begun").exists)
    with pytest.raises(PodTrouble, match=r"cannot be shown more of the Nix store: No such file or directory"):
        await view.show(0, ["gone"])
    (cell.worktree / "go").touch()
    assert (await running).ok


@pytest.mark.parametrize("name", ["..", "a/b", "a\nb", ""])
async def test_only_names_of_entries_are_shown(view: View, name: str) -> None:
    with pytest.raises(PodTrouble, match="is no name in /nix/store"):
        await view.show(0, [name])


async def test_exit_codes_and_streams_are_the_programs_and_nothing_stays_behind(
    cell: Cell, store: Path, view: View
) -> None:
    await view.show(0, ["tool"])
    done = await run(cell, view, 'cat; echo "$1" >&2; exit 7', "a word")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"a word\n")
    assert not [pid for pid in alive(str(store)) if pid != os.getpid()]


async def test_a_thousand_entries_cost_a_fraction_of_a_second(
    cell: Cell, store: Path, view: View, measured: Callable[[str], None]
) -> None:
    names = [f"{number:032}-package" for number in range(MANY)]

    def make() -> None:
        for name in names:
            (store / name).mkdir()

    await asyncio.to_thread(make)
    spent = []
    for shown in ((), names):
        await view.show(0, shown)
        began = time.perf_counter()
        assert (await run(cell, view, "ls /nix/store | wc -l")).stdout == b"%d\n" % len(shown)
        spent.append(time.perf_counter() - began)
    measured(f"a sandbox with {MANY} store paths: {spent[1]:.2f} s, with none {spent[0]:.2f} s ({cell.who})")
    assert spent[1] < 10
