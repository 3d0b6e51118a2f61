"""What the board answers when it refuses: OpenProject's error object (reference section 1.3).

ServerError                the board itself cannot be made, read or filled; the operator is told
├── BoardError             the folder holds a board already, or none
└── BacklogError           the backlog is wrong; names the entry and the key
ApiError                   one HTTP answer that refuses
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .texts import text

URN = "urn:openproject-org:api:v3:errors:"


class ServerError(Exception):
    """The embedded board cannot do what its operator asked for; the message says how to mend it."""


class BoardError(ServerError):
    """The folder holds a board already, or none."""


class BacklogError(ServerError):
    """The backlog cannot be imported; nothing of it was."""


class ApiError(Exception):
    """An answer that refuses, before it has been put into the caller's language."""

    def __init__(
        self,
        status: int,
        identifier: str,
        key: str,
        values: Mapping[str, str] | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(identifier, key, values)
        self.status = status
        self.identifier = identifier
        self.key = key
        self.values = dict(values or {})
        self.details = dict(details or {})

    @property
    def attribute(self) -> str:
        """The API name of the property at fault, "base" if none is."""
        return self.details.get("attribute", "base")

    def document(self, language: str) -> dict[str, Any]:
        """The error object as it is sent."""
        document: dict[str, Any] = {
            "_type": "Error",
            "errorIdentifier": URN + self.identifier,
            "message": text(self.key, language, **self.values),
        }
        if self.details:
            document["_embedded"] = {"details": self.details}
        return document


class DiskFull(ApiError):
    """Nothing more can be stored; what was asked for did not happen."""

    def __init__(self) -> None:
        super().__init__(507, "InsufficientStorage", "disk_full")


class MultipleErrors(ApiError):
    """Several property errors at once (422), or several wrong parts of a query, which are 422 too [L]."""

    def __init__(self, errors: Sequence[ApiError]) -> None:
        super().__init__(422, "MultipleErrors", "multiple")
        self.errors = errors

    def document(self, language: str) -> dict[str, Any]:
        """The error object with the single ones embedded."""
        return {
            **super().document(language),
            "_embedded": {"errors": [error.document(language) for error in self.errors]},
        }


def raise_all(errors: Sequence[ApiError]) -> None:
    """Refuse with all these errors: one is sent as it is, several as MultipleErrors."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise MultipleErrors(errors)


def not_found(key: str = "not_found") -> ApiError:
    """Missing or not visible: visibility never leaks (section 1.3)."""
    return ApiError(404, "NotFound", key)


def forbidden() -> ApiError:
    """Visible, but the caller's roles do not allow the action."""
    return ApiError(403, "MissingPermission", "forbidden")


def conflict() -> ApiError:
    """The lockVersion is missing or not the stored one (section 5.1)."""
    return ApiError(409, "UpdateConflict", "conflict")


def bad_request(reason: str) -> ApiError:
    """A body or a parameter of the wrong shape."""
    return ApiError(400, "BadRequest", "bad_request", {"reason": reason})


def invalid_query(key: str, **values: str) -> ApiError:
    """A filter, sort criterion or group that the list does not know."""
    return ApiError(400, "InvalidQuery", key, values)


def internal(reason: str) -> ApiError:
    """What OpenProject stumbles over, such as a NUL in a text [L]."""
    return ApiError(500, "InternalServerError", "internal", {"reason": reason})


def violation(attribute: str, key: str, **values: str) -> ApiError:
    """A property has a value that the rules forbid."""
    return ApiError(422, "PropertyConstraintViolation", key, values, {"attribute": attribute})


def read_only(attribute: str, name: str) -> ApiError:
    """A property that nobody, or not this caller, may write."""
    return ApiError(422, "PropertyIsReadOnly", "read_only", {"name": name}, {"attribute": attribute})
