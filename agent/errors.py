"""What can go wrong, sorted by what the cycle does about it.

AgentError
├── ConfigurationError     a person mends a setting; exit code 2
├── BoardError             the board did not do what was asked
│   ├── Unreachable        no answer that counts (time-out, 429, 5xx): a write may or may not have happened
│   ├── Conflict           409: read again and decide by the content; alone it proves nothing
│   ├── NotFound           404: gone, or hidden from this account
│   ├── Refused            400, 401, 403, 422: the board says no, and why
│   ├── Ignored            200, but the answer does not carry what was written
│   └── TooLarge           the answer is longer than is read: what others wrote there is
├── Superseded             the claim is somebody else's now: stop every effect
├── PodTrouble             not the ticket's fault: model API, remote, disk, a missing tool
│   └── LifetimeOver       the claim's lifetime ended under its holder: it writes nothing any more
└── TicketFailure          the ticket's own: verify failed, the model gave up, nothing changed
    └── Unseen             it passed, and a person must see first what it changes

`ConfigurationError` and `BoardError` are sentences. The last three are read behind a colon ("Interrupted: …"): they begin
in lower case and have no full stop at the end.
"""

from __future__ import annotations


class AgentError(Exception):
    """The root of everything that this project raises on purpose."""


class ConfigurationError(AgentError):
    """A setting, a file or an argument is wrong; the message names it and its meaning."""


class BoardError(AgentError):
    """The board did not do what was asked.

    Args:
        message: what happened, for a person.
        status: the HTTP status, 0 where there was none.
        identifier: the last part of OpenProject's `errorIdentifier`, for instance `UpdateConflict`.
        attribute: the API name of the attribute that was refused, if the board named one.
    """

    def __init__(self, message: str, *, status: int = 0, identifier: str = "", attribute: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.identifier = identifier
        self.attribute = attribute


class Unreachable(BoardError):
    """No answer that counts; a write may have happened all the same."""


class Conflict(BoardError):
    """409: the work package changed, or one of its ancestors did (reference, section 5.3)."""


class NotFound(BoardError):
    """404: missing or invisible; the board never says which."""


class Refused(BoardError):
    """The board understood and said no: a permission, the workflow, a bad query."""


class Ignored(BoardError):
    """The write was answered with 200 but something in it was dropped without a word (reference, section 0, 17)."""


class TooLarge(BoardError):
    """The answer is longer than is read, because of what others wrote there: never the board's trouble, nor this pod's."""


class Superseded(AgentError):
    """The claim is not ours any more; nothing may be written for it except giving back what is still ours."""


class PodTrouble(AgentError):
    """This pod cannot work now, whatever the ticket: it backs off and never raises a Spike."""


class LifetimeOver(PodTrouble):
    """The claim's lifetime has ended under its holder: from here on it writes nothing."""


class TicketFailure(AgentError):
    """The run ended without a result that may be reported as done.

    Args:
        reason: one line, as it appears behind "Execution failed: " on the ticket.
        evidence: the last lines of output that support it; may be empty.
        question: what the model wants to know from a person; may be empty.
    """

    def __init__(self, reason: str, *, evidence: str = "", question: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.evidence = evidence
        self.question = question


class Unseen(TicketFailure):
    """The work is done and changes what a person must see before it is at a branch (`agent.git.guarded`).

    Args:
        reason: as above.
        change: the hash that names it.
        diff: what a person gets to see of it.
    """

    def __init__(self, reason: str, *, change: str, diff: str) -> None:
        super().__init__(reason)
        self.change = change
        self.diff = diff
