"""The remote, its claim refs and what it says when it is not there."""

import base64
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from agent.errors import TicketFailure
from agent.git.mirror import Mirror
from agent.git.refs import ClaimRefRefused, LeaseRefused, RepositoryUnreachable
from agent.git.repo import Repository
from agent.programs.processes import Processes
from agent.programs.runner import Ended, Finished, Job
from agent.texts import outlet
from agent.texts.branches import branch_name, wrong_with
from agent.texts.evidence import redactor
from support.git_repo import Remote, git

TOKEN = "7f9c0000-0000-4000-8000-000000000001.aa11 by pod-a try 1 for 4h @ 2026-11-24T08:00Z"
OTHER = "8e8e0000-0000-4000-8000-000000000002.bb22 by pod-b try 1 for 4h @ 2026-11-24T09:00Z"
CLAIM = "refs/agent/claim/42"


class Counting(Processes):
    """The real runner, with a list of what it ran."""

    def __init__(self) -> None:
        super().__init__(grace=0.3)
        self.seen: list[tuple[list[str], Mapping[str, str]]] = []

    async def run(self, job: Job) -> Finished:
        self.seen.append((list(job.argv), dict(job.env)))
        return await super().run(job)


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "forge")


@pytest.fixture
def runner() -> Counting:
    return Counting()


def repository(tmp_path: Path, remote: Remote | str, runner: Processes | None = None, **more: Any) -> Repository:
    url = remote if isinstance(remote, str) else remote.url
    options = {"base": "main", "folder": tmp_path / "state", "path": os.environ["PATH"], **more}
    return Repository(Mirror(url=url, runner=runner or Processes(grace=0.3), redact=redactor(), **options))


async def test_preflight_is_one_process_and_lists_branches_and_claims(
    tmp_path: Path, remote: Remote, runner: Counting
) -> None:
    remote.push("agent/42-x", {"a": "b"})
    git(remote.clone, "tag", "v1")
    git(remote.clone, "push", "--quiet", "origin", "v1")
    repo = repository(tmp_path, remote, runner)
    blob = await repo.set_claim(42, TOKEN, None)
    runner.seen.clear()
    refs = await repo.preflight()
    assert len(runner.seen) == 1
    assert dict(refs.heads) == {"main": remote.tip("main"), "agent/42-x": remote.tip("agent/42-x")}
    assert dict(refs.claims) == {42: blob}


async def test_the_very_first_preflight_is_one_process_too(tmp_path: Path, remote: Remote, runner: Counting) -> None:
    await repository(tmp_path, remote, runner).preflight()
    assert len(runner.seen) == 1


async def test_a_missing_base_branch_passes_the_preflight_and_fails_the_ticket(tmp_path: Path, remote: Remote) -> None:
    """It is not the pod's trouble: whoever owns the repository hears of it by a Spike."""
    repo = repository(tmp_path, remote, base="trunk")
    lacks = "has no branch `trunk`: push one, or mend `base` in the settings"
    assert repo.lacks(await repo.preflight()).endswith(lacks)
    await repo.set_claim(42, TOKEN, None)
    await repo.fetch()
    assert await repo.commit_of_run("run", "agent/42-x") is None
    with pytest.raises(TicketFailure, match=lacks):
        await repo.open(42, "agent/42-x", "run")
    remote.push("trunk", {"a": "b"})
    assert repo.lacks(await repo.preflight()) == ""
    await repo.fetch()
    assert (await repo.open(42, "agent/42-x", "run")).start == remote.tip("trunk")


async def test_an_empty_repository_passes_the_preflight_and_fails_the_ticket(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", "empty.git")
    repo = repository(tmp_path, str(tmp_path / "empty.git"))
    assert "empty.git is empty: push a first commit to `main`" in repo.lacks(await repo.preflight())
    blob = await repo.set_claim(42, TOKEN, None)
    await repo.fetch()
    with pytest.raises(TicketFailure, match="is empty: push a first commit to `main`"):
        await repo.open(42, "agent/42-x", "run")
    await repo.discard(42)
    await repo.delete_claim(42, blob)
    assert not git(tmp_path / "empty.git", "for-each-ref")


async def test_a_repository_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnreachable, match=r"nowhere\.git cannot be used: it does not exist"):
        await repository(tmp_path, str(tmp_path / "nowhere.git")).preflight()


