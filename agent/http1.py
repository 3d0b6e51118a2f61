"""What one reading from a connection may cost whoever serves HTTP/1.1 by h11: the embedded board, and the relay in the pod.

h11 takes its time for a line of a head, and as much for a chunk of a body, be it one byte: 64 KiB of either hold an event loop for
a quarter of a second. So heads have few lines, and bodies come in one piece.
"""

from typing import Any, Final

import h11

MOST_LINES: Final = 128
_ENDS: Final = (b"\n\r\n", b"\n\n")


class Head:
    """What has come of one head.

    Args:
        longest: bytes of the request's line and its headers.
    """

    def __init__(self, longest: int) -> None:
        self.has_begun = False
        self._longest = longest
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
        return self._bytes <= self._longest and self._lines <= MOST_LINES


class Incoming(h11.Connection):
    """h11's view of one connection, from the server's side.

    Args:
        longest_head: bytes.
    """

    def __init__(self, longest_head: int) -> None:
        super().__init__(h11.SERVER, longest_head)
        self.takes_chunks = False
        self.refusal = ""
        """What is wrong with the request, where it is not for h11 to say."""

    def next_event(self) -> Any:
        """h11's, and no body whose length is not known from the beginning (RFC 9112, section 6.3, lets a server insist).

        Raises:
            h11.RemoteProtocolError: it is none that is taken.
        """
        event = super().next_event()
        if isinstance(event, h11.Request) and not self.takes_chunks and _comes_in_chunks(event):
            self.refusal = (
                "A request with a body has to say its length: send `Content-Length`, not `Transfer-Encoding`."
            )
            raise h11.RemoteProtocolError(self.refusal)
        return event


def _comes_in_chunks(request: h11.Request) -> bool:
    return any(name == b"transfer-encoding" for name, _ in request.headers)
