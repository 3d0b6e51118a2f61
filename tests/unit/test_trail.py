import pytest
from msgspec.structs import replace

from agent.model import Activity, Change
from agent.texts import report
from agent.texts.trail import (
    closing,
    comments_for_run,
    human_comments,
    is_automatic_note,
    is_boards_own,
    last_verdict,
    lines_said,
    markers,
    push_of,
    releases_since_person,
    spike_of,
    taken_by,
    unclear,
    writers,
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
        (ANN, "_Take the approach of #12, and make it green_"),
        (ANN, "_The changes were retracted._"),
    )
    hours = Change("Total work set to 4h", ("4h",))
    note = "_Updated automatically by changing values within child work package #77_"
    acts += [
        replace(acts[0], id=10, text=f"{note}\n", changes=(hours,)),
        replace(acts[0], id=11, text=note, changes=(hours,)),
    ]
    assert [a.id for a in human_comments(acts, FLEET)] == [1, 7, 8, 11]
    assert [a.id for a in human_comments(acts, FLEET, after=1)] == [7, 8, 11]
    assert [a.id for a in unclear(acts, FLEET)] == [3, 6], "told to nobody, and not the fleet's own"


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
        (POD, report.completed(OLD)),
        (ANN, "afterwards"),
        (POD, report.claimed(RUN, pod="a")),
        (ANN, "just now"),
    )
    assert [a.id for a in comments_for_run(acts, FLEET, run=RUN)] == [3, 5, 7]
    assert [a.id for a in comments_for_run(acts[:1], FLEET, run=RUN)] == [1], "the first run reads all"


@pytest.mark.parametrize(
    "end",
    [
        report.failed(OLD, reason="its check"),
        report.stopped(OLD),
        report.given_back(OLD, pod="a", reason="529"),
        report.released(OLD, pod="a"),
        report.expired(OLD, pod="a", silent_s=1.0),
    ],
)
def test_what_a_run_took_with_it_that_left_no_work_is_read_by_the_next(end: str) -> None:
    acts = trail((ANN, "Make it green"), (POD, report.claimed(OLD, pod="a")), (POD, end))
    assert [a.id for a in comments_for_run(acts, FLEET, run=RUN)] == [1]


def test_what_was_said_before_a_run_was_taken_over_is_told_again() -> None:
    """T13: a pod died right after its push; who took over read nothing, reported, and counted as the run that had read it."""
    acts = trail(
        (POD, report.claimed(OLD, pod="a")),
        (ANN, "And make it green"),
        (POD, report.taken_over(OLD, pod="b", attempt=2, tries=3)),
        (POD, report.completed(OLD)),
    )
    assert [a.text for a in comments_for_run(acts, FLEET, run=RUN)] == ["And make it green"]


def test_what_was_said_between_a_question_and_the_push_that_answers_it_no_model_has_read() -> None:
    """T13: a run that takes kept work asks no model, and what people had said before its claim counted as read."""
    third = "11111111-1111-4111-8111-111111111111"
    summary = report.let_through_by("0123456789abcdef", spike=5)
    acts = trail(
        (ANN, "Read by the first model"),
        (POD, report.claimed(OLD, pod="a")),
        (POD, report.failed(OLD, reason="it changes CI")),
        (POD, report.spike_created(OLD, spike=5)),
        (ANN, "Make it green"),
        (POD, report.claimed(third, pod="a")),
        (POD, report.completed(third, summary=summary)),
        (POD, report.pushed(third, commit="0" * 40, branch="agent/1-x")),
        (ANN, "And blue"),
    )
    assert [a.text for a in comments_for_run(acts, FLEET, run=RUN)] == ["Make it green", "And blue"]


def test_the_last_verdict_is_of_the_run_that_was_done_or_failed_last_whoever_claimed_since() -> None:
    third = "11111111-1111-4111-8111-111111111111"
    acts = trail(
        (POD, report.failed(OLD, reason="x")),
        (POD, report.spike_created(OLD, spike=5)),
        (POD, report.claimed(third, pod="a")),
        (POD, report.stopped(third)),
        (ANN, report.failed(third, reason="a copy")),
    )
    assert last_verdict(acts, FLEET, run=RUN) == OLD
    assert last_verdict([*acts, *trail((POD, report.completed(third)))], FLEET, run=RUN) == third
    assert last_verdict(acts, FLEET, run=OLD) == last_verdict([], FLEET, run=RUN) == ""


