"""What somebody was told, under the name that it was given. The name tells nothing else: it is made of what they were told alone."""

from __future__ import annotations

import hashlib
import secrets
import threading
from typing import Final

from msgspec import Struct

KEPT: Final = 600.0
"""Seconds for which what was told is remembered, whatever else happens meanwhile: what is forgotten early would tell of it."""
OF_ONE: Final = 500
"""So many versions of one account."""


class Told(Struct, frozen=True, kw_only=True):
    """What somebody knows who was given a version."""

    user: int
    number: int
    """Of the snapshot that it was true of at last."""
    catalog: bytes
    """A digest of what the catalog is made of, as far as they see it."""
    rest: bytes
    """Likewise of the pods and of how many are closed."""
    at: float
    """Seconds of a clock that never goes back."""


class Versions:
    """All that were given lately. Used from several threads.

    Args:
        key: what they are named with; without it a name could be guessed from what it stands for.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = key or secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._told: dict[int, dict[str, Told]] = {}
        """By account; of accounts and of versions the last given last."""

    def name(self, user: int, *told: bytes) -> str:
        """What is given to an account that was told this: for this process only."""
        words = hashlib.blake2b(str(user).encode(), key=self._key, digest_size=8)
        for one in told:
            words.update(b"\0" + one)
        return words.hexdigest()

    def keep(self, version: str, told: Told) -> None:
        """Remember what a version stands for."""
        with self._lock:
            own = self._told.pop(told.user, {})
            own.pop(version, None)
            own[version] = told
            self._told[told.user] = own
            while len(own) > OF_ONE or told.at - next(iter(own.values())).at > KEPT:
                del own[next(iter(own))]
            while told.at - next(reversed(next(iter(self._told.values())).values())).at > KEPT:
                del self._told[next(iter(self._told))]

    def find(self, version: str, user: int) -> Told | None:
        """What it stands for; None if this process did not give it to that account, or has forgotten."""
        with self._lock:
            return self._told.get(user, {}).get(version)
