"""Saved shells by the real Nix, offline, in a store of the test's own."""

import asyncio
import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.clock import SystemClock
from agent.devshell.flake import Copy, Evaluated, Saved, ShellRefused
from agent.devshell.shells import Shells
from agent.errors import PodTrouble, TicketFailure
from agent.programs.runner import Job
from support.git_repo import FLAKE, PROJECT, git
from support.needs import needs
from support.nix_client import Counting, PlainClient, listed, nix_environment, nix_of, settings, writable

pytestmark = [
    pytest.mark.nix,
    needs("nix"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nix")
    yield folder
    writable(folder)


class Later(SystemClock):
    """The real clock, some days ahead."""

    days = 0.0

    def now(self) -> dt.datetime:
        return super().now() + dt.timedelta(days=self.days)


class Bench:
    """A checkout and its saved shells."""

    def __init__(self, tmp_path: Path, store: Path) -> None:
        self.checkout = tmp_path / "checkout"
        self.folder = tmp_path / "shells"
        self.home = tmp_path / "home"
        self.home.mkdir()
        for name, content in PROJECT.items():
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / name).write_text(content)
        git(self.checkout, "init", "--quiet", "-b", "main")
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "-m", "First commit")
        self.runner = Counting()
        self.options = settings(store)
        self.env = nix_environment(self.options, self.home)
        self.client = PlainClient(self.runner, self.env)
        self.clock = Later()
        self.shells = self.more()

    def more(self, client: PlainClient | None = None, *, entries: int = 50, scope: str = "") -> Shells:
        return Shells(
            client or self.client,
            self.folder,
            nix=nix_of(self.runner, self.home, self.env),
            options=self.options,
            entries=entries,
            scope=scope,
            clock=self.clock,
        )

    async def get(self, shells: Shells | None = None, *, timeout: float = 60) -> Saved:  # noqa: ASYNC109
        return await (shells or self.shells).get(await listed(self.checkout), timeout=timeout)

    def flake(self, old: str, new: str) -> None:
        assert old in FLAKE
        (self.checkout / "flake.nix").write_text(FLAKE.replace(old, new))

    def value(self, text: str) -> None:
        self.flake("from the shell", text)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    async def nix(self, *argv: str) -> str:
        done = await self.runner.run(Job(argv=argv, cwd=self.home, env=self.env, timeout=60))
        assert done.ok, done.stderr
        return done.stdout.decode()


@pytest.fixture
def bench(tmp_path: Path, store: Path) -> Bench:
    return Bench(tmp_path, store)


async def test_a_second_entry_starts_no_process_at_all(bench: Bench) -> None:
    first = await bench.get()
    flake = await listed(bench.checkout)
    bench.runner.started.clear()
    assert await bench.shells.get(flake, timeout=0) == first
    assert bench.runner.started == []
    assert first.environment.name.endswith("-fixture-shell-env")
    assert 'export TMPDIR="$NIX_BUILD_TOP"' not in first.script.read_text()


async def test_another_run_copies_the_tree_and_evaluates_nothing_where_that_is_known(bench: Bench) -> None:
    first = await bench.get()
    bench.runner.started.clear()
    assert await bench.get(bench.more()) == first
    assert bench.runner.nix() == ["--version", "flake"]


async def test_a_checkout_that_git_has_just_made_of_a_known_commit_is_not_even_copied(bench: Bench) -> None:
    made = replace(await listed(bench.checkout), commit=git(bench.checkout, "rev-parse", "HEAD"))
    first = await bench.shells.get(made, timeout=60)
    bench.runner.started.clear()
    assert await bench.more().get(made, timeout=60) == first
    assert bench.runner.nix() == ["--version"]


async def test_a_tree_that_is_known_by_another_commit_is_copied_once_and_then_known_by_this_one(bench: Bench) -> None:
    first = await bench.get()
    made = replace(await listed(bench.checkout), commit=git(bench.checkout, "rev-parse", "HEAD"))
    for asked in (["--version", "flake"], ["--version"]):
        bench.runner.started.clear()
        assert await bench.more().get(made, timeout=60) == first
        assert bench.runner.nix() == asked


async def test_files_that_differ_from_the_commit_that_they_are_said_to_be_lead_nobody_else_to_their_shell(
    bench: Bench,
) -> None:
    head = git(bench.checkout, "rev-parse", "HEAD")
    bench.value("in no commit")
    assert (
        "in no commit"
        in (await bench.shells.get(replace(await listed(bench.checkout), commit=head), timeout=60)).script.read_text()
    )
    git(bench.checkout, "checkout", "--quiet", "--", ".")
    other = await bench.more().get(replace(await listed(bench.checkout), commit=head), timeout=60)
    assert "in no commit" not in other.script.read_text()


