"""Whatever a model leaves that git cannot take is its ticket's failure, which names the path; the next run starts afresh."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import agent
import support
from agent.errors import TicketFailure
from agent.git import blame, mirror, sizes, worktree
from agent.git.workspace import Workspace
from agent.programs.runner import Finished
from support.git_bench import BRANCH, KEPT, NEXT, RUN, Bench, message, read, work, write
from support.git_repo import git

pytestmark = pytest.mark.usefixtures("nothing_deep_is_left")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def put(path: Path, text: str = "x\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def sparse(path: Path, size: int = 1 << 42) -> None:
    put(path)
    os.truncate(path, size)


def encoded(folder: Path, encoding: str, content: bytes = b"plain\n") -> None:
    put(folder / "art/.gitattributes", f"*.txt working-tree-encoding={encoding}\n")
    (folder / "art/a.txt").write_bytes(content)


def deep(folder: Path, levels: int) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("down", dir_fd=here)
        below = os.open("down", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def for_ever(folder: Path, name: str) -> None:
    """Git would try in how many ways twenty of these stand for ninety folders."""
    put(folder / ("a/" * 90) / "b.txt")
    put(folder / name, "/**" * 20 + "/x text\n")


def many_large(folder: Path) -> None:
    for number in range(8):
        sparse(folder / f"heap/{number}", 300 << 10)


def many_small(folder: Path) -> None:
    for number in range(151):
        put(folder / f"small/{number}")


def pipe(folder: Path) -> None:
    (folder / "shop.py").unlink()
    os.mkfifo(folder / "shop.py")


def a_socket(folder: Path) -> None:
    (folder / "shop.py").unlink()
    here = Path.cwd()
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("shop.py")
    os.chdir(here)


def repository(folder: Path, *, commit: bool) -> None:
    (folder / "inner").mkdir()
    git(folder / "inner", "init", "--quiet")
    put(folder / "inner/a.txt")
    if commit:
        git(folder / "inner", "commit", "--quiet", "--allow-empty", "-m", "x")


def forged(folder: Path) -> None:
    """A name that reads like git's complaint about a file of another run."""
    put(folder / ".GIT/x\nerror: ../43/precious: can only add regular files, symbolic links or git-directories")


def listing(folder: Path) -> None:
    long = "n" * 200
    place = folder / "many"
    for _ in range(4):
        place = place / long
    place.mkdir(parents=True)
    for number in range(80):
        put(place / f"{long}{number}")


def bare(folder: Path) -> None:
    """Whoever says `git status` there, in a clone, runs the command of its configuration."""
    for name in ("s/Head", "s/objects/x", "s/refs/heads/x"):
        put(folder / name)
    put(folder / "s/config", '[core]\n\tfsmonitor = "touch /tmp/pwned; false"\n')


