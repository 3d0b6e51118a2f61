"""Answers of the relay's own, in the shape of the Messages API's errors."""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse, Response

_KINDS: Final = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    504: "timeout_error",
}


class Refusal(Exception):
    """An answer that is not the API's.

    Args:
        status: 403 where the client must not ask again: Claude Code does not.
        sentence: what the model or a person reads; no secret, no address, and no full stop at the end.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence

    def response(self) -> Response:
        """The refusal as an answer."""
        error = {"type": _KINDS.get(self.status, "api_error"), "message": self.sentence}
        headers = {"allow": "POST"} if self.status == 405 else {}  # noqa: PLR2004 - the HTTP status of just that
        return JSONResponse({"type": "error", "error": error}, self.status, headers)
