"""`agent status` and `agent release` as installed commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.boards import Board
from support.commands import Station, agent, fill, first_lines, operate, read, station, update
from support.git_repo import Remote
from support.pods import write_settings

RUN = "00000000-0000-4000-8000-00000000000{} by {} try 1 for 4h @ 2026-11-24T08:00Z"

BACKLOG = """
work_packages = [
  { key = "epic", project = "shop", type = "Epic", subject = "Big", status = "In progress", pod = "pod-b" },
  { key = "held", project = "shop", subject = "Held", parent = "epic", status = "In progress", pod = "pod-b" },
  { key = "mine", project = "shop", subject = "In my name", status = "In progress", pod = "pod-a" },
  { key = "person", project = "shop", subject = "Hanna works on it", status = "In progress", assignee = "human" },
  { key = "spike", project = "shop", type = "Spike", subject = "A question" },
  { key = "routed", project = "shop", subject = "For nobody", pod = "pod-gone" },
]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as made:
        yield made


@pytest.fixture
def ids(shop: Station) -> dict[str, int]:
    """An Epic and a ticket of pod-b, one in my name that I do not know, and what waits for people."""
    found = fill(shop.board, BACKLOG)
    agent_user = f"/api/v3/users/{shop.board.users['agent']}"
    update(shop.board, found["epic"], **{shop.board.run: RUN.format("1.n1", "pod-b")})
    update(shop.board, found["held"], assignee=agent_user, **{shop.board.run: RUN.format("2.n2", "pod-b")})
    update(shop.board, found["mine"], assignee=agent_user, **{shop.board.run: RUN.format("3.n3", "pod-a")})
    return found


def test_status_shows_who_holds_what_and_what_waits(shop: Station, ids: dict[str, int]) -> None:
    operate(shop.board, f"UPDATE work_packages SET updated_at = '2026-01-01T00:00:00.000Z' WHERE id = {ids['routed']}")
    seen = shop.agent("status", "--json").json
    assert seen["pods"] == ["pod-a", "pod-b", "pod-gone"]
    held = {one["ticket"]: (one["pod"], one["is_epic"], one["foreign"], one["since"]) for one in seen["claims"]}
    assert held == {
        ids["mine"]: ("pod-a", False, True, "2026-11-24T08:00Z"),
        ids["epic"]: ("pod-b", True, False, "2026-11-24T08:00Z"),
        ids["held"]: ("pod-b", False, False, "2026-11-24T08:00Z"),
    }
    assert _ids(seen["spikes"]) == [ids["spike"]]
    assert _ids(seen["untouched"]) == [ids["routed"]]
    assert _ids(seen["unclaimed"]) == [ids["person"]]


def test_a_ticket_that_was_touched_today_is_not_left_lying(shop: Station, ids: dict[str, int]) -> None:
    assert shop.agent("status", "--json").json["untouched"]["count"] == 0
    assert ids["routed"]


def test_status_fits_on_a_terminal_and_names_the_foreign_claim(shop: Station, ids: dict[str, int]) -> None:
    done = shop.agent("status")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert f"  pod-b     holds Epic #{ids['epic']}, #{ids['held']}" in lines
    assert f"  #{ids['held']}  pod-b  since 2026-11-24T08:00Z, try 1  Held" in lines
    assert max(map(len, lines)) <= 80
    assert f"#{ids['mine']}: a claim in the name of pod-a that this state folder does not know." in " ".join(lines)


def test_status_tells_of_a_pod_in_trouble(shop: Station) -> None:
    fill(shop.board, '[[work_packages]]\nkey = "a"\nproject = "shop"\nsubject = "A"\n')
    shop.remote.path.rename(shop.remote.path.with_name("away"))
    assert shop.agent("cycle").code == 1
    out = " ".join(shop.agent("status").out.split())
    assert "This pod had trouble 1 time in a row. The last one: the repository " in out
    assert " It waits " in out
    assert "The repository could not be used lately: shop." in out


