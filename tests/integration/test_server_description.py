"""The board's own description of its API: it is where OpenProject has it, covers every route, and a generator finds no answer that contradicts it.

AGENT_TEST_SCHEMATHESIS is how many examples each operation gets (a few by default, to be quick); those that a description names
by itself, bounds and wrong types one by one, are 4,000 requests, and for `make proof`.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.boards import Board, embedded_board
from support.replay_tools import tool

EXAMPLES = os.environ.get("AGENT_TEST_SCHEMATHESIS", "3")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
PARAMETERS = """
[parameters]
"path.project" = "shop"
"path.id" = 1
"path.schema" = "101-201"
"path.filter" = "status"
"path.operator" = "="
"path.format" = "markdown"
"path.user" = 13
"""
PLACES = ("/openapi.json", "/spec.json", "/spec.yml")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    running = embedded_board(tmp_path / "board")
    client = running.client("admin")
    # Something of every kind, with the ids that PARAMETERS tells the generator.
    for number in range(3):
        assert client.post("/projects/shop/work_packages", json={"subject": str(number)}).status_code == 201
    relation = {"type": "relates", "_links": {"to": {"href": "/api/v3/work_packages/2"}}}
    assert client.post("/work_packages/1/relations", json=relation).json()["id"] == 1
    project = {"href": f"/api/v3/projects/{running.projects['shop']}"}
    assert client.post("/versions", json={"name": "v1", "_links": {"definingProject": project}}).json()["id"] == 1
    files: dict[str, Any] = {"metadata": (None, '{"fileName":"a.txt"}'), "file": ("a.txt", b"text")}
    assert client.post("/work_packages/1/attachments", files=files).json()["id"] == 1
    yield running
    running.close()


def test_it_is_where_openproject_has_it_and_not_for_everybody(board: Board) -> None:
    found = [board.client().get(place) for place in PLACES]
    assert [answer.status_code for answer in found] == [200, 200, 200]
    assert len({answer.content for answer in found}) == 1
    assert httpx.get(f"{board.url}/api/v3/openapi.json").status_code == 401


def test_every_operation_tells_what_it_answers(board: Board) -> None:
    document = board.client().get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) > 80
    assert all(operation["summary"] and "default" in operation["responses"] for operation in operations)
    named = {
        name for name in document["components"]["schemas"] if f'#/components/schemas/{name}"' in json.dumps(document)
    }
    assert named == document["components"]["schemas"].keys()


@pytest.mark.parametrize("phases", ["fuzzing", pytest.param("coverage,fuzzing", marks=pytest.mark.proof)])
def test_a_generator_finds_no_answer_that_contradicts_it(
    board: Board, tmp_path: Path, measured: Callable[[str], None], phases: str
) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(PARAMETERS, encoding="utf-8")
    command = [
        str(tool("schemathesis")), "--config-file", str(config), "run", f"{board.url}/api/v3/openapi.json", "--auth", f"apikey:{board.tokens['admin']}",
        "--checks", CHECKS, "--max-examples", EXAMPLES, "--phases", phases, "--request-timeout", "20", "--seed", "1",
        "--no-color", "--continue-on-failure", "--generation-database", "none",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout.partition("= WARNINGS =")[0][-6000:]
    generated = next((line.strip() for line in done.stdout.splitlines() if re.search(r"\d generated", line)), "")
    measured(f"schemathesis: {generated or 'no failure'}")