def index_is_a_folder(folder: Path) -> None:
    admin = folder.parent.parent / "mirror.git/worktrees/42"
    (admin / "index").unlink()
    put(admin / "index/x")


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder .GIT": (lambda f: put(f / ".GIT/config"), "`.GIT/config`"),
    "a folder .Git further down": (lambda f: put(f / "src/.Git/hooks/x"), "`src/.Git/hooks/x`"),
    "a file .gIT": (lambda f: put(f / ".gIT"), "`.gIT`"),
    "a name that is .git elsewhere": (lambda f: put(f / "src/git~1/x"), "`src/git~1/x`"),
    "a name that is .git on macOS": (lambda f: put(f / "src/.g\u200cit/x"), "`src/.g\u200cit/x`"),
    "the layout of a repository": (bare, "`s` is laid out as a git repository"),
    "a stop behind .git": (lambda f: put(f / ".git./x"), "`.git./x`"),
    "a blank behind .git": (lambda f: put(f / ".git "), "invalid path '.git '"),
    "a link .gitmodules": (lambda f: (f / ".gitmodules").symlink_to("README.md"), "`.gitmodules`"),
    "a link .GITMODULES": (lambda f: (f / ".GITMODULES").symlink_to("README.md"), "`.GITMODULES`"),
    "an encoding without its mark": (lambda f: encoded(f, "UTF-16"), "`art/a.txt`"),
    "an encoding with a mark": (lambda f: encoded(f, "UTF-16LE", b"\xff\xfea\0"), "`art/a.txt`"),
    "no encoding": (lambda f: encoded(f, "nonsense"), "`art/a.txt`"),
    "a sparse file": (lambda f: sparse(f / "disk.img"), "`disk.img` has 4 TiB, and one file may have 100 MiB"),
    "a sparse file in the place of one": (lambda f: sparse(f / "shop.py"), "`shop.py` has 4 TiB"),
    "a file of 101 MiB": (lambda f: sparse(f / "a/b", 101 << 20), "`a/b` has 101 MiB"),
    "more than the disk": (many_large, "`sandbox.disk` allows 2 MiB; the largest is `heap/"),
    "sparse rules": (lambda f: sparse(f / "src/.gitignore"), "`src/.gitignore`"),
    "sparse rules of the repository": (lambda f: sparse(f / ".gitignore"), "`.gitignore`"),
    "sparse attributes": (lambda f: sparse(f / ".gitattributes"), "`.gitattributes`"),
    "rules that take for ever": (lambda f: for_ever(f, ".gitignore"), "too long with the patterns in `.gitignore`"),
    "attributes of many folders": (lambda f: for_ever(f, "a/.gitattributes"), "the patterns in `a/.gitattributes`"),
    "1,000 folders deep": (lambda f: deep(f, 1000), "`down/down/"),
    "10,000 folders deep": (lambda f: deep(f, 10_000), "`down/down/"),
    "a pipe": (pipe, "`shop.py`"),
    "a socket": (a_socket, "`shop.py`"),
    "a repository": (lambda f: repository(f, commit=True), "`inner`"),
    "a repository without a commit": (lambda f: repository(f, commit=False), "`inner`"),
    "a name that forges git's words": (forged, "`../43/precious`"),
    "more names than a listing may have": (listing, "`many`"),
    "more files than a run may add": (many_small, "153 names are new, and a run may add 150; most of the names are in `small`"),
    "a folder for the index": (index_is_a_folder, "index"),
    "a link that leads out": (lambda f: (f / "out").symlink_to("/etc"), "`out -> /etc`"),
}  # fmt: skip


ALIKE = {
    "a folder .Git further down", "a file .gIT", "a stop behind .git", "a link .GITMODULES", "an encoding with a mark",
    "no encoding", "a sparse file in the place of one", "sparse rules of the repository", "1,000 folders deep", "a socket",
    "a repository",
}  # fmt: skip
"""Git's words about them are those about another one here, and so is what has to be done."""


@pytest.mark.parametrize("what", [pytest.param(one, marks=pytest.mark.proof) if one in ALIKE else one for one in ODD])
async def test_an_odd_worktree_is_its_tickets_failure_and_the_next_run_starts_afresh(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    make, said = ODD[what]
    monkeypatch.setattr(mirror, "OUTPUT", 64 << 10)
    monkeypatch.setattr(sizes, "MOST_NAMES", 150)
    sibling = await bench.open(NEXT, owner=43, branch="agent/43-other")
    write(sibling, {"precious": "1"})
    workspace = await bench.open()
    workspace._mirror.disk = 2 << 20
    write(workspace, {"work.txt": "1", "src/more.txt": "2"})
    await asyncio.to_thread(make, workspace.path)
    with pytest.raises(TicketFailure) as caught:
        await workspace.snapshot()
    assert said in caught.value.reason, caught.value.reason
    assert len(caught.value.reason) < 1000
    if what != "a folder for the index":
        assert await workspace.keep(KEPT, message()), "the rest is kept"
        assert (bench.remote.show(KEPT, "work.txt"), bench.remote.show(KEPT, "src/more.txt")) == ("1", "2")
    await next_run_works(bench)
    assert read(sibling, "precious") == "1"


async def test_more_new_files_than_may_be_in_no_folder_of_their_own_are_put_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "MOST_NAMES", 150)
    workspace = await bench.open()
    for number in range(151):
        put(workspace.path / f"{number}")
    with pytest.raises(TicketFailure, match=r"151 names are new, .* 150; most of the names are in the topmost folder"):
        await workspace.snapshot()
    with pytest.raises(blame.GitFailed, match="cannot be kept: 151 names are new"):
        await workspace.keep(KEPT, message())
    await next_run_works(bench)
    assert [len(list(one.iterdir())) > 150 for one in (bench.folder / "state/aside").iterdir()] == [True]


