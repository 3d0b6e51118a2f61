"""Every story that was recorded from a real OpenProject, asked again of the embedded board: the answers are the same but where the table says why not."""

import fnmatch
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from support.boards import missing
from support.replay import RECORDED, STORIES, Difference, Replayed

TABLE = Path(__file__).with_name("differences.toml")


class Entry:
    """One reason for differences."""

    def __init__(self, entry: dict[str, str]) -> None:
        self.why = entry.pop("why")
        self.text = str(entry)
        self._patterns = {name: _pattern(entry.get(name, "*")) for name in ("story", "step", "place", "how")}
        assert entry.keys() <= self._patterns.keys(), entry

    def explains(self, difference: Difference) -> bool:
        return all(pattern.fullmatch(getattr(difference, name)) for name, pattern in self._patterns.items())


def _pattern(text: str) -> re.Pattern[str]:
    """fnmatch with alternatives: `@(one|other)`."""
    parts = re.split(r"(@\([^)]*\))", text)
    found = [
        f"(?:{'|'.join(map(re.escape, part[2:-1].split('|')))})"
        if part.startswith("@(")
        else fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
        for part in parts
    ]
    return re.compile("".join(found), re.DOTALL)


@pytest.fixture(scope="module")
def table() -> list[Entry]:
    return [Entry(entry) for entry in tomllib.loads(TABLE.read_text(encoding="utf-8"))["difference"]]


def test_every_answer_is_the_recorded_one_or_the_table_says_why_not(
    replayed: Replayed,
    table: list[Entry],
    measured: Callable[[str], None],
) -> None:
    replay, stories = replayed
    steps = [found for story in stories.values() for found in story.values()]
    differences = [difference for found in steps for difference in found]
    unexplained = [difference for difference in differences if not any(entry.explains(difference) for entry in table)]
    same, listed = sum(not found for found in steps), sum(bool(found) for found in steps)
    measured(
        f"replay: {same} of {len(steps)} recorded answers are the same in every point, {listed} but for what the table lists"
        f" ({replay.compared - len(differences)} of {replay.compared} points)"
    )
    assert not unexplained, "\n".join(map(str, unexplained))


def test_every_entry_of_the_table_is_needed(replayed: Replayed, table: list[Entry]) -> None:
    _, stories = replayed
    differences = [difference for story in stories.values() for found in story.values() for difference in found]
    idle = [entry.text for entry in table if not any(entry.explains(difference) for difference in differences)]
    assert not idle


def test_no_story_is_left_out_but_the_races() -> None:
    if not RECORDED.exists():
        missing(f"{RECORDED} does not exist")
    recorded = {path.stem for path in RECORDED.glob("*.json")} - {"world", "races"}
    assert recorded == set(STORIES)
