"""The demo's work as tool calls: carried out, they leave what the scripted model leaves."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.demo import backlog, model
from agent.demo.project import FILES
from agent.demo.story import ANSWER
from agent.demo.tool_calls import demo, demo_turns
from agent.demo.turns import Answer, Turn
from agent.texts import prompt
from agent.texts.prompt import Comment, Item, PromptFacts, ResolvedSpike

ENTRIES: dict[str, Any] = {one["key"]: one for one in tomllib.loads(backlog.text())["work_packages"]}
TICKETS = [key for key, one in ENTRIES.items() if one["type"] in ("Bug", "Task", "Feature")]
ANSWERED = ResolvedSpike(Item(2, "Agent stuck on #1: Postage"), (Comment("user 3", "", ANSWER),))


@pytest.fixture
def shops(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "by hand", tmp_path / "by tools"
    for folder in folders:
        for name, content in FILES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    return folders


def text_for(key: str, *spikes: ResolvedSpike) -> str:
    item = Item(1, ENTRIES[key]["subject"], ENTRIES[key]["description"])
    return prompt.build(PromptFacts(work_package=item, spikes=spikes))


def carried_out(turns: list[Turn], folder: Path) -> list[dict[str, Any]]:
    """What Claude Code does with these calls, but for running tests; the verdicts."""
    verdicts = []
    for turn in turns:
        assert isinstance(turn, Answer)
        for tool, given in ((one.tool, one.input) for one in turn.calls):
            file = folder / given.get("file_path", "")
            if tool == "Write":
                file.write_text(given["content"])
            elif tool == "Edit":
                assert file.read_text().count(given["old_string"]) == 1
                file.write_text(file.read_text().replace(given["old_string"], given["new_string"]))
            elif tool == "Bash" and "unittest" not in given["command"]:
                subprocess.run(["bash", "-ec", given["command"]], cwd=folder, check=True)
            elif tool == "StructuredOutput":
                verdicts.append(dict(given))
    return verdicts


def tree(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


def test_every_ticket_ends_as_the_scripted_model_leaves_it(shops: tuple[Path, Path]) -> None:
    by_hand, by_tools = shops
    for key in TICKETS:
        said = model.work(text_for(key, ANSWERED), by_hand)
        assert carried_out(demo_turns(text_for(key, ANSWERED)), by_tools) == [said]
        assert tree(by_tools) == tree(by_hand)


def test_a_guess_is_one_without_a_persons_answer(shops: tuple[Path, Path]) -> None:
    by_hand, by_tools = shops
    model.work(text_for("postage"), by_hand)
    carried_out(demo_turns(text_for("postage")), by_tools)
    assert tree(by_tools) == tree(by_hand)


def test_a_ticket_that_is_not_in_the_script_is_asked_about_at_once(shops: tuple[Path, Path]) -> None:
    before = tree(shops[1])
    turns = demo_turns(prompt.build(PromptFacts(work_package=Item(1, "Paint `it` red"))))
    (said,) = carried_out(turns, shops[1])
    assert (said["verdict"], tree(shops[1])) == ("stuck", before)
    assert len(turns) == 1


def test_the_script_goes_on_from_what_it_has_answered_since_the_last_prompt() -> None:
    text = text_for("discount")
    turns = demo_turns(text)
    talk: list[dict[str, Any]] = [{"role": "user", "content": text}]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]}
    for turn in turns:
        assert demo({"messages": talk}) == turn
        talk += [{"role": "assistant", "content": []}, result]
    assert demo({"messages": [*talk, {"role": "user", "content": text}]}) == turns[0]  # resumed: all of it again
