import pytest

from agent.model import Activity
from agent.texts import report
from agent.texts.trail import (
    comments_for_run,
    human_comments,
    is_automatic_note,
    last_human_comment,
    markers,
    releases_since_person,
)

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"
OLD = "00000000-0000-4000-8000-000000000000"
POD, ANN, FLEET = 7, 3, {7, 8}


def trail(*entries: tuple[int, str]) -> list[Activity]:
    return [Activity(id=number, user=user, text=text) for number, (user, text) in enumerate(entries, 1)]


def test_person_speaks_in_comments_without_marker_that_no_fleet_user_wrote() -> None:
    acts = trail(
        (ANN, "Please use tabs"),
        (POD, report.claimed(RUN, pod="a")),
        (POD, "a fleet user's hand-written note"),
        (ANN, ""),
        (ANN, " \n"),
        (ANN, report.claimed(RUN, pod="a")),
        (ANN, f"it wrote\n{report.claimed(RUN, pod='a')}\nbut why?"),
        (ANN, "_Updated automatically by changing values within child work package #77_"),
    )
    assert [a.id for a in human_comments(acts, FLEET)] == [1, 7]
    assert [a.id for a in human_comments(acts, FLEET, after=1)] == [7]
    last = last_human_comment(acts, FLEET)
    assert last is not None
    assert last.id == 7
    assert last_human_comment([], FLEET) is None


@pytest.mark.parametrize(
    ("text", "automatic"),
    [
        ("_Updated automatically by changing values within child work package #77_", True),
        ("_Automatisch durch die Änderungen in Unteraufgabe #77 aktualisiert_\n", True),
        ("_子ワークパッケージ #77 の値の変更により自動更新_", True),
        ("_very important_", False),
        ("_see #77 and #78_", False),
        ("_see #77_ please", False),
        ("_a_\n#77 _b_", False),
        ("#77", False),
    ],
)
def test_automatic_note_is_told_by_its_shape_in_any_language(text: str, automatic: bool) -> None:
    assert is_automatic_note(text) is automatic


def test_step_is_done_only_when_the_fleet_itself_says_so_for_this_run() -> None:
    acts = trail(
        (POD, report.failed(OLD, reason="x")),
        (POD, report.failed(RUN, reason="x")),
        (8, report.failed(RUN, reason="again")),
        (ANN, report.pushed(RUN, branch="b", commit="abc")),
    )
    assert [mark.run for _, mark in markers(acts, FLEET)] == [OLD, RUN, RUN]


def test_next_run_reads_what_was_said_while_and_after_the_last_one_worked() -> None:
    acts = trail(
        (ANN, "long ago"),
        (POD, report.claimed(OLD, pod="a")),
        (ANN, "while it worked"),
        (POD, report.failed(OLD, reason="x")),
        (ANN, "afterwards"),
        (POD, report.claimed(RUN, pod="a")),
        (ANN, "just now"),
    )
    assert [a.id for a in comments_for_run(acts, FLEET, run=RUN)] == [3, 5, 7]
    assert [a.id for a in comments_for_run(acts[:1], FLEET, run=RUN)] == [1], "the first run reads all"


def test_releases_for_pod_trouble_count_from_the_last_word_of_a_person() -> None:
    back = (POD, report.given_back(RUN, pod="a", reason="429"))
    assert releases_since_person(trail(back, back, (ANN, "try again"), back), FLEET) == 1
    assert releases_since_person(trail(back, back), FLEET) == 2
    assert releases_since_person([], FLEET) == 0


def test_a_change_and_its_undoing_is_nothing_that_a_person_said() -> None:
    assert is_automatic_note("_The changes were retracted._")
