"""What a derivation is, and which of them are not built."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.devshell.closure import (
    Derivation,
    Output,
    derivation,
    objection,
    plan,
    registered,
    shell_objection,
    store_path,
    wanted,
)

STORE = "/nix/store"
KEY = "0123456789abcdfghijklmnpqrsvwxyz"
PATH = f"{STORE}/{KEY}-tool.drv"
PLAIN = (
    f'Derive([("out","{STORE}/{KEY}-tool","","")],[("{STORE}/{KEY}-dep.drv",["out","dev"])],["{STORE}/{KEY}-src"],'
    '"x86_64-linux","/bin/bash",["-c","echo \\"a\\" > $out"],[("builder","/bin/bash"),("url","two\\nlines\\t\\\\ ü"),("text","\\n")])'
)
PLACE = Output(f"{STORE}/{KEY}-tool", "", "")


def one(environment: dict[str, str] | None = None, *, output: Output = PLACE, builder: str = "/bin/bash") -> Derivation:
    return Derivation(PATH, {"out": output}, {}, builder, environment or {})


def test_a_derivation_is_read_from_its_file() -> None:
    found = derivation(PATH, PLAIN.encode())
    assert found.name == "tool"
    assert found.outputs == {"out": PLACE}
    assert found.inputs == {f"{STORE}/{KEY}-dep.drv": ("out", "dev")}
    assert found.builder == "/bin/bash"
    assert found.environment == {"url": "two\nlines\t\\ ü"}, "of the rest nothing is looked at"
    assert objection(found) == shell_objection(found) == ""
    assert wanted(found.inputs.items()) == f"{STORE}/{KEY}-dep.drv^out,dev\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Derive(",
        b"Derive()",
        b"Derive([],[],[])",
        b'DrvWithVersion("xp-dyn-drv",[],[],[],"s","b",[],[])',
        PLAIN.replace("],[(", "],[[(").encode(),
        PLAIN.replace('["out","dev"]', '["out\\nx^y"]').encode(),
        PLAIN.replace('["out","dev"]', '"out"],["x"]').encode(),
        PLAIN.replace('"/bin/bash",["-c"', '["/bin/bash"],["-c"').encode(),
        b"Derive(" + b"[" * 200_000,
    ],
)
def test_what_is_no_derivation_of_a_known_form_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no derivation of a known form"):
        derivation(PATH, content)


@given(st.binary(max_size=200) | st.text('Derive[](),"\\x', max_size=80).map(lambda text: f"Derive({text}".encode()))
def test_no_file_is_a_crash(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        derivation(PATH, content)


FETCH = Output(PLACE.path, "r:sha256", "ab" * 32)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (one({"url": "https://far.example/a.tar.gz"}, output=FETCH), "the shell would fetch https://far.example/a.tar.gz for `tool`"),
        (one({"urls": "https://b.example/1 https://b.example/2"}, output=FETCH), "would fetch https://b.example/1 for"),
        (one({"__json": json.dumps({"urls": ["https://c.example/"]})}, output=FETCH), "would fetch https://c.example/ for"),
        (one(output=FETCH), "would fetch something for"),
        (one(output=Output("", "r:sha256", "")), "no fixed place"),
        (one(output=Output("", "r:sha256", "impure")), "no fixed place"),
        (one(output=Output("", "", "")), "no fixed place"),
        (one({"__noChroot": "1"}), "outside the sandbox"),
        (one({"__json": '{"__noChroot": true}'}), "outside the sandbox"),
        (one({"__impure": "1"}), "is impure"),
        (one({"__json": "{"}), "is impure"),
        (one({"__contentAddressed": "1"}), "content-addressed"),
        (one({"__impureHostDeps": "/etc"}), "files of the host"),
        (one({"__sandboxProfile": "(allow network*)"}), "sandbox profile"),
        (one({"__darwinAllowLocalNetworking": "1"}), "local network"),
        (one({"requiredSystemFeatures": "kvm recursive-nix"}), "recursive-nix"),
        (one({"__json": '{"requiredSystemFeatures": ["recursive-nix"]}'}), "recursive-nix"),
        (one(builder="builtin:fetchurl"), "uses the network"),
    ],
)  # fmt: skip
def test_what_could_reach_out_is_not_built(found: Derivation, said: str) -> None:
    assert said in objection(found)
    assert "`stuck`" in objection(found)


@pytest.mark.parametrize(
    "found",
    [
        one({"__noChroot": "", "__impure": ""}),
        one({"requiredSystemFeatures": "kvm big-parallel"}),
        one({"__json": '{"__noChroot": false}'}),
        one(builder="builtin:buildenv"),
    ],
)
def test_what_is_ordinary_is_built(found: Derivation) -> None:
    assert objection(found) == ""


def test_a_shell_with_structured_attributes_is_none_that_can_be_kept() -> None:
    assert "take that line out" in shell_objection(one({"__json": "{}"}))


DRY = f"""\
warning: ignoring the client-specified setting 'x', because it is a restricted setting
these 2 derivations will be built:
  {STORE}/{KEY}-a.drv
  {STORE}/{KEY}-b.drv
