"""The demo's script with the real Claude Code: its tool calls do on the shop what the tests of the shop ask for."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.demo import backlog
from agent.demo.project import FILES
from agent.demo.story import ANSWER
from agent.demo.tool_calls import demo
from agent.texts import prompt
from agent.texts.prompt import Comment, Item, PromptFacts, ResolvedSpike
from support.claude_cli import Session, claude_cli, session

__all__ = ["claude_cli", "session"]

ENTRIES: dict[str, Any] = {one["key"]: one for one in tomllib.loads(backlog.text())["work_packages"]}
ANSWERED = ResolvedSpike(Item(2, "Agent stuck on #1: Postage"), (Comment("user 3", "", ANSWER),))


@pytest.fixture
def shop(session: Session) -> Path:
    for name, content in FILES.items():
        file = session.tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return session.tree


def text_for(key: str, *spikes: ResolvedSpike) -> str:
    return prompt.build(
        PromptFacts(work_package=Item(1, ENTRIES[key]["subject"], ENTRIES[key]["description"]), spikes=spikes)
    )


def passes(shop: Path, test: str) -> bool:
    command = [sys.executable, "-m", "unittest", "-q", f"tests.test_{test}"]
    return subprocess.run(command, cwd=shop, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("key", "spikes", "test"), [("negative", (), "total"), ("postage", (ANSWERED,), "postage")], ids=["edit", "append"]
)
async def test_a_ticket_is_implemented_so_that_its_test_passes(
    session: Session, shop: Path, key: str, spikes: tuple[ResolvedSpike, ...], test: str
) -> None:
    api = session.api(demo)
    result = await session.run(text_for(key, *spikes))
    assert (result.verdict, len(api.seen)) == ("done", 4)
    assert passes(shop, test)
    assert "OK" in api.seen[3].results()[0]  # the model ran the tests itself


async def test_a_guess_fails_the_test_and_a_ticket_outside_the_script_is_asked_about(
    session: Session, shop: Path
) -> None:
    api = session.api(demo)
    assert (await session.run(text_for("postage"))).verdict == "done"
    assert not passes(shop, "postage")
    result = await session.run(prompt.build(PromptFacts(work_package=Item(1, "Paint `it` red"))))
    assert result.verdict == "stuck"
    assert "order_total" in result.question
    assert len(api.seen) == 5
