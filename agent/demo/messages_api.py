"""A scripted Messages API: the real Claude Code runs against it without a model, an account or a network.

with serving(in_order(Refusal(529, "overloaded_error"), verdict("done"))) as api:
...  # ANTHROPIC_BASE_URL=api.url
assert len(api.seen) == 2
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_UNIX
from socketserver import TCPServer
from typing import Any, Final

from agent.demo.turns import Answer, Body, Refusal, Script, Seen, Trouble

MESSAGES: Final = "/v1/messages"


class MessagesApi(ThreadingHTTPServer):
    """The server: on a free port of the loopback, or on a Unix socket.

    Attributes:
        seen: the requests for an answer.
        others: all other requests; they are refused.
    """

    daemon_threads = True

    def __init__(self, script: Script, socket: Path | None = None) -> None:
        self.address_family = AF_UNIX if socket else AF_INET
        self.script = script
        self.seen: list[Seen] = []
        self.others: list[Seen] = []
        self.closing = threading.Event()
        self._socket = socket
        super().__init__(str(socket) if socket else ("127.0.0.1", 0), _Handler)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Where it listens; by a Unix socket any host will do."""
        return "http://localhost" if self._socket else f"http://127.0.0.1:{self.server_address[1]}"

    def server_bind(self) -> None:
        """Bind, without the look-up of a host name that an HTTP server does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self) -> tuple[Any, Any]:
        """A peer on a Unix socket has no address; the handler wants one."""
        connection, address = super().get_request()
        return connection, address or ("local", 0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(script: Script, socket: Path | None = None) -> Iterator[MessagesApi]:
    """Serve a script in a thread until the block ends."""
    with MessagesApi(script, socket) as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.05,), daemon=True, name="messages api")
        thread.start()
        try:
            yield api
        finally:
            api.closing.set()
            api.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: MessagesApi

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_HEAD(self) -> None:
        self._other({})

    def do_GET(self) -> None:
        self._other({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.partition("?")[0] != MESSAGES:
            self._other(body)
            return
        self.server.seen.append(self._seen(body))
        turn = self.server.script(body)
        if isinstance(turn, Answer):
            self._answer(turn, body)
        elif isinstance(turn, Refusal):
            self._refuse(turn, streamed=bool(body.get("stream")))
        else:
            self._misbehave(turn, body)

    def _seen(self, body: Body) -> Seen:
        return Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)

    def _other(self, body: Body) -> None:
        self.server.others.append(self._seen(body))
        self._refuse(Refusal(404, "not_found_error", self.path), streamed=False)

    def _answer(self, turn: Answer, body: Body) -> None:
        message = _message(turn, body)
        if not body.get("stream"):
            self._json(200, message)
            return
        self._begin(message)
        for index, block in enumerate(message["content"]):
            empty, deltas = _pieces(block)
            self._event("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                self._event("content_block_delta", index=index, delta=delta)
            self._event("content_block_stop", index=index)
        end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        self._event("message_delta", delta=end, usage=message["usage"])
        self._event("message_stop")
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, turn: Refusal, *, streamed: bool) -> None:
        error = {"type": turn.kind, "message": turn.message}
        if turn.inside and streamed:
            self._begin(_message(Answer(), {"model": "scripted"}))
            self._event("error", error=error)
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._json(turn.status, {"type": "error", "error": error}, turn.headers)

    def _misbehave(self, turn: Trouble, body: Body) -> None:
        if turn is Trouble.NONSENSE:
            self._json(200, {"nonsense": True})
            return
        if turn in (Trouble.STALLED, Trouble.CUT) and body.get("stream"):
            self._begin(_message(Answer(), body))
        if turn in (Trouble.STALLED, Trouble.SILENT):
            self.server.closing.wait()
        self.close_connection = True

    def _json(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self._head(status, {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _begin(self, message: Mapping[str, Any]) -> None:
        self._head(200, {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"})
        usage = {**message["usage"], "output_tokens": 1}
        self._event("message_start", message={**message, "content": [], "stop_reason": None, "usage": usage})

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("request-id", f"req_{secrets.token_hex(8)}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _event(self, name: str, **fields: Any) -> None:
        text = f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()


def _message(turn: Answer, body: Body) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(8)}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": turn.content(),
        "stop_reason": turn.stop_reason or ("tool_use" if turn.calls else "end_turn"),
        "stop_sequence": None,
        "usage": {"input_tokens": turn.input_tokens, "output_tokens": turn.output_tokens},
    }


def _pieces(block: Mapping[str, Any]) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """A block as it begins in a stream, and what then comes of it, in small pieces."""
    if block["type"] == "text":
        return {**block, "text": ""}, ({"type": "text_delta", "text": one} for one in _cut(block["text"]))
    text = json.dumps(block["input"])
    return {**block, "input": {}}, ({"type": "input_json_delta", "partial_json": one} for one in _cut(text))


def _cut(text: str, size: int = 1000) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))
