"""What one ticket does to the files of its flake never reaches the shell of another: trust row T3.

Ticket A alters what the flake reads, enters the shell, and puts everything back, so that nothing is in git. Ticket B has
the commit that A began with, in a checkout of its own. Its shell must be, byte for byte, the one that it would have had
without A.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from agent.devshell.flake import Saved
from agent.devshell.shells import Shells
from support.git_repo import FLAKE, PROJECT, SETUP, git
from support.needs import needs
from support.nix_client import Counting, PlainClient, listed, nix_environment, nix_of, settings, writable
from support.nix_jail import Bench as ClientBench
from support.nix_jail import flake

pytestmark = [
    pytest.mark.nix,
    needs("nix"),
]
HOOK = "echo hook of the repository"
EVIL = "echo hook of ticket A"
LOCK = """\
{"nodes": {"part": {"locked": {"path": "./part", "type": "path"}, "original": {"path": "./part", "type": "path"},
"parent": []}, "root": {"inputs": {"part": "part"}}}, "root": "root", "version": 7}
"""


class Way(Struct):
    """How a flake comes to read what is no `*.nix` file.

    Attributes:
        value: the Nix expression of the hook.
        change: what A does to its checkout.
        files: the repository's, besides.
        inputs: of the flake.
    """

    value: str
    change: Callable[[Path], None]
    files: Mapping[str, str] = msgspec.field(default_factory=lambda: {"hook.sh": HOOK})
    inputs: str = ""


def write(name: str, content: str = EVIL) -> Callable[[Path], None]:
    def change(checkout: Path) -> None:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(content)

    return change


def tracked(name: str) -> Callable[[Path], None]:
    """A new file that Nix gets to see."""

    def change(checkout: Path) -> None:
        write(name)(checkout)
        git(checkout, "add", "--intent-to-add", "--force", "--", name)

    return change


def linked(name: str, target: str) -> Callable[[Path], None]:
    def change(checkout: Path) -> None:
        (checkout / name).unlink()
        (checkout / name).symlink_to(target)

    return change


def same_size_and_time(checkout: Path) -> None:
    """What a look at sizes and times would overlook."""
    path = checkout / "hook.sh"
    before = path.stat()
    path.write_text(HOOK.replace("repository", "ticket A!!"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


WAYS = {
    "a file is read": Way("builtins.readFile ./hook.sh", write("hook.sh")),
    "same size and time": Way("builtins.readFile ./hook.sh", same_size_and_time),
    "a file is imported": Way("import ./hook.txt", write("hook.txt", f'"{EVIL}"'), {"hook.txt": f'"{HOOK}"'}),
    "a folder is listed": Way(
        'builtins.concatStringsSep " " (builtins.attrNames (builtins.readDir ./hooks))',
        tracked("hooks/evil"),
        {"hooks/one": ""},
    ),
    "a name with a newline": Way(
        "toString (builtins.length (builtins.attrNames (builtins.readDir ./hooks)))",
        tracked("hooks/e\nvil"),
        {"hooks/one": ""},
    ),
    "a mode": Way('"${./hook.sh}"', lambda checkout: (checkout / "hook.sh").chmod(0o755)),
    "a link leads elsewhere": Way(
        "builtins.readFile ./link", linked("link", "evil.sh"), {"hook.sh": HOOK, "evil.sh": EVIL, "link": "-> hook.sh"}
    ),
    "behind a link": Way("builtins.readFile ./link", write("hook.sh"), {"hook.sh": HOOK, "link": "-> hook.sh"}),
    "the whole tree": Way('"${self}"', write("README.md")),
    "a filtered tree": Way('"${builtins.path { path = ./.; name = "all"; }}"', write("hook.sh")),
    "a path input": Way(
        "part.hook",
        write("part/hook.sh"),
        {
            "part/flake.nix": "{ outputs = _: { hook = builtins.readFile ./hook.sh; }; }\n",
            "part/hook.sh": HOOK,
            "flake.lock": LOCK,
        },
        'inputs.part.url = "path:./part";',
    ),
    "a configuration": Way(
        "(builtins.fromJSON (builtins.readFile ./shell.json)).hook",
        write("shell.json", f'{{"hook": "{EVIL}"}}'),
        {"shell.json": f'{{"hook": "{HOOK}"}}'},
    ),
    "a keyword that git expands": Way(
        "builtins.readFile ./hook.sh",
        write("hook.sh", "# $Id: " + EVIL + " $"),
        {"hook.sh": "# $Id$", ".gitattributes": "hook.sh ident\n"},
    ),
    "line ends that git normalises": Way(
        "builtins.readFile ./hook.sh",
        write("hook.sh", "a\r\nb\r\n"),
        {"hook.sh": "a\nb\n", ".gitattributes": "* text\n"},
    ),
}
"""In which A is seen by an evaluation of its own checkout."""
UNSEEN = {
    "an ignored file": Way('if builtins.pathExists ./x.log then builtins.readFile ./x.log else "none"', write("x.log")),
    "a new file that git does not know": Way(
        'if builtins.pathExists ./new.sh then builtins.readFile ./new.sh else "none"', write("new.sh")
    ),
    "a file behind the index": Way(
        'if builtins.pathExists ./.git/info/exclude then "seen" else "none"', write(".git/info/exclude")
    ),
    "an absolute path": Way('if builtins.pathExists /etc/passwd then "seen" else "none"', write("README.md")),
    "the environment": Way('builtins.getEnv "HOME"', write("README.md")),
}
"""In which nothing of A can be seen at all."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nix")
    yield folder
    writable(folder)


