"""Nothing that was answered is lost: a kill in the middle of writes, a full disk, a backup while it is written to."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent import server
from agent.server import store
from support.boards import API, missing

PROJECT = '[[projects]]\nidentifier = "shop"\nname = "Shop"'
SERVE = [sys.executable, "-m", "agent", "board", "serve"]
WRITERS = 3


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    folder = tmp_path / "board"
    token = server.create(folder).tokens["agent"]
    server.import_backlog(folder, PROJECT)
    return folder, token


@contextmanager
def serving(folder: Path, prefix: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*prefix, *SERVE, str(folder), "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            yield process, json.loads(process.stdout.readline())["url"] + API
        finally:
            process.kill()


def upload(client: httpx.Client, id_: int, content: bytes) -> httpx.Response:
    metadata = json.dumps({"fileName": "note.txt", "contentType": "text/plain"})
    files: dict[str, Any] = {"metadata": (None, metadata), "file": ("note.txt", content)}
    return client.post(f"/work_packages/{id_}/attachments", files=files)


class Writer(threading.Thread):
    """Creates, changes, comments and attaches until nobody answers; what was answered is kept."""

    def __init__(self, url: str, token: str, number: int) -> None:
        super().__init__(daemon=True)
        self._url, self._token, self._number = url, token, number
        self.versions: dict[int, tuple[int, str]] = {}
        self.comments: dict[int, str] = {}
        self.files: dict[int, bytes] = {}

    def run(self) -> None:
        with httpx.Client(base_url=self._url, auth=("apikey", self._token), timeout=10) as client:
            try:
                for turn in range(10_000):
                    self._turn(client, turn)
            except httpx.HTTPError:
                return

    def _turn(self, client: httpx.Client, turn: int) -> None:
        item = client.post("/projects/shop/work_packages", json={"subject": f"{self._number}.{turn}"}).json()
        self.versions[item["id"]] = (0, item["subject"])
        body = {"lockVersion": 0, "subject": item["subject"] + " changed", "customField602": f"run-{turn} @"}
        changed = client.patch(f"/work_packages/{item['id']}", json=body).json()
        self.versions[item["id"]] = (changed["lockVersion"], changed["subject"])
        text = f"{self._number} said {turn}"
        comment = client.post(f"/work_packages/{item['id']}/activities", json={"comment": {"raw": text}}).json()
        self.comments[comment["id"]] = text
        if turn % 5 == 0:
            attached = upload(client, item["id"], text.encode() * 100)
            self.files[attached.json()["id"]] = text.encode() * 100


def check(writers: list[Writer], folder: Path, token: str) -> int:
    """The board holds at least what was answered; how much that is."""
    with closing(sqlite3.connect(folder / store.FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    answered = 0
    with serving(folder) as (_, url), httpx.Client(base_url=url, auth=("apikey", token), timeout=30) as client:
        for writer in writers:
            for id_, (version, subject) in writer.versions.items():
                found = client.get(f"/work_packages/{id_}").json()
                # A change that was made and not answered may be there as well.
                assert found["lockVersion"] >= version
                assert found["subject"].startswith(subject)
            for id_, text in writer.comments.items():
                assert client.get(f"/activities/{id_}").json()["comment"]["raw"] == text
            for id_, content in writer.files.items():
                assert client.get(f"/attachments/{id_}/content").content == content
            answered += len(writer.versions) + len(writer.comments) + len(writer.files)
    return answered


def test_a_kill_in_the_middle_of_writes_loses_nothing_that_was_answered(
    made: tuple[Path, str], measured: Callable[[str], None]
) -> None:
    folder, token = made
    writers: list[Writer] = []
    for kill in range(3):
        with serving(folder) as (process, url):
            writers += (started := [Writer(url, token, 10 * kill + number) for number in range(WRITERS)])
            for writer in started:
                writer.start()
            threading.Event().wait(0.7 + 0.13 * kill)
            os.kill(process.pid, signal.SIGKILL)
            for writer in started:
                writer.join(20)
    answered = check(writers, folder, token)
    assert answered > 20
    measured(f"board: 3 kills in the middle of writes, {answered} answered writes, none lost")


def test_a_full_disk_is_an_answer_and_the_board_goes_on(made: tuple[Path, str], tmp_path: Path) -> None:
    """In a mount namespace of its own: a file system of 6 MB under the board."""
    folder, token = made
    mount = 'mkdir -p "$2" && mount -t tmpfs -o size=6m none "$2" && cp -a "$1"/. "$2" && shift && shift && exec "$@"'
    small = tmp_path / "small"
    namespace = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
    probe = subprocess.run(
        [*namespace, "sh", "-c", mount, "sh", str(folder), str(small), "true"], capture_output=True, check=False
    )
    if probe.returncode:
        missing(f"no small file system can be mounted: {probe.stderr.decode()[-200:]}")
    prefix = (*namespace, "sh", "-c", mount, "sh", str(folder), str(small))
    with serving(small, prefix) as (_, url), httpx.Client(base_url=url, auth=("apikey", token), timeout=30) as client:
        item = client.post("/projects/shop/work_packages", json={"subject": "kept"}).json()
        refused, kept = [], 0
        for turn in range(300):
            answer = (
                upload(client, item["id"], os.urandom(200_000))
                if turn % 2
                else client.post(
                    "/projects/shop/work_packages", json={"subject": "x", "description": {"raw": "y" * 100_000}}
                )
            )
            kept += answer.status_code == 201
            if answer.status_code == 507:
                refused.append(answer.json()["errorIdentifier"])
            else:
                assert answer.status_code == 201, answer.text
            if len(refused) > 10:
                break
        assert set(refused) == {"urn:openproject-org:api:v3:errors:InsufficientStorage"}
        # It still answers, and all that it said it kept is there.
        assert client.get(f"/work_packages/{item['id']}").json()["subject"] == "kept"
        total = client.get("/work_packages?pageSize=0").json()["total"]
        attached = client.get(f"/work_packages/{item['id']}/attachments").json()["_embedded"]["elements"]
        assert total + len(attached) == kept + 1
        for one in attached:
            assert len(client.get(f"/attachments/{one['id']}/content").content) == 200_000
        # Room again: it takes writes again.
        assert client.delete(f"/attachments/{attached[0]['id']}").status_code in (204, 507)


def test_a_backup_is_made_by_one_command_while_it_is_written_to(made: tuple[Path, str], tmp_path: Path) -> None:
    folder, token = made
    with serving(folder) as (_, url):
        writer = Writer(url, token, 1)
        writer.start()
        threading.Event().wait(0.5)
        answered = dict(writer.versions), dict(writer.comments), dict(writer.files)
        target = tmp_path / "copy.tar"
        command = [sys.executable, "-m", "agent", "board", "backup", str(folder), str(target), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == {"file": str(target), "bytes": target.stat().st_size}
        assert target.stat().st_mode & 0o077 == 0
    writer.join(20)
    restored = tmp_path / "restored"
    with tarfile.open(target) as archive:
        archive.extractall(restored, filter="data")
    writer.versions, writer.comments, writer.files = answered
    assert check([writer], restored, token) > 5


def test_a_backup_does_not_overwrite_and_leaves_nothing_half_done(made: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = made
    (tmp_path / "there.tar").write_text("mine")
    with pytest.raises(server.BoardError, match="exists already"):
        server.backup(folder, tmp_path / "there.tar")
    with pytest.raises(server.BoardError, match="is no folder"):
        server.backup(folder, tmp_path / "nowhere" / "copy.tar")
    with pytest.raises(server.BoardError, match=re.escape("holds no board")):
        server.backup(tmp_path / "nothing", tmp_path / "copy.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board", "there.tar"]


def test_attachments_go_with_their_work_package_and_only_then(made: tuple[Path, str]) -> None:
    folder, token = made
    admin = "UPDATE users SET admin = 1 WHERE login = 'agent'"
    with closing(sqlite3.connect(folder / store.FILE)) as connection, connection:
        connection.execute(admin)
    with serving(folder) as (_, url), httpx.Client(base_url=url, auth=("apikey", token)) as client:
        item = client.post("/projects/shop/work_packages", json={"subject": "one"}).json()
        assert upload(client, item["id"], b"x").status_code == 201
        assert len(list((folder / "attachments").iterdir())) == 1
        too_large = upload(client, item["id"], b"x" * (5 * 2**20 + 1))
        assert too_large.status_code == 422
        assert too_large.json()["_embedded"]["details"]["attribute"] == "file"
        assert len(list((folder / "attachments").iterdir())) == 1
        assert client.delete(f"/work_packages/{item['id']}").status_code == 204
        assert list((folder / "attachments").iterdir()) == []
