import copy
import json
import os
import pathlib
import pickle
from typing import Any

import msgspec
import pytest

from agent import settings
from agent.errors import ConfigurationError
from agent.settings import Secret

LEAST = '[board]\nurl = "http://b"\n[repositories.shop]\nurl = "x"\n[model]\nkind = "command"\ncommand = ["w"]\n'


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "agent.toml"
    path.write_text(LEAST)
    return path


def a_file(path: pathlib.Path, text: str = "s3cr3t-token\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


# --- which file, which pod, which folder ---


def test_option_comes_before_the_variable_and_the_variable_before_the_folder() -> None:
    env = {"AGENT_CONFIG": "b.toml"}
    assert settings.find_config("a.toml", environ=env) == pathlib.Path("a.toml")
    assert settings.find_config(None, environ=env) == pathlib.Path("b.toml")
    assert settings.find_config(None, environ={"AGENT_CONFIG": ""}) == pathlib.Path("agent.toml")


def test_pod_is_the_option_then_the_variable_then_the_setting(config: pathlib.Path) -> None:
    config.write_text('pod = "c"\nstate = "s"\n' + LEAST)
    env = {"AGENT_POD": "b"}
    assert settings.load(str(config), "a", environ=env).pod == "a"
    assert settings.load(str(config), environ=env).pod == "b"
    assert settings.load(str(config), environ={}).pod == "c"


def test_pod_without_a_fit_name_is_refused_before_anything_runs(config: pathlib.Path) -> None:
    with pytest.raises(ConfigurationError, match="has no name"):
        settings.load(str(config), environ={"HOME": "/h"})
    with pytest.raises(ConfigurationError, match=r'"pod\\na" is refused'):
        settings.load(str(config), "pod\na", environ={"HOME": "/h"})


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({"STATE_DIRECTORY": "/s:/t", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/s"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/agent/p"),
        ({"XDG_STATE_HOME": "x", "HOME": "/h"}, "/h/.local/state/agent/p"),
        ({"HOME": "/h"}, "/h/.local/state/agent/p"),
    ],
)
def test_state_folder_is_where_systemd_or_xdg_say(config: pathlib.Path, env: dict[str, str], folder: str) -> None:
    assert settings.load(str(config), "p", environ=env).state == folder


@pytest.mark.parametrize("named", ["", 'state = "st"\n'])
def test_a_state_folder_with_an_apostrophe_is_refused_at_once(tmp_path: pathlib.Path, named: str) -> None:
    """Nix writes the path of its folder unquoted into what it prints of a shell (2.26): every ticket would be interrupted."""
    folder = tmp_path / "o'brien"
    folder.mkdir()
    (folder / "agent.toml").write_text(named + LEAST)
    with pytest.raises(ConfigurationError, match=r"^The state folder /\S+o'brien/\S+ has a ' in its path.*Set `state`"):
        settings.load(str(folder / "agent.toml"), "p", environ={"HOME": str(folder)})


def test_paths_are_seen_from_the_settings_file(config: pathlib.Path) -> None:
    config.write_text('state = "st"\n' + LEAST.replace('"x"', '"x"\nssh_key_file = "~/k"\ntoken_file = "/t"'))
    loaded = settings.load(str(config), "p", environ={"HOME": "/h", "STATE_DIRECTORY": "/s"})
    assert loaded.state == str(config.parent / "st"), "the setting comes first"
    assert loaded.repositories["shop"].ssh_key_file == "/h/k"
    assert loaded.repositories["shop"].token_file == "/t"
    assert loaded.board.token_file == ""


