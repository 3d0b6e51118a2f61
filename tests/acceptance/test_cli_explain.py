"""`agent explain` as an installed command: every reason, on the embedded board and on a real OpenProject."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.state import Reading, RecordedClaim, State
from agent.state_folder import StateFolder
from agent.texts import claim_token
from support.boards import Board
from support.commands import Station, agent, fill, first_lines, operate, read, station, update
from support.git_repo import Remote
from support.pods import write_settings

RUN = "00000000-0000-4000-8000-000000000001.n0 by pod-b try 2 for 4h @ 2026-11-24T08:00Z"

BACKLOG = """
work_packages = [
  { key = "bug", project = "shop", type = "Bug", subject = "Urgent", priority = "High" },
  { key = "second", project = "shop", type = "Bug", subject = "Less urgent" },
  { key = "routed", project = "shop", subject = "For another pod", pod = "pod-b" },
  { key = "taken", project = "shop", subject = "Hanna does it", assignee = "human" },
  { key = "gate", project = "shop", type = "Summary task", subject = "Phase 2" },
  { key = "gated", project = "shop", subject = "Later", parent = "gate" },
  { key = "blocked", project = "shop", subject = "Waits" },
  { key = "blocker", project = "shop", subject = "Comes first", status = "On hold" },
  { key = "closed", project = "shop", type = "Epic", subject = "Over", status = "Closed" },
  { key = "below", project = "shop", subject = "In a closed Epic", parent = "closed" },
  { key = "held", project = "shop", type = "Epic", subject = "Theirs", status = "In progress", pod = "pod-b" },
  { key = "inside", project = "shop", subject = "In their Epic", parent = "held" },
  { key = "spiked", project = "shop", subject = "Asked" },
  { key = "container", project = "shop", type = "Bug", subject = "Large", priority = "Immediate" },
  { key = "part", project = "shop", subject = "Small", parent = "container", status = "On hold" },
  { key = "elsewhere", project = "blog", subject = "No repository" },
]
relations = [{ type = "blocks", from = "blocker", to = "blocked" }]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as made:
        yield made


@pytest.fixture
def ids(shop: Station) -> dict[str, int]:
    """The backlog with every reason in it, on the board."""
    found = fill(shop.board, BACKLOG)
    spike = f"""
    [[work_packages]]
    key = "spike"
    project = "shop"
    type = "Spike"
    subject = "Agent stuck on #{found["spiked"]}: Asked"
    """
    found |= fill(shop.board, spike)
    update(shop.board, found["spike"], parent=f"/api/v3/work_packages/{found['spiked']}")
    update(shop.board, found["held"], **{shop.board.run: RUN})
    return found


def test_the_choice_and_every_reason_with_its_count_and_first_tickets(shop: Station, ids: dict[str, int]) -> None:
    done = shop.agent("explain", "--json")
    assert (done.code, done.err) == (0, "")
    seen = done.json
    assert (seen["rung"], seen["ticket"], seen["ready"]) == (4, ids["bug"], 11)
    met = {one["reason"]: (one["count"], [first["id"] for first in one["first"]]) for one in seen["reasons"]}
    assert met == {
        "no repository": (1, [ids["elsewhere"]]),
        "taken": (1, [ids["taken"]]),
        "routed": (1, [ids["routed"]]),
        "Epic": (2, [ids["below"], ids["inside"]]),
        "gated": (1, [ids["gated"]]),
        "container": (1, [ids["container"]]),
        "spiked": (1, [ids["spiked"]]),
        "blocked": (1, [ids["blocked"]]),
    }


def test_the_particulars_are_told_where_they_are_known(shop: Station, ids: dict[str, int]) -> None:
    seen = shop.agent("explain", "--json").json
    details = {one["reason"]: [first.get("detail") for first in one["first"]] for one in seen["reasons"]}
    assert details == {
        "no repository": [None],
        "taken": ["Hanna Human"],
        "routed": ["to pod-b"],
        "Epic": [None, None],
        "gated": [f"below #{ids['gate']}"],
        "container": [f"it has a child that is no Spike (#{ids['part']})"],
        "spiked": [None],
        "blocked": [f"waits for #{ids['blocker']}"],
    }


