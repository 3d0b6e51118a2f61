import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.page.figures import LONGEST, Run, ended, quantile, seconds, span, totals
from agent.texts import report
from agent.texts.told import Told, read

RUN, OTHER = (f"7f9c0d52-8a4e-4c11-9b5d-{n:012}" for n in (1, 2))


def told(raw: str) -> Told:
    found = read(raw)
    assert found is not None
    return found


def test_a_run_counts_on_the_day_of_its_end_for_the_pod_that_claimed_it() -> None:
    said = [
        ("2026-11-23", told(report.claimed(RUN, pod="pod-a"))),
        ("2026-11-24", told(report.completed(RUN, input_tokens=10, output_tokens=2, cost_usd=0.5))),
        ("2026-11-24", told(report.failed(OTHER, reason="no"))),
    ]
    assert ended(said, {OTHER: "pod-b"}) == [
        Run(day="2026-11-24", pod="pod-a", done=True, input_tokens=10, output_tokens=2, cost_usd=0.5),
        Run(day="2026-11-24", pod="pod-b", done=False),
    ]


def test_what_a_run_says_twice_counts_once() -> None:
    completed = told(report.completed(RUN, input_tokens=10, output_tokens=2))
    already = told(report.already_done(RUN, branch="b", commit="a3f9c12"))
    [run] = ended([("2026-11-24", completed), ("2026-11-24", completed), ("2026-11-24", already)], {})
    assert (run.done, run.input_tokens, run.pod) == (True, 10, "")


def test_work_that_was_done_already_counts_as_done() -> None:
    assert [
        run.done for run in ended([("2026-11-24", told(report.already_done(RUN, branch="b", commit="a3f9c12")))], {})
    ] == [True]


def test_a_run_that_fails_after_its_completion_failed_and_cost_what_it_cost() -> None:
    said = [
        ("2026-11-24", told(report.completed(RUN, input_tokens=10, output_tokens=2, cost_usd=1))),
        ("2026-11-24", told(report.failed(RUN, reason="conflict"))),
    ]
    [run] = ended(said, {})
    assert (run.done, run.input_tokens, run.cost_usd) == (False, 10, 1)


def test_other_events_end_nothing() -> None:
    assert ended([("2026-11-24", told(report.expired(RUN, pod="pod-a", silent_s=1)))], {}) == []


def test_totals_of_nothing_are_nothing() -> None:
    assert totals([]) == {"done": 0, "failed": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0}


def test_cents_add_up_without_a_rest() -> None:
    assert totals([Run(day="", pod="", done=True, cost_usd=0.1)] * 3)["cost_usd"] == 0.3


def test_a_span_is_whole_days_and_ends_with_today() -> None:
    found = span(3, dt.datetime(2026, 3, 1, 23, 59, tzinfo=dt.UTC))
    assert found.days == ("2026-02-27", "2026-02-28", "2026-03-01")
    assert (found.start, found.end) == ("2026-02-27", "2026-03-02")


@pytest.mark.parametrize(("asked", "given_"), [(-5, 1), (0, 1), (1, 1), (366, 366), (10**9, LONGEST)])
def test_a_span_is_bounded(asked: int, given_: int) -> None:
    assert len(span(asked, dt.datetime(2026, 3, 1, tzinfo=dt.UTC)).days) == given_


def test_a_duration_is_never_less_than_none() -> None:
    assert seconds("2026-11-24T08:00:00.000Z", "2026-11-24T09:00:30.500Z") == 3630
    assert seconds("2026-11-24T08:00:00.000Z", "2026-11-24T07:00:00.000Z") == 0


@given(st.lists(st.integers(0, 10**6), min_size=1), st.integers(1, 100))
def test_so_many_percent_do_not_exceed_a_quantile(values: list[int], percent: int) -> None:
    values.sort()
    found = quantile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100
    assert sum(value < found for value in values) < len(values) * percent / 100
