"""`agent cycle` and `agent run` as installed commands against the embedded board."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import Station, agent, eventually, fill, first_lines, operate, read, started, station, update
from support.pods import write_settings

pytestmark = pytest.mark.nix

ONE_BUG = """
[[work_packages]]
key = "bug"
type = "Bug"
project = "shop"
subject = "Fix the price"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as made:
        yield made


def test_a_cycle_takes_a_ticket_to_its_end_and_says_so(shop: Station) -> None:
    bug = fill(shop.board, ONE_BUG)["bug"]
    done = shop.agent("cycle")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == f"pod-a: #{bug} Fix the price"
    tip = shop.remote.tip(f"agent/{bug}-fix-the-price")
    assert done.out.splitlines()[-1] == (f"pod-a: #{bug} on rung 4 (a bug): done · agent/{bug}-fix-the-price {tip[:7]}")
    assert read(shop.board, bug)["_links"]["status"]["title"] == "In testing"


def test_a_cycle_with_nothing_to_do_exits_with_0(shop: Station) -> None:
    done = shop.agent("cycle")
    assert (done.code, done.out, done.err) == (0, "pod-a: nothing to do\n", "")


def test_json_is_one_object_for_each_pass_and_the_log_goes_elsewhere(shop: Station) -> None:
    bug = fill(shop.board, ONE_BUG)["bug"]
    done = shop.agent("run", "--until-idle", "--json")
    worked, idle = (json.loads(line) for line in done.out.splitlines())
    assert (worked["outcome"], worked["rung"], worked["ticket"], worked["end"]["kind"]) == ("worked", 4, bug, "done")
    assert (idle["outcome"], idle["rung"], idle["ticket"]) == ("nothing", 7, None)
    assert f"#{bug} on rung 4" in done.err


def test_a_failed_run_is_something_done_and_its_line_names_the_spike(tmp_path: Path) -> None:
    with station(tmp_path, script={"verdict": "stuck", "summary": "?", "question": "which price?"}) as shop:
        bug = fill(shop.board, ONE_BUG)["bug"]
        done = shop.agent("cycle", "--json")
        end = done.json["end"]
        assert (done.code, end["kind"]) == (0, "failed")
        assert read(shop.board, end["spike"])["subject"] == f"Agent stuck on #{bug}: Fix the price"


def test_an_unreachable_repository_is_a_failed_cycle_and_then_a_wait(shop: Station) -> None:
    fill(shop.board, ONE_BUG)
    shop.remote.path.rename(shop.remote.path.with_name("away"))
    first, second = shop.agent("cycle"), shop.agent("cycle", "--json")
    assert first.code == second.code == 1
    assert "cannot be used: it does not exist" in first.err
    assert second.json["outcome"] == "trouble"
    assert second.json["reason"].startswith("waiting ")


def test_a_silent_board_is_a_failed_cycle_without_a_traceback(shop: Station) -> None:
    shop.board.close()
    done = shop.agent("cycle", "--json")
    assert done.code == 1
    assert done.json["outcome"] == "trouble"
    assert f"The board at {shop.board.url} did not answer" in done.json["reason"]
    assert "Traceback" not in done.err


def test_verbose_logs_each_request_with_its_purpose_and_no_secret(shop: Station) -> None:
    done = shop.agent("cycle", "-v")
    assert "board GET users/me for who am I: 200 in " in done.err
    assert shop.board.tokens["agent"] not in done.err + done.out


def test_two_processes_do_not_share_a_state_folder(tmp_path: Path) -> None:
    with station(tmp_path) as shop:
        with started("run", "--config", str(shop.config)) as running:
            state = shop.config.parent / "state" / "lock"
            eventually(lambda: state.exists() and state.read_text(), "the first holds the lock", by=running)
            done = shop.agent("cycle")
        assert done.code == 2
        assert "works with the state folder" in done.err