def test_for_people_it_fits_on_a_terminal_of_80_columns(shop: Station, ids: dict[str, int]) -> None:
    operate(shop.board, f"UPDATE work_packages SET subject = '{'long ' * 40}' WHERE id = {ids['blocked']}")
    done = shop.agent("explain")
    lines = done.out.splitlines()
    assert lines[0] == f"pod-a would take #{ids['bug']} Urgent"
    assert lines[1] == "  (rung 4, a bug)"
    assert max(map(len, lines)) <= 80
    assert f"  #{ids['taken']}  Hanna does it — Hanna Human" in lines


@pytest.mark.parametrize(
    ("key", "reason", "detail"),
    [
        ("routed", "routed", "Routed to pod-b."),
        ("taken", "taken", "Assigned to Hanna Human, who is no fleet user."),
        ("gated", "gated", "Phase 2 (#{gate}) is not active."),
        ("blocked", "blocked", "Waits for #{blocker}."),
        ("below", "Epic", "Epic #{closed} is neither ready, active nor waiting for review."),
        ("inside", "Epic", "Epic #{held} is owned by pod-b."),
        ("spiked", "spiked", "Spike #{spike} is open."),
        ("container", "container", "It has a child that is no Spike (#{part})."),
        ("elsewhere", "no repository", "No repository is set for its project."),
        ("part", "not ready", "Its status is On hold, not New."),
        ("gate", "not executable", "Its type is Summary task; agents take "),
    ],
)
def test_why_nobody_takes_this_one(shop: Station, ids: dict[str, int], key: str, reason: str, detail: str) -> None:
    done = shop.agent("explain", str(ids[key]))
    assert done.code == 0
    line = next(line for line in done.out.splitlines() if line.startswith(f"  {reason} "))
    assert detail.format(**ids) in line


def test_every_reason_of_one_ticket_is_named_not_only_the_first(shop: Station, ids: dict[str, int]) -> None:
    update(shop.board, ids["gated"], assignee=f"/api/v3/users/{shop.board.users['human']}", **{shop.board.pod: "pod-b"})
    reasons = [one["reason"] for one in shop.agent("explain", str(ids["gated"]), "--json").json["reasons"]]
    assert reasons == ["taken", "routed", "gated"]


def test_outside_the_fleets_projects_the_workflow_is_not_even_asked_for(shop: Station, ids: dict[str, int]) -> None:
    (why,) = shop.agent("explain", str(ids["elsewhere"]), "--json").json["reasons"]
    assert why["reason"] == "no repository"


def test_a_run_that_somebody_re_routed_is_given_back_and_not_finished(shop: Station, ids: dict[str, int]) -> None:
    """What the cycle does with it, explain says."""
    token = claim_token.new(
        run=str(uuid.uuid4()), nonce="n7", pod="pod-a", lifetime_s=14_400, now=dt.datetime.now(dt.UTC)
    )
    (shop.config.parent / "state").mkdir()
    folder = StateFolder(shop.config.parent / "state")
    record = RecordedClaim(ticket=ids["second"], token=str(token), born=Reading(0.0, "boot"), pod="pod-a")
    folder.save(State().with_claim(record))
    agent_user = f"/api/v3/users/{shop.board.users['agent']}"
    active = f"/api/v3/statuses/{shop.board.statuses['In progress']}"
    update(shop.board, ids["second"], status=active, assignee=agent_user, **{shop.board.run: str(token)})
    mine = shop.agent("explain", "--json").json
    assert (mine["rung"], mine["ticket"]) == (1, ids["second"])
    one = shop.agent("explain", str(ids["second"]), "--json").json
    assert (one["rung"], one["next"], one["reasons"]) == (1, ids["second"], []), "not: set it to New"
    update(shop.board, ids["second"], **{shop.board.pod: "pod-b"})
    theirs = shop.agent("explain", "--json").json
    assert (theirs["rung"], theirs["ticket"]) == (4, ids["bug"])
    one = shop.agent("explain", str(ids["second"]), "--json").json
    assert [why["reason"] for why in one["reasons"]] == ["not ready", "routed"]