async def next_run_works(bench: Bench) -> Workspace:
    """In a new process, and in the same."""
    after = await bench.open(NEXT, repo=bench.pod("state"))
    assert not (await after.snapshot()).changed
    assert not git(after.path, "status", "--porcelain", "--ignored")
    there = {one.name for one in after.path.iterdir()}
    assert there == {".git", *git(bench.remote.clone, "ls-tree", "--name-only", "HEAD").split()}
    write(after, {"next.txt": "1"})
    sha = await after.commit((await after.snapshot()).tree, message(NEXT))
    async with after.checkout(sha) as clean:
        assert (clean.path / "next.txt").read_text() == "1"
    assert await after.publish(sha, claim_blob=None) == sha
    return after


@pytest.mark.parametrize("what", [".GIT", "encoding", "deep", "rules", "patterns"])
async def test_what_a_killed_run_left_holds_up_no_later_one(bench: Bench, what: str) -> None:
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    make: dict[str, Callable[[], object]] = {
        ".GIT": lambda: put(workspace.path / ".GIT/x"),
        "encoding": lambda: encoded(workspace.path, "UTF-16"),
        "deep": lambda: deep(workspace.path, 3000),
        "rules": lambda: sparse(workspace.path / ".gitignore"),
        "patterns": lambda: for_ever(workspace.path, ".gitignore"),
    }
    await asyncio.to_thread(make[what])
    await next_run_works(bench)
    assert bench.remote.show(KEPT, "work.txt") == "1"


async def test_what_can_neither_be_kept_nor_cleaned_is_put_aside_and_of_that_a_few_are_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(argv: list[str], done: Finished | None) -> Finished | None:
        return Finished(128, stderr=b"fatal: no") if done is None and "add" in argv and "--all" in argv else None

    for number in range(5):
        workspace = await bench.open(f"{number:08}{RUN[8:]}")
        write(workspace, {"work.txt": str(number)})
        monkeypatch.setattr(bench.runner, "fault", fail)
        with pytest.raises(TicketFailure, match="git cannot work with what is in the worktree: fatal: no"):
            await workspace.snapshot()
        after = await bench.open(f"{number + 1:08}{RUN[8:]}")
        monkeypatch.setattr(bench.runner, "fault", lambda _argv, _done: None)
        assert read(after, "work.txt") is None
    aside = list((bench.folder / "state/aside").iterdir())
    assert sorted(one.joinpath("work.txt").read_text() for one in aside) == ["2", "3", "4"]


async def test_nobody_waits_for_names_of_people_that_come_out_of_a_pipe(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worktree, "PATIENCE", 3.0)
    monkeypatch.setattr(worktree, "LOCAL_TIMEOUT", 3.0)
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    os.mkfifo(workspace.path / ".mailmap")
    assert await workspace.keep(KEPT, message())
    await next_run_works(bench)


async def test_a_full_disk_stays_the_pods_trouble(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = await bench.open()
    put(workspace.path / ".GIT/x")
    monkeypatch.setattr(blame, "LEAST", 1 << 62)
    with pytest.raises(blame.GitFailed):
        await workspace.snapshot()


async def test_a_listing_of_the_flakes_files_that_fails_is_the_tickets_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await bench.open()
    sparse(workspace.path / ".gitignore")
    monkeypatch.setattr(mirror, "MEMORY", 64 << 20)
    for look in (workspace.flake_files, workspace.show_to_nix):
        with pytest.raises(TicketFailure, match="git cannot work with"):
            await look()


async def test_a_large_file_of_the_repository_is_no_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "LARGEST", 1 << 20)
    sparse(bench.remote.clone / "large.bin", 2 << 20)
    bench.remote.push("main", {})
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    assert (await workspace.snapshot()).changed


