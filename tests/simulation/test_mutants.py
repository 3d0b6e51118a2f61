"""Every deliberate protocol bug is caught: each in the directed history that provokes it, by the invariant that names it.

The hunt by random seeds is `make mutants`; a few mutants that the first seeds find are hunted here too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from agent.errors import Superseded
from agent.git import repo
from agent.git.mirror import Mirror
from agent.programs.runner import Finished
from simulation import mutants_scenes, mutants_scenes_claims, mutants_scenes_people
from simulation.invariants import UNREPORTED, WRITER
from simulation.mutants import Mutant, patched
from simulation.mutants_all import MUTANTS
from simulation.mutants_hunt import by_seeds
from simulation.mutants_stage import Scene, play
from support.git_bench import BRANCH, CLAIM, OTHER, RUN, Bench, work


def scenes(*modules: ModuleType) -> list[Scene]:
    """The directed histories: what takes a stage and nothing else."""
    return [
        one
        for module in modules
        for one in vars(module).values()
        if inspect.iscoroutinefunction(one) and list(inspect.signature(one).parameters) == ["stage"]
    ]


SCENES: Final = scenes(mutants_scenes, mutants_scenes_people, mutants_scenes_claims)


def test_there_are_enough_of_them_and_each_says_what_it_breaks() -> None:
    assert len(MUTANTS) >= 25
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)
    assert all(one.breaks and one.scene in SCENES for one in MUTANTS)


@pytest.mark.parametrize("scene", SCENES, ids=lambda one: one.__name__)
def test_the_shipped_code_holds_in_every_directed_history(scene: Scene) -> None:
    """The control: what kills a mutant is the mutant."""
    assert play(scene) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_is_killed(mutant: Mutant, measured: Callable[[str], None]) -> None:
    with mutant.patch():
        broken = play(mutant.scene)
    assert broken is not None, "it survives"
    assert broken.invariant == mutant.kills, broken
    measured(f"mutant {mutant.name}: killed by “{broken.invariant}”")


@pytest.mark.parametrize("name", ["constant_nonce", "a_take_over_changes_the_run_id"])
def test_random_histories_kill_it_too(name: str, measured: Callable[[str], None]) -> None:
    """A few that the first seeds find; `make mutants` hunts all."""
    (mutant,) = (one for one in MUTANTS if one.name == name)
    found, seeds = by_seeds(mutant, 0, 5)
    assert found, f"{seeds} seeds did not find it"
    measured(f"mutant {name} in random histories: {found}")


async def test_the_mutant_that_pushes_the_claim_ref_unchanged_is_killed(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    """Git does not check a push of the ref's present value; it does check a deletion. On the real git: it decides that.

    A successor sets the ref between what the pushing side was shown and what the remote does.
    """
    bench = Bench(tmp_path)
    blob = await bench.claim()
    workspace = await bench.open()
    sha = await work(workspace, {"a.txt": "1"})
    successor = await bench.pod("other").set_claim(43, OTHER, None)
    take_it = f"env -u GIT_QUARANTINE_PATH git update-ref {CLAIM} {successor}"
    bench.remote.hook("pre-receive", take_it)
    with pytest.raises(Superseded):
        await workspace.publish(sha, claim_blob=blob)
    assert bench.remote.tip(BRANCH) == ""

    bench.remote.hook("pre-receive", "")
    await bench.repo.set_claim(42, f"{OTHER} routed", successor)
    blob = bench.repo.claim_blob(f"{OTHER} routed")
    bench.remote.hook("pre-receive", take_it)
    shipped = Mirror.remote

    async def unchanged(self: Mirror, *words: str) -> Finished:
        return await shipped(self, *(f"{blob}{one}" if one == f":{CLAIM}" else one for one in words))

    with patched(Mirror, "remote", unchanged):
        assert await workspace.publish(sha, claim_blob=blob) == sha
    assert (bench.remote.tip(BRANCH), bench.remote.ref(CLAIM)) == (sha, successor), f"{WRITER}: it survives"
    measured(f"mutant the_claim_ref_is_pushed_unchanged (real git): killed by “{WRITER}”")


async def test_the_mutant_that_looks_at_the_tip_only_is_killed(tmp_path: Path, measured: Callable[[str], None]) -> None:
    """After any rejected or unanswered push: a commit of this run anywhere on the branch is success."""
    bench = Bench(tmp_path)
    workspace = await bench.open()
    sha = await work(workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=None)
    bench.remote.push(BRANCH, {"b.txt": "a person went on"})
    await bench.repo.fetch()
    assert await bench.repo.commit_of_run(RUN, BRANCH) == sha

    async def tip_only(mirror: Mirror, key: str, value: str, branch: str) -> str | None:
        tip = await mirror.tip(branch)
        done = await mirror.local("log", "-1", f"--format=%(trailers:key={key},valueonly)", str(tip))
        return tip if value in done.stdout.decode() else None

    with patched(repo, "commit_with", tip_only):
        found = await bench.repo.commit_of_run(RUN, BRANCH)
    assert found is None, f"{UNREPORTED}: it survives"
    measured(f"mutant evidence_is_the_tip_only (real git): killed by “{UNREPORTED}”")
