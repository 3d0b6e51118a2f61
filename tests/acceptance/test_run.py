"""One pod, one ticket, on either server: claim, execution, push, comments, Spike, and what is left on the board."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from support.fleet import EITHER_IN_PROOF, Fleet

SESSION = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def matches(lines: list[str], *patterns: str) -> bool:
    return len(lines) == len(patterns) and all(map(re.fullmatch, patterns, lines))


def test_a_ticket_is_claimed_worked_on_pushed_and_reported(fleet: Fleet) -> None:
    ticket = fleet.add("Add a greeting", text="Write work.txt")
    result = fleet.cycle(fleet.pod())
    assert (result["outcome"], result["rung"], result["ticket"]) == ("worked", 6, ticket)
    branch = f"agent/{ticket}-add-a-greeting"
    lines = fleet.first_lines(ticket)
    assert matches(
        lines,
        rf"Claimed by pod `pod-a` — session `{SESSION}`",
        rf"Execution complete — session `{SESSION}`, 222 input tokens / 40 output tokens",
        rf"Pushed to `{branch}` — commit `[0-9a-f]{{7}}`",
    ), lines
    assert len(set(re.findall(SESSION, "\n".join(fleet.comments(ticket))))) == 1
    assert fleet.status(ticket) in ("In testing", "Closed")
    assert fleet.pod_of(ticket) == "pod-a"
    assert not fleet.run_of(ticket)
    assert f"Work-Package: #{ticket}\nAgent-Pod: pod-a\nAgent-Run:" in fleet.log(branch)
    assert f"work-{ticket}.txt" in fleet.branches() or fleet.file(branch, f"work-{ticket}.txt").startswith("by ")
    assert fleet.cycle(fleet.pod())["outcome"] == "nothing"


def test_a_failed_run_asks_once_and_the_answer_reaches_the_next_prompt(fleet: Fleet, tmp_path: Path) -> None:
    ticket = fleet.add("Decide the colour")
    prompts = tmp_path / "prompts"
    stuck = {
        "verdict": "stuck",
        "summary": "The ticket names no colour.",
        "question": "Which colour?",
        "prompts": str(prompts),
    }
    assert fleet.cycle(fleet.pod(script=stuck))["end"]["kind"] == "failed"
    (spike,) = fleet.children(ticket)
    lines = fleet.first_lines(ticket)
    assert lines[1:3] == [
        "Execution failed: the model gave up: The ticket names no colour.",
        f"Created spike #{spike} for human review",
    ]
    assert (fleet.status(ticket), fleet.pod_of(ticket), fleet.run_of(ticket), fleet.assignee(ticket)) == (
        "New",
        None,
        None,
        None,
    )
    assert "Which colour?" in fleet.get(spike)["description"]["raw"]
    # An open Spike hides its parent; a closed one brings it back.
    assert fleet.cycle(fleet.pod())["outcome"] == "nothing"
    # A first child switches scheduleManually off, and then a person's due date would be ignored in silence.
    assert fleet.change(ticket, due="2026-12-24")["dueDate"] == "2026-12-24"
    fleet.say(spike, "Make it green, please.")
    fleet.change(spike, status="Closed")
    assert fleet.cycle(fleet.pod(script={"prompts": str(prompts)}))["end"]["kind"] == "done"
    told = max(prompts.glob(f"{ticket}-*.txt"), key=lambda path: path.stat().st_mtime_ns).read_text()
    assert "Make it green, please." in told
    assert fleet.children(ticket) == [spike]


def test_failed_work_is_kept_on_a_branch_that_the_spike_names(small_fleet: Fleet) -> None:
    fleet = small_fleet
    ticket = fleet.add("Break the tests")
    fleet.cycle(fleet.pod(script={"files": {"shop.py": "def total(prices):\n    return 0\n"}}))
    (branch,) = [one for one in fleet.kept() if one.startswith(f"agent/failed/{ticket}-")]
    assert "return 0" in fleet.file(branch, "shop.py")
    (spike,) = fleet.children(ticket)
    assert branch in fleet.get(spike)["description"]["raw"]
    assert fleet.first_lines(ticket)[1] == "Execution failed: test suite failed with exit code 1"


def test_work_below_an_epic_takes_the_epic_shares_its_branch_and_releases_it(fleet: Fleet) -> None:
    epic = fleet.add("Checkout", kind="Epic")
    story = fleet.add("Pay by card", kind="User story", parent=epic)
    first = fleet.add("Form", parent=story, priority="High")
    second = fleet.add("Button", parent=story)
    pod = fleet.pod()
    assert [fleet.cycle(pod)["rung"], fleet.cycle(pod)["rung"]] == [5, 2]
    assert fleet.status(epic) == "In progress"
    assert fleet.pod_of(epic) == "pod-a"
    assert fleet.cycle(pod)["outcome"] == "nothing"
    assert fleet.first_lines(epic) == ["Epic taken by pod `pod-a`", "Released: nothing left to do in this Epic"]
    assert (fleet.status(epic), fleet.run_of(epic), fleet.pod_of(epic)) == ("In testing", None, None)
    assert fleet.status(story) == "New"
    branch = f"agent/{epic}-checkout"
    assert {f"Work-Package: #{first}", f"Work-Package: #{second}"} <= set(fleet.log(branch).splitlines())


def test_a_bug_below_a_free_epic_gives_the_epic_back_with_its_last_step(small_fleet: Fleet) -> None:
    fleet = small_fleet
    epic = fleet.add("Checkout", kind="Epic")
    fleet.add("Feature work", parent=epic)
    bug = fleet.add("It is broken", kind="Bug", parent=epic)
    result = fleet.cycle(fleet.pod())
    assert (result["rung"], result["ticket"]) == (4, bug)
    assert (fleet.status(epic), fleet.run_of(epic)) == ("New", None)
    assert fleet.first_lines(epic)[-1].startswith("Released: ")


@pytest.mark.parametrize("fleet", EITHER_IN_PROOF, indirect=True)
def test_a_blocker_merged_into_base_is_in_the_worktree_of_what_it_blocked(fleet: Fleet) -> None:
    first = fleet.add("Lay the ground", priority="Low")
    second = fleet.add("Build on it", priority="Immediate")
    fleet.relate(first, "blocks", second)
    files = {"ground.txt": "solid"}
    assert fleet.cycle(fleet.pod(script={"files": files}))["ticket"] == first
    fleet.remote.push("main", {"ground.txt": "solid"}, "Merged by a person")
    fleet.change(first, status="Closed")
    # Verify sees what the branch of the blocked ticket was brought up to.
    fleet.remote.push(
        "main", {".agent.toml": '[verify]\ncommands = ["grep solid ground.txt", "ls work-*.txt"]\n'}, "Verify"
    )
    assert fleet.cycle(fleet.pod())["end"]["kind"] == "done"
    assert fleet.status(second) in ("In testing", "Closed")


def test_the_model_sees_no_credential_and_no_setting_of_ours(small_fleet: Fleet, tmp_path: Path) -> None:
    """I-70."""
    fleet = small_fleet
    fleet.add("Look around")
    prompts = tmp_path / "prompts"
    fleet.cycle(
        fleet.pod(script={"prompts": str(prompts)}), env={"AGENT_BOARD_TOKEN": "opapi-secret", "SOME_SECRET": "x"}
    )
    (environment,) = prompts.glob("*-environment.json")
    seen = environment.read_text()
    assert "opapi-" not in seen
    assert "SOME_SECRET" not in seen
    assert fleet.board.tokens["agent"] not in seen


def test_a_secret_that_model_or_checks_print_is_not_on_the_ticket(small_fleet: Fleet) -> None:
    """I-70: known secrets, in a form that does not look like one."""
    fleet = small_fleet
    secret = fleet.board.tokens["agent"]
    basic = base64.b64encode(f"apikey:{secret}".encode()).decode().rstrip("=")
    config = fleet.pod(script={"verdict": "stuck", "summary": f"It says {basic}.", "question": f"Is it {basic}?"})
    said = fleet.add("Say it")
    assert fleet.cycle(config)["end"]["kind"] == "failed"
    check = f"printf 'apikey:%s' \"$(cat {config.with_name('token')})\" | base64 -w0; false"
    fleet.remote.push("main", {".agent.toml": f"verify.commands = [{json.dumps(check)}]\n"}, "Verify")
    printed = fleet.add("Print it")
    assert fleet.cycle(fleet.pod(script={}))["end"]["kind"] == "failed"
    for ticket in (said, printed):
        (spike,) = fleet.children(ticket)
        shown = "\n\n".join([*fleet.comments(ticket), fleet.get(spike)["description"]["raw"]])
        assert "[redacted]" in html.unescape(MarkdownIt().render(shown)), "as people read it"
        assert secret not in shown
        assert basic not in shown
