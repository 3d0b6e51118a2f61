"""The edges of the command line: an error becomes words and an exit code in one place, a pass becomes lines."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import NoReturn, cast

import pytest
import typer
from loguru import logger

import agent
from agent.choose import Rung
from agent.cli.board import _address
from agent.cli.common import exit_code, told, words
from agent.cli.work import STALE, Passes, Progress, outcome
from agent.cycle import Result
from agent.daemon import Pass
from agent.ending import End, Ending
from agent.errors import AgentError, BoardError, ConfigurationError, NotFound, PodTrouble, Refused, Unreachable
from agent.operate.station import Station
from agent.settings.keys import KEYS


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (ConfigurationError("pod is wrong"), 2, None),
        (Unreachable("no answer"), 1, "Is board.url right, and is the board up?"),
        (Refused("no", status=401), 1, "Make a token on the board"),
        (Refused("no", status=403), 1, "Give this account a role"),
        (Refused("no", status=422), 1, None),
        (NotFound("gone", status=404), 1, "Either it does not exist"),
        (PodTrouble("no disk: make room"), 1, None),
    ],
)
def test_an_error_is_its_message_the_next_step_and_an_exit_code(
    error: AgentError, code: int, hint: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, told():
        raise error
    lines = capsys.readouterr().err.splitlines()
    assert (ended.value.exit_code, exit_code(error)) == (code, code)
    assert lines[0] == f"agent: {error}"
    assert len(lines) == (1 if hint is None else 2)
    assert hint is None or lines[1].strip().startswith(hint)


def test_a_message_of_several_lines_is_indented_and_cleaned() -> None:
    assert words(ConfigurationError("one\ntwo \x1b[31mred")) == ["agent: one", "       two red"]
    assert words(ConfigurationError("")) == ["agent: ConfigurationError"]


def test_on_a_terminal_a_message_is_broken_between_words() -> None:
    assert words(NotFound("what you are looking for is gone"), 30) == [
        "agent: what you are looking",
        "       for is gone",
        "       Either it does not",
        "       exist, or this account",
        "       may not see it.",
    ]


class Broken:
    """What a pod is made of, where no pod can be opened."""

    def __init__(self, error: AgentError) -> None:
        self.error = error
        self.dropped = 0
        self.folder = self

    def open(self) -> NoReturn:
        raise self.error

    def drop_catalog(self) -> None:
        self.dropped += 1


@pytest.mark.parametrize(
    ("error", "stale"),
    [
        (PodTrouble("no disk"), False),
        (BoardError("503", status=503), False),
        (Refused("no such type", status=400), True),
    ],
)
async def test_a_pass_that_fails_is_trouble_and_its_error_one_line_of_the_log(
    error: AgentError, stale: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    here, said = Broken(error), list[str]()
    sink = logger.add(lambda message: said.append(message.record["message"]), level="ERROR")
    passed = await Passes(cast("Station", here), Progress("pod-a", silent=True, as_json=True))()
    logger.remove(sink)
    assert (passed, said, here.dropped) == (Pass.TROUBLE, [str(error)], int(stale))
    assert json.loads(capsys.readouterr().out)["reason"] == str(error)


async def test_what_a_person_must_mend_ends_a_pass_as_an_error_and_discovery_is_made_anew() -> None:
    here = Broken(ConfigurationError("no such status"))
    with pytest.raises(ConfigurationError, match="no such status"):
        await Passes(cast("Station", here), Progress("pod-a", silent=True, as_json=True))()
    assert here.dropped == 1


def test_other_exceptions_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), told():
        _ = 1 / 0


def test_a_stale_discovery_is_known_by_its_answers() -> None:
    assert {400, 404, 422} == STALE


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (End(Ending.DONE, branch="agent/42-x", commit="a3f9c12de"), "done · agent/42-x a3f9c12"),
        (
            End(Ending.FAILED, reason="test suite failed\nwith 1", spike=50),
            "failed · test suite failed with 1 · Spike #50",
        ),
        (End(Ending.INTERRUPTED, reason="529"), "interrupted · 529"),
        (None, None),
    ],
)
def test_a_pass_that_worked_is_one_line(end: End | None, said: str | None) -> None:
    result = Result(outcome=Pass.WORKED, rung=Rung.BUG, ticket=42, subject="S", end=end)
    ((line, _),) = outcome(result)
    assert line == f"#42 on rung 4 (a bug): {said or 'given back'}"


def test_trouble_stands_in_the_log_and_nothing_is_a_line() -> None:
    assert outcome(Result(outcome=Pass.TROUBLE, reason="r")) == []
    assert outcome(Result(outcome=Pass.NOTHING)) == [("nothing to do", "")]


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("pod-a", silent=False, as_json=False)
    progress.say("#42 \x1b[31mFix\nthe price")
    assert capsys.readouterr().out == "pod-a: #42 Fix the price\n"


def test_progress_for_scripts_is_the_result_alone(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("pod-a", silent=True, as_json=True)
    progress.say("verifying")
    progress.show(Result(outcome=Pass.NOTHING))
    assert capsys.readouterr().out == (
        '{"outcome":"nothing","rung":7,"ticket":null,"subject":"","end":null,"reason":""}\n'
    )


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("[::1]:0", ("::1", 0)),
        (":8000", ("127.0.0.1", 8000)),
        ("host.example:65535", ("host.example", 65535)),
    ],
)
def test_an_address_is_host_and_port(listen: str, address: tuple[str, int]) -> None:
    assert _address(listen) == address


@pytest.mark.parametrize("listen", ["", "8000", "host", "host:", "::1:80", "host:65536", "host:x"])
def test_what_is_no_address_is_a_usage_error(listen: str) -> None:
    with pytest.raises(typer.BadParameter):
        _address(listen)


SETTING = re.compile(
    r"(?<![\w./$])(?:board|execution|model|sandbox|nix|repositories|statuses|types|fields)\.[a-z_.*]*[a-z_*]"
)


def test_every_setting_that_a_message_names_exists() -> None:
    """A section counts too: `set board.types.…` is cut where the text goes on with a name."""
    sections = {key.rpartition(".")[0] for key in KEYS}
    named = {
        (file.name, name)
        for file in Path(agent.__file__).parent.rglob("*.py")
        if not {"server", "page"} & set(file.parts)  # their dots are SQL
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
        for name in SETTING.findall(node.value)
    }
    assert ("catalog.py", "board.statuses.done") in named
    no_settings = {"nix.conf", "board.json", "repositories.shop"}
    """Files, and the example of a section."""
    assert {(file, name) for file, name in named if name not in KEYS.keys() | sections | no_settings} == set()
