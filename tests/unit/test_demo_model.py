"""The demo's scripted model: what it writes passes the repository's own tests, once a person has answered what only people know."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.demo import backlog, model
from agent.demo.project import FILES
from agent.demo.story import ANSWER
from agent.programs.runner import Finished
from agent.programs.verdict import judge
from agent.server.backlog import parse
from agent.texts import prompt
from agent.texts.evidence import redactor
from agent.texts.prompt import Comment, Item, PromptFacts, ResolvedSpike

ENTRIES: Mapping[str, Any] = {one["key"]: one for one in tomllib.loads(backlog.text())["work_packages"]}
TICKETS = [key for key, one in ENTRIES.items() if one["type"] in ("Bug", "Task", "Feature")]
ANSWERED = ResolvedSpike(Item(2, "Agent stuck on #1: Postage"), (Comment("user 3", "", ANSWER),))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path


def text_for(key: str, *, spikes: tuple[ResolvedSpike, ...] = (), comments: tuple[Comment, ...] = ()) -> str:
    """The prompt that a pod would write for this ticket of the backlog."""
    item = Item(1, ENTRIES[key]["subject"], ENTRIES[key]["description"])
    return prompt.build(PromptFacts(work_package=item, spikes=spikes, comments=comments))


def failures(folder: Path) -> set[str]:
    """Which tests fail, of those that `.agent.toml` of the shop lets the pod run."""
    command = [sys.executable, "-m", "unittest"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return set(re.findall(r"^(?:ERROR|FAIL): \S*?test_(\w+)", done.stderr, re.MULTILINE))


def test_every_ticket_of_the_backlog_is_implemented_with_a_test_that_fails_without_it(shop: Path) -> None:
    before = {one.name: one.read_text() for one in (shop / "shop").iterdir()}
    for key in TICKETS:
        verdict = model.work(text_for(key, spikes=(ANSWERED,)), shop)
        assert verdict["verdict"] == "done"
        assert model.SCRIPTED in verdict["summary"]
    assert failures(shop) == set()
    for file in (shop / "shop").glob("*.py"):
        file.write_text(before.get(file.name, ""))
    assert failures(shop) == set(model.recipes())


def test_without_a_persons_answer_its_guess_fails_the_test_that_the_ticket_asks_for(shop: Path) -> None:
    assert model.work(text_for("postage"), shop)["verdict"] == "done"
    assert failures(shop) == {"postage"}


def test_an_answer_counts_only_where_a_person_gave_it_in_a_closed_spike(shop: Path) -> None:
    asked = ResolvedSpike(Item(2, "Agent stuck on #1", f"Is it so? {ANSWER}"))
    model.work(text_for("postage", spikes=(asked,), comments=(Comment("user 3", "", ANSWER),)), shop)
    assert "490" not in (shop / "shop" / "delivery.py").read_text()


def test_the_answer_is_in_the_code(shop: Path) -> None:
    model.work(text_for("postage", spikes=(ANSWERED,)), shop)
    assert "return 490 + 50 *" in (shop / "shop" / "delivery.py").read_text()


def test_a_ticket_that_is_not_in_the_script_makes_it_ask_and_touches_nothing(shop: Path) -> None:
    before = sorted(shop.rglob("*"))
    verdict = model.work(prompt.build(PromptFacts(work_package=Item(1, "Paint `it` red", "`rm()`"))), shop)
    assert verdict["verdict"] == "stuck"
    assert "order_total" in verdict["question"]
    assert sorted(shop.rglob("*")) == before


def test_doing_a_ticket_twice_changes_nothing_more(shop: Path) -> None:
    model.work(text_for("discount"), shop)
    once = {one: one.read_text() for one in shop.rglob("*.py")}
    model.work(text_for("discount"), shop)
    assert {one: one.read_text() for one in shop.rglob("*.py")} == once


def test_its_document_is_one_that_a_pod_understands() -> None:
    verdict = {"verdict": "stuck", "summary": "No.", "question": "Why?"}
    document = model.document(verdict, "one two three", session="7f9c", seconds=0.5)
    result = judge(Finished(0, stdout=msgspec.json.encode(document)), redact=redactor())
    assert (result.verdict, result.summary, result.question) == ("stuck", "No.", "Why?")
    assert (result.input_tokens, result.duration_s) == (3, 0.5)


def test_every_recipe_is_for_a_ticket_and_every_ticket_has_one() -> None:
    named = {name for key in TICKETS for name in list(model.wanted(text_for(key)))[:1]}
    assert named == set(model.recipes())


def test_the_backlog_is_one_that_can_be_imported_and_parents_come_first() -> None:
    found = parse(backlog.text())
    known: set[str] = set()
    for one in found.work_packages:
        assert one.parent is None or one.parent in known
        known.add(one.key)
    assert {one.pod for one in found.work_packages} == {None, backlog.ROUTED_TO}
