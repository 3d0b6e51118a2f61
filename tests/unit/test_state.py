import datetime as dt
import os
import pathlib
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from agent.errors import ConfigurationError, PodTrouble
from agent.state import LONGEST_TROUBLE, MOST_ENDED, Backoff, Reading, RecordedClaim, State, WorkedText
from agent.state_folder import StateFolder
from agent.texts.claim_token import new

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"
NOW = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)
HOUR, GRACE = 3600.0, 1800.0


def token(nonce: str = "n1", lifetime_s: int = 14_400) -> str:
    return str(new(run=RUN, nonce=nonce, pod="pod-b", lifetime_s=lifetime_s, now=NOW))


def claim(ticket: int = 42, nonce: str = "n1", **more: Any) -> RecordedClaim:
    return RecordedClaim(ticket=ticket, token=token(nonce), born=Reading(100.0, "b1"), pod="pod-a", **more)


# --- claims ---


def test_token_whose_end_is_not_known_stays_beside_the_next_one() -> None:
    state = State().with_claim(claim(nonce="n1")).with_claim(claim(nonce="n2"))
    assert [c.token for c in state.of_ticket(42)] == [token("n1"), token("n2")]
    assert state.without(42, token("n1")).of_ticket(42) == (claim(nonce="n2"),)
    assert state.without_ticket(42).claims == ()


def test_recording_a_token_again_replaces_its_record() -> None:
    state = State().with_claim(claim()).with_claim(claim(subject="read after the claim"))
    assert [c.subject for c in state.claims] == ["read after the claim"]


def test_mine_is_what_the_state_recorded_compared_by_run_and_nonce() -> None:
    state = State().with_claim(claim()).with_claim(claim(7, "e1", is_epic=True))
    assert state.recorded(42, token()) == claim()
    assert state.recorded(42, token().replace("pod-b", "renamed")) == claim()
    assert state.recorded(42, f"{token()} routed") == claim()
    assert state.recorded(42, token("other")) is None, "my name on somebody else's token is not mine"
    assert state.recorded(42, "") is None
    assert state.recorded(42, "a person was here") is None
    assert state.tickets() == {42, 7}


def test_a_token_on_another_work_package_is_a_copy_while_the_claim_lasts_and_when_it_has_ended() -> None:
    """P7: who duplicates a claimed work package copies its claim."""
    state = State().with_claim(claim())
    for now in (state, state.without(42, token()), state.without_ticket(42)):
        assert now.recorded(43, token()) is None
        assert now.held_elsewhere(43, token()) == 42
        assert now.held_elsewhere(43, token("later")) == 42, "an Epic's token is renewed, its run stays"
        assert now.held_elsewhere(42, token()) is None
        assert now.held_elsewhere(43, "a person was here") is None
    assert state.wrote(token())
    assert not State().wrote(token())
    assert State().held_elsewhere(43, token()) is None


def test_only_the_latest_claims_that_have_ended_are_remembered() -> None:
    state = State()
    for number in range(MOST_ENDED + 1):
        run = f"7f9c0000-0000-4000-8000-{number:012x}"
        text = str(new(run=run, nonce="n", pod="pod-b", lifetime_s=60, now=NOW))
        state = state.with_claim(RecordedClaim(ticket=number, token=text, born=Reading(0, "b1"), pod="pod-b"))
        state = state.without(number, text)
    assert list(state.ended.values()) == list(range(1, MOST_ENDED + 1))


def test_claim_ends_after_its_lifetime_and_with_the_boot() -> None:
    assert claim().left(100.0 + HOUR, "b1") == 3 * HOUR
    assert claim().left(100.0 + 5 * HOUR, "b1") == 0
    assert claim().left(100.0, "b2") == 0, "nobody knows how long the reboot took"
    assert claim().left(99.0, "b1") == 0, "a clock that runs backwards is no clock"
    assert RecordedClaim(ticket=1, token="from the future", born=Reading(0, "b1"), pod="a").left(1, "b1") == 0


# --- expiry ---


def test_claim_expires_when_the_same_token_was_seen_for_its_lifetime_plus_grace() -> None:
    state = State().observe([token()], 1000.0, "b1")
    end = 1000.0 + 4 * HOUR + GRACE
    for now in (1000.0 + 2 * HOUR, end - 1):
        state = state.observe([token()], now, "b1")
        assert state.expired(now, "b1", GRACE) == ()
    assert state.expired(end, "b1", GRACE) == (token(),)
    assert state.silent_for(token(), end, "b1") == 4 * HOUR + GRACE


