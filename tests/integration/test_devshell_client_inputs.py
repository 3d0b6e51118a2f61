"""Inputs of flakes with the real Nix and the real sandbox: fetched by us where they are allowed, never asked for elsewhere."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.devshell.client_options import private_store
from agent.devshell.flake import ShellRefused
from agent.errors import PodTrouble, TicketFailure
from support.git_repo import git
from support.input_forge import Forge, forge
from support.needs import needs
from support.nix_jail import Bench, flake, loosen

__all__ = ["forge"]

pytestmark = [
    pytest.mark.nix,
    needs("nix", "bwrap"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nix")
    yield folder
    loosen(folder)


@pytest.fixture
def bench(tmp_path: Path, store: Path) -> Bench:
    return Bench(tmp_path, store)


async def test_a_pinned_input_on_the_list_is_fetched_once_by_us(bench: Bench, forge: Forge, tmp_path: Path) -> None:
    bench.options = private_store(tmp_path / "own")
    bench.client = bench.make(allowed_inputs=[forge.place])
    bench.write("flake.nix", forge.flake())
    bench.write("flake.lock", forge.lock())
    for _ in range(2):
        made = await bench.evaluate()
        assert b"SOME_VAR='from the input'" in made.script
        assert (made.inputs[0] / "flake.nix").exists()
    assert forge.asked == ["/far.tar.gz"]
    loosen(tmp_path / "own")


async def test_an_input_that_is_not_what_the_lock_says(bench: Bench, forge: Forge) -> None:
    wrong = "sha256-" + base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    bench.client = bench.make(allowed_inputs=[forge.place])
    bench.write("flake.nix", forge.flake())
    bench.write("flake.lock", forge.lock(narHash=wrong))
    with pytest.raises(
        TicketFailure, match=r"^the flake input `far` \(tarball\+http://127.*\) is not what `flake.lock` says"
    ):
        await bench.evaluate()


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "nothing.tar.gz"},
        {"url": "tree/flake.nix"},
        {"type": "git", "url": "far.git", "rev": "0" * 40},
        {"type": "git", "url": "far.git", "rev": "0" * 40, "submodules": True},
        {"submodules": True},
        {"shallow": "yes"},
    ],
)
async def test_an_input_that_is_not_there_is_the_tickets_failure(
    bench: Bench, forge: Forge, changes: dict[str, Any]
) -> None:
    wrong = "sha256-" + base64.b64encode(hashlib.sha256(str(changes).encode()).digest()).decode()
    bench.client = bench.make(allowed_inputs=[forge.place])
    bench.write("flake.nix", forge.flake())
    url = forge.place + changes["url"] if "url" in changes else forge.url
    bench.write("flake.lock", forge.lock(**{"narHash": wrong, **changes, "url": url}))
    with pytest.raises(TicketFailure, match=r"^the flake input `far`"):
        await bench.evaluate()


async def test_an_input_whose_place_does_not_answer_is_pod_trouble(bench: Bench, forge: Forge) -> None:
    forge.server.shutdown()
    forge.server.server_close()
    wrong = "sha256-" + base64.b64encode(hashlib.sha256(b"gone").digest()).decode()
    bench.client = bench.make(allowed_inputs=[forge.place], options={**bench.options, "download-attempts": "1"})
    bench.write("flake.nix", forge.flake())
    bench.write("flake.lock", forge.lock(narHash=wrong))
    with pytest.raises(PodTrouble, match=r"^the flake input `far` .* cannot be fetched: "):
        await bench.evaluate()


async def test_an_input_off_the_list_or_not_pinned_is_refused_and_never_asked_for(bench: Bench, forge: Forge) -> None:
    bench.write("flake.nix", forge.flake())
    with pytest.raises(ShellRefused, match=r"^the flake input `far` is not pinned in `flake.lock`.*`stuck`"):
        await bench.evaluate()
    bench.write("flake.lock", forge.lock())
    with pytest.raises(
        ShellRefused, match=r"is not on the list of inputs that are taken here \(github:NixOS/nixpkgs\): use"
    ):
        await bench.evaluate()
    bench.write("flake.nix", forge.flake("nixpkgs"))
    (bench.checkout / "flake.lock").unlink()
    git(bench.checkout, "add", "--all")
    with pytest.raises(ShellRefused, match=r"is not pinned in `flake.lock`"):
        await bench.evaluate()
    assert forge.asked == []


async def test_a_folder_of_the_repository_is_an_input_that_needs_no_list(bench: Bench) -> None:
    head = 'inputs.part.url = "path:./part";\n  outputs =\n    { self, part }:'
    bench.write("flake.nix", flake(variables="SOME_VAR = part.word;", head=head))
    bench.write("part/flake.nix", '{ outputs = _: { word = "from the part"; }; }')
    assert b"from the part" in (await bench.evaluate()).script


async def test_a_lock_that_is_a_link_is_not_followed(bench: Bench) -> None:
    os.symlink("/etc/passwd", bench.checkout / "flake.lock")  # noqa: PTH211
    git(bench.checkout, "add", "--all")
    with pytest.raises(TicketFailure, match=r"`flake.lock` is no ordinary file"):
        await bench.evaluate()
