"""One file of a commit, as text: for what a repository says to the fleet."""

from __future__ import annotations

from typing import Final

from agent.errors import TicketFailure
from agent.git.mirror import Mirror

LONGEST: Final = 1 << 20
"""Bytes of a file that is read."""
_LINK: Final = "120000"


async def text_at(mirror: Mirror, commit: str, name: str) -> str | None:
    """The file's text; None if there is no such file.

    Raises:
        TicketFailure: it is a link, which would lead anywhere, or longer than anybody writes one.
    """
    listed = (await mirror.local("ls-tree", "-l", commit, "--", name)).stdout
    entry = listed.partition(b"\t")[0].decode("ascii").split()
    if entry[1:2] != ["blob"]:
        return None
    mode, _, blob, size = entry
    if mode == _LINK:
        raise TicketFailure(f"`{name}` is a symbolic link, which is not followed: put the file itself in its place")
    if int(size) > LONGEST:
        raise TicketFailure(f"`{name}` is longer than {LONGEST >> 20} MiB")
    return (await mirror.local("cat-file", "blob", blob)).stdout.decode("utf-8", "replace")