def test_renewed_claim_starts_to_be_watched_anew() -> None:
    """I-21: what counts is that the very token stayed."""
    state = State().observe([token("n1")], 0.0, "b1").observe([token("n2")], 4 * HOUR, "b1")
    assert state.expired(4 * HOUR + GRACE, "b1", GRACE) == ()


def test_token_that_was_gone_for_a_while_starts_anew() -> None:
    state = State().observe([token()], 0.0, "b1").observe([], HOUR, "b1").observe([token()], 2 * HOUR, "b1")
    assert state.silent_for(token(), 2 * HOUR, "b1") == 0


def test_reboot_starts_the_count_again_later_never_earlier() -> None:
    state = State().observe([token()], 1_000_000.0, "b1").observe([token()], 5.0, "b2")
    assert state.expired(1_000_000.0, "b1", GRACE) == ()
    assert state.silent_for(token(), 5.0 + HOUR, "b2") == HOUR
    assert state.silent_for(token(), 5.0, "b3") == 0


def test_what_a_person_typed_never_expires() -> None:
    """I-18: only the claim verb arms a lease."""
    state = State().observe(["mine @ home", ""], 0.0, "b1")
    assert state.expired(1e9, "b1", GRACE) == ()
    assert state.silent_for("mine @ home", 1e9, "b1") == 0


def test_longest_silent_claim_is_freed_first() -> None:
    state = State().observe([token("b", 60)], 0.0, "b1").observe([token("b", 60), token("a", 60)], 10.0, "b1")
    assert state.expired(1000.0, "b1", 0) == (token("b", 60), token("a", 60))


@given(st.lists(st.tuples(st.sampled_from(["n1", "n2", ""]), st.floats(0, 5000), st.sampled_from(["b1", "b2"]))))
def test_no_claim_expires_before_it_was_watched_long_enough(looks: list[tuple[str, float, str]]) -> None:
    state, now, since = State(), 0.0, {"n1": (0.0, ""), "n2": (0.0, "")}
    for nonce, pause, boot in looks:
        now += pause
        shown = [token(nonce)] if nonce else []
        state = state.observe(shown, now, boot)
        for name, (first, seen_in) in since.items():
            since[name] = (
                (first, seen_in) if name == nonce and seen_in == boot else (now, boot if name == nonce else "")
            )
        for old in state.expired(now, boot, GRACE):
            name = "n1" if old == token("n1") else "n2"
            assert since[name][1] == boot
            assert now - since[name][0] >= 4 * HOUR + GRACE


def test_sweep_is_due_at_most_once_in_its_period_and_after_a_reboot() -> None:
    assert State().sweep_is_due(0.0, "b1", 900)
    state = State().observe([], 100.0, "b1")
    assert not state.sweep_is_due(999.0, "b1", 900)
    assert state.sweep_is_due(1000.0, "b1", 900)
    assert state.sweep_is_due(101.0, "b2", 900)


# --- trouble ---


def test_backoff_doubles_up_to_an_hour_until_a_verdict() -> None:
    state, waits = State(), []
    for _ in range(9):
        state = state.with_trouble("no network", 1000.0, "b1")
        waits.append(state.wait(1000.0, "b1") / 60)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert state.wait(1000.0 + 3599, "b1") == 1
    assert state.wait(1000.0 + 3601, "b1") == 0
    assert state.wait(1000.0, "b2") == 0
    assert (state.trouble, state.with_verdict()) == ("no network", State())
    later = state.with_trouble("x" * 5000, 0.0, "b2")
    assert later.backoff == Backoff(10, Reading(3600.0, "b2")), "a reboot keeps the count"
    assert later.trouble == "x" * LONGEST_TROUBLE


def test_one_unreachable_repository_waits_alone() -> None:
    state = State().with_repository_trouble(31, 0.0, "b1").with_repository_trouble(31, 60.0, "b1")
    assert state.repositories_waiting(179.0, "b1") == {31}
    assert state.repositories_waiting(181.0, "b1") == set()
    assert state.with_repository(31) == State()


def test_texts_that_changed_are_counted_and_kept_for_the_next_prompt() -> None:
    state = State().with_text(42, "s1", "d1").with_text(42, "s2", "d2")
    assert state.texts == {42: WorkedText("s2", "d2", 2)}
    assert state.without_text(42) == State()


# --- the folder ---


def full_state() -> State:
    return (
        State()
        .with_claim(claim(epic=7, subject="ü\n\0", taken_for=42))
        .observe([token()], 12.5, "b1")
        .with_trouble("no network", 1.0, "b1")
        .with_repository_trouble(31, 1.0, "b1")
        .with_text(42, "s", "d")
    )


