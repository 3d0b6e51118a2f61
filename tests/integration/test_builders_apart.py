"""Without a daemon of Nix: what a builder of one ticket writes reaches no other ticket (trust row T3: poisoned shells)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.devshell import client_options, client_steps
from agent.devshell.apart import Apart
from agent.devshell.client_read import derivation_in
from agent.devshell.client_steps import Steps, Time
from agent.errors import TicketFailure
from agent.programs.processes import Processes
from agent.texts.evidence import redactor
from support.hostile_builders import BASE, DAMAGES, GOOD, after, begun, killed, pod_with, verdict
from support.needs import needs
from support.nix_jail import PATH, SYSTEM, Jails, loosen
from support.store_pods import Pod

pytestmark = [pytest.mark.nix, needs("nix", "bwrap")]


@pytest.fixture(params=["own", "named"])
def pod(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "no-socket")  # whatever this host has
    yield pod_with(request.param, tmp_path)
    loosen(tmp_path)


SAME_PLAN: Final = ("a result of the same plan",)
ALL_OF_IT: Final = (
    "the number of the schema",
    "a pipe among the files of the state",
    "links among the roots and profiles",
    "folders that are closed",
)


@pytest.mark.parametrize(
    ("pod", "ways"),
    [
        ("own", SAME_PLAN),
        ("named", SAME_PLAN),
        ("own", ("a result of the future, registered",)),
        ("own", ("what every shell is made of", "a result of an earlier ticket that is no input")),
        ("own", ALL_OF_IT),
        ("own", ("words that blame the host",)),
        ("own", ("lines without end, as Nix's own words",)),
    ],
    indirect=["pod"],
)
async def test_what_a_builder_writes_reaches_no_other_ticket(pod: Pod, ways: tuple[str, ...]) -> None:
    assert await after(pod, *ways) == GOOD


@pytest.mark.parametrize("pod", ["own"], indirect=True)
async def test_a_pod_that_is_killed_in_the_middle_of_a_build_leaves_nothing_of_it(pod: Pod) -> None:
    killed(pod, "a result of the same plan")
    assert await verdict(pod) == GOOD
    assert not begun(pod), "nor on disk"
    assert {path.name for path in (pod.state / "nix/shop").iterdir()} <= {"fetch", "home"}, "nor a folder of a step"


@pytest.mark.parametrize("pod", ["own"], indirect=True)
@pytest.mark.parametrize("damage", ["junk in the database", "an empty number of the schema", "a path that is gone"])
async def test_a_store_that_a_power_cut_has_broken_is_made_anew(pod: Pod, damage: str) -> None:
    assert (await pod.run("shop", "true")).ok
    DAMAGES[damage](pod.state / "stores/shop/nix")
    assert await verdict(pod) == GOOD


@pytest.mark.parametrize("name", ["p&real=x", "p%41?y#z"])
async def test_whatever_the_state_folder_is_called_its_stores_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "no-socket")
    (tmp_path / name).mkdir()
    pod = pod_with("own", tmp_path / name)
    assert await verdict(pod) == GOOD
    assert (pod.state / "stores/shop/nix/var/nix/db/db.sqlite").exists()
    loosen(tmp_path)


MANY: Final = """dep = derivation { inherit system; name = "dep"; builder = "/bin/bash"; args = [ "-c" "echo dep > $out" ]; };
  lib = derivation {
    inherit system dep; name = "lib"; builder = "/bin/bash"; PATH = "/usr/bin:/bin"; outputs = [ "out" "dev" ];
    args = [ "-c" "mkdir -p $out/bin $dev; echo cat $dep > $out/bin/lib; chmod 755 $out/bin/lib; ln -s $out $dev/out; exit 0" ];
  };
"""


@pytest.mark.parametrize("pod", ["own"], indirect=True)
async def test_what_is_built_apart_has_all_its_outputs_and_all_that_it_refers_to(pod: Pod) -> None:
    flake = BASE.replace("let\n", f'let\n      system = builtins.currentSystem or "{SYSTEM}";\n {MANY}', 1)
    pod.write("shop", "flake.nix", flake.replace("HOOKED=1", "HOOKED=3").replace("tool =", "dev = lib.dev; tool ="))
    done = await pod.run("shop", "sh $dev/out/bin/lib; stat -c %a $dev/out/bin/lib; touch $dev/x || :")
    assert done.stdout == b"dep\n555\n"


EACH_OTHER: Final = """files = toString (builtins.foldl'
  (all: n: all ++ [ (builtins.toFile "%s${toString n}" (builtins.concatStringsSep "," all)) ]) [ ] (builtins.genList (n: n) 60));
  tool =""" % (190 * "x")


@pytest.mark.parametrize("pod", ["own"], indirect=True)
async def test_a_shell_whose_parts_name_each_other_too_often_is_the_tickets_failure(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_steps, "OUTPUT", 300_000)  # as 600 parts are to the real one
    pod.write("shop", "flake.nix", BASE.replace("tool =", EACH_OTHER))
    with pytest.raises(TicketFailure, match=r"the development shell needs .* of things that need each other: make it"):
        await pod.run("shop", "true")


async def test_inputs_may_be_more_than_a_program_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "no-socket")
    steps = Steps(
        jail=Jails(tmp_path),
        fetch=Processes(grace=0.3),
        folder=tmp_path / "nix",
        own=tmp_path / "own",
        env={"PATH": PATH},
        options={"substituters": ""},
    )
    apart = Apart(steps, redactor())
    stores = steps.stores()
    async with steps.inside("evaluate", stores.sources) as nix:
        expression = (
            f'(derivation {{ system = "{SYSTEM}"; name = "one"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; }})'
        )
        done = await nix.run("eval", "--raw", "--expr", f"{expression}.drvPath", time=Time(60))
    one = derivation_in(stores.sources, done.stdout.decode())
    await apart.build(stores.builds, one, [one.path] * 50_000, Time(60))
    assert stores.builds.here(one.outputs["out"].path).read_text() == "\n"
    with pytest.raises(TicketFailure, match="is not valid"):
        await apart.build(stores.builds, one, [one.path, f"/nix/store/{32 * 'a'}-gone"], Time(60))
    loosen(tmp_path)
