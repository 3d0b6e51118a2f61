from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.texts import report
from agent.texts.clean import visible
from agent.texts.markup import spoken
from agent.texts.outlet import link
from agent.texts.report import Event, Spent, marker
from agent.texts.told import LONGEST_TITLE, Told, read
from agent.texts.where import Where

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"

words = st.text(max_size=60) | st.sampled_from(
    [
        "`", "``a`` b`", " x ", "a]( b", "[`a`](http://x)", "\n\nThe work so far is in `forged`.", "```\n\nCost: 9.00 USD · x",
        f"x\n{marker(RUN, 'failed')}", ", 7 input tokens / 8 output tokens", " (try 7 of 9)", "Pod `forged` let go", "\n\nSpent: 7 input tokens / 8 output tokens, 9.00 USD", "\u2028", "\x85\r\n",
    ]
)  # fmt: skip
digits = st.text("0123456789abcdef", min_size=7, max_size=40)
addresses = st.just("") | st.text(min_size=1, max_size=40).map(lambda path: f"https://git.example.org/{path}")
names = st.text(min_size=1, max_size=40) | st.sampled_from(["main", "release/v2.1", "`", "a`b``c", " ` "])
numbers = st.integers(0, 10**12)
costs = st.builds(Spent, numbers, numbers, st.integers(0, 10**9).map(lambda cents: cents / 100))


def shown(name: str) -> str:
    """A name as a code span can hold it."""
    return " ".join(visible(name).split())


def address(url: str) -> str:
    """An address as a link can hold it."""
    return link("x", url)[len("[`x`](") : -1] if url else ""


def told(raw: str) -> Told:
    found = read(raw)
    assert found is not None
    return found


@given(
    words,
    st.none() | st.tuples(numbers, numbers),
    st.none() | st.floats(0, 10**9),
    st.none() | st.floats(0, 10**8),
    st.lists(words, max_size=3),
)
def test_what_a_completion_says_reads_back(
    summary: str, tokens: tuple[int, int] | None, cost: float | None, duration: float | None, verified: list[str]
) -> None:
    counted: dict[str, Any] = {} if tokens is None else {"input_tokens": tokens[0], "output_tokens": tokens[1]}
    raw = report.completed(RUN, summary=summary, cost_usd=cost, duration_s=duration, verified=verified, **counted)
    found = told(raw)
    assert (found.run, found.event) == (RUN, Event.COMPLETED)
    assert (found.input_tokens, found.output_tokens) == (tokens or (None, None))
    assert found.cost_usd == (None if cost is None else float(f"{cost:.2f}"))
    assert found.duration == ("" if duration is None else spoken(duration))
    assert found.body.endswith(report.verification(verified))
    assert found.title.startswith(f"Execution complete — session {RUN}")


@given(names, digits, addresses, addresses, st.sampled_from([report.pushed, report.already_done]))
def test_branch_and_commit_read_back(
    branch: str, commit: str, branch_url: str, commit_url: str, say: Callable[..., str]
) -> None:
    found = told(say(RUN, branch=branch, commit=commit, branch_url=branch_url, commit_url=commit_url))
    assert (found.branch, found.branch_url) == (shown(branch), address(branch_url))
    assert (found.commit, found.commit_url) == (commit[:7], address(commit_url))
    assert found.body == ""


@given(digits, addresses, st.sampled_from([report.starter_added, report.text_changed]))
def test_a_commit_alone_reads_back(commit: str, url: str, say: Callable[..., str]) -> None:
    found = told(say(RUN, commit=commit, commit_url=url))
    assert (found.commit, found.commit_url, found.branch) == (commit[:7], address(url), "")


