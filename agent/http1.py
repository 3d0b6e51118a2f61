"""What one reading from a connection may cost whoever serves HTTP/1.1 by h11: the embedded board, and the relay in the pod.

h11 takes its time for a line of a head, and as much for a chunk of a body, be it one byte: 64 KiB of either hold an event loop for
a quarter of a second. So heads have few lines, and bodies come in one piece.
"""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_LINES: Final = 128
CHUNK: Final = 64 << 10
"""Bytes that are read at once of whom is known,"""
CHUNK_OF_STRANGER: Final = 4 << 10
"""and of others: what they send costs little before somebody else has a turn."""
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


class Bounded(H11Protocol, asyncio.BufferedProtocol):
    """uvicorn's protocol, in which one reading costs no more than it should.

    Args:
        arguments: uvicorn's.
        longest_head: bytes of a request's line and its headers.
        room: `CHUNK` bytes; what was read is taken out at once, so one serves all connections of a loop.
        more: uvicorn's, too.
    """

    def __init__(self, *arguments: Any, longest_head: int, room: memoryview, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.conn: Incoming = Incoming(longest_head)
        self._longest_head = longest_head
        self._head = Head(longest_head)
        self._room = room

    @property
    def is_known(self) -> bool:
        """Whether it is known whose it is."""
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go."""
        return self._room[: CHUNK if self.is_known else CHUNK_OF_STRANGER]

    def buffer_updated(self, nbytes: int) -> None:
        """Some bytes came."""
        self.came(bytes(self._room[:nbytes]))

    def came(self, data: bytes) -> None:
        """Some bytes, of a head or of a body."""
        if self.conn.their_state is h11.IDLE and not self._head.takes(data):
            self.send_400_response("The head of this request is too long.")
        else:
            self.data_received(data)

    def handle_events(self) -> None:
        """What has come so far; the next head begins from nothing."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._head = Head(self._longest_head)

    def send_400_response(self, msg: str) -> None:
        """Nonsense, or what is not taken."""
        super().send_400_response(self.conn.refusal or msg)
