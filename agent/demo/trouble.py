"""What keeps the demo from playing."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class NotHere(DemoError):
    """Something that the demo needs is not on this host; nothing has been started."""
