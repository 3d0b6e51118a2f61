"""What is taken out of the script of `nix print-dev-env`, on scripts that Nix 2.26.3 printed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.devshell.flake import ShellRefused
from agent.devshell.saved import MOST, environment_of, packed, sanitised
from agent.errors import PodTrouble

RECORDED = Path(__file__).parents[1] / "fixtures" / "devshell"
PLAIN = (RECORDED / "default.rc").read_bytes()
MULTI = (RECORDED / "multi.rc").read_bytes()
STRUCTURED = (RECORDED / "structured.rc").read_bytes()
TEMPORARY = b"""\
export NIX_BUILD_TOP="$(mktemp -d -t nix-shell.XXXXXX)"
export TMP="$NIX_BUILD_TOP"
export TMPDIR="$NIX_BUILD_TOP"
export TEMP="$NIX_BUILD_TOP"
export TEMPDIR="$NIX_BUILD_TOP"
"""
OUT = b"out='/tmp/dd/fx/outputs/out'\nexport out\n"
HOOK = b'eval "${shellHook:-}"\n\n'


def test_the_temporary_folder_and_the_outputs_go_and_all_else_stays() -> None:
    assert PLAIN.count(TEMPORARY) == 1
    assert sanitised(PLAIN) == PLAIN.replace(TEMPORARY, b"").replace(OUT + b"outputs='out'\nexport outputs\n", b"")


def test_every_output_goes_that_nix_points_into_the_folder_it_ran_in() -> None:
    gone = b"dev='/tmp/dd/fx/outputs/dev'\nexport dev\n"
    expected = (
        MULTI.replace(TEMPORARY, b"").replace(OUT + b"outputs='out dev'\nexport outputs\n", b"").replace(gone, b"")
    )
    assert sanitised(MULTI) == expected
    assert b"LD='-rpath " in expected


def test_a_variable_with_the_name_of_an_output_and_a_value_of_its_own_stays() -> None:
    own = MULTI.replace(b"/tmp/dd/fx/outputs/dev'\nexport dev", b"/nix/store/x-dev'\nexport dev")
    assert b"dev='/nix/store/x-dev'\nexport dev\n" in sanitised(own)


def test_the_hook_stays_last() -> None:
    assert sanitised(PLAIN).endswith(b'nix_saved_XDG_DATA_DIRS:+:$nix_saved_XDG_DATA_DIRS}"\n' + HOOK)


def test_lines_of_a_value_a_hook_or_a_function_are_no_statements_of_nix() -> None:
    kept = sanitised(PLAIN)
    assert b"ODD='it'\\''s\nout='\\''x'\\''\nexport out\neval \"${shellHook:-}\"\n\nexport TMPDIR=/x\n" in kept
    assert b'export TMPDIR="$NIX_BUILD_TOP"\nexport NIX_BUILD_TOP="$(mktemp -d)"\necho it' in kept
    assert b"cat <<EOF\nexport TMPDIR=\"$NIX_BUILD_TOP\"\noutputs='out'\nEOF\n" in kept


def test_structured_attributes_are_refused_with_a_way_out() -> None:
    with pytest.raises(ShellRefused, match=r"__structuredAttrs = true.*take that line out of the shell in `flake.nix`"):
        sanitised(STRUCTURED)


def test_a_hook_or_a_function_that_only_speaks_of_structured_attributes_is_fine() -> None:
    assert PLAIN.count(b"NIX_ATTRS_") == sanitised(PLAIN).count(b"NIX_ATTRS_") == 4


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"error: something\n",
        PLAIN.replace(HOOK, b""),
        PLAIN + b"echo more\n",
        PLAIN[: len(PLAIN) // 2],
        PLAIN.replace(b"BASH=", b"BASH=(unknown) #"),
        STRUCTURED.replace(b"BASH=", b"BASH=(unknown) #"),
    ],
    ids=["nothing", "words", "no hook", "more behind", "half", "unknown statement", "unknown before structured"],
)
def test_a_script_of_another_shape_is_not_kept(script: bytes) -> None:
    with pytest.raises(PodTrouble, match=r"`nix print-dev-env` printed is not .* so it cannot be kept"):
        sanitised(script)


@pytest.mark.parametrize(
    "more",
    [b"".join(b"v%d=''\nexport v%d\n" % (n, n) for n in range(MOST // 2 + 1)), b"big='%s'\n" % (b"x" * 999_999) * 5],
    ids=["very many", "very large"],
)
def test_a_shell_that_no_program_could_be_started_in_is_refused(more: bytes) -> None:
    """T1, T10: a million of them, written by `stdenv/setup`, were 3.4 s of the loop and 640 MiB."""
    with pytest.raises(ShellRefused, match="larger than 4 MiB or has more than 10,000 variables"):
        sanitised(more + PLAIN)


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("out", "outputs", "dev") and not name.startswith("NIX_ATTRS_")
)
TEXTS = st.lists(
    st.sampled_from(
        [*TEMPORARY.decode().splitlines(keepends=True), HOOK.decode(), OUT.decode(), "'", "\\", "\n", "x", "(", "é"]
    )
    | st.text(max_size=6).filter(lambda text: "\0" not in text and "\r" not in text),
    max_size=6,
).map("".join)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SCALARS = st.builds(lambda name, text: f"{name}={quoted(text)}\nexport {name}\n", NAMES, TEXTS)
ARRAYS = st.builds(
    lambda name, texts: f"declare -a {name}=({''.join(quoted(text) + ' ' for text in texts)})\n",
    NAMES,
    st.lists(TEXTS, max_size=3),
)
TABLES = st.builds(
    lambda name, pairs: f"declare -A {name}=({''.join(f'[{quoted(a)}]={quoted(b)} ' for a, b in pairs)})\n",
    NAMES,
    st.lists(st.tuples(TEXTS, TEXTS), max_size=3),
)
FUNCTIONS = st.builds(
    lambda name, text: f"{name} ()\n{{\n \n    echo {quoted(text)}\n}}\n", NAMES.map(lambda name: name + "-f"), TEXTS
)
START = b'unset shellHook\nPATH=${PATH:-}\nnix_saved_PATH="$PATH"\nXDG_DATA_DIRS=${XDG_DATA_DIRS:-}\n'
END = b'PATH="$PATH${nix_saved_PATH:+:$nix_saved_PATH}"\n'


@given(st.lists(SCALARS | ARRAYS | TABLES, max_size=8), st.lists(FUNCTIONS, max_size=3))
def test_everything_else_stays_byte_for_byte(variables: list[str], functions: list[str]) -> None:
    before, after = "".join(variables).encode(), "".join(functions).encode()
    outputs = OUT + b"outputs='out'\nexport outputs\n"
    whole = START + before + outputs + after + END + TEMPORARY + HOOK
    assert sanitised(whole) == START + before + after + END + HOOK


@given(st.binary(max_size=200), st.integers(min_value=0), st.sampled_from(["cut", "flip", "more"]))
def test_a_damaged_file_is_known(script: bytes, place: int, damage: str) -> None:
    data = packed(script, "/nix/store/x-env")
    assert environment_of(data) == "/nix/store/x-env"
    assert data.endswith(script)
    place %= len(data)
    damaged = {
        "cut": data[:place],
        "flip": data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
        "more": data + b"x",
    }[damage]
    assert environment_of(damaged) is None
