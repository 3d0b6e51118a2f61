"""Why: the choice that this pod would make now, and what keeps it from everything else."""

from __future__ import annotations

from typing import Final

from agent.choose import Rung

RUNGS: Final = {
    Rung.FINISH: "finish my work in progress",
    Rung.CONTINUE_EPIC: "continue my Epic",
    Rung.RELEASE_EPIC: "release my stale Epic",
    Rung.BUG: "a bug",
    Rung.EPIC_TASK: "a task in an Epic",
    Rung.STANDALONE: "standalone work",
    Rung.NOTHING: "nothing",
}
"""The ladder in words."""