def test_a_signal_ends_the_model_keeps_the_claim_and_the_next_start_takes_over(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with station(tmp_path, script={"gates": str(gate)}) as shop:
        bug = fill(shop.board, ONE_BUG)["bug"]
        with started("run", "--config", str(shop.config)) as running:
            eventually(Path(f"{gate}.waiting").exists, "the model is at work", by=running)
            token = read(shop.board, bug)[shop.board.run]
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        assert _processes_of(token.partition(".")[0]) == []
        kept = read(shop.board, bug)
        assert (kept[shop.board.run], kept["_links"]["status"]["title"]) == (token, "In progress")
        gate.touch()
        done = shop.agent("cycle", "--json")
        assert (done.json["rung"], done.json["ticket"], done.json["end"]["kind"]) == (1, bug, "done")
        run = token.partition(".")[0]
        assert f"Taken over by pod `pod-a` after an interruption — session `{run}`" in first_lines(shop.board, bug)


def test_a_second_signal_kills_the_pod_and_its_programs(tmp_path: Path) -> None:
    stubborn = ["/bin/sh", "-c", f"trap '' TERM; touch {tmp_path}/waiting; while :; do sleep 0.2; done"]
    with station(tmp_path, model={"command": stubborn}) as shop:
        bug = fill(shop.board, ONE_BUG)["bug"]
        with started("run", "--json", "--config", str(shop.config)) as running:
            eventually((tmp_path / "waiting").exists, "the model is at work", by=running)
            run = str(read(shop.board, bug)[shop.board.run]).partition(".")[0]
            running.send_signal(signal.SIGINT)
            assert running.stderr is not None
            assert any("stopping in order; a second signal kills" in line for line in running.stderr)
            running.send_signal(signal.SIGINT)
            assert running.wait(1.5) == 128 + signal.SIGINT
            eventually(lambda: not _processes_of(run), "its programs are gone too")


def test_run_ends_after_its_time(shop: Station) -> None:
    done = shop.agent("run", "--for", "1s")
    assert (done.code, done.out) == (0, "pod-a: nothing to do\n")


def test_discovery_is_made_anew_after_the_board_refused_what_it_promised(shop: Station) -> None:
    """A type that was deleted makes every list that names it a 400; the next pass knows better."""
    assert shop.agent("cycle").code == 0
    fill(shop.board, ONE_BUG.replace("Bug", "Task"))
    operate(
        shop.board,
        "DELETE FROM custom_field_types WHERE type_id = (SELECT id FROM types WHERE name = 'Feature')",
        "DELETE FROM workflows WHERE type_id = (SELECT id FROM types WHERE name = 'Feature')",
        "DELETE FROM types WHERE name = 'Feature'",
    )
    first, second = shop.agent("cycle", "--json"), shop.agent("cycle", "--json")
    assert (first.code, first.json["outcome"]) == (1, "trouble")
    assert (second.code, second.json["outcome"]) == (0, "worked")


def test_a_board_without_what_the_fleet_needs_exits_with_2_until_it_is_mended(shop: Station) -> None:
    operate(shop.board, "UPDATE types SET name = 'Spark' WHERE name = 'Spike'")
    done = shop.agent("cycle")
    assert done.code == 2
    assert "agent: The board has no type “Spike”" in done.err
    operate(shop.board, "UPDATE types SET name = 'Spike' WHERE name = 'Spark'")
    assert shop.agent("cycle").code == 0


def test_a_board_without_gates_is_said_at_each_start_unless_it_is_meant(tmp_path: Path) -> None:
    with station(tmp_path) as shop:
        operate(shop.board, "UPDATE types SET name = 'Other' WHERE name = 'Summary task'")
        assert "The board has no gate type (Phase, Summary task)" in shop.agent("cycle").err
        off: dict[str, Any] = {"board.types": {"gates": []}}
        meant = write_settings(tmp_path / "meant", shop.board, {"shop": shop.remote.url}, **off)
        assert agent("cycle", "--config", str(meant)).err == ""


def test_a_person_in_progress_is_left_alone(shop: Station) -> None:
    bug = fill(shop.board, ONE_BUG)["bug"]
    update(shop.board, bug, status=f"/api/v3/statuses/{shop.board.statuses['In progress']}")
    assert shop.agent("cycle").out == "pod-a: nothing to do\n"


def _processes_of(run: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"AGENT_RUN={run}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
