"""A client that we did not write, driven by one script through both servers: the same outcome, step by step."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.boards import API, POD, RUN, Board, embedded_board
from support.replay_client import OtherClient
from support.worlds import filled_openproject

FORBIDDEN, NOT_FOUND, CONFLICT, INVALID = 4, 5, 6, 7
"""The client's own exit codes."""


@pytest.fixture(params=["embedded", pytest.param("openproject", marks=pytest.mark.openproject)])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    running = filled_openproject() if request.param == "openproject" else embedded_board(tmp_path / "board")
    yield running
    running.close()


@pytest.fixture
def client(board: Board, tmp_path: Path) -> Iterator[OtherClient]:
    with OtherClient(board, tmp_path / "home") as running:
        yield running


class Script:
    """One after the other, on work packages whose subjects hold a word of their own; each step notes its outcome."""

    def __init__(self, client: OtherClient, board: Board, folder: Path) -> None:
        self._client, self._board, self._folder = client, board, folder
        self._word = f"cli{uuid.uuid4().hex[:10]}"
        self.steps: list[tuple[str, Any]] = []
        self._first = self._second = ""

    def run(self) -> None:
        self._create()
        self._search()
        self._update()
        self._comment()
        self._relate()
        self._watch()
        self._attach()
        self._members()
        self._delete()

    def _note(self, step: str, outcome: Any) -> None:
        self.steps.append((step, outcome))

    def _code(self, *arguments: str) -> int:
        return self._client.run(*arguments)[0]

    def _created(self, subject: str, *arguments: str) -> str:
        return str(self._client.ok("wp", "create", f"{self._word} {subject}", *arguments)["id"])

    def _create(self) -> None:
        ok = self._client.ok
        self._note("who", ok("auth", "whoami").get("login"))
        self._first = self._created(
            "first", "--project", "shop", "--type", "Task", "--assignee", "me", "--priority", "High", "--estimated", "4",
            "--description", "Some *text*", "--custom-fields", json.dumps({self._board.pod: "pod-a"}),
        )  # fmt: skip
        self._note("create", _told(ok("wp", "get", self._first), self._word))
        self._second = self._created("second", "--project", "shop", "--type", "Bug", "--parent", self._first)
        self._note("parent", _told(ok("wp", "get", self._first), self._word))

    def _search(self) -> None:
        def found(*arguments: str) -> list[str]:
            return _subjects(self._client.ok(*arguments), self._word)

        word = self._word
        self._note("list", found("wp", "list", "--project", "shop", "--query", word))
        self._note("list of mine", found("wp", "list", "--mine", "--where", f"subject ~ {word}"))
        self._note("search", found("search", "wp", word, "--sort", "id", "--asc"))
        self._note("search by status and type", found("search", "wp", word, "--status", "New", "--type", "Bug"))
        self._note("search for children", found("search", "wp", "--parent", self._first))
        self._note("count", self._client.ok("search", "wp", word, "--unassigned", "--count")["total"])
        self._note("values of a filter", sorted(map(_name, self._client.ok("search", "values", "status"))))
        form = self._client.ok("wp", "schema", "--project", "shop", "--type", "Task")
        self._note("columns of the form", _columns(form))

    def _update(self) -> None:
        subject = f"{self._word} changed"
        changed = self._client.ok("wp", "update", self._first, "--status", "In progress", "--subject", subject)
        self._note("update", _told(changed, self._word))
        stale = json.dumps({"lockVersion": 0, "subject": "late"})
        self._note("stale lock", self._code("raw", "patch", f"work_packages/{self._first}", "--data", stale))
        self._note("forbidden status", self._code("wp", "update", self._first, "--status", "Tested"))
        self._note("no such work package", self._code("wp", "get", "99999999"))

    def _comment(self) -> None:
        ok = self._client.ok
        ok("comment", "add", self._first, "a **comment**")
        ok("comment", "add", self._first, "another", account="human")
        comments = ok("comment", "list", self._first)
        [own] = [one for one in comments if "a **comment**" in json.dumps(one)]
        [other] = [one for one in comments if "another" in json.dumps(one)]
        ok("comment", "edit", str(own["id"]), "edited")
        said = json.dumps(ok("comment", "list", self._first))
        self._note("comments", [text for text in ("edited", "another", "a **comment**") if text in said])
        self._note("someone else's comment", self._code("comment", "edit", str(other["id"]), "mine"))

    def _relate(self) -> None:
        other = self._created("other", "--project", "blog", "--type", "Task")
        body = json.dumps({"type": "blocks", "_links": {"to": {"href": f"{API}/work_packages/{other}"}}})
        path = f"work_packages/{self._second}/relations"
        relation = self._client.ok("raw", "post", path, "--data", body)
        self._note("relation", (relation["type"], relation["reverseType"]))
        self._note("the same again", self._code("raw", "post", path, "--data", body))
        involved = json.dumps([{"involved": {"operator": "=", "values": [self._second]}}])
        self._note("relations", self._client.ok("raw", "get", "relations", "--param", f"filters={involved}")["total"])

    def _watch(self) -> None:
        for act, step in (("watch", "watchers"), ("unwatch", "watchers left")):
            self._client.ok("wp", act, self._first, "human")
            self._note(step, sorted(one["name"] for one in self._client.ok("wp", "watchers", self._first)))

    def _attach(self) -> None:
        ok = self._client.ok
        content = bytes(range(256)) * 9 + b"\r\n--x\r\n"
        there, back = self._folder / "file.bin", self._folder / "back.bin"
        there.write_bytes(content)
        ok("attach", "upload", self._first, str(there), "--description", "bytes")
        [attachment] = ok("attach", "list", self._first)
        ok("attach", "download", str(attachment["id"]), "--out", str(back))
        self._note("attachment", (attachment["fileName"], back.read_bytes() == content))
        ok("attach", "delete", str(attachment["id"]), "--yes")
        self._note("attachments left", ok("attach", "list", self._first))

    def _members(self) -> None:
        ok = self._client.ok
        self._note("members", sorted({_name(one["principal"]) for one in ok("member", "list", "--project", "shop")}))
        self._note("assignable", sorted(one["name"] for one in ok("user", "available", "shop")))
        fields = ok("cf", "wp", "--project", "shop", "--type", "Task")
        self._note("fields", sorted(one["name"] for one in fields))
        self._note("groups", ok("user", "groups"))

    def _delete(self) -> None:
        self._note("delete as a member", self._code("wp", "delete", self._first, "--yes"))
        self._client.ok("wp", "delete", self._first, "--yes", account="admin")
        self._note("gone with its child", [self._code("wp", "get", id_) for id_ in (self._first, self._second)])


