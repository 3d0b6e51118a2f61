"""Each way of a development shell into the coder: closed now, and open where the coder comes out of that shell."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import AgentError
from support.apart import Attacked
from support.claude_cli import Session, session
from support.claude_cli import each_claude_cli as claude_cli
from support.shell_attacks import IN_ITS_PLACE, SHELL_ATTACKS

__all__ = ["claude_cli", "session"]
ELSEWHERE = {"another API", "a process that stays", "a program of its name", "what cannot be changed"}
"""They disturb, or other walls hold them as well."""


@pytest.fixture
def attacked(session: Session) -> Iterator[Attacked]:
    with tempfile.TemporaryDirectory(prefix="apart-") as place:
        yield Attacked(session, Path(place))


@pytest.mark.parametrize("name", SHELL_ATTACKS)
async def test_a_way_into_the_coder_is_closed(attacked: Attacked, name: str) -> None:
    assert (await attacked.run(SHELL_ATTACKS[name])).verdict == "done"
    assert attacked.taken == []
    assert attacked.told == ["shell: 1"]


OPEN = {name: hook for name, hook in (SHELL_ATTACKS | IN_ITS_PLACE).items() if name not in ELSEWHERE}


@pytest.mark.parametrize("hook", OPEN.values(), ids=OPEN)
async def test_it_leads_in_where_the_coder_comes_out_of_that_shell(attacked: Attacked, hook: str) -> None:
    with contextlib.suppress(AgentError):
        await attacked.run(hook, out_of_it=True)
    assert attacked.taken != []