class Host:
    """Two tickets of one repository on one host."""

    def __init__(self, folder: Path, store: Path, way: Way) -> None:
        self.folder = folder
        (folder / "home").mkdir()
        self.options = settings(store)
        self.env = nix_environment(self.options, folder / "home")
        self.runner = Counting()
        self.client = PlainClient(self.runner, self.env)
        self.a = folder / "a"
        flake = PROJECT["flake.nix"].replace('"export HOOKED=1"', way.value)
        flake = flake.replace("{ self }:", "{ self, part }:" if way.inputs else "{ self }:").replace(
            "outputs =", f"{way.inputs}\n  outputs =", 1
        )
        for name, content in {**PROJECT, "flake.nix": flake, **way.files}.items():
            (self.a / name).parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                (self.a / name).symlink_to(content[3:])
            else:
                (self.a / name).write_text(content)
        git(self.a, "init", "--quiet", "-b", "main")
        git(self.a, "add", "--all")
        git(self.a, "commit", "--quiet", "-m", "First commit")
        self.b = folder / "b"
        git(folder, "clone", "--quiet", str(self.a), str(self.b))

    async def shell(self, checkout: Path, saved: str = "shells") -> Saved:
        """Enter as a run of its own does."""
        nix = nix_of(self.runner, self.folder / "home", self.env)
        shells = Shells(self.client, self.folder / saved, nix=nix, options=self.options, scope="shop")
        return await shells.get(await listed(checkout), timeout=60)

    def put_back(self) -> None:
        """As A began: nothing is in git, and nothing in the worktree."""
        git(self.a, "reset", "--quiet", "--hard")
        git(self.a, "clean", "-ffdxq")
        for path in self.a.rglob("hook.sh"):
            path.chmod(0o644)
        assert git(self.a, "status", "--porcelain") == ""


@pytest.mark.parametrize("way", WAYS)
async def test_what_a_ticket_altered_entered_and_put_back_reaches_no_other(
    tmp_path: Path, store: Path, way: str
) -> None:
    host = Host(tmp_path, store, WAYS[way])
    WAYS[way].change(host.a)
    altered = (await host.shell(host.a)).script.read_bytes()
    host.put_back()
    after = (await host.shell(host.b)).script.read_bytes()
    assert after != altered
    assert after == (await host.shell(host.b, "shells of a host without A")).script.read_bytes()


