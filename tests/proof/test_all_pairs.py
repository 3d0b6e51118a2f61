"""Ticket B after a hostile A, and B without it: twenty pairs on the real pod, byte for byte the same."""

from pathlib import Path

import pytest

from support.needs import needs
from support.twins import DEEDS, RELATIONS, differences, hostile

pytestmark = [
    pytest.mark.nix,
    needs("nix", "bwrap"),
]


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_ticket_meets_nothing_of_a_hostile_one_before_it(tmp_path: Path, deed: str, relation: str) -> None:
    assert differences(tmp_path, hostile(deed, relation)) == {}