def test_another_client_finds_both_servers_alike(
    board: Board, client: OtherClient, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    script = Script(client, board, tmp_path)
    script.run()
    assert script.steps == EXPECTED
    measured(f"agent-tool-openproject-cli on {board.kind}: {len(script.steps)} outcomes as expected")


def _name(found: Any) -> Any:
    return found.get("name", found) if isinstance(found, dict) else found


def _told(found: dict[str, Any], word: str) -> dict[str, Any]:
    """What both servers have to tell alike."""
    names = (
        "type",
        "status",
        "priority",
        "estimatedTime",
        "percentageDone",
        "startDate",
        "dueDate",
        "lockVersion",
        "description",
    )
    subject = found["subject"].removeprefix(word).strip()
    return {"subject": subject, "assignee": _name(found["assignee"]), **{name: found[name] for name in names}}


def _subjects(found: Any, word: str) -> list[str]:
    rows = found if isinstance(found, list) else found["items"]
    return sorted(one["subject"].removeprefix(word).strip() for one in rows)


def _columns(found: Any) -> list[tuple[str, str, bool]]:
    """Without the fields, whose names differ."""
    columns = [(one["key"], one["type"], one["required"]) for one in found]
    return sorted(column for column in columns if not column[0].startswith("customField"))


_FIRST = {
    "subject": "first",
    "assignee": "Coding Agent",
    "type": "Task",
    "status": "New",
    "priority": "High",
    "estimatedTime": "PT4H",
    "percentageDone": 0,
    "startDate": None,
    "dueDate": None,
    "lockVersion": 0,
    "description": "Some *text*",
}
_STATUSES = (
    "Closed", "Confirmed", "Developed", "In progress", "In specification", "In testing", "New", "On hold", "Rejected", "Scheduled",
    "Specified", "Test failed", "Tested", "To be scheduled",
)  # fmt: skip
_COLUMNS = {
    "String": ("subject!",),
    "Integer": ("id!", "lockVersion!", "percentageDone", "derivedPercentageDone"),
    "Formattable": ("description",),
    "Boolean": ("scheduleManually", "ignoreNonWorkingDays"),
    "Date": ("startDate", "dueDate", "derivedStartDate", "derivedDueDate"),
    "DateTime": ("createdAt!", "updatedAt!"),
    "Duration": ("duration", "estimatedTime", "derivedEstimatedTime", "remainingTime", "derivedRemainingTime"),
    "User": ("author!", "assignee", "responsible"),
    "Project": ("project!",),
    "WorkPackage": ("parent",),
    "Type": ("type!",),
    "Status": ("status!",),
    "Priority": ("priority!",),
    "Category": ("category",),
    "Version": ("version",),
}
EXPECTED: list[tuple[str, Any]] = [
    ("who", "agent"),
    ("create", _FIRST),
    # The first child switches its parent to automatic scheduling.
    ("parent", {**_FIRST, "lockVersion": 1}),
    ("list", ["first", "second"]),
    ("list of mine", ["first"]),
    ("search", ["first", "second"]),
    ("search by status and type", ["second"]),
    ("search for children", ["second"]),
    ("count", 1),
    ("values of a filter", list(_STATUSES)),
    (
        "columns of the form",
        sorted((name.rstrip("!"), kind, name.endswith("!")) for kind, names in _COLUMNS.items() for name in names),
    ),
    ("update", {**_FIRST, "lockVersion": 2, "status": "In progress", "subject": "changed"}),
    ("stale lock", CONFLICT),
    ("forbidden status", INVALID),
    ("no such work package", NOT_FOUND),
    ("comments", ["edited", "another"]),
    ("someone else's comment", FORBIDDEN),
    ("relation", ("blocks", "blocked")),
    ("the same again", INVALID),
    ("relations", 1),
    ("watchers", ["Coding Agent", "Hanna Human"]),
    ("watchers left", ["Coding Agent"]),
    ("attachment", ("file.bin", True)),
    ("attachments left", []),
    ("members", ["Coding Agent", "Dora Deutsch", "Hanna Human", "Rita Reader", "Second Agent"]),
    ("assignable", ["Coding Agent", "Dora Deutsch", "Hanna Human", "Second Agent"]),
    ("fields", [POD, RUN]),
    ("groups", []),
    ("delete as a member", FORBIDDEN),
    ("gone with its child", [NOT_FOUND, NOT_FOUND]),
]
