"""Small pure parts of what git says and what is said about it."""

from agent.git.refs import no_base, told


def test_the_words_of_a_hook_are_what_the_other_side_said() -> None:
    assert told("To /x\nremote: Ask Kim.   \nremote: \nremote:  first\nerror: failed to push\n") == "Ask Kim.\nfirst"
    assert told("error: failed to push\n") == ""


def test_a_repository_without_its_base_is_told_from_an_empty_one() -> None:
    assert no_base("x.git", "main", empty=True) == "the repository x.git is empty: push a first commit to `main`"
    assert "has no branch `main`: push one" in no_base("x.git", "main", empty=False)
