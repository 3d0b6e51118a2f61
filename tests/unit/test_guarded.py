"""T12: which paths a person must see first, and the one hash that names a change of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import TicketFailure
from agent.git import guarded
from agent.git.guarded import MOST, Entry, GuardedPaths, by_links, guarded_entries, hash_of, is_guarded, read_entries
from agent.settings.keys import GUARDED
from agent.settings.readers import Unfit, read_guarded
from agent.state import A_DAY, AN_HOUR, State
from agent.texts.trail import push_of

A, B, NONE = "a" * 40, "b" * 40, "0" * 40


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".GitHub/Workflows/CI.yml",
        ".github",
        ".gitea/workflows/x.yaml",
        ".forgejo/x",
        ".gitlab-ci.yml",
        ".GITLAB-CI.YML",
        ".gitlab/ci/x.yml",
        ".circleci/config.yml",
        ".woodpecker.yml",
        ".woodpecker/x.yml",
        "Jenkinsfile",
        "jenkinsfile.groovy",
        "azure-pipelines.yml",
        "azure-pipelines/templates/x.yml",
        ".buildkite/pipeline.yml",
        ".drone.yml",
        "CODEOWNERS",
        "docs/codeowners",
        "a/b/CODEOWNERS",
        ".agent.toml",
        ".travis.yml",
        "bitbucket-pipelines.yml",
        ".build.yml",
        ".builds/x.yml",
        ".cirrus.star",
        ".tekton/x.yaml",
        ".semaphore/semaphore.yml",
        "appveyor.yaml",
        "action.yml",
        "ci/Jenkinsfile.deploy",
        ".azure-pipelines/a.yml",
        ".drone.star",
        ".teamcity/settings.kts",
        ".zuul.d/a.yaml",
        "zuul.yaml",
        ".prow.yaml",
        ".harness/p.yaml",
        "bamboo-specs/b.yml",
        "buildspec.yml",
        "cloudbuild.yaml",
        "bitrise.yml",
        "codemagic.yaml",
        "garnix.yaml",
        "wercker.yml",
        ".packit.yaml",
        ".pre-commit-config.yaml",
        ".readthedocs.yaml",
        "renovate.json",
        ".gitlab-ci/build.yml",
        "actions/build/action.yml",
        "deploy.Jenkinsfile",
        ".azuredevops/pr.yml",
        "atlantis.yaml",
    ],
)
def test_what_decides_what_ci_does_is_guarded_in_any_case_and_at_any_place(path: str) -> None:
    assert is_guarded(path, GUARDED)


@pytest.mark.parametrize(
    "path",
    ["src/main.py", ".githubx/a", "x/.github/y", "docs", "ci.yml", "sub/aJenkinsfile", "x.agent.toml", ".woodpecke"],
)
def test_what_does_not_is_not(path: str) -> None:
    assert not is_guarded(path, GUARDED)


@pytest.mark.parametrize(
    ("path", "pattern", "guarded"),
    [
        ("scripts/ci/x.sh", "scripts/*/x.sh", True),
        ("scripts", "scripts/*/x.sh", True),  # a link in its place leads CI elsewhere
        ("scripts/ci", "scripts/*/x.sh", True),
        ("scripts/ci/y.sh", "scripts/*/x.sh", False),
        ("a/b", "a/**/b", True),
        ("a/x/y/b/c", "a/**/b", True),
        ("a/z", "a/**/b", False),
        ("ci-build.sh", "ci-*.sh", True),
        ("ci.sh", "ci*.sh", True),
        ("c.sh", "ci*.sh", False),
        ("anything/at/all", "**", True),
    ],
)
def test_a_pattern_stands_for_what_it_matches_all_below_and_what_is_above(
    path: str, pattern: str, guarded: bool
) -> None:
    assert is_guarded(path, (pattern,)) is guarded


@pytest.mark.parametrize(
    "pattern",
    ["./.github/**", ".github//x", "ci/[ab].sh", "ci/?.sh", "ci/{a,b}.sh", ".github\\**", "ci/**.sh", "!x", ".", ""],
)
def test_a_pattern_of_another_language_is_refused_and_guards_nothing_in_silence(pattern: str) -> None:
    with pytest.raises(Unfit):
        read_guarded([".github/**", pattern])


def test_the_default_list_and_folders_are_patterns() -> None:
    assert read_guarded([*GUARDED, "scripts/ci/", "**"]) == (*GUARDED, "scripts/ci/", "**")


def test_the_hash_is_of_the_sorted_lines_and_a_deleted_path_has_zeros() -> None:
    entries = [Entry("100644", ".gitlab-ci.yml", A), Entry("000000", ".github/x", NONE), Entry("120000", ".github", B)]
    lines = f"000000 .github/x {NONE}\n100644 .gitlab-ci.yml {A}\n120000 .github {B}\n"
    assert hash_of(entries) == hashlib.sha256(lines.encode()).hexdigest()[:16]
    assert hash_of(reversed(entries)) == hash_of(entries)
    assert hash_of([Entry("100755", ".gitlab-ci.yml", A)]) != hash_of([Entry("100644", ".gitlab-ci.yml", A)]), (
        "the mode"
    )


def test_no_name_of_a_file_looks_like_two_lines() -> None:
    two = [Entry("100644", "CODEOWNERS", A), Entry("100644", "x/CODEOWNERS", B)]
    one = [Entry("100644", f"CODEOWNERS {A}\n100644 x/CODEOWNERS", B)]
    assert hash_of(one) != hash_of(two)


def test_the_new_side_of_each_path_is_read_whatever_bytes_its_name_has() -> None:
    raw = (
        f":100644 100755 {A} {B} M\0.github/a b\n:c\0:100644 000000 {A} {NONE} D\0.drone.yml\0"
        f":000000 120000 {NONE} {B} A\0".encode()
        + b"\xff\0"
    )
    assert list(read_entries(raw)) == [
        Entry("100755", ".github/a b\n:c", B),
        Entry("000000", ".drone.yml", NONE),
        Entry("120000", "\udcff", B),
    ]
    assert list(read_entries(b"")) == []


@given(st.text("abC/", max_size=8), st.lists(st.text("abC*/", min_size=1, max_size=6), max_size=3))
def test_what_is_sorted_out_by_its_first_name_is_not_guarded(path: str, patterns: list[str]) -> None:
    parts = path.casefold().split("/")
    whole = [pattern.casefold().strip("/").split("/") for pattern in patterns]
    assert is_guarded(path, tuple(patterns)) == any(guarded._covers(one, parts) for one in whole)


def test_more_guarded_paths_than_anybody_could_look_at_are_the_tickets_failure() -> None:
    def listed(count: int) -> bytes:
        return b"".join(b":000000 100644 %s %s A\0.github/%d\0" % (NONE.encode(), A.encode(), n) for n in range(count))

    paths = GuardedPaths(GUARDED)
    assert len(guarded_entries(listed(MOST), paths)) == MOST
    with pytest.raises(TicketFailure, match="more than 2,000 guarded paths"):
        guarded_entries(listed(MOST + 1), paths)


@given(st.text("aB/", min_size=1, max_size=6), st.lists(st.text("aB/", max_size=5), max_size=4))
def test_what_a_guarded_link_leads_to_is_guarded_all_below_it_and_what_is_above(path: str, places: list[str]) -> None:
    here, whole = f"{path.casefold()}/", [f"{place.casefold()}/" if place else "" for place in places]
    expected = any(here.startswith(place) or place.startswith(here) for place in whole)
    assert by_links(("no",), places).covers(path) == expected


@given(st.text(), st.lists(st.text("ab*/.", max_size=12), max_size=3))
def test_no_path_and_no_pattern_stops_the_look(path: str, patterns: list[str]) -> None:
    assert is_guarded(path, tuple(patterns)) in (True, False)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("push 0123456789abcdef", "0123456789abcdef"),
        ("Looks right.\n\n  push 0123456789abcdef  \nThanks", "0123456789abcdef"),
        ("push 0123456789abcdef\r\npush fedcba9876543210", "fedcba9876543210"),
        ("please push 0123456789abcdef", ""),
        ("push 0123456789abcdef please", ""),
        ("> push 0123456789abcdef", ""),
        ("`push 0123456789abcdef`", ""),
        ("push 0123456789ABCDEF", ""),
        ("push 0123456789abcde", ""),
        ("push", ""),
        ("", ""),
    ],
)
def test_a_word_lets_through_what_its_hash_names_alone_in_a_line(text: str, change: str) -> None:
    assert push_of(text) == change


def test_a_remote_takes_no_such_refs_only_after_two_refusals_an_hour_apart() -> None:
    state = State().with_probe(1, 0.0, "boot", takes=False)
    assert state.probes[1].takes is None
    assert not state.probes[1].is_due(AN_HOUR - 1, "boot")
    assert state.probes[1].is_due(AN_HOUR, "boot")
    assert state.with_probe(1, AN_HOUR - 1, "boot", takes=False).probes[1].takes is None, "too soon"
    assert state.with_probe(1, AN_HOUR, "other", takes=False).probes[1].takes is None, (
        "of another boot nothing is known"
    )
    no = state.with_probe(1, AN_HOUR, "boot", takes=False).probes[1]
    assert no.takes is False
    assert not no.is_due(AN_HOUR + A_DAY - 1, "boot")
    assert no.is_due(AN_HOUR + A_DAY, "boot"), "asked again after a day"
    assert no.answered(True, AN_HOUR + A_DAY, "boot").takes
    yes = State().with_probe(1, 0.0, "boot", takes=True).probes[1]
    assert (yes.takes, yes.is_due(A_DAY - 1, "boot"), yes.is_due(A_DAY, "boot")) == (True, False, True)
