"""What `agent release` says of each claim."""

from __future__ import annotations

from agent.operate.release import Released
from agent.operate.screen import released


def test_each_claim_gets_its_sentence() -> None:
    one = {"ticket": 42, "subject": "Fix the price", "pod": "pod-b", "run": "r"}
    assert released(
        [
            Released(**one, done=True),  # type: ignore[arg-type]
            Released(**one, done=True, ready=False),  # type: ignore[arg-type]
            Released(**one, done=False),  # type: ignore[arg-type]
        ]
    ) == [
        "#42 Fix the price: given back, ready for any pod.",
        "#42 Fix the price: given back; its status stays as it is.",
        "#42 Fix the price: the claim changed hands meanwhile; look again.",
    ]
    assert released([]) == []


def test_a_long_subject_is_cut_so_that_its_sentence_fits() -> None:
    (line,) = released([Released(ticket=42, subject="long " * 40, pod="pod-b", run="r", done=False)], 80)
    assert line.endswith("…: the claim changed hands meanwhile; look again.")
    assert len(line) == 80
