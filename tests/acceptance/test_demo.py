"""`agent demo` as a newcomer runs it: what it says happened is looked up on the board and in git, and nothing is left."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support import fresh_clone
from support.boards import Board
from support.demo import LINK, STAYS, assert_shows_everything, read_until, rows, start, with_claude
from support.worlds import world


def processes_below(folder: Path) -> list[str]:
    """Command lines of living processes that name this folder, or work in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            inside = str((entry / "cwd").readlink()).startswith(str(folder))
        except OSError:
            continue
        if command and (str(folder) in command or inside):
            found.append(command)
    return found


def assert_nothing_is_left(tmp: Path) -> None:
    for _ in range(20):
        if not processes_below(tmp):
            break
        time.sleep(0.1)
    assert processes_below(tmp) == []
    assert [one.name for one in tmp.iterdir() if one.name.startswith("agent-demo-")] == []


@dataclass(frozen=True)
class Stage:
    """A demo that has ended and keeps its board."""

    screen: str
    tmp: Path
    board: httpx.Client
    repository: str

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.repository, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def tickets(self) -> Sequence[dict[str, object]]:
        answer = self.board.get("/work_packages", params={"filters": "[]", "pageSize": "100"}).json()
        elements: Sequence[dict[str, object]] = answer["_embedded"]["elements"]
        return elements


@pytest.fixture(scope="module", params=["scripted", pytest.param("claude", marks=pytest.mark.proof)])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo with each of its models; in `make test` the page's demo is the one with the real Claude Code."""
    options = with_claude() if request.param == "claude" else ()
    tmp = tmp_path_factory.mktemp("demo")
    began = time.monotonic()
    process = start(tmp, "--keep", *options)
    try:
        screen = read_until(process, STAYS)
        print(f"the demo took {time.monotonic() - began:.1f} s")  # noqa: T201 - a figure for whoever runs this
        url = re.search(r"The board: +(\S+)", screen)
        password = re.search(r"password in (\S+)", screen)
        repository = re.search(r"git clone (\S+)", screen)
        assert url and password and repository, screen  # noqa: PT018
        token = Path(password[1]).read_text().strip()
        with httpx.Client(base_url=url[1] + "/api/v3", auth=("apikey", token)) as client:
            yield Stage(screen, tmp, client, repository[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert_nothing_is_left(tmp)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.nix
def test_each_commit_passes_in_a_fresh_clone_and_its_tests_fail_on_the_base(stage: Stage, tmp_path: Path) -> None:
    remote = Path(stage.repository)
    assert fresh_clone.wrong(remote, tmp_path) == []


def test_the_table_shows_every_rung_and_every_reason_within_80_columns(stage: Stage) -> None:
    assert_shows_everything(stage.screen)


@pytest.mark.nix
def test_the_page_is_told_at_once_and_again_at_the_end_and_its_link_signs_in(stage: Stage) -> None:
    before, after = stage.screen.split("Before the first pod", 1)
    [(url, token)] = LINK.findall(before)
    assert LINK.findall(after) == [(url, token)]
    with httpx.Client(base_url=url) as browser:
        assert browser.get("/").status_code == 200
        assert browser.post("/page/sign-in", json={"token": token}).status_code == 204
        assert browser.get("/page/session").json()["user"]["name"] == "Hanna Human"
        seen = browser.get("/page/board").json()
    assert {card["id"] for card in seen["cards"]} == {one["id"] for one in stage.tickets()}
    assert {pod["name"]: pod["state"] for pod in seen["pods"]} == {"pod-a": "idle", "pod-b": "idle"}


@pytest.mark.nix
def test_every_commit_of_the_table_is_on_the_remote_and_names_its_ticket(stage: Stage) -> None:
    done = [one for one in rows(stage.screen) if one.commit != "-"]
    assert len({one.ticket for one in done}) == 9
    for one in done:
        message = stage.git("log", "-1", "--format=%B", one.commit)
        assert f"Work-Package: #{one.ticket}" in message
        assert f"Agent-Pod: {one.pod}" in message
        branches = stage.git("branch", "--contains", one.commit, "--format=%(refname:short)").splitlines()
        assert any(branch.startswith("agent/") for branch in branches)


@pytest.mark.nix
def test_the_board_is_at_its_end_and_nothing_is_claimed(stage: Stage) -> None:
    status = {one["id"]: one["_links"]["status"]["title"] for one in stage.tickets()}  # type: ignore[index]
    kind = {one["id"]: one["_links"]["type"]["title"] for one in stage.tickets()}  # type: ignore[index]
    for number, name in kind.items():
        if name in ("Bug", "Task", "Feature", "Epic"):
            assert status[number] == "In testing"
    assert [status[number] for number, name in kind.items() if name == "Spike"] == ["Closed"]
    assert not any("@" in str(value) for one in stage.tickets() for key, value in one.items() if "customField" in key)


@pytest.mark.nix
def test_the_audit_trail_tells_of_the_failure_the_spike_and_the_second_run(stage: Stage) -> None:
    failed = next(one for one in rows(stage.screen) if one.result.startswith("Spike #"))
    activities = stage.board.get(f"/work_packages/{failed.ticket}/activities").json()["_embedded"]["elements"]
    said = [one["comment"]["raw"].split("\n", 1)[0] for one in activities if one.get("comment", {}).get("raw")]
    kinds = [re.sub(r"[`#].*", "", one).strip() for one in said if not one.startswith("_Updated automatically")]
    assert kinds[:3] == [
        "Claimed by pod",
        "Execution failed: test suite failed with exit code 1",
        "Created spike",
    ]
    assert kinds[3].startswith("Claimed by pod")
    assert kinds[4].startswith("Execution complete")
    assert kinds[5].startswith("Pushed to")


@pytest.mark.nix
def test_interrupted_in_the_middle_it_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    process = start(tmp_path)
    try:
        read_until(process, "Two pods, no dispatcher")
        read_until(process, "rung")
        assert processes_below(tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert_nothing_is_left(tmp_path)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--openproject", "nowhere.json"), "nowhere.json (--openproject, $AGENT_DEMO_OPENPROJECT) cannot be read"),
        (("--project", "shop", "--openproject", "refused.json"), "does not answer GET"),
    ],
)
def test_without_an_openproject_it_says_so_and_leaves_nothing(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    tokens = '{"agent": "a", "agent2": "b", "human": "c"}'
    (tmp_path / "refused.json").write_text(
        f'{{"url": "http://127.0.0.1:9", "version": "17", "tokens": {tokens}, "projects": {{}}}}'
    )
    process = start(tmp_path, "--board", "openproject", *arguments)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words in said
    assert "Traceback" not in said
    assert_nothing_is_left(tmp_path)


@pytest.mark.proof
@pytest.mark.openproject
@pytest.mark.nix
def test_on_a_real_openproject_it_ends_with_the_same_table(openproject_board: Board, tmp_path: Path) -> None:
    assert openproject_board.folder is not None
    project = world(openproject_board).empty_project()
    known = openproject_board.folder / "board.json"
    process = start(tmp_path, "--board", "openproject", "--openproject", str(known), "--project", project)
    screen, _ = process.communicate(timeout=300)
    print(screen)  # noqa: T201 - for whoever reads the run
    assert process.returncode == 0, screen
    assert_shows_everything(screen)
    assert len({one.ticket for one in rows(screen) if one.commit != "-"}) == 9
    assert_nothing_is_left(tmp_path)