def test_releases_for_pod_trouble_count_from_the_last_word_that_counts() -> None:
    back = (POD, report.given_back(RUN, pod="a", reason="429"))
    counts = {ANN}.__contains__
    assert releases_since_person(trail(back, back, (ANN, "try again"), back), FLEET, counts) == 1
    assert releases_since_person(trail(back, back, (5, "a stranger's word"), back), FLEET, counts) == 3
    assert releases_since_person(trail(back, back), FLEET, counts) == 2
    assert releases_since_person([], FLEET, counts) == 0


def test_one_closed_status_for_another_is_a_closing_only_by_whom_it_counts() -> None:
    """T13: a mirror that normalises statuses undid a person's answer: the Spike was opened again, each time."""
    end = changed(ANN, Change("", ("New", "Closed")))
    later = changed(9, Change("", ("Closed", "Rejected")))
    names, closed = {"New", "Closed", "Rejected"}, {"Closed", "Rejected"}
    assert closing([changed(POD), end, later], names, closed, {ANN}.__contains__) is end
    assert closing([changed(POD), end, later], names, closed, {9}.__contains__) is later
    assert closing([changed(POD), later], names, closed, {ANN}.__contains__) is None


def test_what_the_board_closes_with_its_duplicate_it_closed_by_itself() -> None:
    """T13: an integration made a Spike the duplicate of a ticket of its own, and closed that: the Spike was answered."""
    status = Change("Status changed from New to Closed", ("New", "Closed"))
    why = "Duplicate work package updated: The status was automatically updated by the duplicated work package #187"
    text = Change("Description set (/journals/9/diff/description)")
    assert is_boards_own(changed(65, Change(why), status))
    for one in (changed(3, status), changed(3, text, status), changed(3, status, Change(why)), changed(3)):
        assert not is_boards_own(one)


def changed(user: int, *changes: Change) -> Activity:
    return Activity(id=0, text="", user=user, changes=changes)


def journal(*entries: Activity) -> list[Activity]:
    return [replace(one, id=number) for number, one in enumerate(entries, 1)]


def closed(user: int, words: str = "Status changed from New to Closed") -> Activity:
    return changed(user, Change(words, ("New", "Closed")))


MADE = changed(POD, Change("Status set to New", ("New",)), Change("Subject set to S", ("S",)))
STATUSES, CLOSED = {"New", "In progress", "Closed", "Rejected"}, {"Closed", "Rejected"}


@pytest.mark.parametrize(
    ("entries", "who"),
    [
        ((MADE, closed(ANN)), ANN),
        ((MADE, closed(ANN, "Status geändert von New zu Closed")), ANN),
        ((MADE, closed(ANN), changed(POD, Change("", ("Closed", "New"))), closed(5)), 5),
        ((MADE, closed(5), changed(ANN, Change("Subject changed from S to Closed", ("S", "Closed")))), 5),
        ((MADE, closed(5), changed(ANN, Change("Priority changed from Low to High", ("Low", "High")))), 5),
        ((MADE, changed(ANN, Change("Status changed from New to Rejected", ("New", "Rejected")))), ANN),
        ((changed(5, Change("Status set to Closed", ("Closed",))),), 5),
        ((MADE, closed(5), changed(ANN, Change("File Closed removed", ("Closed",)))), 5),
        ((MADE, closed(5), changed(ANN, Change("Version set to Closed", ("Closed",)))), 5),
        ((MADE,), None),
        ((), None),
    ],
)
def test_who_closed_a_work_package_is_told_by_the_statuses_alone_in_any_language(
    entries: tuple[Activity, ...], who: int | None
) -> None:
    end = closing(journal(*entries), STATUSES, CLOSED, lambda _: True)
    assert (None if end is None else end.user) == who


def test_the_last_hand_on_a_text_is_its_writer_and_before_that_who_made_it() -> None:
    described = Change("Beschreibung geändert (/journals/9/diff/description)")
    renamed = Change("Subject changed from S to T", ("S", "T"))
    assert writers(journal(MADE), "S") == {POD}
    assert writers([], "S") == frozenset()
    assert writers(journal(MADE, changed(5, described)), "S") == {POD, 5}
    assert writers(journal(MADE, changed(5, described), changed(ANN, described)), "S") == {POD, ANN}
    looks_so = Change("Agent pod deleted (/diff/description)", ("/diff/description",))
    assert writers(journal(MADE, changed(5, described), changed(ANN, looks_so)), "S") == {POD, 5}
    emptied = Change("Agent pod deleted (T)", ("T",))
    assert writers(journal(MADE, changed(5, renamed), changed(ANN, emptied)), "T") == {POD, 5}
    assert writers(journal(MADE, changed(ANN, described), changed(5, renamed)), "T") == {ANN, 5}
    assert writers(journal(MADE, changed(5, renamed), changed(ANN, Change("", ("T", "S")))), "S") == {POD, ANN}


