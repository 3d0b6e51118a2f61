"""Work, remaining work and % complete: two make the third, and a parent has the totals (reference sections 4, 5.4)."""

import pytest

from support.contract_world import Document, World, refusal, violation

PROGRESS = ("estimatedTime", "remainingTime", "percentageDone")


def progress(item: Document) -> tuple[object, ...]:
    return tuple(item.get(name) for name in PROGRESS)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({"estimatedTime": "PT4H"}, ("PT4H", "PT4H", 0)),
        ({"remainingTime": "PT3H"}, ("PT3H", "PT3H", 0)),
        ({"percentageDone": 40}, (None, None, 40)),
        ({"estimatedTime": "PT10H", "percentageDone": 40}, ("PT10H", "PT6H", 40)),
        ({"estimatedTime": "PT10H", "remainingTime": "PT5H"}, ("PT10H", "PT5H", 50)),
        ({"remainingTime": "PT6H", "percentageDone": 40}, ("PT10H", "PT6H", 40)),
        ({"estimatedTime": "P1DT2H30M"}, ("P1DT2H30M", "P1DT2H30M", 0)),
    ],
)
@pytest.mark.alike
def test_what_is_written_makes_the_rest(world: World, written: Document, found: tuple[object, ...]) -> None:
    item = world.changed(world.new(), written)
    assert progress(item) == found
    assert item["lockVersion"] == 1


def test_more_work_is_more_that_remains(world: World) -> None:
    item = world.changed(world.new(), {"estimatedTime": "PT10H", "remainingTime": "PT5H"})
    assert progress(world.changed(item, {"estimatedTime": "PT12H"})) == ("PT12H", "PT7H", 42)


def test_without_work_nothing_remains(world: World) -> None:
    item = world.changed(world.new(), {"estimatedTime": "PT10H"})
    assert progress(world.changed(item, {"estimatedTime": None})) == (None, None, 0)


@pytest.mark.parametrize("written", [{"percentageDone": 101}, {"percentageDone": -1}])
def test_a_share_is_between_0_and_100(world: World, written: Document) -> None:
    assert refusal(world.patch(world.new(), written)) == violation("percentageDone")


def test_what_is_no_duration_is_refused(world: World) -> None:
    assert refusal(world.patch(world.new(), {"estimatedTime": "soon"}))[:2] == (422, "PropertyFormatError")


def test_more_remaining_than_work_is_refused(world: World) -> None:
    refused = world.patch(world.new(), {"estimatedTime": "PT1H", "remainingTime": "PT2H"})
    assert refused.status_code == 422


def test_a_parent_has_the_totals_of_all_below_it_and_is_bumped(world: World) -> None:
    top = world.new(kind="Epic")
    middle = world.new(links=world.under(top))
    leaf = world.new(links=world.under(middle))
    before = world.read(top)
    world.changed(leaf, {"estimatedTime": "PT4H", "remainingTime": "PT1H"})
    after = world.read(top)
    assert after["lockVersion"] == before["lockVersion"] + 1
    assert (after["derivedEstimatedTime"], after["derivedRemainingTime"], after["derivedPercentageDone"]) == (
        "PT4H",
        "PT1H",
        75,
    )
    world.changed(world.read(middle), {"estimatedTime": "PT4H"})
    after = world.read(top)
    assert (after["derivedEstimatedTime"], after["derivedRemainingTime"], after["derivedPercentageDone"]) == (
        "PT8H",
        "PT5H",
        38,
    )


def test_the_filters_for_work_and_share(world: World) -> None:
    world.new("none")
    world.new("some", estimatedTime="PT4H")
    world.new("more", estimatedTime="PT9H", percentageDone=50)

    def found(name: str, operator: str, *values: str) -> list[str]:
        return world.subjects({name: {"operator": operator, "values": list(values)}})

    assert found("estimatedTime", ">=", "4") == ["some", "more"]
    assert found("estimatedTime", "<=", "4") == ["some"]
    assert found("estimatedTime", "!*") == ["none"]
    assert found("estimatedTime", "*") == ["some", "more"]
    assert found("percentageDone", "=", "50") == ["more"]
    assert found("percentageDone", "!*") == ["none"]
