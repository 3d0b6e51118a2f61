"""T12 in real git: what a person must see of a commit, and where kept work lies on a remote of either kind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from agent.git.refs import PROBES, RepositoryUnreachable
from agent.git.workspace import Workspace
from agent.programs.runner import Finished
from agent.settings.keys import GUARDED
from agent.texts import report
from support.git_bench import BRANCH, KEPT, NEXT, RUN, Bench, message, work, write
from support.git_repo import git

CI = ".github/workflows/ci.yml"
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


async def test_what_people_committed_on_the_branch_passes_and_what_a_run_made_of_it_does_not(bench: Bench) -> None:
    bench.remote.push(BRANCH, {CI: "on: [a person's]\n"})
    workspace = await bench.open()
    assert await seen(workspace, {"src/a.py": "2\n"}) == ()
    assert await seen(workspace, {CI: "on: [a person's, a run's]\n"}) == (CI,)


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
