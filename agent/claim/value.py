"""A claim, pure: the token, what was recorded of it, and what watch and fence compare the board with."""

from __future__ import annotations

from msgspec import Struct

from agent.model import WorkPackage
from agent.state import Reading, RecordedClaim, State
from agent.texts import claim_token
from agent.texts.claim_token import ClaimToken, Key


class Claim(Struct, frozen=True, kw_only=True):
    """One claim of one work package.

    Attributes:
        token: as the board shows it, or is to show it.
        record: as it was recorded when it was made.
    """

    token: ClaimToken
    record: RecordedClaim

    @classmethod
    def recorded(cls, record: RecordedClaim) -> Claim | None:
        """The claim of a record; None if a newer version wrote what this one cannot read."""
        token = record.parsed()
        return None if token is None else cls(token=token, record=record)

    @classmethod
    def mine(cls, state: State, item: WorkPackage) -> Claim | None:
        """This pod's claim that a work package shows; None where it shows none of ours."""
        record, shown = state.recorded(item.id, item.run), claim_token.parse(item.run)
        return None if record is None or shown is None else cls(token=shown, record=record)

    @classmethod
    def shown(cls, item: WorkPackage) -> Claim | None:
        """Whosever claim a work package shows; its age is not known. None where it shows none."""
        token = claim_token.parse(item.run)
        if token is None:
            return None
        record = RecordedClaim(
            ticket=item.id,
            token=item.run,
            born=Reading(0.0, ""),
            pod=token.pod,
            project=item.project,
            type=item.type,
        )
        return cls(token=token, record=record)

    @property
    def ticket(self) -> int:
        """The claimed work package, which may be an Epic."""
        return self.record.ticket

    @property
    def epic(self) -> int | None:
        """The Epic above it, at the claim."""
        return self.record.epic

    @property
    def project(self) -> int:
        """Where it was at the claim."""
        return self.record.project

    @property
    def type(self) -> int:
        """What it was at the claim."""
        return self.record.type

    @property
    def owner(self) -> int:
        """Who owns the branch: the Epic, else the ticket."""
        return self.epic or self.ticket

    @property
    def key(self) -> Key:
        """What every comparison compares: work package, run id and nonce."""
        return (self.ticket, *self.token.key)

    def is_on(self, item: WorkPackage) -> bool:
        """Whether the work package carries this very claim, whatever else the text says."""
        return claim_token.key(item.id, item.run) == self.key
