"""`agent doctor` as an installed command: all is well, and each thing that can be missing with the way to mend it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.state import State
from agent.state_folder import StateFolder
from support.boards import Board
from support.commands import Done, Station, agent, fill, operate, station, update
from support.git_repo import Remote
from support.pods import write_settings

pytestmark = pytest.mark.nix

EVERY_TYPE = "".join(
    f'[[work_packages]]\nkey = "{kind}-{status}"\nproject = "shop"\ntype = "{kind}"\n'
    f'subject = "{kind} {status}"\nstatus = "{status}"\n'
    for kind in ("Bug", "Task", "Feature", "Epic", "Spike")
    for status in ("New", "In progress")
)

BUG, FEATURE, TASK = (f"(SELECT id FROM types WHERE name = '{name}')" for name in ("Bug", "Feature", "Task"))
READY, ACTIVE, TESTING = (
    f"(SELECT id FROM statuses WHERE name = '{name}')" for name in ("New", "In progress", "In testing")
)
DONE = "(SELECT id FROM statuses WHERE name IN ('In testing', 'Closed'))"
MEMBER = "(SELECT id FROM roles WHERE name = 'Member')"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as made:
        fill(made.board, EVERY_TYPE)
        yield made


def lines(done: Done, kind: str) -> list[str]:
    return [re.sub(r"\s+", " ", line) for line in done.out.splitlines() if line.startswith(kind)]


def test_a_board_that_has_everything_is_all_ok(shop: Station) -> None:
    done = shop.agent("doctor")
    assert (done.code, lines(done, "FAIL"), lines(done, "??"), done.err) == (0, [], [], "")
    assert [line.split()[1] for line in lines(done, "warn")] == ["sandbox"]
    assert "ok workflow Bug: In progress → In testing" in lines(done, "ok")
    assert "ok claim ref shop: can be set and deleted" in lines(done, "ok")
    assert done.out.splitlines()[-1] == "A pod can work here. Besides: 1 to know."


def test_it_leaves_nothing_behind(shop: Station) -> None:
    refs = shop.remote.refs()
    assert shop.agent("doctor").code == 0
    assert shop.remote.refs() == refs
    assert not (shop.config.parent / "state").exists()


LACKS: list[dict[str, tuple[str, str]]] = [
    {
        "any gate": (
            "UPDATE types SET name = 'Stage' WHERE name = 'Summary task'",
            "FAIL gates there is none of the types Phase, Summary task: nothing is gated — create one",
        ),
        "a field on one type": (
            f"DELETE FROM custom_field_types WHERE type_id = {FEATURE}",
            "FAIL field type Feature in project shop lacks Agent pod or Agent run — add both fields to the type",
        ),
        "ready → active": (
            f"DELETE FROM workflows WHERE type_id = {BUG} AND old_status_id = {READY} AND new_status_id = {ACTIVE}",
            "FAIL workflow Bug: New → In progress is not allowed (seen on #1) — allow it (Administration → Work",
        ),
        "active → ready": (
            f"DELETE FROM workflows WHERE type_id = {BUG} AND old_status_id = {ACTIVE} AND new_status_id = {READY}",
            "FAIL workflow Bug: In progress → New is not allowed (seen on #2) — allow it",
        ),
        "active → done": (
            f"DELETE FROM workflows WHERE type_id = {BUG} AND old_status_id = {ACTIVE} AND new_status_id IN {DONE}",
            "FAIL workflow Bug: In progress → none of In testing, Closed is allowed (#2) — allow one",
        ),
        "review": (
            f"DELETE FROM workflows WHERE type_id = {TASK} AND old_status_id = {ACTIVE} AND new_status_id = {TESTING}",
            "warn workflow Task: In progress → Closed: agents close it without review — allow an open done status",
        ),
        "the right to be an assignee": (
            f"DELETE FROM role_permissions WHERE role_id = {MEMBER} AND permission = 'work_package_assigned'",
            "FAIL project shop: Coding Agent is no possible assignee — give Coding Agent a role in shop that may be",
        ),
        "the right to comment": (
            f"DELETE FROM role_permissions WHERE role_id = {MEMBER} AND permission = 'add_work_package_comments'",
            "FAIL permission shop: Coding Agent may not add comments to work packages — give Coding Agent a role",
        ),
    },
    {
        "the Spike type": (
            "UPDATE types SET name = 'Question' WHERE name = 'Spike'",
            "FAIL type there is no type “Spike” — create it (Administration → Work packages → Types), switch it on in",
        ),
        "any done status": (
            "UPDATE statuses SET name = name || '!' WHERE name IN ('In testing', 'Closed')",
            "FAIL status there is none of the done statuses In testing, Closed — create one",
        ),
        "the run field": (
            "UPDATE custom_fields SET name = 'Other' WHERE name = 'Agent run'",
            "FAIL field there is no text field “Agent run” on the fleet's types — create it (Administration → Custom",
        ),
    },
    {
        "the ready status": (
            "UPDATE statuses SET name = 'Fresh' WHERE name = 'New'",
            "FAIL status there is no status “New” — create it",
        ),
        "the right to edit": (
            f"DELETE FROM role_permissions WHERE role_id = {MEMBER} AND permission = 'edit_work_packages'",
            "FAIL permission shop: Coding Agent may not edit work packages — give Coding Agent a role in shop",
        ),
        "the right to create": (
            f"DELETE FROM role_permissions WHERE role_id = {MEMBER} AND permission = 'add_work_packages'",
            "FAIL spike shop: no Spike can be created: ",
        ),
    },
    {
        "membership": (
            "DELETE FROM members WHERE user_id = (SELECT id FROM users WHERE login = 'agent')",
            "FAIL project there is no project shop, or Coding Agent may not see it — mend its identifier",
        ),
    },
]
"""What a board may lack: how it is taken away, and the line that says so. Each board lacks all of its group."""


@pytest.mark.parametrize("lacks", LACKS, ids=", ".join)
def test_what_the_board_lacks_is_named_each_with_the_way_to_mend_it(
    shop: Station, lacks: dict[str, tuple[str, str]]
) -> None:
    operate(shop.board, *(statement for statement, _ in lacks.values()))
    done = shop.agent("doctor")
    said = lines(done, "FAIL") + lines(done, "warn")
    unnamed = [what for what, (_, wanted) in lacks.items() if not any(one.startswith(wanted) for one in said)]
    assert unnamed == [], done.out
    assert all(" — " in line for line in said)
    assert done.code == 1


def test_a_type_that_is_closed_without_review_is_a_warning_and_no_failure(shop: Station) -> None:
    operate(shop.board, LACKS[0]["review"][0])
    assert shop.agent("doctor").code == 0


def test_what_no_ticket_shows_is_said_to_be_unchecked(tmp_path: Path) -> None:
    with station(tmp_path) as shop:
        done = shop.agent("doctor")
        assert done.code == 0
        assert "?? workflow Task: New → In progress not checked, no Task exists in “New”" in lines(done, "??")
        assert "?? permission shop: not checked, there is no ticket yet" in lines(done, "??")


def test_gates_that_are_switched_off_are_fine(shop: Station, tmp_path: Path) -> None:
    off: dict[str, Any] = {"board.types": {"gates": []}}
    config = write_settings(tmp_path / "off", shop.board, {"shop": shop.remote.url}, **off)
    done = agent("doctor", "--config", str(config))
    assert (done.code, "ok gates gating is switched off" in lines(done, "ok")) == (0, True)


def break_token(shop: Station) -> None:
    (shop.config.parent / "token").write_text("opapi-nobodys")


def break_board(shop: Station) -> None:
    shop.board.close()


def break_repository(shop: Station) -> None:
    shop.remote.path.rename(shop.remote.path.with_name("away"))


def break_base(shop: Station) -> None:
    shop.config.write_text(
        shop.config.read_text().replace("[repositories.shop]", '[repositories.shop]\nbase = "trunk"')
    )


def break_flake(shop: Station) -> None:
    shop.remote.push("main", {"flake.nix": None})


def break_model(shop: Station) -> None:
    text = shop.config.read_text()
    shop.config.write_text(re.sub(r'"command" = \[".*?"', '"command" = ["/nowhere/model"', text))


def without_claude(shop: Station) -> None:
    text = shop.config.read_text()
    shop.config.write_text(re.sub(r'"kind" = "command"\n.*', '"kind" = "claude"\nprogram = "/nowhere/claude"', text))


def with_a_silent_api(shop: Station) -> None:
    without_claude(shop)
    key = shop.config.with_name("model-key")
    key.write_text("sk-nobodys")
    key.chmod(0o600)
    text = shop.config.read_text()
    shop.config.write_text(
        text.replace('/nowhere/claude"', '/nowhere/claude"\nkey_file = "model-key"\napi = "http://127.0.0.1:1"')
    )


def break_pushing(shop: Station) -> None:
    shop.remote.hook("pre-receive", "echo read only; exit 1")


def hide_the_model(shop: Station) -> None:
    program = shop.config.parent / "coder"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = re.sub(r'"command" = \[".*?"', f'"command" = ["{program}"', shop.config.read_text())
    shop.config.write_text(text.replace('"kind" = "none"', '"kind" = "bubblewrap"'))


def unguard_ci(shop: Station) -> None:
    shop.remote.push("main", {".github/workflows/ci.yml": "on: push\n", "scripts/ci.sh": "true\n"})
    text = shop.config.read_text()
    shop.config.write_text(
        text.replace("[repositories.shop]", '[repositories.shop]\nguarded = ["scripts/**", ".agent.toml"]')
    )


BROKEN: dict[str, tuple[Callable[[Station], None], str]] = {
    "token": (break_token, "FAIL token The board answered 401"),
    "board": (break_board, "FAIL board The board at "),
    "repository": (break_repository, "FAIL repository shop: the repository "),
    "base": (break_base, "FAIL repository shop: the repository "),
    "flake": (break_flake, "warn repository shop: no flake.nix on main: the first run adds a starter — add one with"),
    "model": (
        break_model,
        "FAIL model /nowhere/model does not exist or may not be run — install it, or mend model.command",
    ),
    "hidden model": (hide_the_model, "FAIL model model.command: the sandbox does not show /"),
    "claude": (
        without_claude,
        "FAIL model /nowhere/claude does not exist or may not be run — install it, or mend model.program",
    ),
    "key": (
        without_claude,
        "FAIL model there is no key for the Messages API — set model.key_file, or $AGENT_MODEL_KEY",
    ),
    "api": (with_a_silent_api, "FAIL model the model's API "),
    "guarded": (unguard_ci, "warn guarded shop: `guarded` leaves out `.github/workflows/ci.yml`: runs may change that"),
    "pushing": (break_pushing, "warn claim ref shop: the repository "),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_does_not_work_around_the_board_is_named_too(shop: Station, what: str) -> None:
    damage, wanted = BROKEN[what]
    damage(shop)
    done = shop.agent("doctor")
    kind = wanted.split()[0]
    assert any(line.startswith(wanted) for line in lines(done, kind)), done.out
    assert done.code == (1 if kind == "FAIL" else 0)


def test_without_a_token_all_else_is_looked_at(shop: Station) -> None:
    """A newcomer's first state: it was one line about a file, and with --json nothing at all."""
    (shop.config.parent / "token").unlink()
    done = shop.agent("doctor", "--json")
    assert (done.code, done.err) == (1, "")
    found = {(one["kind"], one["area"]): one["text"] for one in done.json}
    assert "token (board.token_file) cannot be read: No such file or directory" in found["FAIL", "secrets"]
    assert {("??", "board"), ("ok", "git"), ("ok", "disk"), ("ok", "claim ref")} <= found.keys()
    assert len([one for one in done.json if one["kind"] == "FAIL"]) == 1


