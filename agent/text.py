"""Text that the board can store, pure: a NUL or an invalid byte is a 500 there, a lone surrogate a 400."""

from __future__ import annotations

import re
from typing import Any, Final

_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without what the board refuses (reference, section 0, 16): each such character becomes a `�`."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def clean_all(value: Any) -> Any:
    """A JSON value in which every text is clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: clean_all(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean_all(one) for one in value]
    return value
