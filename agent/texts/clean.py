"""Text of any origin made fit for the board, a prompt or a log, pure.

A NUL or an invalid byte is a 500 of the board, a lone surrogate a 400 (openproject-api.md, section 0, 16); terminal
sequences and other control characters are nothing that people read.
"""

from __future__ import annotations

import re
from typing import Any, Final

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    r"""The text as it may be written anywhere.

    Terminal sequences and control characters except `\n` and `\t` go, line ends become `\n`, a lone surrogate becomes
    U+FFFD. Cleaning twice changes nothing more.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", text))


def clean_all(value: Any) -> Any:
    """A JSON value in which every text is clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: clean_all(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean_all(one) for one in value]
    return value
