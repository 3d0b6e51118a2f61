"""OpenProject's published description of its API holds for the board's answers wherever it holds for the recorded ones: no new fault."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from support.boards import missing
from support.replay import RECORDED, Replayed

DESCRIPTION = RECORDED.parent / "openproject-openapi" / "openproject-v3.json"
ROOT = "urn:openproject"


class Described:
    """The schema of each answer."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._registry: Registry[Any] = Registry().with_resource(ROOT, DRAFT202012.create_resource(document))
        self._paths = {
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))): (path, operations)
            for path, operations in document["paths"].items()
        }

    def validator(self, method: str, path: str, status: int) -> Draft202012Validator | None:
        """What checks the body of an answer, if it is described; a path without a parameter goes before one with."""
        found = [named for pattern, named in self._paths.items() if pattern.fullmatch(path)]
        for described, operations in sorted(found, key=lambda named: named[0].count("{")):
            content = operations.get(method.lower(), {}).get("responses", {}).get(str(status), {}).get("content", {})
            for kind in ("application/hal+json", "application/json"):
                if "schema" in content.get(kind, {}):
                    pointer = "/".join(
                        part.replace("~", "~0").replace("/", "~1")
                        for part in (
                            "paths",
                            described,
                            method.lower(),
                            "responses",
                            str(status),
                            "content",
                            kind,
                            "schema",
                        )
                    )
                    return Draft202012Validator({"$ref": f"{ROOT}#/{pointer}"}, registry=self._registry)
        return None


@pytest.fixture(scope="module")
def described() -> Described:
    if not DESCRIPTION.exists():
        missing(f"{DESCRIPTION} does not exist")
    return Described(json.loads(DESCRIPTION.read_text(encoding="utf-8")))


def test_what_the_recorded_answers_keep_the_boards_answers_keep(
    replayed: Replayed, described: Described, measured: Callable[[str], None]
) -> None:
    replay, _ = replayed
    checked = undescribed = unkept = 0
    broken = []
    for exchange, response in replay.answered:
        body = exchange["response"]["body"]
        if not isinstance(body, dict) or "subjects" in body or response.status_code != exchange["response"]["status"]:
            continue
        # 17.6 answers a creation with 201, the description says 200.
        statuses = [response.status_code, 200] if response.status_code == 201 else [response.status_code]
        request = exchange["request"]
        validators = [described.validator(request["method"], request["path"], status) for status in statuses]
        validator = next(filter(None, validators), None)
        if validator is None:
            undescribed += 1
            continue
        checked += 1
        there, here = faults(validator, body), faults(validator, response.json())
        unkept += bool(there)
        broken += [f"{exchange['step']}: {fault}" for fault in here - there]
    measured(
        f"OpenProject's description: {checked - len(broken)} of {checked} answers keep it as far as the recorded ones do"
        f" ({unkept} recorded ones do not quite, {undescribed} are not described)"
    )
    assert not broken, "\n".join(broken)
    assert checked > 100


def faults(validator: Draft202012Validator, body: object) -> set[tuple[str, str]]:
    """Where a body does not keep its description, and what it does not keep there."""
    return {(re.sub(r"\d+", "N", error.json_path), str(error.validator)) for error in validator.iter_errors(body)}