def test_without_nix_on_the_path_it_names_the_package(shop: Station, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    done = agent("doctor", "--config", str(shop.config), env={"PATH": str(programs)})
    assert any("install the package nix" in line for line in lines(done, "FAIL"))


def test_the_last_trouble_of_this_pod_is_named(shop: Station) -> None:
    """`agent status` sent people to doctor for the cause, and doctor knew of none."""
    (shop.config.parent / "state").mkdir()
    folder = StateFolder(shop.config.parent / "state")
    folder.save(State().with_trouble("the flake input `nixpkgs` cannot be fetched", 0.0, "boot"))
    done = shop.agent("doctor")
    assert any(
        line.startswith("warn trouble the last time that this pod could not work: the flake input `nixpkgs` cannot")
        for line in lines(done, "warn")
    ), done.out


def test_a_claim_in_my_name_that_i_do_not_know_is_named(shop: Station) -> None:
    run = "00000000-0000-4000-8000-000000000001.n0 by pod-a try 1 for 4h @ 2026-11-24T08:00Z"
    update(shop.board, 2, **{shop.board.run: run})
    done = shop.agent("doctor")
    assert done.code == 1
    (line,) = lines(done, "FAIL")
    assert line.startswith("FAIL claim #2 carries a claim in the name of pod-a that this state folder does not know")
    assert line.endswith("`agent release 2`")


def test_for_scripts_it_is_a_list(shop: Station) -> None:
    found = shop.agent("doctor", "--json").json
    assert {one["kind"] for one in found} == {"ok", "warn"}
    assert all(set(one) == {"kind", "area", "text", "remedy"} for one in found)


@pytest.mark.openproject
def test_on_a_seeded_openproject_nothing_is_to_mend(openproject_board: Board, tmp_path: Path) -> None:
    remote = Remote(tmp_path / "git")
    config = str(
        write_settings(tmp_path / "pod", openproject_board, {"shop": remote.url}, pod=f"pod-doctor-{os.getpid()}")
    )
    done = agent("doctor", "--config", config)
    assert (done.code, lines(done, "FAIL")) == (0, [])


@pytest.mark.openproject
def test_on_openproject_a_reader_learns_what_it_may_not_do(openproject_board: Board, tmp_path: Path) -> None:
    remote = Remote(tmp_path / "git")
    config = str(
        write_settings(tmp_path / "pod", openproject_board, {"shop": remote.url, "vault": remote.url}, account="reader")
    )
    links = {
        "project": {"href": f"/api/v3/projects/{openproject_board.projects['shop']}"},
        "type": {"href": f"/api/v3/types/{openproject_board.types['Task']}"},
    }
    seen = {"subject": "What a reader may do is seen on a ticket", "_links": links}
    openproject_board.client("human").post("/work_packages", json=seen).raise_for_status()
    failed = " ".join(lines(agent("doctor", "--config", config), "FAIL"))
    assert "shop: Rita Reader is no possible assignee" in failed
    assert "shop: Rita Reader may not edit work packages" in failed
    assert "shop: no Spike can be created" in failed
    assert "there is no project vault, or Rita Reader may not see it" in failed