async def test_edits_of_what_makes_no_shell_hit_and_edits_of_the_flake_miss(bench: Bench) -> None:
    first = await bench.get()
    (bench.checkout / "shop.py").write_text("def total(prices):\n    return 0\n")
    (bench.checkout / "new.txt").write_text("x")
    git(bench.checkout, "add", "new.txt")
    assert await bench.get() == first
    git(bench.checkout, "commit", "--quiet", "-a", "-m", "More")
    assert await bench.get() == first
    assert bench.client.evaluations == 1
    bench.value("another text")
    second = await bench.get()
    assert "another text" in second.script.read_text()
    bench.value("from the shell")
    assert await bench.get() == first
    assert bench.client.evaluations == 2


async def test_a_file_that_is_new_to_git_counts_once_git_lists_it(bench: Bench) -> None:
    await bench.get()
    (bench.checkout / "value.nix").write_text('"one"')
    bench.flake('"from the shell"', "import ./value.nix")
    git(bench.checkout, "add", "--intent-to-add", "value.nix")
    one = await bench.get()
    assert "SOME_VAR='one'" in one.script.read_text()
    (bench.checkout / "value.nix").write_text('"two"')  # the index says the same of both: an empty file
    assert "SOME_VAR='two'" in (await bench.get()).script.read_text()
    git(bench.checkout, "add", "--all")
    (bench.checkout / "value.nix").write_text('"one"')
    assert await bench.get() == one


async def test_patterns_of_the_settings_count(bench: Bench) -> None:
    before = await bench.shells.key(await listed(bench.checkout, "stdenv/*"))
    (bench.checkout / "stdenv" / "setup").write_text("export PATH=/usr/bin:/bin\n")
    assert await bench.shells.key(await listed(bench.checkout, "stdenv/*")) != before


async def test_two_repositories_share_no_shell(bench: Bench) -> None:
    flake = await listed(bench.checkout)
    assert await bench.more(scope="one").key(flake) != await bench.more(scope="two").key(flake)


async def test_another_nix_makes_another_shell(bench: Bench, tmp_path: Path) -> None:
    flake = await listed(bench.checkout)
    before = await bench.shells.key(flake)
    newer = tmp_path / "bin" / "nix"
    newer.parent.mkdir()
    bench.env["PATH"] = f"{newer.parent}:{bench.env['PATH']}"
    keys = []
    for version in ("2.26.3", "2.31.1"):
        newer.write_text(f"#!/bin/sh\necho 'nix (Nix) {version}'\n")
        newer.chmod(0o755)
        keys.append(await bench.more().key(flake))
    assert keys[0] == before != keys[1]