async def test_a_host_that_does_not_resolve_is_said(tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnreachable, match="its host name does not resolve"):
        await repository(tmp_path, "https://forge.invalid/shop.git").preflight()


async def test_a_refused_connection_is_said(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/shop.git"
        with pytest.raises(RepositoryUnreachable, match="it does not answer"):
            await repository(tmp_path, url).preflight()


async def test_a_refused_credential_is_said_and_never_shown(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/shop.git/info/refs").respond_with_data("no", status=401)
    url = httpserver.url_for("/shop.git").replace("http://", "http://pod:hunter2hunter2@")
    with pytest.raises(RepositoryUnreachable, match="it refuses our credential") as caught:
        await repository(tmp_path, url).preflight()
    assert "hunter2" not in str(caught.value)


async def test_a_header_of_the_credential_reaches_the_remote_and_only_it(
    tmp_path: Path, httpserver: HTTPServer, runner: Counting
) -> None:
    header = "Authorization: Basic " + base64.b64encode(b"pod:hunter2hunter2").decode()
    credential = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader", "GIT_CONFIG_VALUE_0": header}
    httpserver.expect_request("/shop.git/info/refs").respond_with_data("forbidden", status=403)
    repo = repository(tmp_path, httpserver.url_for("/shop.git"), runner, credential=credential)
    with pytest.raises(RepositoryUnreachable, match="refuses our credential") as caught:
        await repo.preflight()
    assert httpserver.log[0][0].headers["Authorization"] == header.removeprefix("Authorization: ")
    assert header.split()[-1] not in str(caught.value)
    with pytest.raises(RepositoryUnreachable):
        await repo.set_claim(42, TOKEN, None)
    local = [env for argv, env in runner.seen if "hash-object" in argv]
    assert local, "there was a command that stays on this host"
    assert not any("hunter2" in repr(env) or header in env.values() for env in local)
    assert not any(header in word or httpserver.url_for("/") in word for argv, _ in runner.seen for word in argv)
    assert not [
        path for path in (tmp_path / "state").rglob("*") if path.is_file() and header.encode() in path.read_bytes()
    ]


async def test_a_silent_remote_ends_at_the_time_out(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/shop.git"
        with pytest.raises(RepositoryUnreachable, match="did not answer within"):
            await repository(tmp_path, url, timeout=0.5).preflight()


async def test_a_claim_is_set_read_and_deleted(tmp_path: Path, remote: Remote) -> None:
    repo = repository(tmp_path, remote)
    assert await repo.read_claim(42) is None
    blob = await repo.set_claim(42, TOKEN, None)
    assert blob == repo.claim_blob(TOKEN) == remote.ref(CLAIM)
    assert git(remote.path, "cat-file", "blob", blob) == TOKEN
    assert await repo.read_claim(42) == blob
    await repo.delete_claim(42, blob)
    assert remote.ref(CLAIM) == ""


async def test_a_successor_takes_the_claim_only_from_what_it_read(tmp_path: Path, remote: Remote) -> None:
    old, new = repository(tmp_path / "a", remote), repository(tmp_path / "b", remote)
    first = await old.set_claim(42, TOKEN, None)
    with pytest.raises(LeaseRefused, match=r"is [0-9a-f]+, not unset"):
        await new.set_claim(42, OTHER, None)
    second = await new.set_claim(42, OTHER, first)
    with pytest.raises(LeaseRefused):
        await old.set_claim(42, TOKEN + "x", first)
    await old.delete_claim(42, first)
    assert remote.ref(CLAIM) == second, "deleting what is not ours any more is refused, and fine"
    await new.delete_claim(42, second)
    await new.delete_claim(42, second)
    assert remote.ref(CLAIM) == ""


async def test_a_claim_that_vanished_is_a_refused_lease(tmp_path: Path, remote: Remote) -> None:
    repo = repository(tmp_path, remote)
    with pytest.raises(LeaseRefused, match="gone"):
        await repo.set_claim(42, TOKEN, repo.claim_blob(OTHER))


class Lossy(Counting):
    """Each push arrives, and its answer is lost."""

    lose = True

    async def run(self, job: Job) -> Finished:
        done = await super().run(job)
        if "push" in job.argv and self.lose:
            return Finished(returncode=128, stderr=b"fatal: the remote end hung up unexpectedly\n")
        return done


async def test_a_lost_answer_to_a_claim_is_resolved_by_reading(tmp_path: Path, remote: Remote) -> None:
    repo = repository(tmp_path, remote, Lossy())
    assert await repo.set_claim(42, TOKEN, None) == remote.ref(CLAIM)


async def test_a_forge_without_claim_refs_is_told_from_a_lost_race(tmp_path: Path, remote: Remote) -> None:
    remote.hook("update", 'case "$1" in refs/agent/*) echo "no such refs here" >&2; exit 1;; esac')
    with pytest.raises(ClaimRefRefused, match="takes no refs below `refs/agent/claim/`"):
        await repository(tmp_path, remote).set_claim(42, TOKEN, None)


async def test_a_remote_that_dies_in_the_push_of_a_claim_ref_has_not_refused_it(tmp_path: Path, remote: Remote) -> None:
    """It would be taken for one on which such refs fence nothing."""

    class Dies(Counting):
        async def run(self, job: Job) -> Finished:
            if "push" not in job.argv:
                return await super().run(job)
            told = f"!\t{'0' * 40}:refs/agent/claim/42\t[remote failure] (remote failed to report status)\n"
            return Finished(1, stdout=told.encode(), stderr=b"fatal: the remote end hung up unexpectedly\n")

    with pytest.raises(RepositoryUnreachable) as caught:
        await repository(tmp_path, remote, Dies()).set_claim(42, TOKEN, None)
    assert not isinstance(caught.value, ClaimRefRefused)


async def test_a_claim_on_a_silent_remote_says_nothing_about_the_claim(tmp_path: Path, remote: Remote) -> None:
    class Deaf(Counting):
        async def run(self, job: Job) -> Finished:
            if "push" in job.argv:
                return Finished(128, stderr=b"fatal: unable to access: Failed to connect to forge port 443")
            return await super().run(job)

    repo = repository(tmp_path, remote, Deaf())
    with pytest.raises(RepositoryUnreachable, match="does not answer") as caught:
        await repo.set_claim(42, TOKEN, None)
    assert not isinstance(caught.value, ClaimRefRefused)
    with pytest.raises(RepositoryUnreachable, match="does not answer"):
        await repo.delete_claim(42, repo.claim_blob(TOKEN))


async def test_a_time_out_of_a_claims_push_is_resolved_by_reading_too(tmp_path: Path, remote: Remote) -> None:
    class Slow(Counting):
        async def run(self, job: Job) -> Finished:
            done = await super().run(job)
            return Finished(-15, ended=Ended.TIMED_OUT) if "push" in job.argv else done

    assert await repository(tmp_path, remote, Slow()).set_claim(42, TOKEN, None) == remote.ref(CLAIM)


@pytest.mark.parametrize("brief", [False, True])
async def test_a_file_at_the_base_is_seen_and_fetched_only_when_it_is_not_here(
    tmp_path: Path, remote: Remote, runner: Counting, *, brief: bool
) -> None:
    remote.push("main", {"new.txt": "x"})
    repo = repository(tmp_path, remote, runner, brief=brief)
    refs = await repo.preflight()
    assert await repo.has_at_base("flake.nix", refs)
    assert not await repo.has_at_base("no-such-file", refs)
    assert sum("fetch" in argv for argv, _ in runner.seen) == 1
    assert await repo.tip("main") == await repo.tip("agent/none-yet") == remote.tip("main")


async def test_a_file_at_a_base_that_does_not_exist_is_said(tmp_path: Path, remote: Remote) -> None:
    repo = repository(tmp_path, remote, base="trunk")
    with pytest.raises(RepositoryUnreachable, match="has no branch `trunk`"):
        await repo.has_at_base("flake.nix", await repo.preflight())


@pytest.mark.parametrize("content", ["", "garbage\n", "0" * 40 + "\n"])
@pytest.mark.parametrize("packed", [False, True])
async def test_refs_that_a_power_cut_left_without_sense_are_fetched_anew(
    tmp_path: Path, remote: Remote, content: str, *, packed: bool
) -> None:
    repo = repository(tmp_path, remote)
    await repo.fetch()
    mirror = tmp_path / "state" / "mirror.git"
    (mirror / "packed-refs" if packed else mirror / "refs/remotes/origin/main").write_text(content)
    await repo.fetch()
    assert await repo.tip("main") == remote.tip("main")


async def test_a_listing_that_was_cut_is_no_answer(tmp_path: Path, remote: Remote) -> None:
    class Cut(Counting):
        async def run(self, job: Job) -> Finished:
            return msgspec.structs.replace(await super().run(job), dropped=1)

    with pytest.raises(RepositoryUnreachable, match="longer than 16 MiB"):
        await repository(tmp_path, remote, Cut()).preflight()


async def test_a_fetch_that_fails_is_said(tmp_path: Path, remote: Remote) -> None:
    repo = repository(tmp_path, remote)
    shutil.rmtree(remote.path)
    with pytest.raises(RepositoryUnreachable, match="does not exist"):
        await repo.fetch()


@pytest.fixture
def hostile_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host configuration that would run a program at every turn."""
    trap, proof = tmp_path / "trap", tmp_path / "trapped"
    trap.write_text(f"#!/bin/sh\necho $0 >> {proof}\n")
    trap.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n hooksPath = {tmp_path}\n fsmonitor = {trap}\n[credential]\n helper = {trap}\n"
    )
    for name in ("pre-push", "post-checkout", "reference-transaction", "post-index-change"):
        (tmp_path / name).symlink_to(trap)
    monkeypatch.setenv("HOME", str(home))
    yield
    assert not proof.exists(), proof.read_text()


@pytest.mark.usefixtures("hostile_settings")
async def test_nothing_of_the_hosts_configuration_runs(tmp_path: Path, remote: Remote) -> None:
    repo = repository(tmp_path, remote)
    hooks = tmp_path / "state" / "mirror.git" / "hooks"
    blob = await repo.set_claim(42, TOKEN, None)
    hooks.mkdir()
    for name in ("pre-push", "post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
        (hooks / name).symlink_to(tmp_path / "trap")
    await repo.fetch()
    workspace = await repo.open(42, "agent/42-x", "run")
    (workspace.path / "new.txt").write_text("new\n")
    sha = await workspace.commit((await workspace.snapshot()).tree, outlet.commit("Add new.txt", "", {}))
    assert await workspace.publish(sha, claim_blob=blob) == sha


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*"ab/.@{~^:?*[\\- \x01\x7fé", ".lock", "..", "@{", "HEAD"]), max_size=8).map("".join))
def test_a_name_is_valid_here_exactly_if_git_takes_it_as_a_branch(name: str) -> None:
    done = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False, capture_output=True)
    takes = done.returncode == 0 and name[0] != "-" and name != "@" and name.split("/", maxsplit=1)[0] != "HEAD"
    assert (wrong_with(name, base="main") == "") == takes


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(min_size=1))
def test_any_tickets_branch_is_one_that_git_takes(subject: str, version: str) -> None:
    for template in ("agent/{id}-{slug}", "release/{version}"):
        with contextlib.suppress(TicketFailure):
            name = branch_name(template, id=42, subject=subject, version=version)
            subprocess.run(["git", "check-ref-format", "--branch", name], check=True, capture_output=True)