@pytest.mark.parametrize("way", UNSEEN)
async def test_what_an_evaluation_must_not_read_decides_nothing(tmp_path: Path, store: Path, way: str) -> None:
    host = Host(tmp_path, store, UNSEEN[way])
    UNSEEN[way].change(host.a)
    altered = (await host.shell(host.a)).script.read_bytes()
    assert b"hook of ticket A" not in altered
    assert b"='seen'" not in altered
    after = (await host.shell(host.b)).script.read_bytes()
    assert after == (await host.shell(host.b, "shells of a host without A")).script.read_bytes()


async def test_a_shell_of_a_worktree_that_differs_from_its_commit_is_evaluated_by_every_run_anew(
    tmp_path: Path, store: Path
) -> None:
    host = Host(tmp_path, store, WAYS["a file is read"])
    write("hook.sh")(host.a)
    for evaluations in (1, 2):
        await host.shell(host.a)
        assert (host.client.evaluations, host.client.realised) == (evaluations, 1)
    host.put_back()
    for _ in range(2):
        await host.shell(host.b)
        assert (host.client.evaluations, host.client.realised) == (3, 2)


async def test_a_change_that_the_flake_does_not_read_is_evaluated_and_not_made_again(
    tmp_path: Path, store: Path
) -> None:
    host = Host(tmp_path, store, WAYS["a file is read"])
    before = await host.shell(host.b)
    write("shop.py", "def total(prices):\n    return 0\n")(host.b)
    git(host.b, "commit", "--quiet", "-a", "-m", "More")
    assert await host.shell(host.b) == before
    assert (host.client.evaluations, host.client.realised) == (2, 1)


async def test_a_run_is_handed_its_own_shells_and_finds_no_others(tmp_path: Path, store: Path) -> None:
    host = Host(tmp_path, store, WAYS["a file is read"])
    write("hook.sh")(host.a)
    await host.shell(host.a)
    nix = nix_of(host.runner, tmp_path / "home", host.env)
    shown = tmp_path / "shown"
    shells = Shells(host.client, tmp_path / "shells", nix=nix, shown=shown, options=host.options, scope="shop")
    for _ in range(2):
        saved = await shells.get(await listed(host.b), timeout=60)
        assert saved.script.parent == shown
        assert [path.name for path in shown.iterdir()] == [saved.script.name]
        assert HOOK.encode() in saved.script.read_bytes()
    shutil.rmtree(shown)
    assert (await shells.get(await listed(host.b), timeout=60)).script.read_bytes()


async def test_an_input_that_is_not_taken_any_more_is_judged_again(tmp_path: Path, store: Path) -> None:
    host = Host(tmp_path, store, WAYS["a path input"])
    for allowed, evaluations in (("one", 1), ("one", 1), ("two", 2)):
        nix = nix_of(host.runner, tmp_path / "home", host.env)
        shells = Shells(host.client, tmp_path / "shells", nix=nix, options=host.options, allowed=(allowed,))
        await shells.get(await listed(host.b), timeout=60)
        assert host.client.evaluations == evaluations


BUILDER = (
    'evil = derivation { inherit system; name = "evil"; builder = "/bin/bash"; args = [ "-c" "'
    'for one in ${"$"}{out%/*}/*; do /bin/chmod -R u+w $one; echo export EVIL=1 >> $one/setup; done; echo evil > $out'
    '" ]; };'
)


@needs("bwrap")
async def test_a_builder_cannot_change_what_other_shells_are_made_of(tmp_path: Path) -> None:
    """Without a daemon, too; the next ticket's shell would have been made of it."""
    bench = ClientBench(tmp_path, tmp_path / "nix")
    before = await bench.evaluate()
    bench.write("flake.nix", flake(variables=BUILDER))
    await bench.evaluate()
    (evil,) = (tmp_path / "nix/store").glob("*-evil")
    assert evil.read_text() == "evil\n", "it was built, and tried"
    bench.write("flake.nix", FLAKE)
    after = await bench.evaluate()
    assert after.environment == before.environment
    (setup,) = (tmp_path / "nix/store").glob("*-stdenv/setup")
    assert setup.read_text() == SETUP
    writable(tmp_path)
