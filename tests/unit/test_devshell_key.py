"""The key of a shell is the contents that make it: never stale, whatever git's index says."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from agent.devshell.flake import Flake, ShellRefused
from agent.devshell.key import LARGEST, Fact, Surroundings, key_of, look
from support.git_repo import git

AROUND = Surroundings(shell="default", system="x86_64-linux", version="nix (Nix) 2.26.3", options={"store": "daemon"})
PATTERNS = ("*.nix", "flake.lock", "*/flake.lock", "uv.lock")


def key(folder: Path, *files: str) -> str:
    return key_of(look(Flake(folder, files)).facts, AROUND)


@pytest.mark.parametrize(
    "other",
    [
        replace(AROUND, shell="ci"),
        replace(AROUND, system="aarch64-linux"),
        replace(AROUND, version="nix (Nix) 2.26.4"),
        replace(AROUND, options={}),
        replace(AROUND, options={"store": "auto"}),
        replace(AROUND, options={"store": "daemon", "max-jobs": "1"}),
        replace(AROUND, scope="another repository"),
    ],
    ids=["shell", "system", "version", "no options", "another option", "one option more", "scope"],
)
def test_what_surrounds_the_files_decides_too(other: Surroundings) -> None:
    facts = (Fact("flake.nix", "file", b"x"),)
    assert key_of(facts, other) != key_of(facts, AROUND)


def test_the_order_of_the_options_is_nothing() -> None:
    one, two = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert key_of((), replace(AROUND, options=one)) == key_of((), replace(AROUND, options=two))


TEXT = st.text(max_size=3)
FACTS = st.lists(st.builds(Fact, TEXT, TEXT, st.binary(max_size=3)), max_size=3).map(tuple)
AROUNDS = st.builds(
    Surroundings, shell=TEXT, system=TEXT, version=TEXT, options=st.dictionaries(TEXT, TEXT, max_size=2), scope=TEXT
)


@given(FACTS, AROUNDS, FACTS, AROUNDS)
def test_two_keys_are_alike_only_if_all_is_alike(
    one: tuple[Fact, ...], around_one: Surroundings, two: tuple[Fact, ...], around_two: Surroundings
) -> None:
    assert (key_of(one, around_one) == key_of(two, around_two)) == ((one, around_one) == (two, around_two))


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_no_byte_moves_from_one_field_to_its_neighbour(left: bytes, right: bytes) -> None:
    whole = left + right
    keys = {
        key_of((Fact("a", "link", whole[:cut]), Fact("b", "link", whole[cut:])), AROUND)
        for cut in range(len(whole) + 1)
    }
    assert len(keys) == len(whole) + 1


def test_the_same_files_listed_in_another_order_or_twice_have_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "a.nix").write_text("1")
    (tmp_path / "b.nix").write_text("2")
    assert key(tmp_path, "a.nix", "b.nix") == key(tmp_path, "b.nix", "a.nix", "b.nix")


def test_a_file_that_is_gone_is_as_one_that_git_does_not_list(tmp_path: Path) -> None:
    (tmp_path / "a.nix").write_text("1")
    assert key(tmp_path, "a.nix", "gone.nix") == key(tmp_path, "a.nix")
    (tmp_path / "gone.nix").touch()
    assert key(tmp_path, "a.nix", "gone.nix") != key(tmp_path, "a.nix")


def test_what_a_link_leads_to_inside_the_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("1")
    (tmp_path / "shell.nix").symlink_to("real.txt")
    before = key(tmp_path, "shell.nix")
    (tmp_path / "real.txt").write_text("2")
    assert key(tmp_path, "shell.nix") != before


def test_a_folder_that_becomes_a_link_counts(tmp_path: Path) -> None:
    for name in ("nix", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "default.nix").write_text("1")
    before = key(tmp_path, "nix/default.nix")
    shutil.rmtree(tmp_path / "nix")
    (tmp_path / "nix").symlink_to("other")
    linked = key(tmp_path, "nix/default.nix")
    (tmp_path / "other" / "default.nix").write_text("2")
    assert len({before, linked, key(tmp_path, "nix/default.nix")}) == 3


def test_a_link_whose_way_goes_up_from_a_link_is_followed_as_the_kernel_does(tmp_path: Path) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "here").symlink_to("deep/down")
    (tmp_path / "a.nix").symlink_to("here/../real.nix")  # deep/real.nix
    (tmp_path / "real.nix").write_text("not this one")
    (tmp_path / "deep" / "real.nix").write_text("1")
    before = key(tmp_path, "a.nix")
    (tmp_path / "deep" / "real.nix").write_text("2")
    assert key(tmp_path, "a.nix") != before


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "inside/../../outside", "loop.nix"])
def test_a_link_out_of_the_folder_or_in_a_circle_is_not_followed(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "checkout"
    (folder / "inside").mkdir(parents=True)
    (folder / "loop.nix").symlink_to(target)
    (tmp_path / "outside").write_text("1")
    before = key(folder, "loop.nix")
    (tmp_path / "outside").write_text("2")
    assert key(folder, "loop.nix") == before
    assert look(Flake(folder, ("loop.nix",))).facts[-1].kind == "outside"


def test_nothing_that_could_block_or_go_on_for_ever_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nix")
    (tmp_path / "folder.nix").mkdir()
    found = look(Flake(tmp_path, ("pipe.nix", "folder.nix", "../up.nix", "a\0b.nix")))
    assert {(fact.path, fact.kind) for fact in found.facts} == {
        ("pipe.nix", "other"),
        ("folder.nix", "folder"),
        ("../up.nix", "outside"),
    }
    with (tmp_path / "endless.nix").open("wb") as file:
        file.truncate(LARGEST * 1000)
    with pytest.raises(ShellRefused, match=r"larger than 32 MiB together, `endless.nix` among them"):
        look(Flake(tmp_path, ("endless.nix",)))


def test_a_file_that_was_changed_and_changed_back_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "flake.nix"
    file.write_text("1")
    before = look(Flake(tmp_path, ("flake.nix", "new.nix")))
    assert look(Flake(tmp_path, ("flake.nix", "new.nix"))) == before
    time.sleep(0.02)  # older kernels stamp by the tick; an evaluation takes longer than that
    file.write_text("2")
    file.write_text("1")
    after = look(Flake(tmp_path, ("flake.nix", "new.nix")))
    assert after != before
    assert after.facts == before.facts
    time.sleep(0.02)
    (tmp_path / "new.nix").touch()
    (tmp_path / "new.nix").unlink()
    assert look(Flake(tmp_path, ("flake.nix", "new.nix"))) != after


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
