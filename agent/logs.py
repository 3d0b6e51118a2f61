"""The log: one sink, configured once, in which no secret and no control character of others appears.

A line is a level, a sentence and the ids that were bound to it (`ticket=42 run=7f9c…`), on a terminal in colour. What
a record carries (message, ids, traceback) is redacted as the finished text, so there is no way around it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TextIO

from loguru import logger

from agent.texts.evidence import redactor
from agent.texts.outlet import terminal

if TYPE_CHECKING:
    from loguru import Message, Record

_JOURNAL_LEVELS: Final = {"TRACE": 7, "DEBUG": 7, "INFO": 6, "SUCCESS": 5, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
_COLOURS: Final = {"DEBUG": "2", "SUCCESS": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def configure(
    *,
    level: str = "INFO",
    pretty: bool = False,
    journal: bool = False,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send the log to one stream; a second call replaces the first.

    Args:
        level: the lowest level that is written.
        pretty: colours and the time of day, for a person at a terminal.
        journal: priorities as `<6>` and no time, since systemd's journal has its own.
        secrets: values that are replaced wherever they appear, also in the encodings that headers and URLs use.
        stream: standard error unless given.
    """
    target = sys.stderr if stream is None else stream
    redact = redactor(secrets)

    def write(message: Message) -> None:
        target.write(redact(_line(message.record, str(message), pretty=pretty, journal=journal)))
        target.flush()

    logger.remove()
    logger.add(write, level=level, format=lambda _: "{exception}", backtrace=False, diagnose=False, catch=True)


def _line(record: Record, exception: str, *, pretty: bool, journal: bool) -> str:
    name = record["level"].name
    ids = "".join(f" {key}={_one(str(value))}" for key, value in record["extra"].items())
    sentence = _one(record["message"])
    if pretty:
        start, end = (f"\x1b[{_COLOURS[name]}m", "\x1b[0m") if name in _COLOURS else ("", "")
        line = f"{record['time']:HH:mm:ss} {start}{sentence}{end}\x1b[2m{ids}\x1b[0m"
    elif journal:
        line = f"<{_JOURNAL_LEVELS.get(name, 6)}>{sentence}{ids}"
    else:
        line = f"{record['time']:YYYY-MM-DD HH:mm:ss} {name:<8} {sentence}{ids}"
    trace = terminal(exception).strip("\n")
    return line + "\n" + (trace + "\n" if trace else "")


def _one(text: str) -> str:
    """Text of others on one line: nobody writes a second line of our log, or moves a terminal's cursor."""
    return terminal(text).strip().replace("\n", "\\n").replace("\t", " ")
