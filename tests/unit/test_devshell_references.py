"""What a builder can write among Nix's words about its results."""

import tracemalloc

import pytest

from agent.devshell import apart

OUT, LIB, OTHER = "/nix/store/out", "/nix/store/lib", "/nix/store/other"


def test_the_last_word_about_each_result_counts_and_what_is_unknown_is_nothing() -> None:
    said = f"rubbish\n{OUT}\n\n{OUT}\n{OTHER}\n\n\n{OUT}\n{OUT}\n{LIB}\n/nix/store/unknown\n\n{LIB}\n\n"
    assert apart._references(said.encode(), [OUT, LIB], {OUT, LIB}) == {OUT: {OUT, LIB}, LIB: set()}


@pytest.mark.parametrize("line", ["abc\n\n", "\n", f"{OUT}\n\n", f"{OUT}\n{LIB}\n", "\xff"])
def test_lines_without_end_take_no_memory(line: str) -> None:
    """T10: 31 MiB of `abc` and two line ends were 654 MiB in the pod."""
    said = (line * 300_000).encode("latin-1")[:500_000]
    tracemalloc.start()
    try:
        apart._references(said, [OUT], {OUT, LIB})
        assert tracemalloc.get_traced_memory()[1] < 5 * len(said)
    finally:
        tracemalloc.stop()