def test_an_available_ticket_says_its_rung_and_what_comes_before_it(shop: Station, ids: dict[str, int]) -> None:
    first = shop.agent("explain", str(ids["bug"]))
    assert first.out.splitlines()[-1] == "Available on rung 4 (a bug): pod-a would take it now."
    second = shop.agent("explain", str(ids["second"]), "--json").json
    assert (second["rung"], second["before"], second["next"], second["reasons"]) == (4, 1, ids["bug"], [])


def test_a_claimed_ticket_says_by_whom_and_since_when(shop: Station, ids: dict[str, int]) -> None:
    active = f"/api/v3/statuses/{shop.board.statuses['In progress']}"
    update(shop.board, ids["bug"], status=active, **{shop.board.run: RUN})
    done = shop.agent("explain", str(ids["bug"]))
    assert "Claimed by pod pod-b since 2026-11-24 08:00 UTC (try 2, for 4h)." in done.out


def test_a_claim_that_the_workflow_forbids_is_seen_before_it_is_tried(shop: Station, ids: dict[str, int]) -> None:
    operate(
        shop.board,
        "DELETE FROM workflows WHERE type_id = (SELECT id FROM types WHERE name = 'Bug')"
        " AND new_status_id = (SELECT id FROM statuses WHERE name = 'In progress')",
    )
    (why,) = shop.agent("explain", str(ids["bug"]), "--json").json["reasons"]
    assert (why["reason"], why["detail"]) == (
        "refused by the board",
        "the workflow does not let this account set it to In progress",
    )


def test_a_repository_that_cannot_be_used_is_the_reason_of_its_tickets(shop: Station, ids: dict[str, int]) -> None:
    shop.remote.path.rename(shop.remote.path.with_name("away"))
    done = shop.agent("explain", str(ids["bug"]))
    assert "repository unreachable The repository " in " ".join(done.out.split())
    assert "does not exist" in " ".join(done.out.split())
    seen = shop.agent("explain", "--json").json
    assert (seen["rung"], seen["ticket"]) == (7, None)
    assert {one["reason"]: one["count"] for one in seen["reasons"]} == {
        "no repository": 1,
        "repository unreachable": 10,
    }


@pytest.mark.parametrize(
    ("what", "statement", "reason"),
    [
        ("fields", "DELETE FROM custom_field_types", "lacks the fleet's fields"),
        (
            "assignee",
            "DELETE FROM role_permissions WHERE permission = 'work_package_assigned'",
            "not a possible assignee",
        ),
    ],
)
def test_what_the_project_lacks_is_a_reason_too(
    shop: Station, ids: dict[str, int], what: str, statement: str, reason: str
) -> None:
    if what == "fields":  # on every executable type; the Epic keeps them, or the fleet could not start at all
        statement += " WHERE type_id IN (SELECT id FROM types WHERE name IN ('Bug', 'Task', 'Feature'))"
    operate(shop.board, statement)
    assert reason in [one["reason"] for one in shop.agent("explain", str(ids["bug"]), "--json").json["reasons"]]
    seen = shop.agent("explain", "--json").json
    assert (seen["rung"], {one["reason"]: one["count"] for one in seen["reasons"]}) == (
        7,
        {"no repository": 1, reason: 10},
    )


def test_a_project_without_the_spike_type_is_a_reason_too(shop: Station) -> None:
    """The embedded board has every type in every project, so it is taken out of what the pod remembers of the board."""
    assert shop.agent("cycle").out == "pod-a: nothing to do\n"
    remembered = shop.config.parent / "state" / "catalog.json"
    known = json.loads(remembered.read_text())
    for project in known["catalog"]["projects"]:
        project["types"].remove(shop.board.types["Spike"])
    remembered.write_text(json.dumps(known))
    bug = fill(shop.board, BACKLOG)["bug"]
    (why,) = shop.agent("explain", str(bug), "--json").json["reasons"]
    assert (why["reason"], why["detail"]) == ("no Spike possible", "no Spike can be created in its project")
    seen = shop.agent("explain", "--json").json
    assert (seen["rung"], {one["reason"]: one["count"] for one in seen["reasons"]}) == (
        7,
        {"no repository": 1, "no Spike possible": 10},
    )