async def test_a_nix_that_was_exchanged_under_a_running_pod_is_asked_again(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nix"
    program.parent.mkdir()
    bench.env["PATH"] = f"{program.parent}:{bench.env['PATH']}"
    shells, flake = bench.more(), await listed(bench.checkout)
    keys: list[str] = []
    for version in ("2.26.3", "2.26.3", "2.26.10"):
        if not keys or version != "2.26.3":
            program.write_text(f"#!/bin/sh\necho 'nix (Nix) {version}'\n")
            program.chmod(0o755)
        keys.append(await shells.key(flake))
    assert keys[0] == keys[1] != keys[2]
    assert len(bench.runner.nix()) == 2


@pytest.mark.parametrize("collect", [("nix-collect-garbage",), ("nix", "store", "gc")])
async def test_the_garbage_collector_leaves_the_shell_and_the_flakes_inputs(
    bench: Bench, tmp_path: Path, collect: tuple[str, ...]
) -> None:
    paths = []
    for name in ("input", "another", "nobodys"):
        (tmp_path / name).write_text(f"{name} {collect}")
        paths.append(Path((await bench.nix("nix-store", "--add", str(tmp_path / name))).strip()))
    bench.client.inputs = (paths[0], paths[1])
    bench.value(f"collected by {collect[0]}")
    saved = await bench.get()
    await bench.nix(*collect)
    assert [path.exists() for path in paths] == [True, True, False]
    assert await bench.get() == saved
    assert bench.client.evaluations == 1
    shutil.rmtree(bench.shells._entries.folder)  # how an operator drops the cache
    await bench.nix(*collect)
    assert [path.exists() for path in (*paths, saved.environment)] == [False] * 4


async def test_a_shell_that_the_store_lost_is_made_anew(bench: Bench) -> None:
    bench.value("lost")
    saved = await bench.get()
    saved.script.with_suffix("").unlink()
    await bench.nix("nix-collect-garbage")
    assert not saved.environment.exists()
    assert await bench.get() == saved
    assert saved.environment.exists()
    assert bench.client.evaluations == 2


@pytest.mark.parametrize("damage", ["empty", "half", "changed", "folder of links", "another profile", "unreadable"])
async def test_a_damaged_entry_is_made_anew(bench: Bench, damage: str) -> None:
    saved = await bench.get()
    whole, profile = saved.script.read_bytes(), saved.script.with_suffix("")
    if damage == "empty":
        saved.script.write_bytes(b"")
    elif damage == "half":
        saved.script.write_bytes(whole[: len(whole) // 2])
    elif damage == "changed":
        saved.script.write_bytes(whole.replace(b"from the shell", b"from a thief.."))
    elif damage == "folder of links":
        profile.unlink()
    elif damage == "another profile":
        profile.unlink()
        profile.symlink_to("/tmp")
    else:
        saved.script.write_bytes(b"\xff\x00")
    assert await bench.get() == saved
    assert saved.script.read_bytes() == whole
    assert bench.client.evaluations == 2
    assert await bench.get() == saved
    assert bench.client.evaluations == 2


async def test_structured_attributes_are_refused_and_nothing_is_kept(bench: Bench) -> None:
    bench.flake("SOME_VAR =", "__structuredAttrs = true; SOME_VAR =")
    with pytest.raises(ShellRefused, match="take that line out"):
        await bench.get()
    assert bench.names() == []


async def test_a_flake_that_does_not_evaluate_leaves_nothing_and_is_tried_again(bench: Bench) -> None:
    bench.flake("stdenv = ./stdenv;", "stdenv = nope;")
    for _ in range(2):
        with pytest.raises(TicketFailure, match="does not evaluate"):
            await bench.get()
    assert bench.client.evaluations == 2
    assert bench.names() == []


async def test_an_input_that_cannot_be_kept_is_pod_trouble_and_nothing_is_kept(bench: Bench, store: Path) -> None:
    bench.client.inputs = (store / "store" / f"{'0' * 32}-gone",)
    with pytest.raises(PodTrouble, match="Nix cannot be used on this host: "):
        await bench.get()
    assert bench.names() == []


async def test_two_tasks_and_two_pods_evaluate_once(bench: Bench) -> None:
    bench.value("asked for at once")
    git(bench.checkout, "commit", "--quiet", "-a", "-m", "More")
    other = bench.more()
    found = await asyncio.gather(*(bench.get(shells) for shells in (bench.shells, other, bench.shells, other)))
    assert len(set(found)) == 1
    assert bench.client.evaluations == 1
    assert not list(bench.folder.glob("*.lock"))


async def test_who_waits_for_another_waits_no_longer_than_it_may(bench: Bench) -> None:
    slow = PlainClient(bench.runner, {**bench.env, "PATH": f"{bench.home}:{bench.env['PATH']}"})
    (bench.home / "nix").write_text(f'#!/bin/sh\ncase $1 in print*) sleep 4;; esac\nexec {shutil.which("nix")} "$@"\n')
    (bench.home / "nix").chmod(0o755)
    first = asyncio.create_task(bench.get(bench.more(slow)))
    while not bench.folder.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    with pytest.raises(TicketFailure, match="another run was still making it after 1 s"):
        await bench.get(timeout=1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert bench.names() == []
    assert (await bench.get()).script.exists()


class Hasty(PlainClient):
    """The model edits while Nix evaluates."""

    def __init__(self, bench: Bench, edits: int) -> None:
        super().__init__(bench.runner, bench.env)
        self._bench = bench
        self._edits = edits

    async def evaluate(self, copy: Copy, shell: str, *, timeout: float) -> Evaluated:  # noqa: ASYNC109
        made = await super().evaluate(copy, shell, timeout=timeout)
        if self.evaluations <= self._edits:
            self._bench.value(f"edit {self.evaluations}")
        return made


async def test_what_was_evaluated_while_the_flake_changed_is_never_saved_for_its_old_contents(bench: Bench) -> None:
    saved = await bench.get(bench.more(Hasty(bench, edits=1)))
    assert "edit 1" in saved.script.read_text()
    bench.value("from the shell")
    assert "from the shell" in (await bench.get()).script.read_text()
    bench.value("edit 1")
    assert await bench.get() == saved


async def test_a_flake_that_changes_all_the_time_is_entered_and_leads_nobody_astray(bench: Bench) -> None:
    hasty = Hasty(bench, edits=99)
    saved = await bench.get(bench.more(hasty))
    assert hasty.evaluations == 3
    assert "edit 2" in saved.script.read_text()
    await bench.nix("nix-collect-garbage")
    assert saved.environment.exists()
    for text in ("from the shell", "edit 1", "edit 2", "edit 3"):
        bench.value(text)
        assert f"'{text}'" in (await bench.get()).script.read_text()
    assert bench.client.evaluations == 3  # the first is a commit's, and was evaluated already


async def test_half_of_an_edit_is_not_the_tickets_failure(bench: Bench) -> None:
    class Half(PlainClient):
        async def evaluate(self, copy: Copy, shell: str, *, timeout: float) -> Evaluated:  # noqa: ASYNC109
            try:
                return await super().evaluate(copy, shell, timeout=timeout)
            except TicketFailure:
                bench.value("whole")
                raise

    bench.flake("stdenv = ./stdenv;", "stdenv =")
    assert "whole" in (await bench.get(bench.more(Half(bench.runner, bench.env)))).script.read_text()


KILLED = """
import asyncio, sys
from pathlib import Path
from agent.devshell.shells import Shells
from support.nix_client import *
checkout, folder, home, store = map(Path, sys.argv[1:])
options = settings(store)
env = nix_environment(options, home)
runner = Counting()
shells = Shells(PlainClient(runner, env), folder, nix=nix_of(runner, home, env), options=options)
async def main():
    await shells.get(await listed(checkout), timeout=60)
asyncio.run(main())
"""


async def test_a_kill_in_the_middle_of_a_miss_leaves_a_cache_that_works(bench: Bench, store: Path) -> None:
    bench.value(f"killed {store}")
    arguments = [sys.executable, "-c", KILLED, *map(str, (bench.checkout, bench.folder, bench.home, store))]
    env = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parents[1]}"}
    for pause in (0.0, 0.02, 0.05):
        shutil.rmtree(bench.folder, ignore_errors=True)
        killed = subprocess.Popen(arguments, env=env)  # noqa: ASYNC220
        deadline = time.monotonic() + 30
        while not bench.folder.exists() and killed.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        await asyncio.sleep(pause)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        saved = await bench.get()
        assert "killed" in saved.script.read_text()
        assert await bench.get() == saved
        key = saved.script.stem
        assert [name for name in bench.names() if not name.endswith("-link")] == [key, f"{key}.rc"]


async def test_what_a_killed_process_left_is_removed_after_a_day(bench: Bench) -> None:
    bench.folder.mkdir()
    key = "a" * 40
    (bench.folder / key).symlink_to(f"{key}-1-link")
    (bench.folder / f"{key}-1-link").symlink_to("/nix/store/x-env")
    (bench.folder / f"{key}.rc.new").write_text("half")
    (bench.folder / "README").write_text("not ours to remove")
    assert bench.shells.prune() == 0
    bench.clock.days = 1.5
    assert bench.shells.prune() == 1
    assert bench.names() == ["README"]


async def test_entries_that_nobody_enters_go_and_those_entered_stay(bench: Bench) -> None:
    old = await bench.get()
    bench.value("second")
    young = await bench.get()
    for saved in (old, young):
        os.utime(saved.script, (0, 0))
    assert await bench.get() == young  # this is to enter it
    assert bench.shells.prune() == 1
    kept = {name.split(".")[0] for name in bench.names() if not name.endswith(".tree")}
    assert kept == {young.script.stem}
    bench.clock.days = 31
    assert bench.shells.prune() == 2  # the shell, and the tree that led to the other
    assert bench.names() == []


async def test_no_more_entries_stay_than_allowed_and_a_miss_removes_the_rest(bench: Bench) -> None:
    few = bench.more(entries=2)
    made = []
    for text in ("one", "two", "three"):
        bench.value(text)
        made.append(await bench.get(few))
        os.utime(made[-1].script, (time.time() - 100 + len(made),) * 2)
    bench.value("four")
    made.append(await bench.get(few))
    assert [saved.script.exists() for saved in made] == [False, False, True, True]


async def test_what_is_being_made_is_not_removed_for_its_age(bench: Bench) -> None:
    saved = await bench.get()
    os.utime(saved.script, (0, 0))
    with bench.shells._entries.lock(saved.script.stem) as mine:
        assert mine
        assert bench.shells.prune() == 0
    assert bench.shells.prune() == 1
    assert [name for name in bench.names() if not name.endswith(".tree")] == []
    assert await bench.get() == saved


async def test_a_folder_that_cannot_be_written_is_pod_trouble(bench: Bench) -> None:
    bench.folder.write_text("a file")
    with pytest.raises(PodTrouble, match=r"the folder of saved development shells .* cannot be written: "):
        await bench.get()


async def test_missing_nix_is_pod_trouble(bench: Bench, tmp_path: Path) -> None:
    bench.env["PATH"] = str(tmp_path)
    with pytest.raises(PodTrouble, match=r"`nix` is missing.*nix-bin"):
        await bench.get(bench.more())


async def test_a_nix_that_does_not_work_is_pod_trouble(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "nix").write_text("#!/bin/sh\necho 'error: no space left on device' >&2; exit 1\n")
    (tmp_path / "nix").chmod(0o755)
    bench.env["PATH"] = f"{tmp_path}:{bench.env['PATH']}"
    with pytest.raises(PodTrouble, match="Nix cannot be used on this host: no space left on device; "):
        await bench.get(bench.more())
