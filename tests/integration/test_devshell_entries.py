"""The lock of a saved shell: one holder at a time, although its holder removes the file."""

import threading
import time
from pathlib import Path

from agent.devshell.entries import Entries

KEY = "a" * 40


def test_never_two_hold_a_lock_whose_file_comes_and_goes(tmp_path: Path) -> None:
    inside, most, taken = 0, 0, 0
    end = time.monotonic() + 1.0

    def work() -> None:
        nonlocal inside, most, taken
        entries = Entries(tmp_path)
        while time.monotonic() < end:
            with entries.lock(KEY) as mine:
                if mine:
                    inside += 1
                    time.sleep(0)  # lets the others in, if they can
                    most = max(most, inside)
                    taken += 1
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert taken > 20
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_of_one_key_only(tmp_path: Path) -> None:
    entries = Entries(tmp_path / "made" / "when needed")
    with entries.lock(KEY) as one, entries.lock("b" * 40) as other, entries.lock(KEY) as again:
        assert (one, other, again) == (True, True, False)
    with entries.lock(KEY) as later:
        assert later
