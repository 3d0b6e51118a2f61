"""T12 in real git: what a person must see of a commit, and where kept work lies on a remote of either kind."""

from __future__ import annotations

import ast
import asyncio
import os
import random
from pathlib import Path

import pytest

from agent.errors import TicketFailure
from agent.git import kept, mirror
from agent.git.evidence import KEPT_TRAILER, SEEN_TRAILER
from agent.git.folder import remove
from agent.git.refs import PROBES, RepositoryUnreachable
from agent.git.workspace import Workspace
from agent.programs.runner import Ended, Finished
from agent.settings.keys import GUARDED
from agent.texts import outlet, report
from support.git_bench import BRANCH, KEPT, NEXT, RUN, Bench, message, work, write
from support.git_repo import git
from support.heartbeat import heartbeat

CI = ".github/workflows/ci.yml"
THIRD = "9d9d0000-0000-4000-8000-000000000003"
NOT_HERE = 'case "$1" in refs/agent/*) echo "no such refs" >&2; exit 1;; esac'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.repo._mirror.guarded = GUARDED
    made.remote.push("main", {CI: "on: [push]\n", "src/a.py": "1\n"})
    return made


async def seen(workspace: Workspace, files: dict[str, str]) -> tuple[str, ...]:
    """The paths of a run's work that a person must see."""
    change = await workspace.unseen_change(await work(workspace, files))
    return () if change is None else change.paths


async def test_a_changed_file_of_ci_is_shown_whatever_its_attributes_say_and_other_work_is_not(bench: Bench) -> None:
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    assert await seen(workspace, {CI: "on: [create]\n", ".gitattributes": ".github/** -diff\n"}) == (CI,)
    change = await workspace.unseen_change(workspace._head)
    assert change is not None
    assert "+on: [create]" in change.diff
    assert "src/a.py" not in change.diff


async def test_what_of_very_many_new_files_is_guarded_is_found_beside_the_loop(bench: Bench) -> None:
    """T1: 8,000 of them stood the loop for 250 ms, and the half a million that a run may add for a minute."""
    workspace = await bench.open()
    bench.repo._mirror.guarded = (
        *GUARDED,
        *(f"**/*{n}*.never" for n in range(300)),
    )  # as dear as a hundred times the files
    many = {f"vendor/{n % 50}/lib/{n}.js": "" for n in range(2_000)}
    await asyncio.to_thread(write, workspace, many)
    commit = await work(workspace, {CI: "on: [create]\n"})
    async with heartbeat():
        change = await workspace.unseen_change(commit)
    assert change is not None
    assert change.paths == (CI,)


async def test_more_paths_than_git_s_answer_may_list_are_the_tickets_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T6: it was the pod's trouble, and tried again with a model that was paid each time."""
    workspace = await bench.open()
    commit = await work(workspace, {f"src/{n}": "" for n in range(100)})
    monkeypatch.setattr(mirror, "OUTPUT", 9_000)
    with pytest.raises(TicketFailure, match="diff-tree` is longer than"):
        await workspace.unseen_change(commit)


HIDDEN = {
    "a sequence of the terminal": "node {\n  // build \x1b]\n  sh 'EVIL'\n  // \x07 done\n}\n",
    "a line's end that YAML knows": "# a note\u2028job: EVIL\n",
    "another": "# a note\x85job: EVIL\n",
    "a line's end of old": "steps:\r- EVIL\r# end\n",
    "an order of its own": "# \u202e EVIL\u200b\n",
    "a space that is none": "a:\xa0EVIL\u3164\n",
}


