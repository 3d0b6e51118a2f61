"""The key of a shell is the contents that make it: never stale, whatever git's index says."""

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.devshell.flake import Flake, ShellRefused
from agent.devshell.key import LARGEST, Fact, Surroundings, derivation_key, key_of, look, tree_key

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


@pytest.mark.parametrize(
    "other",
    [
        ("sha256-b", ("github:NixOS/nixpkgs",), AROUND),
        ("sha256-a", (), AROUND),
        ("sha256-a", ("github:NixOS/nixpkgs", "github:acme/*"), AROUND),
        ("sha256-a", ("github:NixOS/nixpkgs",), replace(AROUND, shell="ci")),
        ("sha256-a", ("github:NixOS/nixpkgs",), replace(AROUND, version="nix (Nix) 2.31.1")),
        ("sha256-a", ("github:NixOS/nixpkgs",), replace(AROUND, options={"sandbox": "false"})),
        ("sha256-a", ("github:NixOS/nixpkgs",), replace(AROUND, scope="another repository")),
    ],
    ids=["tree", "no inputs", "more inputs", "shell", "version", "options", "scope"],
)
def test_a_tree_leads_to_a_shell_only_where_all_that_decides_is_the_same(
    other: tuple[str, tuple[str, ...], Surroundings],
) -> None:
    assert tree_key(*other) != tree_key("sha256-a", ("github:NixOS/nixpkgs",), AROUND)


def test_a_derivation_has_one_key_by_whatever_name_it_was_asked_for() -> None:
    drv = "/nix/store/0-shell.drv"
    assert derivation_key(drv, replace(AROUND, shell="ci")) == derivation_key(drv, AROUND)
    assert derivation_key(drv, replace(AROUND, scope="vault")) != derivation_key(drv, AROUND)
    assert len({derivation_key("x", AROUND), tree_key("x", (), AROUND), key_of((), AROUND)}) == 3


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
