"""`agent board`, `agent config`, and what every command says to a mistake."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import httpx
import pytest

from agent import __version__
from support.commands import agent, started

BACKLOG = """
[[users]]
login = "olga"
name = "Olga Operator"

[[projects]]
identifier = "shop"
name = "Shop"

[[work_packages]]
key = "one"
subject = "The first"
"""

SETTINGS = """
pod = "pod-a"
[board]
url = "http://127.0.0.1:1"
[repositories.shop]
url = "/srv/shop.git"
[model]
kind = "command"
command = ["model"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A board that was just made."""
    made = tmp_path / "board"
    assert agent("board", "init", str(made)).code == 0
    return made


def test_init_shows_three_accounts_once(tmp_path: Path) -> None:
    made = agent("board", "init", str(tmp_path / "board"), "--json")
    assert sorted(made.json["tokens"]) == ["admin", "agent", "human"]
    again = agent("board", "init", str(tmp_path / "board"))
    assert again.code == 2
    assert "holds a board already" in again.err


def test_import_puts_all_of_a_backlog_on_the_board_or_nothing(folder: Path, tmp_path: Path) -> None:
    backlog = tmp_path / "backlog.toml"
    backlog.write_text(BACKLOG.replace("subject", "sujet"))
    wrong = agent("board", "import", str(folder), str(backlog))
    assert (wrong.code, "unknown key 'sujet'" in wrong.err) == (2, True)
    backlog.write_text(BACKLOG)
    done = agent("board", "import", str(folder), str(backlog))
    assert done.out.splitlines()[0] == "Imported: 1 project(s), 1 work package(s)."
    assert re.fullmatch(r"  olga  opapi-\w+", done.out.splitlines()[2])


def test_serve_tells_its_address_once_it_listens_and_stops_at_a_signal(folder: Path) -> None:
    with started("board", "serve", str(folder), "--listen", "127.0.0.1:0", "--json") as serving:
        assert serving.stdout is not None
        url = json.loads(serving.stdout.readline())["url"]
        assert httpx.get(f"{url}/api/v3/users/me").status_code == 401
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(10) == 0


def test_serve_where_it_cannot_listen_is_a_sentence(folder: Path) -> None:
    done = agent("board", "serve", str(folder), "--listen", "192.0.2.1:1")
    assert (done.code, done.err.startswith("agent: The board cannot listen on 192.0.2.1:1: ")) == (2, True)
    assert agent("board", "serve", str(folder), "--listen", "nowhere").code == 2
    assert agent("board", "serve", str(folder / "none"), "--listen", "127.0.0.1:0").code == 2


def test_config_check_judges_without_token_and_network(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(SETTINGS)
    assert agent("config", "check", str(file)).out.startswith("The settings are in order: board http://127.0.0.1:1")
    assert agent("config", "check", str(file), "--json").json["pod"] == "pod-a"
    file.write_text(SETTINGS.replace("command =", "comand ="))
    wrong = agent("config", "check", str(file))
    assert (wrong.code, "comand" in wrong.err, "Traceback" in wrong.err) == (2, True, False)


def test_version_and_help() -> None:
    assert agent("--version").out == f"agent {__version__}\n"
    for command in (
        "cycle",
        "run",
        "explain",
        "status",
        "doctor",
        "release",
        "board serve",
        "board init",
        "config check",
    ):
        help_ = agent(*command.split(), "--help")
        assert help_.code == 0
        assert "Example" in help_.out, f"{command} shows no example"
    assert agent("fly").code == 2


@pytest.mark.parametrize("command", ["cycle", "run", "explain", "status", "doctor"])
def test_a_missing_settings_file_or_token_is_a_sentence_with_the_next_step(command: str, tmp_path: Path) -> None:
    nothing = agent(command, "--config", str(tmp_path / "none.toml"))
    assert nothing.code == 2
    assert nothing.err.startswith("agent: The settings file ")
    (tmp_path / "agent.toml").write_text(SETTINGS)
    tokenless = agent(command, "--config", str(tmp_path / "agent.toml"))
    looks_on = command == "doctor"  # it tells that among all else that it looks at
    assert tokenless.code == (1 if looks_on else 2)
    assert "The board's token is nowhere" in (tokenless.out if looks_on else tokenless.err)


def test_an_unreachable_board_is_one_sentence_and_a_traceback_only_if_asked_for(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(SETTINGS)
    env = {"AGENT_BOARD_TOKEN": "opapi-x"}
    done = agent("status", "--config", str(tmp_path / "agent.toml"), env=env)
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert done.err.startswith("agent: The board at http://127.0.0.1:1 did not answer")
    assert "agent doctor" in done.err
    loud = agent("status", "-v", "--config", str(tmp_path / "agent.toml"), env=env)
    assert "Traceback" in loud.err