def test_it_writes_nothing(shop: Station, ids: dict[str, int]) -> None:
    before = {key: read(shop.board, number) for key, number in ids.items()}
    refs = shop.remote.refs()
    assert shop.agent("explain").code == shop.agent("explain", str(ids["bug"])).code == 0
    assert {key: read(shop.board, number) for key, number in ids.items()} == before
    assert first_lines(shop.board, ids["bug"]) == []
    assert not (shop.config.parent / "state").exists()
    assert shop.remote.refs() == refs


def test_the_state_folder_of_a_running_pod_is_read_and_left_as_it_is(shop: Station, ids: dict[str, int]) -> None:
    assert shop.agent("cycle").code == 0
    state = shop.config.parent / "state"
    before = _listing(state)
    assert shop.agent("explain").code == 0
    assert _listing(state) == before
    assert read(shop.board, ids["bug"])["_links"]["status"]["title"] == "In testing"


def test_its_cost_does_not_grow_with_the_board(shop: Station, ids: dict[str, int]) -> None:
    few = _requests(shop)
    more = "".join(
        f'[[work_packages]]\nkey = "{key}{n}"\nproject = "shop"\nsubject = "{key} {n}"\n{extra}\n'
        for n in range(60)
        for key, extra in (
            ("r", 'pod = "pod-b"'), ("t", 'assignee = "human"'), ("g", 'parent = "gate2"'), ("e", 'parent = "over"'),
        )
    )  # fmt: skip
    above = (
        '[[work_packages]]\nkey = "gate2"\nproject = "shop"\ntype = "Summary task"\nsubject = "Phase 3"\n'
        '[[work_packages]]\nkey = "over"\nproject = "shop"\ntype = "Epic"\nsubject = "Over"\nstatus = "Closed"\n'
    )
    fill(shop.board, above + more)
    assert _requests(shop) == few
    assert ids["bug"]
    assert few <= 26, "discovery apart"


def test_a_number_that_does_not_exist_is_a_sentence(shop: Station) -> None:
    done = shop.agent("explain", "4711")
    assert done.code == 1
    assert done.err.splitlines()[-1].strip() == "Either it does not exist, or this account may not see it."


@pytest.mark.openproject
def test_on_a_real_openproject(openproject_board: Board, tmp_path: Path) -> None:
    board, remote = openproject_board, Remote(tmp_path / "git")
    config = str(write_settings(tmp_path / "pod", board, {"shop": remote.url}, pod=f"pod-{os.getpid()}"))
    body: dict[str, Any] = {
        "subject": "Explained",
        board.pod: "pod-elsewhere",
        "_links": {
            "project": {"href": f"/api/v3/projects/{board.projects['shop']}"},
            "type": {"href": f"/api/v3/types/{board.types['Bug']}"},
            "assignee": {"href": f"/api/v3/users/{board.users['human']}"},
        },
    }
    made = board.client("human").post("/work_packages", json=body).raise_for_status().json()["id"]
    one = agent("explain", str(made), "--config", config, "--json")
    assert [why["reason"] for why in one.json["reasons"]] == ["taken", "routed"]
    whole = agent("explain", "--config", config, "--json")
    assert whole.code == 0
    keeps = {one["reason"]: (one["count"], [first["id"] for first in one["first"]]) for one in whole.json["reasons"]}
    for reason in ("taken", "routed"):
        count, first = keeps[reason]
        assert made in first or (count > len(first) == 10 and made > max(first)), keeps


def _requests(shop: Station) -> int:
    """Requests of one look at the whole board, discovery apart."""
    log = shop.agent("explain", "-v").err.splitlines()
    sent = [line for line in log if " board GET " in line or " board POST " in line]
    return sum(("work_packages" in line and "schemas" not in line) or "relations" in line for line in sent)


def _listing(folder: Path) -> dict[str, bytes]:
    return {str(one): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file() and "nix" not in one.parts}
