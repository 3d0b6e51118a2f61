"""Without a daemon of Nix: what each hostile builder leaves for the next ticket, alone and all together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.devshell import client_options
from support.heartbeat import heartbeat
from support.hostile_builders import DAMAGES, GOOD, WAYS, after, killed, many, pod_with, verdict
from support.needs import needs
from support.nix_jail import loosen
from support.store_pods import Pod

AT_ITS_END: Final = ("folders that are closed", "words that blame the host")
"""After these a builder can do nothing more."""
pytestmark = [pytest.mark.nix, needs("nix", "bwrap")]


@pytest.fixture(params=["own", "named"])
def pod(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "no-socket")
    yield pod_with(request.param, tmp_path)
    loosen(tmp_path)


@pytest.mark.parametrize("way", WAYS)
async def test_a_ticket_meets_nothing_of_a_builder_before_it(pod: Pod, way: str) -> None:
    assert await after(pod, way) == GOOD


async def test_nor_of_one_that_does_it_all(pod: Pod) -> None:
    assert await after(pod, *WAYS) == GOOD


@pytest.mark.parametrize("pod", ["own"], indirect=True)
@pytest.mark.parametrize("way", [name for name in WAYS if name not in AT_ITS_END])
async def test_nor_if_the_pod_was_killed_meanwhile(pod: Pod, way: str) -> None:
    killed(pod, way)
    assert await verdict(pod) == GOOD


@pytest.mark.parametrize("pod", ["own"], indirect=True)
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_store_that_a_power_cut_has_broken_is_made_anew(pod: Pod, damage: str) -> None:
    assert (await pod.run("shop", "true")).ok
    DAMAGES[damage](pod.state / "stores/shop/nix")
    assert await verdict(pod) == GOOD


@pytest.mark.parametrize("pod", ["own"], indirect=True)
async def test_what_would_be_built_is_read_while_the_loop_goes_on(pod: Pod) -> None:
    pod.write("shop", "flake.nix", many(6, 60_000))
    async with heartbeat():
        assert (await pod.run("shop", "echo hi", "hostile")).stdout == b"hi\n"
