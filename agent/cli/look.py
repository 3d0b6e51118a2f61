"""`agent explain`, `status`, `doctor` and `release`: what operators look at, and the one thing they do by hand."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