def nested(remote: Path, name: str, blob: str) -> str:
    """A tree with one file, whose name git's own programs would not take."""
    kind = "100644 blob"
    for part in reversed(name.split("/")):
        entry = f"{kind} {blob}\t{part}\n".encode()
        made = subprocess.run(["git", "mktree"], cwd=remote, input=entry, capture_output=True, check=True)
        kind, blob = "040000 tree", made.stdout.decode().strip()
    return blob


@pytest.mark.parametrize("name", [f"docs/{'é' * 140}.md", "a/.git/x"])
async def test_a_base_that_cannot_be_checked_out_here_is_the_tickets_failure(bench: Bench, name: str) -> None:
    """T6: made on Windows, or by hand: each of its tickets was the pod's trouble, and no other repository's was reached."""
    remote = bench.remote.path
    tree = nested(remote, name, git(remote, "rev-parse", "main:README.md"))
    git(remote, "update-ref", "refs/heads/main", git(remote, "commit-tree", tree, "-p", "main", "-m", "Odd"))
    with pytest.raises(TicketFailure, match="git cannot work with"):
        await bench.open()


async def test_a_branch_that_has_nothing_in_common_with_its_base_is_the_tickets_failure(bench: Bench) -> None:
    """T6: after a `git filter-repo` of the base each ticket with a branch was the pod's trouble, and all its work waited."""
    workspace = await bench.open()
    await workspace.publish(await work(workspace, {"a.txt": "1\n"}), claim_blob=None)
    git(bench.remote.clone, "checkout", "--quiet", "--orphan", "anew")
    git(bench.remote.clone, "commit", "--quiet", "-m", "Without the secret")
    git(bench.remote.clone, "push", "--quiet", "--force", "origin", "anew:main")
    with pytest.raises(TicketFailure, match=rf"merging `main` into `{BRANCH}` failed: they have no history in common"):
        await bench.open(NEXT)


CLOSED = """
import asyncio, sys
from pathlib import Path
from support.git_bench import KEPT, NEXT, RUN, Bench, message, write

async def main(folder, mode, what):
    bench = Bench(folder)
    write(await bench.open(), {"work.txt": "mine\\n"})
    (folder / "state/work/42").chmod(int(mode, 8))
    later = bench.pod("state")
    if what == "discard":
        await later.fetch()
        await later.discard(42)
    else:
        workspace = await bench.open(NEXT if what == "next" else RUN, repo=later)
        if what == "keep":
            assert await workspace.keep(KEPT, message()) is not None
    print(*bench.remote.refs())
    assert what == "same" or bench.remote.show(f"refs/{KEPT}", "work.txt") == "mine"

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""
ORDINARY = ("setpriv", "--securebits=+noroot", "--inh-caps=-all", "--bounding-set=-all", "--")


@pytest.mark.parametrize(
    ("mode", "what"), [("000", "same"), ("000", "next"), ("300", "keep"), ("000", "discard"), ("500", "next")]
)
def test_a_folder_that_a_model_closed_before_its_pod_was_killed_is_opened_and_nothing_of_it_lost(
    tmp_path: Path, mode: str, what: str
) -> None:
    """T6: it was "this host: Permission denied" for every later ticket of the Epic, or a traceback at every start."""
    paths = os.pathsep.join(str(Path(one).parent) for one in (agent.__path__[0], support.__path__[0]))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(tmp_path)}
    words = (*(ORDINARY if os.geteuid() == 0 else ()), sys.executable, "-c", CLOSED, str(tmp_path), mode, what)
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