def test_who_took_a_spike_away_and_which_one_it_was_is_told_by_its_journal_and_the_fleets_own_comment() -> None:
    gone, moved = Change("", ("T",), is_gone=True), Change("", ("T", "Another"))
    assert taken_by(journal(MADE), "T", {"Spike"}) == frozenset()
    assert taken_by(journal(MADE, changed(ANN, gone), changed(5, Change("", ("Another", "T")))), "T", {"Spike"}) == {
        ANN
    }
    assert taken_by(journal(MADE, changed(ANN, gone), changed(5, moved)), "T", {"Spike"}) == {5}
    assert taken_by(journal(MADE, changed(5, Change("", ("Spike", "Task")))), "T", {"Spike"}) == {5}
    acts = trail((POD, report.spike_created(OLD, spike=5)), (ANN, report.spike_created(RUN, spike=6)))
    assert (spike_of(acts, FLEET, OLD), spike_of(acts, FLEET, RUN)) == (5, None)


def test_lines_of_the_fleets_own_comments_are_found_whatever_the_run_and_a_copy_of_one_is_not() -> None:
    line = "not read: user 5 may not be assigned here"
    acts = trail((POD, report.not_read(OLD, lines=[line])), (ANN, report.not_read(OLD, lines=["not read: user 6 …"])))
    assert line in lines_said(acts, FLEET, "not_read")
    assert "not read: user 6 …" not in lines_said(acts, FLEET, "not_read")
    assert lines_said(acts, FLEET, "claimed") == frozenset()


def test_a_change_and_its_undoing_is_nothing_that_a_person_said() -> None:
    assert is_automatic_note("_The changes were retracted._")


WORD = f"push {'ab' * 8}"


@pytest.mark.parametrize(
    "text",
    [
        f"I have read it.\n\n{WORD}\n",
        f"I have read `ci.yml`.\r\n{WORD}\r\nThanks",
        f"push {'cd' * 8}\r\n{WORD}",
        f"~~~\npush {'cd' * 8}\n~~~\n{WORD}",
        f"## Yes\n\n> is it right?\n\n   push\u00a0{'ab' * 8}  \n- done",
    ],
)
def test_a_word_that_lets_through_stands_alone_in_a_line_as_the_board_shows_it(text: str) -> None:
    assert push_of(text) == "ab" * 8


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"not: {WORD}",
            f"{WORD} not",
            f"push {'AB' * 8}",
            "push abc",
            f"`{WORD}`",
            f"**{WORD}**",
            f"# {WORD}",
            f"{WORD}\n===",
        ),
        *(
            f"    {WORD}",
            f"```\n{WORD}\n```\nbut no.",
            f"````\n```\n{WORD}\n```\n````",
            f"```\n~~~\n{WORD}\n~~~\n```",
            f"```\n\n{WORD}",
        ),
        *(f"> {WORD}", f"> Somebody wrote:\n{WORD}", f"> 1. old:\n> \n> {WORD}", f"- no:\n  {WORD}", f"- no:\n{WORD}"),
        *(
            f"<!--\n{WORD}\n-->",
            f"a <!--\n{WORD}\n-->",
            f"<!-- x\n\n{WORD}",
            f"<pre>\n{WORD}\n</pre>",
            f"<details>\n\n{WORD}\n\n</details>",
        ),
        *(f"<s>\n{WORD}\n</s>", f"~~\n{WORD}\n~~", f"`a\n{WORD}\nb`", f"*a\n{WORD}\nb*", f"| a |\n|---|\n{WORD}"),
        *(f"[a\n{WORD}\nb](x)", f"![a\n{WORD}\nb](x)", f"[x]: y '\n{WORD}\n'", f"{WORD}\u200b"),
        *(f"never {odd}{WORD}{odd} here" for odd in "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"),
    ],
)
def test_what_the_board_shows_as_a_quotation_as_code_or_not_at_all_lets_nothing_through(text: str) -> None:
    """T12: text that a person had pasted from elsewhere let a change of CI through."""
    assert push_of(text) == ""


def test_a_word_that_lets_through_is_looked_for_where_people_write_it_and_no_further() -> None:
    word = "push 0123456789abcdef"
    assert push_of("\n" * 1000 + word) == word[5:]
    assert not push_of("\n" * 1_000_000 + word)
