"""Evidence that work is on the remote: commits with our trailers."""

from __future__ import annotations

from typing import Final

from agent.git.mirror import Mirror
from agent.git.refs import REMOTE

RUN_TRAILER: Final = "Agent-Run"
"""The trailer that proves a run's commit; its value is the run id, which survives a take-over."""
TICKET_TRAILER: Final = "Work-Package"
"""The trailer that names the ticket, as `#42`."""
SEEN_TRAILER: Final = "Agent-Seen"
"""The trailer with the hash by which a person let a guarded change through (`agent.git.guarded`), and the run that asked."""
KEPT_TRAILER: Final = "Agent-Kept"
"""The trailer of a commit that is kept for people: at the branch it can only be by a person's push."""
STARTER_TRAILER: Final = "Agent-Starter"
"""The trailer of a commit that a run made before its work: it proves nothing."""


async def commit_with(mirror: Mirror, key: str, value: str, branch: str) -> str | None:
    """The newest fetched commit on `branch`, or on the base, whose trailer `key` is exactly `value`.

    The part beyond the base is asked first; the whole history only when it has none (the branch may be merged).
    """
    base = REMOTE + mirror.base if await mirror.tip(mirror.base) else ""
    tip = REMOTE + branch if await mirror.tip(branch) else ""
    ranges = [[tip, *([f"^{base}"] if base else [])]] if tip else []
    ranges.append([ref for ref in (tip, base) if ref])
    for span in ranges:
        if span and (found := await _search(mirror, key, value, span)):
            return found
    return None


async def _search(mirror: Mirror, key: str, value: str, span: list[str]) -> str | None:
    shown = "%x00".join(f"%(trailers:key={one},valueonly,unfold)" for one in (key, STARTER_TRAILER))
    done = await mirror.local(
        "log", "--fixed-strings", f"--grep={key}: {value}", f"--format=%H%x00{shown}%x01", *span, "--"
    )
    for entry in done.stdout.decode("utf-8", "replace").split("\x01"):
        sha, values, starter = (*entry.split("\0"), "", "")[:3]
        if value in (line.strip() for line in values.splitlines()) and not starter.strip():
            return sha.strip()
    return None
