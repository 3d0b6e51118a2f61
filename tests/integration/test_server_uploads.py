"""The parts of an upload are told apart in time that is in proportion to it, whatever their heads say."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agent.server import multipart
from agent.server.errors import ApiError
from support.worst_words import slowness

MOMENT = 0.05
"""Seconds of processor time for an upload that is all heads: 160 KiB."""
HEAD = 8_000
PIECES = (
    '"',
    ";",
    '";',
    '\\";',
    ";a",
    ";a=",
    ';a="',
    ';a="\\',
    ";a=b",
    "; ",
    "\t",
    ";a\t",
    "=",
    "\\",
    "name=",
    "\r\na: b",
    "\r\n;",
)


def heads() -> Iterator[str]:
    for start in ("form-data; name=x", 'form-data; name="x', "form-data"):
        for piece in PIECES:
            yield start + (piece * HEAD)[: HEAD - len(start)]
        yield start + "".join(f';name*{number}="x"' for number in range(600))[:HEAD]


def took(content_type: str, raw: bytes) -> float:
    """Seconds of processor time, the best of three tries, of an idle processor."""
    tries = []
    for _ in range(3):
        began = time.process_time()
        with suppress(ApiError):
            multipart.parse(content_type, raw)
        tries.append(time.process_time() - began)
    return min(tries) / slowness()


def test_heads_of_quotes_and_semicolons_are_done_with_in_a_moment() -> None:
    late = []
    for head in heads():
        raw = b"--B\r\n" + 20 * (b"content-disposition: " + head.encode() + b"\r\n\r\nv\r\n--B\r\n")
        if took("multipart/form-data; boundary=B", raw[:-2] + b"--\r\n") > MOMENT:
            late.append(head[:40])
    assert not late


def test_a_boundary_of_quotes_and_semicolons_is_done_with_in_a_moment() -> None:
    assert sum(took(f'multipart/form-data; x="{piece * HEAD}', b"--B--") for piece in PIECES) < MOMENT


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="file"; filename="a.txt"',
        "form-data;name=file;filename=a.txt",
        'form-data; filename="; name=\\"metadata\\""; name="file"',
        "FORM-DATA; NAME = file; filename*=UTF-8''a%20b",
        'form-data; name="file"; name="metadata"',
    ],
)
def test_a_part_is_known_by_the_name_that_its_head_gives_it(disposition: str) -> None:
    raw = f"--B\r\nContent-Type: text/plain\r\ncontent-disposition: {disposition}\r\n\r\nwords\r\n--B--\r\n".encode()
    found = multipart.parse('multipart/form-data; boundary="B"', raw)
    assert found.content is not None
    assert (bytes(found.content), found.content_type) == (b"words", "text/plain")


@pytest.mark.parametrize(
    "disposition", ["form-data; name*=UTF-8''file", "form-data; filename=file", "file", "; x name=file"]
)
def test_what_has_no_such_name_is_left_out(disposition: str) -> None:
    raw = f"--B\r\ncontent-disposition: {disposition}\r\n\r\nwords\r\n--B--\r\n".encode()
    assert multipart.parse("multipart/form-data; boundary=B", raw).content is None
