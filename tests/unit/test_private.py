"""What no run may see is not where every run looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from agent.errors import PodTrouble
from agent.private import refuse_shown
from agent.sandbox.host import Host, this_host
from agent.settings import Ambient, Settings, judge

Change = Callable[[Settings, Path], Settings]


def pod(folder: Path, **more: Any) -> Settings:
    """The settings of a pod whose own things are all in the folder."""
    repository = {
        "url": "https://forge.example/shop.git",
        "token_file": f"{folder}/forge-token",
        "ssh_key_file": f"{folder}/forge-key",
    }
    return judge(
        {
            "pod": "pod-a",
            "state": f"{folder}/state",
            "board": {"url": "https://board.example", "token_file": f"{folder}/board-token"},
            "repositories": {"shop": repository, "vault": {"url": f"file://{folder}/vault.git"}},
            "model": {"kind": "command", "command": ["w"], "key_file": f"{folder}/model-key"},
            "nix": {"settings": {"store": f"local?store={folder}/nix/store&state={folder}/nix/state"}},
            **more,
        }
    )


def ambient(**changes: str) -> Ambient:
    return Ambient(children={"HOME": "/nowhere", **changes}, journal=False, colour=False)


PLACES: Final[dict[str, str]] = {
    "state": "state",
    "board.token_file": "board-token",
    "model.key_file": "model-key",
    "repositories.shop.token_file": "forge-token",
    "repositories.shop.ssh_key_file": "forge-key",
    "repositories.vault": "vault.git",
    "Nix's store": "nix/store",
    "the state of Nix": "nix/state",
}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder for what is shown."""
    (tmp_path / "shown").mkdir()
    return tmp_path / "shown"


def moved(settings: Settings, place: str, where: Path) -> Settings:
    """The settings with one of the pod's own things at another place."""
    shop, vault = settings.repositories["shop"], settings.repositories["vault"]
    options = dict(settings.nix.settings)
    match place:
        case "state":
            return replace(settings, state=str(where))
        case "board.token_file":
            return replace(settings, board=replace(settings.board, token_file=str(where)))
        case "model.key_file":
            return replace(settings, model=replace(settings.model, key_file=str(where)))
        case "repositories.shop.token_file":
            shop = replace(shop, token_file=str(where))
        case "repositories.shop.ssh_key_file":
            shop = replace(shop, ssh_key_file=str(where))
        case "repositories.vault":
            vault = replace(vault, url=str(where))
        case "Nix's store":
            options["store"] = f"local?store={where}&state=/srv/nix/state"
        case _:
            options["store"] = f"local?store=/srv/nix/store&state={where}"
    return replace(
        settings,
        repositories={"shop": shop, "vault": vault},
        nix=replace(settings.nix, settings=options),
    )


@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_the_pods_own_may_be_among_the_hosts_programs(place: str, tmp_path: Path) -> None:
    for folder in (one for one in this_host().folders if one.is_dir()):
        settings = moved(pod(tmp_path), place, folder / "local/agent")
        with pytest.raises(PodTrouble, match=r"^every run sees (/\S+), where .* is \(/\S+\): move it$") as refused:
            refuse_shown(settings, ambient())
        assert place in str(refused.value)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", ["below", "itself", "a link to it", "a link above it"])
def test_nothing_of_the_pods_own_may_be_in_what_the_operator_shows(
    place: str, way: str, tmp_path: Path, elsewhere: Path
) -> None:
    where = elsewhere / "pod/secret"
    where.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(where if way == "a link to it" else elsewhere)
    shown = {"below": elsewhere, "itself": where, "a link to it": elsewhere, "a link above it": link}[way]
    settings = moved(pod(tmp_path / "own"), place, link if way == "a link to it" else where)
    settings = replace(settings, sandbox=replace(settings.sandbox, readable=(str(shown),)))
    if way == "itself" and "Nix" in place:
        return refuse_shown(settings, ambient(), Host())  # of it a run sees the closure of its shell
    with pytest.raises(
        PodTrouble, match=r"^`sandbox.readable` names .* would show every run .*: move it, or name less"
    ):
        refuse_shown(settings, ambient(), Host())
    return None


def test_no_part_of_the_state_folder_is_shown_either(tmp_path: Path) -> None:
    part = tmp_path / "state/stores/vault"
    part.mkdir(parents=True)
    settings = pod(tmp_path, sandbox={"readable": [str(part)]})
    with pytest.raises(PodTrouble, match="would show every run `state`"):
        refuse_shown(settings, ambient(), Host())


@pytest.mark.parametrize("variable", ["$CREDENTIALS_DIRECTORY", "$SSH_AUTH_SOCK", "`netrc-file`", ".ssh/id_ed25519"])
def test_secrets_that_no_setting_of_ours_names_are_not_shown_either(
    variable: str, tmp_path: Path, elsewhere: Path
) -> None:
    where = elsewhere / "secret"
    settings = pod(tmp_path, sandbox={"readable": [str(elsewhere)]})
    refuse_shown(settings, ambient(), Host())
    around = ambient()
    if variable == "$CREDENTIALS_DIRECTORY":
        around = replace(around, credentials=str(where))
    elif variable == "$SSH_AUTH_SOCK":
        around = ambient(SSH_AUTH_SOCK=str(where))
    elif variable == "`netrc-file`":
        options = {**settings.nix.settings, "netrc-file": str(where)}
        settings = replace(settings, nix=replace(settings.nix, settings=options))
    else:
        (elsewhere / variable).parent.mkdir()
        around = ambient(HOME=str(elsewhere))
    with pytest.raises(PodTrouble, match="would show every run"):
        refuse_shown(settings, around, Host())


def test_a_tool_beside_the_pods_own_things_may_be_shown(tmp_path: Path) -> None:
    (tmp_path / "tool").touch()
    refuse_shown(pod(tmp_path, sandbox={"readable": [f"{tmp_path}/tool"]}), ambient())


def test_without_a_sandbox_nothing_is_shown_or_refused(tmp_path: Path) -> None:
    refuse_shown(replace(pod(tmp_path, sandbox={"kind": "none"}), state="/usr/local/agent"), ambient())