@given(words, words, st.just("") | names, addresses, st.none() | costs)
def test_where_the_work_of_a_failure_is_and_what_it_cost_read_back_whatever_reason_and_evidence_say(
    reason: str, evidence: str, branch: str, url: str, spent: Spent | None
) -> None:
    found = told(report.failed(RUN, reason=reason, evidence=evidence, spent=spent, where=Where(place=branch, url=url)))
    counted = (spent.input_tokens, spent.output_tokens, spent.usd) if spent else (None, None, None)
    assert (found.input_tokens, found.output_tokens, found.cost_usd) == counted
    assert "Spent: " not in found.body or "Spent: " in evidence
    assert (found.event, found.branch) == (Event.FAILED, shown(branch))
    assert found.branch_url == (address(url) if branch else "")
    assert not found.body.rpartition("\n\n")[2].startswith("The work so far is in")
    assert found.title.startswith("Execution failed:")


@given(st.just("") | names, addresses, words)
def test_what_was_kept_reads_back_whatever_was_changed(kept: str, url: str, change: str) -> None:
    found = told(report.stopped(RUN, where=Where(place=kept, url=url), change=change))
    assert (found.branch, found.branch_url) == (shown(kept), address(url) if kept else "")


@given(names, words, st.integers(1, 99), st.integers(1, 99), st.floats(0, 10**8))
def test_pods_tries_and_spikes_read_back(pod: str, reason: str, attempt: int, tries: int, silent: float) -> None:
    about_a_pod = [
        report.claimed(RUN, pod=pod),
        report.taken_over(RUN, pod=pod, attempt=attempt, tries=tries),
        report.epic_taken(RUN, pod=pod),
        report.expired(RUN, pod=pod, silent_s=silent),
        report.released(RUN, pod=pod),
        report.given_back(RUN, pod=pod, reason=reason),
        report.given_back(RUN, pod=pod, reason=reason, where=Where(place="agent/kept/42-7f9c")),
        report.refused_report(RUN, refused=reason, pod=pod),
        report.refused_report(RUN, refused=reason, pod=pod, where=Where(place="agent/kept/42-7f9c")),
    ]
    assert {told(raw).pod for raw in about_a_pod} == {shown(pod)}
    interrupted = told(report.interrupted(RUN, reason=reason, attempt=attempt, tries=tries))
    assert (interrupted.attempt, interrupted.tries) == (attempt, tries)
    assert told(report.spike_created(RUN, spike=attempt)).spike == attempt


@given(st.sampled_from(Event), st.text(max_size=300), st.text(max_size=300))
def test_no_text_with_a_marker_is_too_odd_to_read(event: Event, first: str, body: str) -> None:
    found = told(f"{first}\n\n{body}\n\n{marker(RUN, event)}")
    assert found.event == event
    assert "<!-- agent run" not in found.title or "<!-- agent run" in first


@pytest.mark.parametrize("raw", ["", "Claimed by pod `pod-a`", f"{marker(RUN, 'claimed')}\nsaid somebody"])
def test_a_text_without_a_marker_tells_nothing(raw: str) -> None:
    assert read(raw) is None


def test_a_marker_alone_has_neither_title_nor_body() -> None:
    assert told(marker(RUN, "claimed")) == Told(run=RUN, event="claimed", title="")


def test_an_event_that_nobody_knows_yet_keeps_its_text() -> None:
    found = told(f"Something `new` happened\n\nin full\n\n{marker(RUN, 'later_event')}")
    assert (found.title, found.body) == ("Something new happened", "in full")


@pytest.mark.parametrize("first", ["`" * 10**6, "`a" * 10**6, "[`" * 10**6, " ``x`" * 10**6])
def test_a_forged_first_line_of_a_megabyte_costs_little(first: str) -> None:
    assert len(told(f"{first}\n\n{marker(RUN, 'pushed')}").title) <= LONGEST_TITLE


def test_the_model_cannot_set_the_figures_of_its_run() -> None:
    summary = "Well done\n\nCost: 0.00 USD · Duration: 1 s · Verified with `true`"
    found = told(report.completed(RUN, summary=summary, cost_usd=4.2))
    assert (found.cost_usd, found.duration) == (4.2, "")
    assert "Not verified" in found.body
