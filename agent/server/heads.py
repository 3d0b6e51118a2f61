"""The head of a request as it comes in: whether it stays within what the board reads. Pure."""

LONGEST = 32 << 10
"""Bytes of the request's line and its headers; a query may have 10 KiB."""
MOST_LINES = 128
_ENDS = (b"\n\r\n", b"\n\n")


class Head:
    """What has come of one head."""

    def __init__(self) -> None:
        self.has_begun = False
        self._bytes = self._lines = 0
        self._last = b""

    def takes(self, data: bytes) -> bool:
        """Whether what follows is still short enough. What comes after the head's end does not count."""
        self.has_begun = True
        seen = self._last + data
        ends = [at for at in (seen.find(end) for end in _ENDS) if at >= 0]
        of_head = seen[: min(ends, default=len(seen))]
        self._bytes += max(0, len(of_head) - len(self._last))
        self._lines += of_head.count(b"\n", len(self._last))
        self._last = seen[-2:]
        return self._bytes <= LONGEST and self._lines <= MOST_LINES
