"""Where work is that did not come to its branch, as it is told to people. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from agent.texts.outlet import code, line, link


class Where(Struct, frozen=True, kw_only=True):
    """Where the work of a run is that did not come to its branch.

    Attributes:
        place: a branch, a ref or a file; empty where there is none.
        url: where people look at it.
        fetch: the ref that it is at, if that is no branch.
        host: the pod on whose host it is, if it is on no remote.
        refusal: why the remote did not take it, if it was asked.
        commit: its id.
    """

    place: str = ""
    url: str = ""
    fetch: str = ""
    host: str = ""
    refusal: str = ""
    commit: str = ""

    @property
    def link(self) -> str:
        """As it stands in a sentence."""
        return link(self.place, self.url)

    @property
    def how(self) -> str:
        """How people get it from where it is at no branch; empty for one."""
        if self.fetch:
            return f"To have it: {code(f'git fetch origin {self.fetch}')}"
        why = line(self.refusal, 500) or "the remote takes no ref that starts no CI."
        return f"That is a file on the host of pod {code(self.host)}: {why}" if self.host else ""


NOWHERE: Final = Where()