def test_pod_without_home_is_told_what_to_set(config: pathlib.Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\$HOME is not set, so the state folder has no place"):
        settings.load(str(config), "p", environ={})


def test_own_environment_is_read_when_none_is_given(config: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_POD", "from-env")
    monkeypatch.setenv("AGENT_CONFIG", str(config))
    monkeypatch.setenv("AGENT_BOARD_TOKEN", "t0ken")
    loaded = settings.load()
    assert loaded.pod == "from-env"
    assert settings.credentials(loaded).board == Secret("t0ken")
    assert settings.check() == settings.check(str(config))
    assert settings.ambient().children["PATH"] == os.environ["PATH"]


def test_check_needs_no_credentials_no_home_and_no_pod(config: pathlib.Path) -> None:
    config.write_text(LEAST.replace('"http://b"', '"http://b"\ntoken_file = "~/absent"'))
    assert settings.check(str(config), environ={}).board.token_file == "~/absent"


def test_file_that_is_missing_or_no_toml_is_named(config: pathlib.Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: No such file or directory. Name one with --config"):
        settings.read(config.parent / "absent.toml")
    config.write_text("a = ")
    with pytest.raises(ConfigurationError, match="is no TOML: Invalid value"):
        settings.read(config)
    config.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="is no TOML"):
        settings.read(config)


# --- secrets ---


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        lambda s: f"{s}",
        lambda s: f"{s!r:>20}",
        lambda s: f"{[s]} {(s,)}",
        lambda s: f"{s:x^20}",
    ],
)
def test_secret_is_never_shown(show: Any) -> None:
    assert "s3cr3t" not in show(Secret("s3cr3t"))
    assert "…" in show(Secret("s3cr3t"))


def test_secret_is_never_written() -> None:
    secret = Secret("s3cr3t")
    for write in (pickle.dumps, json.dumps, msgspec.json.encode, copy.copy):
        with pytest.raises(TypeError):
            write(secret)
    assert secret == Secret("s3cr3t")
    assert secret != Secret("other")
    assert secret != "s3cr3t"
    assert len({secret, Secret("s3cr3t")}) == 1
    assert secret.reveal() == "s3cr3t"


