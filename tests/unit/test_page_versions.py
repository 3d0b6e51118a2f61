"""What is remembered of what people were told: for a time, so many for each, and nothing of those who have long been away."""

from agent.page.versions import KEPT, OF_ONE, Told, Versions


def told(user: int, at: float) -> Told:
    return Told(user=user, number=1, catalog=b"", rest=b"", at=at)


def test_of_each_account_the_last_given_are_remembered() -> None:
    some = Versions()
    some.keep("other", told(2, 0.0))
    for number in range(OF_ONE + 3):
        some.keep(str(number), told(1, float(number) / 100))
    some.keep("3", told(1, 9.0))
    some.keep("new", told(1, 9.0))
    assert [some.find(one, 1) is not None for one in ("2", "4", "3", "new")] == [False, False, True, True]
    assert some.find("other", 2) is not None
    assert some.find("other", 1) is None


def test_what_was_told_long_ago_is_forgotten_of_whoever_it_was() -> None:
    some = Versions()
    some.keep("old", told(1, 0.0))
    some.keep("old", told(2, 0.0))
    some.keep("late", told(2, 300.0))
    some.keep("now", told(3, KEPT + 1))
    assert list(some._told) == [2, 3]
    some.keep("now", told(2, KEPT + 1))
    assert list(some._told[2]) == ["late", "now"]


def test_a_name_is_of_one_account_one_process_and_what_was_told() -> None:
    some, other = Versions(b"one"), Versions(b"other")
    names = [some.name(1, b"a"), some.name(2, b"a"), some.name(1, b"a", b""), some.name(1, b"b"), other.name(1, b"a")]
    assert len(set(names)) == len(names)
    assert some.name(1, b"a") == names[0]
    assert Versions().name(1, b"a") != Versions().name(1, b"a")
