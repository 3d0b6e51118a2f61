"""Ways out of the sandbox by files, git and daemons: each must fail inside and work outside, else it would prove nothing."""

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest

from support.attacks import USERS, Cell, alive, attack, attempt, prison, python, sh, until

Note = Callable[[str], None]


@pytest.fixture(params=USERS)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with prison(request.param) as furnished:
        yield furnished


SECRETS = ["state/worktrees/other/secret", "state/runs/secret", "real-home/.ssh/id_ed25519", "credentials/token"]
ROUTES = {
    "by its path": 'grep canary "$1"',
    "through a symlink": 'ln -sf "$1" link && grep canary link',
    "through the roots of processes": 'for process in 1 $PPID self; do grep canary "/proc/$process/root$1" && exit; done; exit 1',
    "by copying all that there is": 'grep -rqs canary "${1%/*}/.."',
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("secret", SECRETS)
async def test_a_file_outside_cannot_be_read(cell: Cell, measured: Note, secret: str, route: str) -> None:
    await attack(cell, *sh(ROUTES[route] + " > /dev/null", cell.folder / secret))
    measured(attempt(cell, f"read {secret} {route}"))


@pytest.mark.parametrize("part", ["environ", "cmdline"])
async def test_a_secret_of_another_process_cannot_be_read(cell: Cell, measured: Note, part: str) -> None:
    canary = str(uuid.uuid4())
    owner = asyncio.create_task(cell.outside("sh", "-c", "sleep 60; true", canary, SECRET=canary))
    await until(lambda: len(alive(canary)) > 0)
    try:
        script = """import glob, sys
texts = []
for path in glob.glob("/proc/[0-9]*/" + sys.argv[1]):
    try: texts.append(open(path).read())
    except OSError: pass
wanted = "-".join(sys.argv[2:])
sys.exit(not any(wanted in text for text in texts))"""
        await attack(cell, *python(script, part, *canary.split("-")))
    finally:
        owner.cancel()
        await asyncio.wait((owner,))
    measured(attempt(cell, f"read the {part} of the orchestrator"))


def outside_of(cell: Cell) -> dict[str, tuple[int, int, int]]:
    """Every file and folder that is not the program's own, and the worktree's `.git`."""
    found = {}
    for path in cell.folder.rglob("*"):
        own = any(path.is_relative_to(folder) for folder in cell.jail.measured)
        if not own or path == cell.worktree / ".git":
            entry = path.lstat()
            found[str(path)] = (entry.st_ino, entry.st_size, entry.st_mtime_ns)
    return found


WRITES = {
    "create a file beside the worktree": 'touch "$1/state/new"',
    "change another worktree": 'echo x > "$1/state/worktrees/other/secret"',
    "write to the real home": 'echo x >> "$1/real-home/.ssh/id_ed25519"',
    "link a file of the state into the worktree": 'ln "$1/state/runs/secret" stolen && grep canary stolen',
    "write through a symlink": 'ln -sfn "$1/state" link && touch link/new2',
    "rename the worktree": 'mv "$1/state/worktrees/mine" "$1/state/moved" && mv "$1/state/moved" "$1/state/worktrees/mine"',
    "write the worktree's .git": "cat .git > copy; cat copy > .git",
    "remove the worktree's .git": "mv .git was && mv was .git",
    "put another .git in its place": "cp .git new && mv -f new .git",
    "make .git a folder": "rm .git && git init -q .",
    "write the mirror's config": 'echo >> "$1/state/mirror.git/config"',
    "plant a hook": 'echo "#!/bin/sh" > "$1/state/mirror.git/hooks/pre-commit"',
    "write a reference": 'cp "$1/state/mirror.git/HEAD" "$1/state/mirror.git/refs/heads/x"',
    "move HEAD": 'cp "$1/state/mirror.git/worktrees/mine/HEAD" head && cp head "$1/state/mirror.git/worktrees/mine/HEAD"',
    "plant an object": 'mkdir -p "$1/state/mirror.git/objects/ff" && touch "$1/state/mirror.git/objects/ff/x"',
    "lock the index": 'touch "$1/state/mirror.git/worktrees/mine/index.lock" && rm "$1/state/mirror.git/worktrees/mine/index.lock"',
    "reach the other's administrative folder": 'ls "$1/state/mirror.git/worktrees/" && mkdir "$1/state/mirror.git/worktrees/x"',
}


@pytest.mark.parametrize("way", WRITES)
async def test_nothing_outside_the_worktree_can_be_written(cell: Cell, measured: Note, way: str) -> None:
    before = outside_of(cell)
    inside = await cell.inside(*sh(WRITES[way], cell.folder))
    assert outside_of(cell) == before, f"it succeeded: {inside.stdout!r}"
    assert not (inside.ok and ".git" in WRITES[way])
    outside = await cell.outside(*sh(WRITES[way], cell.folder))
    assert outside.ok, f"the control failed: {outside.stderr!r}"
    measured(attempt(cell, way))


IDENTITY = "git -c user.name=x -c user.email=x@example.org"
COMMIT = f"{IDENTITY} commit -q --allow-empty -m x"
COMMITS = {
    "plainly": [*COMMIT.split()],
    "through a shell": sh(f"sh -c '{COMMIT}'"),
    "by GIT_DIR": sh(f'GIT_DIR=$(sed "s/^gitdir: //" .git) GIT_WORK_TREE=. {COMMIT}'),
    "from another program": python(f"import os, sys; sys.exit(os.system('{COMMIT}') != 0)"),
    "by plumbing": sh(
        f"export GIT_INDEX_FILE=/tmp/index.$$; git read-tree HEAD && tree=$(git write-tree) && "
        f"commit=$({IDENTITY} commit-tree -p HEAD -m x $tree) && git update-ref --no-deref HEAD $commit"
    ),
    "with the objects elsewhere": sh(
        "mkdir -p objects && export GIT_OBJECT_DIRECTORY=$PWD/objects "
        "GIT_ALTERNATE_OBJECT_DIRECTORIES=$(git rev-parse --git-common-dir)/objects; " + COMMIT
    ),
}


@pytest.mark.parametrize("route", COMMITS)
async def test_git_cannot_commit(cell: Cell, measured: Note, route: str) -> None:
    assert (await cell.inside("git", "log", "-1", "--format=%s")).stdout == b"first\n", "reading works"
    before = cell.history()
    await attack_that_changes(cell, before, COMMITS[route])
    measured(attempt(cell, f"commit {route}"))


async def attack_that_changes(cell: Cell, before: list[str], argv: list[str]) -> None:
    inside = await cell.inside(*argv)
    assert not inside.ok
    assert cell.history() == before
    outside = await cell.outside(*argv)
    assert outside.ok, f"the control failed: {outside.stderr!r}"


DAEMONS = {
    "in the background": 'sh -c "exec sleep $1" & true',
    "in a session of its own": "setsid nohup sleep $1 > /dev/null 2>&1 < /dev/null & sleep 0.1",
    "without an environment": "setsid env -i /usr/bin/sleep $1 > /dev/null 2>&1 < /dev/null & sleep 0.1",
    "deaf to signals": "trap '' TERM HUP INT; setsid env -i /bin/sh -c \"trap '' TERM; /usr/bin/sleep $1; :\" "
    "> /dev/null 2>&1 < /dev/null & sleep 0.1",
    "by two forks": "/usr/bin/python3 -c 'import os, sys\n"
    "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
    '  os.closerange(0, 3); os.execve("/usr/bin/sleep", ["sleep", sys.argv[1]], {})\n'
    " os._exit(0)\nos.wait()' $1; sleep 0.1",
}


@pytest.mark.parametrize("way", DAEMONS)
async def test_a_daemon_dies_with_the_run(cell: Cell, measured: Note, way: str) -> None:
    seconds = str(1_000_000 + uuid.uuid4().int % 1_000_000)
    done = await cell.inside(*sh(DAEMONS[way], seconds))
    assert done.ok, "it was started"
    assert alive(seconds) == [], "at the very moment when the run is over"
    if way != "in the background":  # what stays in the group dies without a sandbox too
        assert (await cell.outside(*sh(DAEMONS[way], seconds))).ok
        assert alive(seconds), "the control failed: nothing was left outside either"
        for pid in alive(seconds):
            os.kill(pid, signal.SIGKILL)
    measured(attempt(cell, f"leave a daemon {way}"))