def test_credential_comes_before_the_file_and_the_file_before_the_variable(
    config: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = a_file(tmp_path / "token", "from-file")
    config.write_text(LEAST.replace('"http://b"', f'"http://b"\ntoken_file = "{file}"'))
    a_file(tmp_path / "creds" / "board-token", "from-systemd")
    env = {"HOME": "/h", "AGENT_BOARD_TOKEN": "from-env"}
    loaded = settings.load(str(config), "p", environ=env)
    with_systemd = {**env, "CREDENTIALS_DIRECTORY": str(tmp_path / "creds")}
    assert settings.credentials(loaded, environ=with_systemd).board.reveal() == "from-systemd"
    assert settings.credentials(loaded, environ=env).board.reveal() == "from-file"
    without_file = msgspec.structs.replace(loaded, board=msgspec.structs.replace(loaded.board, token_file=""))
    assert settings.credentials(without_file, environ=env).board.reveal() == "from-env"
    with pytest.raises(ConfigurationError, match="token is nowhere"):
        settings.credentials(without_file, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_the_models_key_is_a_credential_a_file_or_a_variable(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file = a_file(tmp_path / "key", "from-file")
    config.write_text(LEAST + f'key_file = "{file}"\n')
    a_file(tmp_path / "creds" / "model-key", "from-systemd")
    env = {"HOME": "/h", "AGENT_BOARD_TOKEN": "b", "AGENT_MODEL_KEY": "from-env"}
    loaded = settings.load(str(config), "p", environ=env)
    with_systemd = {**env, "CREDENTIALS_DIRECTORY": str(tmp_path / "creds")}
    assert settings.credentials(loaded, environ=with_systemd).model == Secret("from-systemd")
    assert settings.credentials(loaded, environ=env).model == Secret("from-file")
    without_file = msgspec.structs.replace(loaded, model=msgspec.structs.replace(loaded.model, key_file=""))
    found = settings.credentials(without_file, environ=env)
    assert found.model == Secret("from-env")
    assert found.secrets() == (Secret("b"), Secret("from-env")), "all of them are redacted"
    assert settings.credentials(without_file, environ={"AGENT_BOARD_TOKEN": "b"}).model is None


def test_repositories_have_secrets_of_their_own(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    key = a_file(tmp_path / "key")
    config.write_text(
        LEAST.replace('"x"', f'"x"\nssh_key_file = "{key}"') + '[repositories.web]\nurl = "https://f/w"\n'
    )
    a_file(tmp_path / "creds" / "repository-web-token", "web-token")
    env = {"HOME": "/h", "AGENT_BOARD_TOKEN": "b", "CREDENTIALS_DIRECTORY": str(tmp_path / "creds")}
    found = settings.credentials(settings.load(str(config), "p", environ=env), environ=env)
    assert found.repositories == {"web": Secret("web-token")}
    assert found.ssh_keys == {"shop": pathlib.Path(key)}
    assert found.secrets() == (Secret("b"), Secret("web-token"))
    assert "web-token" not in repr(found)


def test_secret_that_others_can_read_is_worth_a_warning(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file = a_file(tmp_path / "token")
    config.write_text(LEAST.replace('"http://b"', f'"http://b"\ntoken_file = "{file}"'))
    loaded = settings.load(str(config), "p", environ={"HOME": "/h"})
    assert settings.credentials(loaded, environ={}).warnings == ()
    pathlib.Path(file).chmod(0o640)
    assert settings.credentials(loaded, environ={}).warnings == (
        f"The secret file {file} is open to others on this host: chmod 600 {file}",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no token"),
        (b"two words", "no token"),
        (b"a\nb", "no token"),
        ("ü".encode(), "no token"),
        (b"\xff", "no text"),
    ],
)
def test_file_without_a_token_is_named_and_not_quoted(
    config: pathlib.Path, tmp_path: pathlib.Path, content: bytes, message: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    config.write_text(LEAST.replace('"http://b"', f'"http://b"\ntoken_file = "{file}"'))
    loaded = settings.load(str(config), "p", environ={"HOME": "/h"})
    with pytest.raises(ConfigurationError, match=rf"token \(board.token_file\) holds {message}"):
        settings.credentials(loaded, environ={})


def test_secret_file_that_cannot_be_read_is_named(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    loaded = settings.load(str(config), "p", environ={"HOME": "/h"})
    for path, reason in ((tmp_path / "absent", "No such file"), (tmp_path, "Is a directory")):
        board = msgspec.structs.replace(loaded.board, token_file=str(path))
        with pytest.raises(ConfigurationError, match=reason):
            settings.credentials(msgspec.structs.replace(loaded, board=board), environ={})


# --- the rest of the environment ---


def test_commands_inherit_only_what_is_listed() -> None:
    """I-70: no secret of ours reaches a command by inheritance."""
    env = {"PATH": "/bin", "HOME": "/h", "AGENT_BOARD_TOKEN": "x", "ANTHROPIC_API_KEY": "x", "GIT_DIR": "x"}
    assert settings.ambient(environ=env).children == {"PATH": "/bin", "HOME": "/h"}


def test_journal_and_colour_are_told_by_the_environment() -> None:
    plain = settings.ambient(environ={})
    assert (plain.journal, plain.colour) == (False, True)
    assert settings.ambient(environ={"JOURNAL_STREAM": "8:1"}).journal
    assert not settings.ambient(environ={"NO_COLOR": "1"}).colour
    assert not settings.ambient(environ={"TERM": "dumb"}).colour


# --- what systemd tells ---


def test_what_systemd_tells_is_taken_out_of_the_environment() -> None:
    env = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/h"}
    assert settings.taken_unit(environ=env) == settings.Unit(address="/run/notify", watchdog=60.0)
    assert env == {"HOME": "/h"}
    assert settings.taken_unit(environ=env) == settings.Unit()


def test_a_watchdog_that_waits_for_another_process_is_none_of_ours() -> None:
    env = {"NOTIFY_SOCKET": "@abstract", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}
    assert settings.taken_unit(environ=env) == settings.Unit(address="@abstract", watchdog=0.0)
    assert settings.taken_unit(environ={"WATCHDOG_USEC": "soon"}).watchdog == 0
