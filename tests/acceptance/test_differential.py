"""A sample of `make proof`'s pairs: a ticket after a hostile one meets what it would have met without it."""

from pathlib import Path

import pytest

from support.needs import needs
from support.twins import DEEDS, Hostile, differences

pytestmark = [
    pytest.mark.nix,
    needs("nix", "bwrap"),
]


def test_a_ticket_meets_nothing_of_a_hostile_one_before_it(tmp_path: Path) -> None:
    """In one Epic, where the first failed: all that it could leave, but for what makes git slow."""
    deeds = (DEEDS[name] for name in ("home and temporary files", "worktree", "shell"))
    assert differences(tmp_path, Hostile("".join(deeds), verdict="stuck", relation="epic")) == {}