def test_state_reads_back_as_it_was_saved(tmp_path: pathlib.Path) -> None:
    folder = StateFolder(tmp_path / "agent" / "pod-a")
    assert folder.load() == State()
    folder.save(full_state())
    assert StateFolder(folder.path).load() == full_state()
    assert [file.name for file in folder.path.iterdir()] == ["state.json"]
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "state.json").stat().st_mode & 0o777 == 0o600


def test_state_of_another_version_is_understood(tmp_path: pathlib.Path) -> None:
    raw = msgspec.json.decode(msgspec.json.encode(full_state()))
    del raw["texts"]
    raw["from_the_future"] = {"x": 1}
    raw["claims"][0]["colour"] = "red"
    (tmp_path / "state.json").write_bytes(msgspec.json.encode(raw))
    assert StateFolder(tmp_path).load() == full_state().without_text(42)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"\xff", b'"\xff"', b"[" * 9999, b'{"claims": 3}', b'{"claims": [{}]}']
)
def test_corrupt_state_is_moved_aside_loudly_and_counts_as_lost(tmp_path: pathlib.Path, raw: bytes) -> None:
    (tmp_path / "state.json").write_bytes(raw)
    (tmp_path / "state.corrupt-1").write_bytes(b"older")
    said: list[str] = []
    sink = logger.add(said.append, level="ERROR", format="{message}")
    try:
        assert StateFolder(tmp_path).load() == State()
    finally:
        logger.remove(sink)
    assert "left to expire" in said[0]
    assert (tmp_path / "state.corrupt-2").read_bytes() == raw
    assert StateFolder(tmp_path).load() == State()


def test_crash_while_writing_leaves_the_old_state_whole(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path)
    folder.save(full_state())

    def crash(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        folder.save(State())
    assert folder.load() == full_state()


def test_disk_that_takes_nothing_is_pod_trouble(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    folder = StateFolder(tmp_path / "file" / "pod")
    with pytest.raises(PodTrouble, match=r"cannot write the state folder .*: Not a directory"):
        folder.save(State())
    with pytest.raises(PodTrouble, match="cannot lock"), folder.lock():
        pass
    with pytest.raises(PodTrouble, match="cannot change"):
        folder.drop_catalog()
    with pytest.raises(ConfigurationError, match="cannot be read: Not a directory"):
        folder.load()


@pytest.mark.parametrize("name", ["state.json", "catalog.json", "lock"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: pathlib.Path, name: str) -> None:
    """T1: a pod hung on it for good, before its watchdog began."""
    folder = StateFolder(tmp_path)
    os.mkfifo(tmp_path / name)
    look = {"state.json": folder.load, "catalog.json": folder.load_catalog, "lock": folder.lock().__enter__}[name]
    with pytest.raises(ConfigurationError, match=f"{name} is no file: remove it"):
        look()


def test_a_pipe_in_the_place_of_what_is_written_next_is_replaced(tmp_path: pathlib.Path) -> None:
    folder = StateFolder(tmp_path)
    os.mkfifo(tmp_path / "state.new")
    os.mkfifo(tmp_path / "catalog.new")
    folder.save(full_state())
    folder.save_catalog(b"{}")
    assert (folder.load(), folder.load_catalog()) == (full_state(), b"{}")


def test_catalog_is_kept_and_dropped_as_bytes(tmp_path: pathlib.Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.load_catalog() is None
    folder.save_catalog(b"{}")
    assert folder.load_catalog() == b"{}"
    folder.drop_catalog()
    folder.drop_catalog()
    assert folder.load_catalog() is None


def test_second_start_refuses(tmp_path: pathlib.Path) -> None:
    """I-14: a second start on the same state folder refuses and says why."""
    folder = StateFolder(tmp_path)
    message = rf"process {os.getpid()}\) works with the state folder .* one pod is one process"
    with folder.lock(), pytest.raises(ConfigurationError, match=message), StateFolder(tmp_path).lock():
        pass
    with StateFolder(tmp_path).lock():
        pass


def test_dead_holder_holds_nothing(tmp_path: pathlib.Path) -> None:
    program = (
        "import os, pathlib, sys\nfrom agent.state_folder import StateFolder\n"
        "StateFolder(pathlib.Path(sys.argv[1])).lock().__enter__()\nos._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 9
    with StateFolder(tmp_path).lock():
        assert int((tmp_path / "lock").read_text()) == os.getpid()
