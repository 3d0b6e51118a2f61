from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.page.markdown import ALLOWED, weight
from agent.page.timeline import RENDERED, Journal, entries
from agent.texts import report
from agent.texts.where import Where
from support.page_html import check, hostile

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"
AGENT, HUMAN = 12, 13
FLEET = {AGENT}


def journal(number: int, notes: str = "", *changes: str, user: int = AGENT, first: bool = False) -> Journal:
    name = "Coding Agent" if user == AGENT else "Hanna Human"
    at = f"2026-11-24T08:00:{number:02}.000Z"
    return Journal(id=number, at=at, user=user, name=name, notes=notes, changes=changes, first=first)


def only(one: Journal) -> dict[str, Any]:
    [found] = entries([one], FLEET)
    return found


def test_a_claim_that_was_merged_with_its_change_shows_both() -> None:
    found = only(journal(1, report.claimed(RUN, pod="pod-a"), "Status changed from New to In progress"))
    assert found == {
        "id": 1,
        "at": "2026-11-24T08:00:01.000Z",
        "user": {"id": AGENT, "name": "Coding Agent", "fleet": True},
        "kind": "event",
        "event": "claimed",
        "run": RUN,
        "title": f"Claimed by pod pod-a — session {RUN}",
        "html": "",
        "changes": ["Status changed from New to In progress"],
        "commits": [],
        "branch": None,
        "branch_url": None,
        "tokens": None,
        "cost_usd": None,
        "duration": None,
        "pod": "pod-a",
        "spike": None,
    }


def test_a_completion_shows_tokens_cost_and_duration_and_the_summary_below() -> None:
    notes = report.completed(
        RUN, input_tokens=2400, output_tokens=800, cost_usd=0.42, duration_s=720, summary="**Done** <b>", verified=["make"]
    )  # fmt: skip
    found = only(journal(1, notes))
    assert (found["tokens"], found["cost_usd"], found["duration"]) == ({"input": 2400, "output": 800}, 0.42, "12 min")
    assert "<blockquote>\n<p><strong>Done</strong> &lt;b&gt;</p>\n</blockquote>" in found["html"]
    assert "Verified with <code>make</code>" in found["html"]
    assert "agent run" not in found["html"]


def test_a_push_shows_branch_and_commit_as_links() -> None:
    notes = report.pushed(RUN, branch="agent/1-x", commit="a3f9c12", branch_url="https://g/b", commit_url="https://g/c")
    found = only(journal(1, notes))
    assert found["commits"] == [{"hash": "a3f9c12", "url": "https://g/c"}]
    assert (found["branch"], found["branch_url"]) == ("agent/1-x", "https://g/b")


def test_an_address_that_is_none_of_the_web_is_no_link() -> None:
    notes = report.pushed(RUN, branch="b", commit="a3f9c12", branch_url="data:x", commit_url="javascript:alert(1)")
    found = only(journal(1, notes))
    assert found["commits"] == [{"hash": "a3f9c12", "url": None}]
    assert found["branch_url"] is None


def test_what_a_run_says_is_said_by_the_pod_that_claimed_it_unless_another_ended_the_claim() -> None:
    found = entries(
        [
            journal(1, report.claimed(RUN, pod="pod-a")),
            journal(2, report.pushed(RUN, branch="b", commit="a3f9c12")),
            journal(3, report.expired(RUN, pod="pod-a", silent_s=9)),
        ],
        FLEET,
    )
    assert [one["pod"] for one in found] == ["pod-a", "pod-a", None]


def test_a_persons_copy_of_a_marker_is_a_comment_like_any_other() -> None:
    found = only(journal(1, report.completed(RUN, input_tokens=1, output_tokens=1), user=HUMAN))
    assert (found["kind"], found["event"], found["run"], found["tokens"]) == ("comment", None, None, None)
    assert found["html"].startswith("<p>Execution complete")
    assert "agent run" not in found["html"]
    assert found["user"] == {"id": HUMAN, "name": "Hanna Human", "fleet": False}


def test_the_creation_is_told_without_all_that_it_began_with() -> None:
    found = only(journal(1, "", "Type set to Task", user=HUMAN, first=True))
    assert (found["kind"], found["changes"], found["html"]) == ("created", [], "")


def test_a_comment_that_was_merged_into_the_creation_is_shown() -> None:
    assert only(journal(1, "words", user=HUMAN, first=True))["html"] == "<p>words</p>\n"


def test_a_comment_that_was_merged_with_changes_shows_both() -> None:
    found = only(journal(1, "see #7", "Priority changed from Normal to High", user=HUMAN))
    assert (found["kind"], found["changes"]) == ("comment", ["Priority changed from Normal to High"])
    assert found["html"] == '<p>see <a href="#wp=7">#7</a></p>\n'


def test_changes_alone_are_a_change() -> None:
    assert only(journal(1, "", "Status changed from New to Closed", user=HUMAN))["kind"] == "change"


def test_a_note_that_the_board_wrote_is_no_comment_of_whoever_caused_it() -> None:
    note = "_Updated automatically by changing values within child work package #77_\n"
    found = only(journal(1, note, "Total work set to 1h", user=HUMAN))
    assert found["kind"] == "change"
    assert 'href="#wp=77"' in found["html"]


def test_what_was_changed_and_changed_back_is_told() -> None:
    assert only(journal(1, user=HUMAN))["html"] == "<p><em>The changes were retracted.</em></p>\n"


def test_the_oldest_comments_are_the_ones_that_are_shown_as_they_were_written_when_it_gets_too_much() -> None:
    found = entries([journal(n, "**a** " * 1000, user=HUMAN) for n in range(20)], FLEET)
    rendered = [one["html"].startswith("<p><strong>a</strong>") for one in found]
    assert rendered == sorted(rendered)
    assert rendered.count(True) == RENDERED // weight("**a** " * 1000)
    assert found[0]["html"].startswith("<pre>**a** ")


@given(st.lists(st.tuples(st.sampled_from([AGENT, HUMAN]), hostile, st.booleans()), max_size=4))
def test_no_comment_brings_a_tag_that_is_not_allowed(said: list[tuple[int, str, bool]]) -> None:
    found = entries(
        [
            journal(
                n, report.failed(RUN, reason=text, evidence=text, where=Where(place="b")) if ours else text, user=user
            )
            for n, (user, text, ours) in enumerate(said)
        ],
        FLEET,
    )
    for one in found:
        assert {tag for tag, _ in check(one["html"]).tags} <= ALLOWED.keys()