def test_release_gives_back_another_pods_claim_and_says_so_on_the_ticket(shop: Station, ids: dict[str, int]) -> None:
    done = shop.agent("release", str(ids["held"]))
    assert (done.code, done.out) == (0, f"#{ids['held']} Held: given back, ready for any pod.\n")
    ticket = read(shop.board, ids["held"])
    assert (ticket[shop.board.run], ticket[shop.board.pod]) == (None, None)
    assert (ticket["_links"]["status"]["title"], ticket["_links"]["assignee"]["href"]) == ("New", None)
    assert first_lines(shop.board, ids["held"]) == [
        "Returned to the pool: an operator released the claim of pod `pod-b`"
    ]
    assert not (shop.config.parent / "state").exists()


def test_release_gives_back_only_what_is_the_claims(shop: Station, ids: dict[str, int]) -> None:
    human = f"/api/v3/users/{shop.board.users['human']}"
    update(shop.board, ids["held"], assignee=human, **{shop.board.pod: "pod-c"})
    assert shop.agent("release", str(ids["held"])).code == 0
    ticket = read(shop.board, ids["held"])
    assert (ticket[shop.board.run], ticket[shop.board.pod]) == (None, "pod-c")
    assert ticket["_links"]["assignee"]["href"] == human


def test_release_of_a_pod_gives_back_all_that_it_holds_the_epic_last(shop: Station, ids: dict[str, int]) -> None:
    done = shop.agent("release", "--pod", "pod-b", "--json")
    assert [(one["ticket"], one["done"], one["ready"]) for one in done.json] == [
        (ids["held"], True, True),
        (ids["epic"], True, True),
    ]
    assert read(shop.board, ids["mine"])[shop.board.run]
    assert shop.agent("release", "--pod", "pod-b").out == "pod-b holds nothing.\n"


def test_release_where_the_workflow_forbids_ready_still_ends_the_claim(shop: Station, ids: dict[str, int]) -> None:
    operate(shop.board, "DELETE FROM workflows WHERE new_status_id = (SELECT id FROM statuses WHERE name = 'New')")
    done = shop.agent("release", str(ids["held"]))
    assert done.out == f"#{ids['held']} Held: given back; its status stays as it is.\n"
    assert read(shop.board, ids["held"])[shop.board.run] is None


def test_release_of_what_nobody_holds_is_a_mistake_in_words(shop: Station, ids: dict[str, int]) -> None:
    done = shop.agent("release", str(ids["person"]))
    assert (done.code, done.err) == (
        2,
        f"agent: #{ids['person']} carries no claim: the run field is empty. There is nothing to release.\n",
    )
    assert shop.agent("release").code == 2
    assert shop.agent("release", "1", "--pod", "pod-b").code == 2


@pytest.mark.openproject
def test_on_a_real_openproject(openproject_board: Board, tmp_path: Path) -> None:
    board, pod = openproject_board, f"pod-{os.getpid()}"
    config = str(write_settings(tmp_path / "pod", board, {"shop": Remote(tmp_path / "git").url}, pod=pod))
    links = {
        "project": {"href": f"/api/v3/projects/{board.projects['shop']}"},
        "type": {"href": f"/api/v3/types/{board.types['Task']}"},
    }
    claim = {board.pod: f"{pod}-gone", board.run: RUN.format("4.n4", f"{pod}-gone")}
    made, person = (
        board.client("human")
        .post("/work_packages", json={"subject": "For the test", "_links": links, **fields})
        .raise_for_status()
        .json()["id"]
        for fields in (claim, {})
    )
    for one in (made, person):
        update(board, one, status=f"/api/v3/statuses/{board.statuses['In progress']}")
    seen = agent("status", "--config", config, "--json").json
    assert [one["ticket"] for one in seen["claims"] if one["pod"] == f"{pod}-gone"] == [made]
    unclaimed = [one["id"] for one in seen["unclaimed"]["first"]]
    assert person in unclaimed or (seen["unclaimed"]["count"] > 10 and person > max(unclaimed)), seen["unclaimed"]
    assert made not in unclaimed
    (released,) = agent("release", "--pod", f"{pod}-gone", "--config", config, "--json").json
    assert (released["ticket"], released["done"], released["ready"]) == (made, True, True)
    assert first_lines(board, made) == [f"Returned to the pool: an operator released the claim of pod `{pod}-gone`"]


def _ids(listed: dict[str, Any]) -> list[int]:
    assert listed["count"] == len(listed["first"])
    return [one["id"] for one in listed["first"]]
