"""Files that people write (backlogs, settings) and files of strangers (`.agent.toml`, `flake.lock`): a value or the documented error."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent import server
from agent.devshell.inputs import locked_inputs
from agent.errors import ConfigurationError, TicketFailure
from agent.programs.instructions import Instructions, read_instructions
from agent.server import BacklogError, backlog, store, web
from agent.settings import Settings, load

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
DEEP = 3_000
WORDS = st.sampled_from(
    ["", "a", "b", "agent", "human", "admin", "shop", "x" * 300, "\0", "\u202eé\n🦀", "1", "-", "../.."]
)
PLAIN = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | WORDS | st.dates()
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2), max_leaves=4
)


def toml(value: Any) -> str:
    """A TOML value; what TOML lacks is its nearest relative."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if value is None or isinstance(value, bool | str):
        return json.dumps("" if value is None else value).replace("\x7f", "\\u007f")
    return str(value)


def file(tables: dict[str, Any]) -> str:
    return "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in tables.items())


def broken(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Also cut off, doubled, or with a piece of something else in the middle."""
    return texts | st.builds(
        lambda text, at, piece: text[: int(len(text) * at)] + piece + text[int(len(text) * at) :],
        texts,
        st.floats(0, 1),
        st.sampled_from(["", "]", '"""', "\0", "= =", "[[[", "x = " + "[" * 1500, "\ud800", "\r", "''", "#"]),
    )


def encodable(text: str) -> str:
    """As a file in UTF-8 can hold it."""
    return text.encode(errors="replace").decode()


# -- agent board import ----------------------------------------------------------------------------------------------

KEY = st.sampled_from(["a", "b", "c", "d", ""])


