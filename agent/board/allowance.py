"""How much of the memory the answer to one question may fill: each page of a list is bounded, and there is ever another."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from agent.errors import TooLarge

T = TypeVar("T")

LARGEST: Final = 48 << 20
"""Bytes of memory: with a page that is being read, and all else of a pod, less than 300 MiB."""


class Allowance:
    """For all that one question finds, over all its pages and parts.

    Args:
        purpose: of the question, for the error.
    """

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._left = LARGEST

    def keep(self, found: Iterable[T]) -> list[T]:
        """These, if there is room for them.

        Raises:
            TooLarge: there is none for one of them; for a smaller one there may be.
        """
        kept = []
        for one in found:
            size = weight(one)
            if size > self._left:
                raise TooLarge(f"What the board lists is larger than {LARGEST >> 20} MiB ({self._purpose})")
            self._left -= size
            kept.append(one)
        return kept


def weight(kept: Any) -> int:
    """Bytes of memory that it takes; a character takes four where the text has an emoji, whatever its JSON took."""
    total, rest = 0, [kept]
    while rest:
        one = rest.pop()
        total += sys.getsizeof(one)
        if isinstance(one, Struct):
            rest.extend(astuple(one))
        elif isinstance(one, tuple | list):
            rest.extend(one)
        elif isinstance(one, dict):
            rest.extend(one.values())
    return total
