"""The words of a remote, read and told."""

import pytest

from agent.git.refs import (
    Refs,
    blob_id,
    branch_for,
    failed_name,
    in_the_way,
    kept_name,
    names,
    place_of,
    read_refs,
    rejected,
    trouble,
)
from agent.texts.branches import around_slug, branch_name


def test_an_existing_branch_of_the_owner_goes_on_under_its_name() -> None:
    heads = dict.fromkeys(
        ("main", "agent/4-x", "agent/42-old-subject", "agent/42-older", "agent/420-x", "agent/kept/42-7f9c"), "0"
    )
    refs = Refs(heads, {})
    assert branch_for(refs, 42, "agent/42-new-subject") == "agent/42-old-subject"
    assert branch_for(refs, 42, "agent/42-older") == "agent/42-older"
    assert branch_for(refs, 2, "agent/2-x") == "agent/2-x"


@pytest.mark.parametrize(
    ("other", "is_one"), [("agent", True), ("agent/1-x/deep", True), ("agent/1-xy", False), ("age", False)]
)
def test_a_branch_that_cannot_be_beside_ours_is_known_before_anything_is_paid(other: str, *, is_one: bool) -> None:
    """T6: a branch called `agent` failed every ticket after its model's run: git makes folders of names."""
    refs = Refs(dict.fromkeys(("main", other), "0"), {})
    assert in_the_way(refs, "agent/1-x") == (other if is_one else "")


@pytest.mark.parametrize(
    ("template", "old", "other"),
    [
        ("fleet/{id}-{slug}", "fleet/42-old", "fleet/420-old"),
        ("team/{version}/{id}/{slug}.x", "team/1.0/42/old.x", "team/1.0/42/old.y"),
        ("bots/{id}_{slug}", "bots/42_old", "bots/42_old/deeper"),
    ],
)
def test_it_does_so_under_any_template_that_tells_it_apart(template: str, old: str, other: str) -> None:
    """A branch of an Epic that was renamed was left behind, with the work of its first tickets, wherever `branch` was set."""
    name = branch_name(template, id=42, subject="New", version="1.0")
    around = around_slug(template, id=42, version="1.0")
    assert branch_for(Refs(dict.fromkeys(("main", old, other), "0"), {}), 42, name, around) == old
    assert branch_for(Refs(dict.fromkeys(("main", other), "0"), {}), 42, name, around) == name
    assert branch_for(Refs({"agent/42-before": "0"}, {}), 42, name, around) == "agent/42-before"


@pytest.mark.parametrize(
    "template", ["{id}-{slug}", "{slug}-{id}", "x/{slug}{id}", "x/{id}{slug}", "x/{id}", "release/{version}"]
)
def test_what_a_person_could_have_called_so_is_nobodys(template: str) -> None:
    assert around_slug(template, id=42, version="1") == ("", "")


def test_a_listing_is_read_and_what_is_neither_branch_nor_claim_is_left_out() -> None:
    refs = read_refs(
        b"a\trefs/heads/main\nb\trefs/heads/x/refs/heads/y\nc\trefs/agent/claim/42\nd\trefs/agent/claim/x\ne\trefs/tags/v1\n\njunk\n"
    )
    assert refs == Refs({"main": "a", "x/refs/heads/y": "b"}, {42: "c"})


@pytest.mark.parametrize("end", ["\u2028", "\u0085", "\v", "\x1c", "\r"])
def test_a_name_ends_with_its_line_and_nowhere_else(end: str) -> None:
    """Somebody's `agent/1-fix⏎ by me` is not the branch of ours that it begins like."""
    refs = read_refs(f"a\trefs/heads/agent/1-fix{end} by me\nb\trefs/agent/claim/5{end}x\n".encode())
    assert refs == Refs({f"agent/1-fix{end} by me": "a"}, {})


@pytest.mark.parametrize("owner", ["٣", "²", "-3", "+3", " 3", "", "9" * 5_000])
def test_a_claim_is_that_of_a_number_as_boards_write_it(owner: str) -> None:
    assert read_refs(f"a\trefs/agent/claim/{owner}\n".encode()) == Refs({}, {})


def test_a_blob_has_the_id_that_git_gives_it() -> None:
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_a_pushs_refusals_are_read() -> None:
    said = "To x\n!\tabc:refs/heads/a\t[rejected] (stale info)\n*\tabc:refs/heads/b\t[new branch]\n!\t:refs/agent/claim/1\t[remote rejected] (no)\nDone\n"
    assert rejected(said.encode()) == {
        "refs/heads/a": "[rejected] (stale info)",
        "refs/agent/claim/1": "[remote rejected] (no)",
    }
    died = b"!\tabc:refs/agent/claim/1\t[remote failure] (remote failed to report status)\n"
    assert rejected(died) == {}, "nobody said no"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://pod:secret@forge.example/shop.git?private_token=x", "https://forge.example/shop.git"),
        ("https://token@forge.example/shop.git", "https://forge.example/shop.git"),
        ("ssh://git@forge.example:22/shop.git", "ssh://forge.example:22/shop.git"),
        ("git@forge.example:shop.git", "git@forge.example:shop.git"),
        ("/srv/git/shop.git", "/srv/git/shop.git"),
    ],
)
def test_a_repository_is_shown_without_its_credential(url: str, shown: str) -> None:
    assert place_of(url) == shown


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "ssh: Could not resolve hostname forge: Name or service not known\nfatal: Could not read from remote",
            "host name does not resolve",
        ),
        (
            "git@forge: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            "refuses our credential",
        ),
        ("remote: Invalid credentials\nfatal: Authentication failed for 'https://forge/'", "refuses our credential"),
        ("fatal: could not read Username for 'https://forge': terminal prompts disabled", "refuses our credential"),
        ("Host key verification failed.", "refuses our credential"),
        ("fatal: unable to access 'https://forge/': The requested URL returned error: 403", "refuses our credential"),
        ("remote: Repository not found.\nfatal: repository 'https://forge/' not found", "does not exist"),
        ("fatal: '/x' does not appear to be a git repository", "does not exist"),
        ("fatal: unable to access 'https://forge/': Failed to connect to forge port 443", "does not answer"),
        ("fatal: unable to access: The requested URL returned error: 502", "git said: fatal: unable to access"),
        ("error: cannot write: No space left on device", "the disk is full"),
        ("fatal: mismatched algorithms: client sha1; server sha256", "names its objects by SHA-256"),
        ("fatal: Out of memory, realloc failed\nfatal: the remote end hung up", "the memory that it may take here"),
        ("", "git said: nothing"),
    ],
)
def test_a_remotes_words_become_a_reason_with_the_next_step(said: str, expected: str) -> None:
    sentence = trouble("https://forge/shop.git", said)
    assert sentence.startswith("the repository https://forge/shop.git cannot be used")
    assert not sentence.endswith(".")
    assert expected in sentence
    assert "\n" not in sentence


def test_names_for_left_work_are_derived_from_ticket_and_run() -> None:
    assert kept_name(42, "7f9c0000-0000") == "agent/kept/42-7f9c0000"
    assert failed_name(42, "7f9c0000-0000") == "agent/failed/42-7f9c0000"


def test_many_files_are_named_with_their_count() -> None:
    assert names(["b", "a", "a"]) == "`a`, `b`"
    assert names("abcdefg") == "`a`, `b`, `c`, `d`, `e` and 2 more"