@pytest.mark.parametrize("content", HIDDEN.values(), ids=HIDDEN)
async def test_the_spike_of_a_change_shows_every_sign_and_line_of_it(bench: Bench, content: str) -> None:
    """T12: a person let through what the Spike did not show: sequences, and what stood between them, were left out."""
    workspace = await bench.open()
    change = await workspace.unseen_change(await work(workspace, {CI: content}))
    assert change is not None
    text = report.spike_description(RUN, ticket=1, reason="", change=change.hash, diff=change.diff)
    assert "not seen" in text
    assert "EVIL" in text
    added = [line[1:] for line in text.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert [ast.literal_eval(f'"{line}"') for line in added] == content.split("\n")[:-1]


async def test_no_long_file_hides_another(bench: Bench) -> None:
    """T12: what came behind 20,000 characters was neither shown nor named, and could be let through."""
    workspace = await bench.open()
    long = {f".github/{name}.md": "a line\n" * 4_000 for name in "abcdefg"}
    change = await workspace.unseen_change(await work(workspace, {**long, CI: "on: [everything]\n"}))
    assert change is not None
    assert f"100644 {CI}" in change.diff.splitlines()
    assert "+on: [everything]" in change.diff
    assert change.diff.count("cut here") == len(long)
    assert len(change.diff) < 25_000


async def test_its_mode_a_link_in_its_place_and_its_end_are_changes_too(bench: Bench) -> None:
    workspace = await bench.open()
    (workspace.path / CI).chmod(0o755)
    assert await seen(workspace, {"x": "1"}) == (CI,)
    (workspace.path / CI).unlink()
    assert await seen(workspace, {"x": "2"}) == (CI,)
    for folder in (".github/workflows", ".github"):
        (workspace.path / folder).rmdir()
    (workspace.path / ".github").symlink_to("src")
    assert await seen(workspace, {"x": "3"}) == (".github", CI)


LED = {
    "a file": ({".woodpecker.yml": "ci/wood.yml"}, {"ci/wood.yml": "EVIL\n"}, "ci/wood.yml"),
    "a folder": ({".gitea": "ci/gitea"}, {"ci/gitea/workflows/new.yml": "EVIL\n"}, "ci/gitea/workflows/new.yml"),
    "what is not there yet": ({".drone.yml": "ci/../later.yml"}, {"later.yml": "EVIL\n"}, "later.yml"),
    "a link in the folder": ({".gitlab": "ci", "ci/t.yml": "../lib/t.yml"}, {"lib/t.yml": "EVIL\n"}, "lib/t.yml"),
    "a link on the way": ({"Jenkinsfile": "way/x", "way": "ci"}, {"way": "->evil", "evil/x": "EVIL\n"}, "way"),
    "a folder on the way": ({"Jenkinsfile": "way/in/x"}, {"way": "->evil", "evil/in/x": "EVIL\n"}, "way"),
    "the settings' own": ({"scripts/ci/go.sh": "../go.sh"}, {"scripts/go.sh": "EVIL\n"}, "scripts/go.sh"),
    "a new one": ({}, {".woodpecker.yml": "->ci/new.yml", "ci/new.yml": "EVIL\n"}, "ci/new.yml"),
}


@pytest.mark.parametrize("what", LED)
async def test_what_a_guarded_link_leads_to_is_guarded_as_it_is(bench: Bench, what: str) -> None:
    """T12: CI's reader follows links, and a run changed what they lead to: that was at the branch without a word."""
    links, files, path = LED[what]
    bench.repo._mirror.guarded = (*GUARDED, "scripts/ci/**")
    lay(bench.remote.clone, {name: f"->{target}" for name, target in links.items()})
    bench.remote.push("main", {"ci/wood.yml": "1\n", "ci/x": "1\n", "lib/t.yml": "1\n", "scripts/go.sh": "1\n"})
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    lay(workspace.path, files)
    change = await workspace.unseen_change(await work(workspace, {}))
    assert change is not None
    assert path in change.paths
    assert "src/a.py" not in change.paths


TAKEN_IN = {
    ".gitlab-ci.yml": "include:\n  - local: /ci/build.yml\n  - 'ci/more/*.yml'\ntest:\n  script: [sh run.sh, cat conf.yml]\n",
    "ci/build.yml": "include: deeper.yml\n",
    "ci/deeper.yml": "x: 1\n",
    "azure-pipelines.yml": "steps:\n- template: build/steps.yml@self\n",
    "build/steps.yml": "x: 1\n",
    "build/templates/x.yml": "x: 1\n",
    CI: "jobs: {a: {steps: [{uses: actions/checkout@v4}, {uses: ./tools/act}]}}\n",
    "tools/act/action.yaml": "runs: {using: node20, main: index.js}\n",
    "tools/act/index.js": "1\n",
    "run.sh": "1\n",
    "conf.yml": "1\n",
}


@pytest.mark.parametrize(
    "path", ["ci/build.yml", "ci/deeper.yml", "ci/more/new.yml", "build/steps.yml", "tools/act/index.js"]
)
async def test_what_a_definition_of_ci_takes_in_is_guarded_as_it_is(bench: Bench, path: str) -> None:
    """T12: a run changed the half of the pipeline that lay in another file, and the forge ran it at once."""
    bench.remote.push("main", TAKEN_IN)
    workspace = await bench.open()
    assert await seen(workspace, {"run.sh": "2\n", "conf.yml": "2\n", "build/templates/x.yml": "x: 2\n"}) == ()
    assert await seen(workspace, {path: "x: 2\n"}) == (path,)


async def test_what_people_made_of_what_a_guarded_link_leads_to_passes(bench: Bench) -> None:
    lay(bench.remote.clone, {".woodpecker.yml": "->ci/wood.yml"})
    bench.remote.push("main", {"ci/wood.yml": "1\n"})
    bench.remote.push(BRANCH, {"ci/wood.yml": "a person's\n"})
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    assert await seen(workspace, {"ci/wood.yml": "a run's\n"}) == ("ci/wood.yml",)


def lay(folder: Path, files: dict[str, str]) -> None:
    """Files, and links (`->`), in the place of what was there."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(path)
        if content.startswith("->"):
            path.symlink_to(content.removeprefix("->"))
        else:
            path.write_text(content)


async def test_what_people_committed_on_the_branch_passes_and_what_a_run_made_of_it_does_not(bench: Bench) -> None:
    bench.remote.push(BRANCH, {CI: "on: [a person's]\n"})
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    assert await seen(workspace, {CI: "on: [a person's, a run's]\n"}) == (CI,)


LEAKS, SAFE, SAFER = ("on: [a leak]\n", "on: [a person's]\n", "on: [a person's second]\n")


@pytest.mark.parametrize(
    ("base", "people", "mine"),
    [
        ("on: [push]\n", [LEAKS, SAFE], LEAKS),
        ("on: [push]\n", [SAFE, SAFER], SAFE),
        (LEAKS, [SAFE], LEAKS),
        (LEAKS, [SAFE, SAFER], LEAKS),
        ("on: [push]\n", [LEAKS, "on: [push]\n"], LEAKS),
    ],
)
async def test_only_the_last_that_people_made_of_a_path_passes(
    bench: Bench, base: str, people: list[str], mine: str
) -> None:
    """T12: any state that people had ever left on the branch passed again, and the base's: what they took back came back."""
    bench.remote.push("main", {CI: base, "x": "1"})
    for content in people:
        bench.remote.push(BRANCH, {CI: content})
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    assert await seen(workspace, {CI: mine}) == (CI,)
    change = await workspace.unseen_change(workspace._head)
    assert change is not None
    assert f"+{mine}" in change.diff
    assert await seen(workspace, {CI: people[-1]}) == (), "as they left it"


async def test_what_was_let_through_and_taken_back_is_asked_again(bench: Bench) -> None:
    first = await bench.open()
    await first.publish(await let_through(first, await work(first, {CI: LEAKS})), claim_blob=None)
    second = await bench.open(NEXT)
    assert await seen(second, {"src/a.py": "2\n"}) == ()
    bench.remote.push(BRANCH, {CI: SAFE})
    third = await bench.open(THIRD)
    assert await seen(third, {"src/a.py": "2\n"}) == ()
    assert await seen(third, {CI: LEAKS}) == (CI,)


@pytest.mark.parametrize("stands_in", ["our merge", "the starter"])
async def test_what_was_let_through_is_not_asked_again_though_it_stands_in_a_commit_below(
    bench: Bench, stands_in: str, tmp_path: Path
) -> None:
    """T12: each later ticket of the Epic asked again, and was paid twice: the word counted for its own commit's paths alone."""
    flake = tmp_path / "starter/flake.nix"
    flake.parent.mkdir()
    flake.write_text("{ }\n")
    bench.repo._mirror.guarded = (*GUARDED, "flake.nix")
    files = {"flake.nix": None} if stands_in == "the starter" else {CI: "a: 1\n\n\n\n\n\nb: 1\n"}
    bench.remote.push("main", files)
    workspace = await bench.open()
    if stands_in == "the starter":
        assert await workspace.add_starter(flake.parent, message())
        sha = await work(workspace, {CI: "on: [a run's]\n"})
    else:
        first = await work(workspace, {CI: "a: 2\n\n\n\n\n\nb: 1\n"})
        await workspace.publish(await let_through(workspace, first), claim_blob=None)
        bench.remote.push("main", {CI: "a: 1\n\n\n\n\n\nb: 2\n"})
        workspace = await bench.open(NEXT)
        sha = await work(workspace, {"src/a.py": "2\n"})
    assert await workspace.unseen_change(sha) is not None
    await workspace.publish(await let_through(workspace, sha), claim_blob=None)
    after = await bench.open(THIRD)
    assert await seen(after, {"src/a.py": "3\n"}) == ()
    assert await seen(after, {CI: "c: 3\n"}) == (CI,)


async def test_what_the_operators_starter_brings_is_not_asked_about(bench: Bench, tmp_path: Path) -> None:
    """T12: a template with an `.agent.toml` made a Spike of every repository's first ticket."""
    template = tmp_path / "starter"
    template.mkdir()
    for name, content in {"flake.nix": "{ }\n", ".agent.toml": "[verify]\ncommands = ['true']\n"}.items():
        (template / name).write_text(content)
    bench.remote.push("main", {"flake.nix": None, ".agent.toml": None})
    workspace = await bench.open()
    assert await workspace.add_starter(template, message())
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    assert await seen(workspace, {".agent.toml": "[verify]\ncommands = []\n"}) == (".agent.toml",)


SEVERAL = "on: [push]\n\n\n\nleaks: yes\n\n\n\nc: 3\n"


@pytest.mark.parametrize("since", ["nothing", "our merge", "our merge, let through", "more commits than are looked at"])
async def test_what_people_disarmed_is_asked_about_whatever_came_since(
    bench: Bench, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T12: the base's came back at the branch, unasked, where a merge of ours or 200 commits lay between."""
    monkeypatch.setattr(kept, "MOST_COMMITS", 5)
    bench.remote.push("main", {CI: SEVERAL})
    bench.remote.push(BRANCH, {CI: SEVERAL.replace("leaks", "leaks not")})
    now = SEVERAL
    if since.startswith("our merge"):
        now = SEVERAL.replace("c: 3", "c: 4")
        bench.remote.push("main", {CI: now})
        workspace = await bench.open()
        sha = await work(workspace, {"src/a.py": "2\n"})
        if since.endswith("let through"):
            sha = await let_through(workspace, sha)
        await workspace.publish(sha, claim_blob=None)
    elif since != "nothing":
        for n in range(6):
            bench.remote.push(BRANCH, {"src/a.py": f"{n}\n"})
    after = await bench.open(NEXT)
    assert await seen(after, {CI: now}) == (CI,)


async def test_a_person_whom_git_calls_as_it_calls_us_is_a_person(bench: Bench) -> None:
    """T12: git makes `agent@localhost` up for a user `agent`; a run undid what such a one had disarmed, unasked."""
    bench.remote.push("main", {CI: SEVERAL})
    remote = bench.remote.path
    made = git(remote, "cat-file", "commit", bench.remote.push(BRANCH, {CI: SEVERAL.replace("leaks", "leaks not")}))
    (remote / "made").write_text(f"{made.replace('person@example.org', mirror.ADDRESS)}\n")
    git(remote, "update-ref", f"refs/heads/{BRANCH}", git(remote, "hash-object", "-t", "commit", "-w", "made"))
    workspace = await bench.open()
    assert await seen(workspace, {CI: SEVERAL}) == (CI,)


async def let_through(workspace: Workspace, sha: str) -> str:
    """The same work as it is committed after a person's word."""
    change = await workspace.unseen_change(sha)
    assert change is not None
    tree = git(workspace.path, "rev-parse", f"{sha}^{{tree}}")
    return await workspace.commit(tree, outlet.commit("Do the work", "", {SEEN_TRAILER: change.hash, "Agent-Run": RUN}))


async def test_what_the_base_made_of_a_path_since_passes_and_what_it_was_before_does_not(bench: Bench) -> None:
    bench.remote.push(BRANCH, {"src/b.py": "1\n"})
    bench.remote.push("main", {CI: LEAKS})
    bench.remote.push("main", {CI: SAFE})
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    assert await seen(workspace, {CI: LEAKS}) == (CI,)


async def test_a_run_may_take_back_what_no_person_made(bench: Bench) -> None:
    workspace = await bench.open()
    await workspace.publish(await work(workspace, {CI: LEAKS}), claim_blob=None)
    after = await bench.open(NEXT)
    assert await seen(after, {CI: "on: [push]\n"}) == ()


async def test_a_commit_of_ours_on_the_branch_is_no_persons(bench: Bench) -> None:
    """One that was pushed before paths were guarded, say."""
    workspace = await bench.open()
    sha = await work(workspace, {CI: "on: [everything]\n"})
    await workspace.publish(sha, claim_blob=None)
    after = await bench.open(NEXT)
    assert await seen(after, {"src/a.py": "2\n"}) == (CI,)


async def test_a_rebase_is_looked_at_again(bench: Bench) -> None:
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    bench.remote.push(BRANCH, {CI: "on: [a person's]\n"})
    assert await workspace.unseen_change(await workspace.rebase()) is None, "that was theirs"


async def test_on_a_remote_without_such_refs_kept_work_is_at_a_branch_but_guarded_work_stays_here(bench: Bench) -> None:
    bench.remote.hook("update", NOT_HERE)
    assert not await bench.repo.probe("pod-a")
    bench.repo.settle(hidden=False)
    workspace = await bench.open()
    write(workspace, {"src/a.py": "2\n"})
    plain = await workspace.keep(KEPT, message())
    assert plain is not None
    assert (plain.ref, plain.branch, plain.bundle) == (f"refs/heads/{KEPT}", KEPT, "")
    write(workspace, {CI: "on: [everything]\n"})
    kept = await workspace.keep(f"{KEPT}-x", message())
    assert kept is not None
    assert (kept.ref, kept.bundle.endswith(".bundle")) == ("", True)
    assert "everything" not in bench.remote.show(KEPT, CI)  # type: ignore[operator]
    after = await bench.open(NEXT)
    assert await bench.repo.fetch_kept(f"{KEPT}-x") == kept.commit
    taken = await after.take(kept.commit, message(NEXT))
    assert git(after.path, "show", f"{taken}:{CI}") == "on: [everything]"
    assert not [ref for ref in bench.remote.refs() if ref.startswith("refs/heads/agent/") and not ref.endswith(KEPT)]


PROXY = b"error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\nfatal: the remote end hung up unexpectedly"
RULES: dict[str, str | bytes | Finished] = {
    "a name": 'git ls-tree -r --name-only "$3" | grep -q id_rsa && echo "the name is not allowed" && exit 1; true',
    "a string": 'git grep -q BEGIN.PRIVATE "$3" && echo "there is a secret in it" && exit 1; true',
    "its size": "",
    "its size, at a proxy": PROXY,
    "its size, in time": Finished(-9, ended=Ended.TIMED_OUT),
}


def refuse(bench: Bench, rule: str | bytes | Finished) -> None:
    """From here on the remote takes nothing that has `id_rsa`, of more than a kilobyte."""
    if rule == "":
        git(bench.remote.path, "config", "receive.maxInputSize", "1024")
    elif isinstance(rule, str):
        bench.remote.hook("update", rule)
    else:
        answer = rule if isinstance(rule, Finished) else Finished(128, stderr=rule)
        bench.runner.fault = lambda argv, done: answer if "push" in argv and done is None else None


@pytest.mark.parametrize(("rule", "hidden"), [*((rule, True) for rule in RULES), ("a string", False)])
async def test_work_that_the_remote_refuses_for_what_is_in_it_is_kept_here_and_poisons_no_later_run(
    bench: Bench, rule: str, *, hidden: bool
) -> None:
    """T6: every later ticket of the Epic failed, before its model: what the first one had left could not be pushed."""
    bench.repo.settle(hidden=hidden)
    workspace = await bench.open()
    secret = f"-----BEGIN PRIVATE KEY-----\n{random.Random(7).randbytes(2_000).hex()}\n"
    write(workspace, {"id_rsa": secret})
    refuse(bench, RULES[rule])
    after = await bench.open(NEXT)
    assert not (after.path / "id_rsa").exists()
    kept = await bench.repo.fetch_kept(KEPT)
    assert kept is not None
    assert git(after.path, "show", f"{kept}:id_rsa") == secret.strip()
    assert not [ref for ref in bench.remote.refs() if "kept" in ref]
    await work(after, {"src/a.py": "2\n"}, NEXT)


async def test_of_work_that_the_remote_refuses_the_run_itself_says_where_it_is_and_why(bench: Bench) -> None:
    bench.repo.settle(hidden=True)
    refuse(bench, RULES["a name"])
    workspace = await bench.open()
    write(workspace, {"id_rsa": "1"})
    kept = await workspace.keep(KEPT, message())
    assert kept is not None
    assert git(workspace.path, "bundle", "list-heads", kept.bundle).startswith(kept.commit)
    assert "the name is not allowed" in kept.refusal
    assert not await workspace.has_leftovers(), "it is kept once"
    bench.remote.hook("update", "true")
    write(workspace, {"src/a.py": "2\n"})
    later = await workspace.keep(KEPT, message())
    assert later is not None
    assert later.ref == f"refs/{KEPT}"
    assert await bench.repo.fetch_kept(KEPT) == later.commit, "the later one"


async def test_work_that_a_remote_cannot_be_asked_about_stays_until_it_can(bench: Bench) -> None:
    bench.repo.settle(hidden=True)
    workspace = await bench.open()
    write(workspace, {"src/a.py": "2\n"})
    gone = Finished(128, stderr=b"fatal: the remote end hung up unexpectedly")
    bench.runner.fault = lambda argv, done: gone if {"push", "ls-remote"} & set(argv) and done is None else None
    with pytest.raises(RepositoryUnreachable):
        await bench.open(NEXT)
    bench.runner.fault = lambda _argv, _done: None
    await bench.open(NEXT)
    assert bench.remote.show(f"refs/{KEPT}", "src/a.py") == "2"


async def test_a_probe_leaves_nothing_and_says_no_only_in_the_remotes_own_words(bench: Bench) -> None:
    refs = bench.remote.refs()
    assert await bench.repo.probe("a pod..lock")
    assert bench.remote.refs() == refs
    broken = Finished(128, stderr=b"fatal: the remote end hung up unexpectedly")
    bench.runner.fault = lambda argv, done: broken if "push" in argv and done is None else None
    with pytest.raises(RepositoryUnreachable):
        await bench.repo.probe("pod-a")
    assert not [ref for ref in bench.remote.refs() if ref.startswith(PROBES)]


async def test_kept_work_that_is_nowhere_is_none(bench: Bench) -> None:
    await bench.open()
    assert await bench.repo.fetch_kept(KEPT) is None


async def test_kept_work_that_a_person_pushes_to_the_branch_is_theirs(bench: Bench) -> None:
    """T12: as the manual says where a forge refuses the pod's push of a workflow; each later ticket was asked about it again."""
    workspace = await bench.open()
    write(workspace, {CI: LEAKS})
    found = await workspace.keep(KEPT, message())
    assert found is not None
    kept_by_fleet = outlet.commit("Work in progress", "", {"Agent-Run": RUN, KEPT_TRAILER: "#42"})
    sha = await workspace._worktree.commit(f"{found.commit}^{{tree}}", (f"{found.commit}^",), kept_by_fleet)
    git(workspace.path, "push", "--quiet", bench.remote.url, f"{sha}:refs/heads/{BRANCH}")
    after = await bench.open(NEXT)
    assert await seen(after, {"src/a.py": "2\n"}) == ()
    assert await seen(after, {CI: "on: [another leak]\n"}) == (CI,)


async def test_a_bundle_of_kept_work_that_git_does_not_take_is_the_tickets_failure(bench: Bench) -> None:
    bench.repo.settle(hidden=True)
    refuse(bench, RULES["a name"])
    workspace = await bench.open()
    write(workspace, {"id_rsa": "1"})
    found = await workspace.keep(KEPT, message())
    assert found is not None
    os.truncate(found.bundle, 40)
    with pytest.raises(TicketFailure, match=r"\.bundle cannot be read"):
        await bench.repo.fetch_kept(KEPT)


async def test_what_is_kept_is_found_by_its_whole_name(bench: Bench) -> None:
    """T12: `git ls-remote` finds the end of longer names, too: another commit was pushed in the place of what was kept."""
    workspace = await bench.open()
    write(workspace, {"src/a.py": "2\n"})
    found = await workspace.keep(KEPT, message())
    assert found is not None
    git(bench.remote.path, "update-ref", f"refs/a/refs/{KEPT}", "refs/heads/main")
    assert await bench.repo.fetch_kept(KEPT) == found.commit
