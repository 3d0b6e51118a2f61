"""Settings and secrets: the only reader of the environment.

Reading and judging are two things: here files and variables are read, `agent.settings.rules` judges. The file is
`--config`, else $AGENT_CONFIG, else ./agent.toml. A secret is $CREDENTIALS_DIRECTORY/<name> (systemd's LoadCredential),
else the file that the settings name, else, for the board's token, $AGENT_BOARD_TOKEN, and for the model's key, $AGENT_MODEL_KEY.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.errors import ConfigurationError
from agent.settings.credential_files import Credentials, Secret, read_credentials
from agent.settings.rules import (
    BoardSettings,
    Execution,
    FieldNames,
    ModelSettings,
    NixSettings,
    PriceSettings,
    Repository,
    SandboxSettings,
    Settings,
    Statuses,
    Types,
    describe,
    judge,
)
from agent.texts.bounded import TEXT, Unreadable, from_toml
from agent.texts.claim_token import POD_NAME, is_pod_name

__all__ = [
    "Ambient",
    "BoardSettings",
    "Credentials",
    "Execution",
    "FieldNames",
    "ModelSettings",
    "NixSettings",
    "PriceSettings",
    "Repository",
    "SandboxSettings",
    "Secret",
    "Settings",
    "Statuses",
    "Types",
    "Unit",
    "ambient",
    "check",
    "credentials",
    "describe",
    "find_config",
    "judge",
    "load",
    "read",
    "taken_unit",
]

Environment = Mapping[str, str]

_HANDED_ON: Final = (
    "HOME", "PATH", "TMPDIR", "TZ", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "XDG_CACHE_HOME",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NIX_SSL_CERT_FILE", "NIX_REMOTE", "NIX_PATH", "NIX_CONF_DIR", "NIX_USER_CONF_FILES",
    "SSH_AUTH_SOCK", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


class Ambient(Struct, frozen=True, kw_only=True):
    """What else the environment says.

    Attributes:
        children: the variables that commands of ours (git, nix, ssh) inherit; nothing else is handed on.
        journal: whether the output goes to systemd's journal, which adds its own time stamps.
        colour: whether colour is welcome, as far as $NO_COLOR and $TERM say.
        credentials: the folder into which systemd put this unit's secrets; empty where there is none.
    """

    children: Mapping[str, str]
    journal: bool
    colour: bool
    credentials: str = ""


class Unit(Struct, frozen=True, kw_only=True):
    """What systemd tells the main process of a unit.

    Attributes:
        address: of the socket that wants to hear from it; empty outside such a unit.
        watchdog: seconds within which systemd wants to hear that it lives; 0 where it does not.
    """

    address: str = ""
    watchdog: float = 0.0


def load(config: str | None = None, pod: str | None = None, *, environ: Environment | None = None) -> Settings:
    """The settings of one pod: pod and state are set, every path is absolute.

    Args:
        config: `--config`.
        pod: `--pod`.
        environ: the environment, if not this process's own.

    Raises:
        ConfigurationError: the file is missing, is no TOML, or holds something wrong; or the state folder is none that can be used.
    """
    env = os.environ if environ is None else environ
    path = find_config(config, environ=env)
    settings = judge(read(path))
    return _settle(settings, path.absolute().parent, pod or env.get("AGENT_POD") or settings.pod, env)


def check(config: str | None = None, *, environ: Environment | None = None) -> Settings:
    """Judge a settings file without credentials, network or home, for instance while a host is built."""
    return judge(read(find_config(config, environ=os.environ if environ is None else environ)))


def find_config(option: str | None, *, environ: Environment) -> pathlib.Path:
    """Which file holds the settings; whether it is there shows when it is read."""
    return pathlib.Path(option or environ.get("AGENT_CONFIG") or "agent.toml")


def read(path: pathlib.Path) -> dict[str, Any]:
    """The TOML document in a file.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return from_toml(path.read_text(encoding="utf-8"), longest=TEXT)
    except OSError as error:
        raise ConfigurationError(
            f"The settings file {path} cannot be read: {error.strerror}. "
            "Name one with --config or $AGENT_CONFIG, or put an agent.toml here."
        ) from error
    except (Unreadable, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The settings file {path} is no TOML: {error}.") from error


def credentials(settings: Settings, *, environ: Environment | None = None, whole: bool = True) -> Credentials:
    """Read the secrets that the settings need.

    Args:
        settings: which.
        environ: the environment, if not this process's own.
        whole: whether one that is missing or cannot be read is an error; else it is told in `lacking`.

    Raises:
        ConfigurationError: the board's token is nowhere, or a file cannot be read or holds no token.
    """
    found = read_credentials(settings, os.environ if environ is None else environ)
    if whole and found.lacking:
        raise ConfigurationError(found.lacking[0])
    return found


def ambient(*, environ: Environment | None = None) -> Ambient:
    """What commands inherit, and where the output goes."""
    env = os.environ if environ is None else environ
    return Ambient(
        children={name: env[name] for name in _HANDED_ON if name in env},
        journal="JOURNAL_STREAM" in env,
        colour=not env.get("NO_COLOR") and env.get("TERM") != "dumb",
        credentials=env.get("CREDENTIALS_DIRECTORY", ""),
    )


def taken_unit(*, environ: MutableMapping[str, str] | None = None) -> Unit:
    """What systemd's variables say; they are taken out, so that no child could speak for this process."""
    env = os.environ if environ is None else environ
    address, usec, pid = (env.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
    ours = usec.isdecimal() and pid in ("", str(os.getpid()))
    return Unit(address=address, watchdog=int(usec) / 1e6 if ours else 0.0)


def _settle(settings: Settings, folder: pathlib.Path, pod: str, env: Environment) -> Settings:
    """Fill in what depends on host and command line."""
    if not pod:
        raise ConfigurationError("This pod has no name. Set `pod`, or give one with --pod or $AGENT_POD.")
    if not is_pod_name(pod):
        raise ConfigurationError(f"The pod name {msgspec.json.encode(pod).decode()} is refused. Allowed: {POD_NAME}.")
    state = _absolute(settings.state, folder, env) or str(_state_folder(pod, env))
    if "'" in state:
        raise ConfigurationError(
            f"The state folder {state} has a ' in its path, where Nix saves no development shell. Set `state` to another one."
        )
    return replace(
        settings,
        pod=pod,
        state=state,
        board=replace(settings.board, token_file=_absolute(settings.board.token_file, folder, env)),
        model=replace(
            settings.model,
            key_file=_absolute(settings.model.key_file, folder, env),
            program=_program(settings.model.program, folder, env),
        ),
        sandbox=replace(
            settings.sandbox, readable=tuple(_absolute(one, folder, env) for one in settings.sandbox.readable)
        ),
        nix=replace(settings.nix, starter=_absolute(settings.nix.starter, folder, env)),
        repositories={
            project: replace(
                repository,
                token_file=_absolute(repository.token_file, folder, env),
                ssh_key_file=_absolute(repository.ssh_key_file, folder, env),
            )
            for project, repository in settings.repositories.items()
        },
    )


def _state_folder(pod: str, env: Environment) -> pathlib.Path:
    if given := env.get("STATE_DIRECTORY"):
        return pathlib.Path(given.partition(":")[0])
    given = env.get("XDG_STATE_HOME", "")
    if given.startswith("/"):  # a relative one is to be ignored (XDG base directory specification)
        return pathlib.Path(given) / "agent" / pod
    return _home(env, "the state folder") / ".local" / "state" / "agent" / pod


def _absolute(path: str, folder: pathlib.Path, env: Environment) -> str:
    """The path as seen from the settings file's folder; `~/` is the home of $HOME."""
    if path.startswith("~/"):
        return str(_home(env, path) / path[2:])
    return path and str(folder / path)


def _program(name: str, folder: pathlib.Path, env: Environment) -> str:
    """A name is looked up in $PATH, a path is seen from the settings file's folder."""
    return _absolute(name, folder, env) if "/" in name else name


def _home(env: Environment, what: str) -> pathlib.Path:
    if not env.get("HOME"):
        raise ConfigurationError(f"$HOME is not set, so {what} has no place. Set `state` and name files from `/`.")
    return pathlib.Path(env["HOME"])