this path will be fetched (0.03 MiB download, 0.12 MiB unpacked):
  {STORE}/{KEY}-hello
don't know how to build these paths:
  {STORE}/{KEY}-lost
"""


def test_a_dry_run_says_what_happens() -> None:
    found = plan(DRY, STORE)
    assert found.built == (f"{STORE}/{KEY}-a.drv", f"{STORE}/{KEY}-b.drv")
    assert found.fetched == (f"{STORE}/{KEY}-hello",)
    assert found.unknown == (f"{STORE}/{KEY}-lost",)
    assert plan("", STORE).built == plan("warning: x\n", STORE).fetched == ()
    assert plan(f"this derivation will be built:\n  {STORE}/{KEY}-a.drv\n", STORE).built


@pytest.mark.parametrize(
    "text",
    [
        f"  {STORE}/{KEY}-a.drv\n",
        f"these 3 derivations may be built:\n  {STORE}/{KEY}-a.drv\n",
        f"this derivation will be built:\n  {STORE}/{KEY}-a.drv and more\n",
        f"this derivation will be built:\n  /elsewhere/{KEY}-a.drv\n",
    ],
)
def test_a_dry_run_in_unknown_words_is_an_error_and_not_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="unexpected line of a dry run"):
        plan(text, STORE)


DUMPED = f"{STORE}/{KEY}-a\n{'0' * 64}\n120\n\n2\n{STORE}/{KEY}-a\n{STORE}/{KEY}-b\n{STORE}/{KEY}-b\n{'1' * 64}\n96\n{STORE}/{KEY}-b.drv\n0\n"


def test_what_is_registered_is_known_by_name() -> None:
    assert registered(DUMPED, STORE) == (f"{KEY}-a", f"{KEY}-b")
    assert registered("", STORE) == ()


@pytest.mark.parametrize(
    "text", [DUMPED[:-2], DUMPED.replace("\n2\n", "\nmany\n"), DUMPED.replace(STORE, "/elsewhere")]
)
def test_what_is_registered_in_another_form_is_an_error_and_not_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="registered"):
        registered(text, STORE)


@pytest.mark.parametrize(
    ("text", "well"),
    [
        (PATH, True),
        (f"{STORE}/{KEY}-tool", False),
        (f"{PATH}^out", False),
        (f"{PATH}\n", False),
        (f"{STORE}/../{KEY}-x.drv", False),
        (f"{STORE}/{KEY}-a/b.drv", False),
        (f"/etc/{KEY}-x.drv", False),
        ("", False),
    ],
)
def test_a_path_of_the_store_is_nothing_else(text: str, well: bool) -> None:
    assert store_path(text, STORE, ".drv") is well
