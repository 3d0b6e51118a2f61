"""Whatever is sent, the board answers: with a document or a refusal of its own, and it goes on."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.boards import embedded_board

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "1", "me", "2026-12-01", "\0"])
)
ANY = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "subject",
    "description",
    "dueDate",
    "startDate",
    "date",
    "scheduleManually",
    "lockVersion",
    "id",
    "customField601",
    "_links",
    "comment",
    "type",
    "lag",
    "internal",
]
HREFS: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        "x",
        5,
        [],
        "/api/v3/work_packages/1",
        "/api/v3/work_packages/99999999999999999999",
        "/api/v3/statuses/307",
        "/api/v3/users/12",
        "/api/v3/types/202",
        "/api/v3/projects/shop",
    ]
)
LINKS = st.dictionaries(
    st.sampled_from(["type", "status", "priority", "project", "assignee", "author", "version", "parent", "to"]),
    st.fixed_dictionaries({"href": HREFS}) | ANY,
    max_size=4,
)
BODIES = (
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(KEYS, ANY) | {"_links": LINKS | ANY, "lockVersion": st.just(0) | ANY}
    )
    | ANY
)
PATHS = st.sampled_from(
    [
        "/projects/shop/work_packages",
        "/work_packages",
        "/work_packages/1",
        "/work_packages/1/form",
        "/projects/shop/work_packages/form",
        "/work_packages/1/activities",
        "/work_packages/1/relations",
        "/activities/1",
        "/relations/1",
        "/nope",
    ]
)
NAMES = [
    "status",
    "type",
    "assignee",
    "id",
    "parent",
    "ancestor",
    "blocks",
    "relates",
    "subject",
    "dueDate",
    "updatedAt",
    "cf_601",
    "version",
    "involved",
    "member",
    "bogus",
]
OPERATORS = ["=", "!", "o", "c", "*", "!*", "~", "!~", "<>d", "=d", ">t-", "<t-", "t", "w", "t+", "<t+", "?"]
FILTERS = st.lists(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.fixed_dictionaries({"operator": st.sampled_from(OPERATORS), "values": st.lists(PLAIN, max_size=3) | PLAIN}),
        max_size=1,
    ),
    max_size=3,
)
LISTS = st.sampled_from(
    [
        "/work_packages",
        "/projects/shop/work_packages",
        "/relations",
        "/principals",
        "/projects",
        "/work_packages/schemas",
    ]
)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def board(tmp_path: Path) -> Iterator[httpx.Client]:
    running = embedded_board(tmp_path)
    client = running.client()
    assert client.post("/projects/shop/work_packages", json={"subject": "A"}).json()["id"] == 1
    yield client
    running.close()


def check(response: httpx.Response, caplog: pytest.LogCaptureFixture) -> None:
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
    assert not errors
    if (
        response.content
        and response.headers["content-type"].startswith("application/hal+json")
        and response.status_code != 415
    ):
        document = response.json()
        if response.status_code >= 400:
            assert document["_type"] == "Error"
            assert document["message"]


@given(method=st.sampled_from(["POST", "PATCH", "DELETE", "PUT"]), path=PATHS, body=BODIES)
@FEW
def test_any_body(board: httpx.Client, caplog: pytest.LogCaptureFixture, method: str, path: str, body: object) -> None:
    check(board.request(method, path, content=json.dumps(body), headers={"content-type": "application/json"}), caplog)


@given(path=PATHS, content=st.binary(max_size=40))
@FEW
def test_any_bytes(board: httpx.Client, caplog: pytest.LogCaptureFixture, path: str, content: bytes) -> None:
    check(
        board.post(path, content=b'{"subject":"' + content + b'"}', headers={"content-type": "application/json"}),
        caplog,
    )


@given(
    path=LISTS,
    filters=FILTERS | ANY,
    others=st.dictionaries(
        st.sampled_from(["sortBy", "groupBy", "pageSize", "offset", "select", "eprops"]),
        st.text(max_size=12),
        max_size=3,
    ),
)
@FEW
def test_any_query(
    board: httpx.Client, caplog: pytest.LogCaptureFixture, path: str, filters: object, others: dict[str, str]
) -> None:
    check(
        board.get(
            path,
            params={
                "filters": json.dumps(filters),
                **{name: value.encode("utf-8", "replace").decode() for name, value in others.items()},
            },
        ),
        caplog,
    )


@pytest.mark.parametrize(("name", "operator"), [("subject", "~"), ("search", "**"), ("typeahead", "**")])
def test_more_words_than_a_statement_takes(
    board: httpx.Client, caplog: pytest.LogCaptureFixture, name: str, operator: str
) -> None:
    words = " ".join(f"{number:x}" for number in range(1_200))
    filters = json.dumps([{name: {"operator": operator, "values": [words]}}])
    answer = board.get("/work_packages", params={"filters": filters})
    check(answer, caplog)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/work_packages/%ff",
        "/work_packages?filters=%ff%00",
        "/projects/%00",
        "/%2e%2e/%2e%2e",
        "/work_packages/1/",
        "/principals?filters=nope",
    ],
)
def test_odd_paths_and_queries(board: httpx.Client, caplog: pytest.LogCaptureFixture, path: str) -> None:
    check(board.get(path), caplog)
