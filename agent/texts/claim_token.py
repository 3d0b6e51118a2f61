"""The token: the one line of text in `Agent run` that makes a claim (DESIGN, section 1).

    7f9c0d52-…-0123456789ab.5f0c9a1e77d2b340 by pod-a try 1 for 4h @ 2026-11-24T08:00Z routed

The run id is born with the claim and survives take-overs; the nonce is new at every claim and take-over. `for` is the
lifetime of the claim, counted anew for each token; the time is for people and never computed with. Every token holds
an `@`, so the board's filter `Agent run ~ "@"` means "claimed".
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple, replace

from agent.texts.bounded import LINE, Whole

SIGN: Final = "@"
"""Every token holds it, so `Agent run ~ "@"` means "claimed": a text field cannot be asked whether it is empty."""

RUN_ID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
"""A run id: a UUID in lower case, as the model's command line wants it (claude-cli.md, section 1)."""

POD_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
"""A pod's name: it stands in tokens, refs, paths and unit names, so it needs no quoting anywhere."""

Key = tuple[int, str, str]
"""What makes a claim: work package, run id and nonce. Who duplicates a work package copies its token, and no claim."""

_NONCE: Final = r"[0-9a-z]{1,64}"
_DURATION: Final = Whole(
    "token: a duration",
    r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9})s)?",
    sees="the field `Agent run` and the settings",
    longest=LINE,
)
_POD: Final = Whole("token: the name of a pod", POD_NAME, sees="the settings", longest=LINE)
_TOKEN: Final = Whole(
    "token: all of it",
    rf"({RUN_ID})\.({_NONCE}) by ({POD_NAME}) try ([1-9]\d{{0,5}}) for (\w{{2,32}})"
    r" @ (\d{4}-\d\d-\d\dT\d\d:\d\dZ)( routed)?",
    sees="the field `Agent run`",
    longest=LINE,
    flags=re.ASCII,
)


def parse_duration(text: str) -> int | None:
    """The seconds that `4h`, `90m`, `4h30m` or `45s` stand for; None for any other text, and for zero."""
    found = _DURATION.match(text)
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (hours * 60 + minutes) * 60 + seconds or None


def duration_text(seconds: int) -> str:
    """Seconds the way a token and the settings write them: `4h`, `1h30m`, `45s`; `0s` for none."""
    minutes, rest = divmod(seconds, 60)
    parts = zip((*divmod(minutes, 60), rest), "hms", strict=True)
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def is_pod_name(text: str) -> bool:
    """Whether a pod may be called so."""
    return _POD.match(text) is not None


class ClaimToken(Struct, frozen=True, kw_only=True):
    """What a claim writes.

    Attributes:
        run: the run id.
        nonce: what the lock compares beside the run id.
        pod: who holds the claim.
        attempt: the try that runs under this token, from 1.
        lifetime_s: seconds from the token's birth to the moment at which its holder stops every effect.
        at: when it was written, UTC, a full minute.
        routed: whether `Agent pod` was set before the claim, so that giving back leaves it.

    Raises:
        ValueError: a part cannot be written so that it reads back the same; a mistake of the caller.
    """

    run: str
    nonce: str
    pod: str
    attempt: int
    lifetime_s: int
    at: dt.datetime
    routed: bool = False

    def __post_init__(self) -> None:
        if _parts(str(self)) != astuple(self):
            raise ValueError(f"this token would not read back the same: {self}")

    def __str__(self) -> str:
        at = self.at.isoformat(timespec="minutes")[:16]
        return (
            f"{self.run}.{self.nonce} by {self.pod} try {self.attempt} for {duration_text(self.lifetime_s)} @ {at}Z"
            f"{' routed' if self.routed else ''}"
        )

    @property
    def key(self) -> tuple[str, str]:
        """What locking compares: run id and nonce (DESIGN, section 1)."""
        return self.run, self.nonce

    def same_claim(self, other: ClaimToken | None) -> bool:
        """Whether both stand for one claim, whatever else their texts say."""
        return other is not None and self.key == other.key

    def renewed(
        self, *, nonce: str, now: dt.datetime, attempt: int | None = None, lifetime_s: int | None = None
    ) -> ClaimToken:
        """The token of the same run that follows this one: a new nonce, a lifetime that starts anew.

        Args:
            nonce: never used before.
            now: UTC.
            attempt: the new try; a renewal of an Epic keeps its own.
            lifetime_s: if the setting changed meanwhile.
        """
        return replace(
            self,
            nonce=nonce,
            at=_minute(now),
            attempt=self.attempt if attempt is None else attempt,
            lifetime_s=self.lifetime_s if lifetime_s is None else lifetime_s,
        )


def new(*, run: str, nonce: str, pod: str, lifetime_s: int, now: dt.datetime, routed: bool = False) -> ClaimToken:
    """The token of a run's first try."""
    return ClaimToken(run=run, nonce=nonce, pod=pod, attempt=1, lifetime_s=lifetime_s, at=_minute(now), routed=routed)


def parse(text: str) -> ClaimToken | None:
    """The token that a text is; None for any other text, such as what a person typed into the field."""
    parts = _parts(text)
    return None if parts is None else ClaimToken(**dict(zip(ClaimToken.__struct_fields__, parts, strict=True)))


def key(work_package: int, text: str) -> Key | None:
    """The claim that a work package shows in its run field; None where that is no token."""
    token = parse(text)
    return None if token is None else (work_package, *token.key)


def _parts(text: str) -> tuple[Any, ...] | None:
    """The fields of a token's text, in the order of the struct."""
    found = _TOKEN.match(text)
    if found is None:
        return None
    run, nonce, pod, attempt, lifetime, at, routed = found.groups()
    lifetime_s = parse_duration(lifetime)
    try:
        moment = dt.datetime.fromisoformat(at)
    except ValueError:
        return None
    return None if lifetime_s is None else (run, nonce, pod, int(attempt), lifetime_s, moment, routed is not None)


def _minute(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(second=0, microsecond=0)
