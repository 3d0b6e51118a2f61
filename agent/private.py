"""What no run may see, held against what every run sees: the host's programs, and the paths of `sandbox.readable`.

A box shows those whole. So nothing of the pod's own may lie there: its state has other repositories in it, a secret opens the
board, a forge or the model's API, and a repository on this host is another project's. Links are followed on both sides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.devshell.client_options import HOST_STORE, store_of, unnamed
from agent.errors import PodTrouble
from agent.sandbox.host import Host, this_host
from agent.settings import Ambient, Settings

_OF_HOME: Final = (".ssh", ".netrc", ".git-credentials", ".config/git/credentials", ".config/nix/nix.conf")
"""What git, ssh and Nix read of a home by themselves, with secrets in it."""


class _Private(Struct, frozen=True):
    """What no run may see.

    Attributes:
        what: as the operator knows it.
        path: where it is.
        parts: whether nothing in it may be shown either; of a store, paths may be named one by one.
    """

    what: str
    path: Path
    parts: bool = True


def refuse_shown(settings: Settings, ambient: Ambient, host: Host | None = None) -> None:
    """Refuse a place of the pod's own that every box would show.

    Args:
        settings: of the pod; without a sandbox nothing is asked of them.
        ambient: what the environment says about secrets.
        host: what boxes show of it; this one's, if none is given.

    Raises:
        PodTrouble: a path of `sandbox.readable` is not there, or shows what no run may see; or the host's programs do.
    """
    if settings.sandbox.kind != "bubblewrap":
        return
    named = [Path(path) for path in settings.sandbox.readable]
    for path in named:
        if not path.exists():
            raise PodTrouble(f"`sandbox.readable` names {path}, which is not on this host: mend the setting")
    programs = [path for path in (host or this_host()).folders if path != HOST_STORE]  # of that, only a closure is seen
    for one in _privates(settings, ambient):
        for path in programs:
            if _shows(path, one):
                raise PodTrouble(f"every run sees {path}, where {one.what} is ({one.path}): move it")
        for path in named:
            if _shows(path, one):
                raise PodTrouble(
                    f"`sandbox.readable` names {path}, which would show every run {one.what} ({one.path}): "
                    "move it, or name less"
                )


def is_shown(settings: Settings, program: Path, host: Host | None = None) -> bool:
    """Whether each run sees a program of the host: the file that its path leads to, and its place."""
    if settings.sandbox.kind != "bubblewrap":
        return True
    seen = [Path(os.path.realpath(path)) for path in settings.sandbox.readable]
    seen += [Path(os.path.realpath(path)) for path in (host or this_host()).folders]
    wanted = (Path(os.path.realpath(program)), Path(os.path.realpath(program.parent)) / program.name)
    return all(any(one.is_relative_to(path) for path in seen) for one in wanted)


def _shows(shown: Path, one: _Private) -> bool:
    private, place = Path(os.path.realpath(one.path)), Path(os.path.realpath(shown))
    if one.parts:
        return private.is_relative_to(place) or place.is_relative_to(private)
    return private != place and private.is_relative_to(place)


def _privates(settings: Settings, ambient: Ambient) -> Iterator[_Private]:
    yield _Private("`state`", Path(settings.state))
    files = {"board.token_file": settings.board.token_file, "model.key_file": settings.model.key_file}
    for project, repository in settings.repositories.items():
        files[f"repositories.{project}.token_file"] = repository.token_file
        files[f"repositories.{project}.ssh_key_file"] = repository.ssh_key_file
        if (place := repository.url.removeprefix("file://")).startswith("/"):
            yield _Private(f"the repository of `repositories.{project}`", Path(place))
    yield from (_Private(f"`{setting}`", Path(file)) for setting, file in files.items() if file)
    yield from _of_environment(settings, ambient)
    options = settings.nix.settings
    stores = () if unnamed(options) else (store_of(options),)
    for store in stores or (store_of({}),):
        yield _Private("Nix's store", store.real, parts=False)
        yield _Private("the state of Nix", store.state, parts=False)


def _of_environment(settings: Settings, ambient: Ambient) -> Iterator[_Private]:
    """Secrets that no setting of ours names."""
    words = {
        "$CREDENTIALS_DIRECTORY": ambient.credentials,
        "$SSH_AUTH_SOCK": ambient.children.get("SSH_AUTH_SOCK", ""),
        "`netrc-file`": settings.nix.settings.get("netrc-file", ""),
    }
    yield from (_Private(what, Path(place)) for what, place in words.items() if place.startswith("/"))
    if home := ambient.children.get("HOME", ""):
        found = (Path(home) / name for name in _OF_HOME)
        yield from (_Private("a secret of the pod's user", path) for path in found if path.exists())
