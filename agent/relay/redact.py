"""Pure: a secret taken out of bytes that come in pieces.

The API has no reason to send a key back, yet gateways quote it in their errors. Only what may be the beginning of the
secret is held back, so that a stream stays one.
"""

from __future__ import annotations

from typing import Final

PUT_INSTEAD: Final = b"[redacted]"


class Redacted:
    """Passes bytes on without the secret; `rest` is what was held back at the end."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may be passed on now."""
        text = (self._held + chunk).replace(self._secret, PUT_INSTEAD)
        most = min(len(self._secret) - 1, len(text))
        held = next((size for size in range(most, 0, -1) if self._secret.startswith(text[-size:])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> bytes:
        """What was held back: the secret did not follow."""
        held, self._held = self._held, b""
        return held
