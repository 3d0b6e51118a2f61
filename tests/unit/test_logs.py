import base64
import io
from collections.abc import Iterator

import pytest
from loguru import logger

from agent import logs
from agent.texts.evidence import REDACTED


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    logger.remove()


def written(**how: object) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(stream=stream, **how)  # type: ignore[arg-type]
    return stream


def test_plain_line_has_time_level_sentence_and_ids() -> None:
    stream = written()
    logger.bind(ticket=42, run="7f9c").info("claimed")
    assert stream.getvalue()[19:] == " INFO     claimed ticket=42 run=7f9c\n"
    assert stream.getvalue()[4] == "-"


@pytest.mark.parametrize(("level", "number"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3)])
def test_journal_gets_a_priority_and_no_second_time(level: str, number: int) -> None:
    stream = written(journal=True, level="DEBUG")
    getattr(logger.bind(ticket=42), level)("claimed")
    assert stream.getvalue() == f"<{number}>claimed ticket=42\n"


def test_terminal_gets_colours() -> None:
    stream = written(pretty=True)
    logger.error("no")
    logger.info("yes")
    first, second = stream.getvalue().splitlines()
    assert "\x1b[31mno\x1b[0m" in first
    assert "\x1b[31m" not in second


def test_level_is_the_lowest_that_is_written() -> None:
    stream = written(level="WARNING")
    logger.info("no")
    logger.warning("yes")
    assert len(stream.getvalue().splitlines()) == 1


def test_configuring_again_does_not_write_twice() -> None:
    first, second = written(), written()
    logger.info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_secret_appears_nowhere_in_the_log() -> None:
    """I-70: message, ids, traceback, URL and Basic authorisation."""
    secret = "s3cr3t/t+ken"
    stream = written(secrets=[secret])
    basic = base64.b64encode(f"apikey:{secret}".encode()).decode()
    logger.bind(header=f"Basic {basic}", url="https://b/?t=s3cr3t%2Ft%2Bken").info("token {}", secret)
    logger.opt(exception=ValueError(f"401 for {secret}")).error("no {}", secret)
    text = stream.getvalue()
    assert "s3cr3t" not in text
    assert basic.rstrip("=") not in text
    assert text.count(REDACTED) == 5
    assert "ValueError: 401 for [redacted]" in text


def test_nobody_elses_text_writes_a_second_line_or_moves_the_cursor() -> None:
    stream = written(journal=True)
    logger.bind(subject="x\n<3>forged").info("a\r\n<3>forged \x1b[2J {braces}")
    assert stream.getvalue() == "<6>a\\n<3>forged  {braces} subject=x\\n<3>forged\n"


def test_standard_error_is_where_the_log_goes(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(journal=True)
    logger.info("here")
    assert capsys.readouterr().err == "<6>here\n"