def entry(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly what is meant, sometimes anything."""
    good = st.fixed_dictionaries(required, optional=optional)
    return good | good | good | st.fixed_dictionaries(
        {}, optional={key: one | ANY for key, one in {**required, **optional}.items()}
    )  # fmt: skip


LOGIN = st.sampled_from(["agent", "human", "admin", "new", "new2", "", "x y", "\0"])
PROJECT = st.sampled_from(["shop", "blog", "p", "q", "", "9", "ä b", "\0"])
USER = entry(
    {"login": LOGIN, "name": WORDS},
    role=st.sampled_from(["Member", "Reader", "King"]), admin=st.booleans(), language=st.sampled_from(["en", "de", "xx", ""]),
    projects=st.lists(PROJECT, max_size=3),
)  # fmt: skip
PROJECTS = entry({"identifier": PROJECT, "name": WORDS}, members=st.lists(LOGIN, max_size=3))
ITEM = entry(
    {"key": KEY, "subject": WORDS},
    type=st.sampled_from(["Task", "Bug", "Epic", "Milestone", "Phase", "Summary task", "Spike", "Nope"]),
    project=PROJECT, parent=KEY, status=st.sampled_from(["New", "Closed", "In progress", "?"]), priority=WORDS | st.just("High"),
    pod=WORDS, description=WORDS, assignee=LOGIN, due_date=st.dates() | st.just(dt.date(2026, 12, 5)), version=WORDS,
)  # fmt: skip
RELATION = entry(
    {"type": st.sampled_from(["blocks", "follows", "precedes", "requires", "relates", "blocked", "nope"]), "from": KEY, "to": KEY}
)  # fmt: skip
BACKLOGS = st.fixed_dictionaries(
    {},
    optional={
        "users": st.lists(USER, max_size=2) | ANY,
        "projects": st.lists(PROJECTS, max_size=2) | ANY,
        "work_packages": st.lists(ITEM, max_size=5) | ANY,
        "relations": st.lists(RELATION, max_size=5) | ANY,
        "tickets": ANY,
    },
)


class _Undone(Exception):
    pass


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[store.Store]:
    folder = tmp_path_factory.mktemp("board")
    server.create(folder)
    server.import_backlog(folder, "projects = [{ identifier = 'shop', name = 'Shop' }]")
    opened = store.Store(folder)
    yield opened
    opened.close()


@given(broken(BACKLOGS.map(file)).map(encodable))
@example("x = " + "[" * DEEP)
@example("a" + ".a" * DEEP + " = 1")
@settings(QUICK, max_examples=250)
def test_a_backlog_is_imported_or_refused(board: store.Store, text: str) -> None:
    with contextlib.suppress(BacklogError, _Undone):
        wanted = backlog.parse(text)
        with board.transaction(write=True) as db:
            backlog.store(db, wanted, web.utc_now())
            raise _Undone


FIT = st.sampled_from(["a", "Buy", "é 🦀", "x" * 255, "\u202eb"])
KEYS = ("a", "b", "c", "d", "e", "f")
SOME_KEY = st.sampled_from(KEYS)
WELL_FORMED = st.builds(
    lambda users, projects, items, relations: {
        "users": users,
        "projects": projects,
        "work_packages": [{**one, "key": key} for one, key in zip(items, KEYS, strict=False)],
        "relations": relations,
    },
    st.lists(
        st.fixed_dictionaries(
            {"login": st.sampled_from(["new", "new2", "new3"]), "name": FIT},
            optional={"projects": st.lists(st.sampled_from(["shop", "p"]), max_size=3), "role": st.just("Reader")},
        ),
        max_size=2,
        unique_by=lambda one: one["login"],
    ),
    st.lists(
        st.fixed_dictionaries(
            {"identifier": st.just("p"), "name": FIT},
            optional={"members": st.lists(st.sampled_from(["agent", "human", "new"]), max_size=3)},
        ),
        max_size=1,
    ),
    st.lists(
        st.fixed_dictionaries(
            {"subject": FIT, "project": st.just("shop")},
            optional={
                "type": st.sampled_from(["Task", "Epic", "Milestone", "Summary task"]),
                "parent": SOME_KEY,
                "status": st.sampled_from(["New", "Closed"]),
                "assignee": st.sampled_from(["agent", "human", "admin"]),
                "due_date": st.dates(),
                "pod": FIT,
                "version": FIT,
            },
        ),
        min_size=2,
        max_size=6,
    ),
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["blocks", "follows", "precedes", "requires", "relates", "blocked"]), "from": SOME_KEY, "to": SOME_KEY}
        ),
        max_size=6,
    ),
)  # fmt: skip


@given(WELL_FORMED)
@example({"users": [{"login": "new", "name": "N", "projects": ["shop", "shop"]}]})
@example({"work_packages": [{"key": "a", "subject": " ", "project": "shop"}]})
@settings(QUICK, max_examples=200)
def test_a_well_formed_backlog_is_imported_or_refused(board: store.Store, tables: dict[str, Any]) -> None:
    with contextlib.suppress(BacklogError, _Undone):
        wanted = backlog.parse(file(tables))
        with board.transaction(write=True) as db:
            made = backlog.store(db, wanted, web.utc_now())
            assert len(made.work_packages) == len(wanted.work_packages)
            raise _Undone


# -- agent.toml ------------------------------------------------------------------------------------------------------

GOOD = {
    "pod": "pod-a",
    "state": "/tmp/x",
    "board": {"url": "http://board"},
    "repositories": {"shop": {"url": "https://x/y.git"}},
    "model": {"kind": "command", "command": ["x"]},
}
SECTIONS = st.sampled_from([*GOOD, "execution", "sandbox", "nix", "types", "nope"])
NAMES = st.sampled_from(
    ["url", "token_file", "kind", "command", "timeout", "grace", "tries", "shop", "settings", "readable", "starter"]
)
SETTINGS = st.builds(
    lambda changes: {**GOOD, **changes},
    st.dictionaries(SECTIONS, st.dictionaries(NAMES, ANY | st.dictionaries(NAMES, ANY, max_size=2), max_size=3) | ANY, max_size=3),
)  # fmt: skip


@given(broken(SETTINGS.map(file)))
@example("x = " + "[" * DEEP)
@example("a" + ".a" * DEEP + " = 1")
@example(file({**GOOD, "pod": "pod\0"}))
@example(file({**GOOD, "state": "a\0b"}))
@QUICK
def test_settings_are_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(ConfigurationError):
            assert isinstance(load(str(path), environ={"HOME": folder}), Settings)


@given(st.binary(max_size=80))
@QUICK
def test_any_bytes_are_settings_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.toml"
        path.write_bytes(content)
        with contextlib.suppress(ConfigurationError):
            load(str(path), environ={"HOME": folder})


# -- .agent.toml -----------------------------------------------------------------------------------------------------

CHECKS = st.fixed_dictionaries(
    {},
    optional={
        "notes": WORDS | ANY,
        "verify": st.fixed_dictionaries({}, optional={"commands": st.lists(WORDS | ANY, max_size=3) | ANY, "x": ANY}) | ANY,
        "verfy": ANY,
    },
)  # fmt: skip


@given(broken(CHECKS.map(file)).map(encodable))
@example("x = " + "[" * DEEP)
@example("a" + ".a" * DEEP + " = 1")
@QUICK
def test_instructions_are_read_or_fail_the_ticket(text: str) -> None:
    with contextlib.suppress(TicketFailure):
        read = read_instructions(text)
        assert msgspec.convert(msgspec.to_builtins(read), Instructions) == read
        assert all(one.strip() for one in read.verify.commands)


# -- flake.lock ------------------------------------------------------------------------------------------------------

LOCKED = st.dictionaries(
    st.sampled_from(["type", "owner", "repo", "host", "url", "ref", "rev", "narHash", "path", "dir", "submodules", "odd"]),
    st.sampled_from(
        [
            *("github", "git", "path", "tarball", "indirect", "NixOS", "nixpkgs", "nixpkgs/..", "https://x/", "https://[/", "../x"),
            *("a" * 40, "sha256-" + "A" * 43 + "=", "sha256-!", "sha256-", "main", "\0", True, 1),
        ]
    )
    | ANY,
    max_size=7,
)  # fmt: skip
LOCKS = st.fixed_dictionaries(
    {"version": st.sampled_from([7, 5, 4, 7.0, "7"]), "root": st.sampled_from(["root", "x", None])},
    optional={
        "nodes": st.dictionaries(
            st.sampled_from(["root", "a", "b", "\0", "x" * 200]),
            st.fixed_dictionaries({}, optional={"locked": LOCKED | ANY, "inputs": ANY}) | ANY,
            max_size=4,
        )
        | ANY
    },
).map(lambda one: json.dumps(one, default=str))


@given(broken(LOCKS).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60))
@example(b"[" * DEEP)
@example(b'{"nodes":' * DEEP)
@settings(QUICK, max_examples=300)
def test_a_lock_file_is_read_or_refused_in_a_sentence(content: bytes) -> None:
    try:
        inputs = locked_inputs(content)
    except TicketFailure as failure:
        words = str(failure)
        words.encode()
        assert "\n" not in words
        return
    assert all(len(one.digest) == 32 for one in inputs)
