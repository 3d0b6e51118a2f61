"""The key of a development shell over edits of a real checkout, in every way that git knows."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.devshell.flake import Flake
from agent.devshell.key import Surroundings, key_of, look
from support.git_repo import git

AROUND = Surroundings(shell="default", system="x86_64-linux", version="nix (Nix) 2.26.3", options={"store": "daemon"})
PATTERNS = ("*.nix", "flake.lock", "*/flake.lock", "uv.lock")


def key(folder: Path, *files: str) -> str:
    return key_of(look(Flake(folder, files)).facts, AROUND)


NAMES = st.sampled_from(["flake.nix", "flake.lock", "lib/a.nix", "lib/b.nix", "uv.lock", "sub/flake.lock"])
OTHERS = st.sampled_from(["README.md", "src/main.py", "lib/data.txt"])
CONTENTS = st.sampled_from(["", "1", "2", "{ }\n"])


class Edits(RuleBasedStateMachine):
    """Edits of a real checkout in every way that git knows; contents and keys belong together, one to one."""

    seen: dict[str, Mapping[str, object]]

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="key-"))
        git(self.folder, "init", "--quiet", "-b", "main")
        self.seen = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(name=NAMES | OTHERS, content=CONTENTS)
    def write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        if path.is_symlink():
            path.unlink()
        path.write_text(content)

    @rule(name=NAMES, to=st.sampled_from(["flake.nix", "../lib/a.nix", "README.md", "/etc/passwd", "gone"]))
    def link(self, name: str, to: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(to)

    @rule(name=NAMES, other=NAMES)
    def rename(self, name: str, other: str) -> None:
        if (self.folder / name).is_file():
            (self.folder / other).parent.mkdir(exist_ok=True)
            (self.folder / name).rename(self.folder / other)

    @rule(name=NAMES)
    def make_executable(self, name: str) -> None:
        path = self.folder / name
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode ^ 0o100)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    @rule(name=NAMES)
    def delete_for_git_too(self, name: str) -> None:
        git(self.folder, "rm", "--quiet", "--force", "--ignore-unmatch", "--", name)

    @rule()
    def stage(self) -> None:
        git(self.folder, "add", "--all")

    @rule()
    def intend_to_add(self) -> None:
        git(self.folder, "add", "--intent-to-add", "--all")

    @rule()
    def unstage(self) -> None:
        git(self.folder, "reset", "--quiet", "--", ".", check=False)

    @rule()
    def commit(self) -> None:
        git(self.folder, "commit", "--quiet", "--allow-empty", "-a", "-m", "x", check=False)

    @invariant()
    def contents_and_keys_belong_together(self) -> None:
        if not hasattr(self, "folder"):
            return
        listing = git(self.folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PATTERNS)
        found = key(self.folder, *filter(None, listing.split("\0")))
        contents = dict(self.contents())
        assert self.seen.setdefault(found, contents) == contents, "two states have the same key"
        assert [known for known, state in self.seen.items() if state == contents] == [found], "a state has two keys"

    def contents(self) -> Iterator[tuple[str, object]]:
        """What the files hold, found without any of the code under test."""
        for name in ("flake.nix", "flake.lock", "lib/a.nix", "lib/b.nix", "uv.lock", "sub/flake.lock"):
            path = self.folder / name
            if not os.path.lexists(path):
                continue
            end = Path(os.path.realpath(path))
            inside = end.is_relative_to(self.folder) and end.is_file()
            chain: list[str] = []
            while path.is_symlink() and path.is_relative_to(self.folder) and len(chain) < 10:  # each is read by Nix
                chain.append(str(path.readlink()))
                path = Path(os.path.normpath(path.parent / chain[-1]))
            yield name, (chain, end.read_bytes() if inside else None, inside and bool(end.stat().st_mode & 0o100))


TestEdits = Edits.TestCase
TestEdits.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
