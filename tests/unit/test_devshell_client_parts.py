"""The pure parts of the Nix client: its settings, what it makes of Nix's words, and what it reads of the store."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.devshell import client_options
from agent.devshell.client_failures import build_failed, evaluation_failed, fetch_failed, input_failed, unreachable
from agent.devshell.client_options import configuration, jailed, private_store, store_of
from agent.devshell.client_probe import judge
from agent.devshell.client_read import derivation_in, followed, lock_of, result_in
from agent.devshell.flake import ShellRefused
from agent.devshell.roots import root
from agent.devshell.stores import own_store, stores_of
from agent.errors import ConfigurationError, PodTrouble, TicketFailure
from agent.programs.runner import Ended, Finished
from agent.texts.evidence import redactor

REDACT = redactor(["hunter2hunter2"])


def lines(text: str) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in text.splitlines())


def said(text: str, code: int = 1) -> Finished:
    return Finished(code, stderr=text.encode())


def test_inside_the_jail_nothing_secret_is_told_and_nothing_is_opened() -> None:
    options = {
        "access-tokens": "github.com=hunter2hunter2",
        "netrc-file": "/root/.netrc",
        "substituters": "https://cache.example",
        "accept-flake-config": "true",
        "allow-import-from-derivation": "true",
        "restrict-eval": "false",
        "post-build-hook": "/bin/hook",
        "plugin-files": "/evil.so",
        "allowed-uris": "http:",
        "experimental-features": "nix-command flakes fetch-closure",
        "builders": "ssh://far",
        "cores": "2",
        "sandbox": "true",
        "store": "daemon",
    }
    inside = lines(jailed(options, store_of(options), ("github:NixOS/nixpkgs",)))
    assert "hunter2hunter2" not in str(inside)
    assert not {"access-tokens", "netrc-file", "post-build-hook", "plugin-files"} & set(inside)
    assert inside["accept-flake-config"] == inside["allow-import-from-derivation"] == inside["substitute"] == "false"
    assert inside["restrict-eval"] == inside["pure-eval"] == "true"
    assert inside["substituters"] == inside["builders"] == inside["flake-registry"] == ""
    assert inside["allowed-uris"] == "github:NixOS/nixpkgs"
    assert inside["experimental-features"] == "nix-command flakes"
    assert (inside["cores"], inside["sandbox"], inside["store"]) == ("2", "true", "daemon")
    outside = lines(configuration(options))
    assert outside["substituters"] == "https://cache.example"
    assert outside["accept-flake-config"] == "false"


def test_the_store_is_said_aloud_and_its_folders_known(tmp_path: Path) -> None:
    own = store_of(private_store(tmp_path))
    assert (own.daemon, own.folder) == (False, tmp_path / "store")
    assert own.writable == (tmp_path / "store", tmp_path / "state", tmp_path / "log")
    daemon = store_of({"store": "daemon"})
    assert (daemon.daemon, daemon.writable) == (True, ())
    assert Path("/nix/var/nix/daemon-socket") in daemon.readable
    other = store_of({"store": f"unix://{tmp_path}/s/socket?store=/elsewhere/store"})
    assert (other.folder, other.readable[1]) == (Path("/elsewhere/store"), tmp_path / "s")
    assert store_of({}).uri in ("local", "daemon")


def test_where_a_daemon_is_even_root_builds_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as daemon:
        monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "socket")
        monkeypatch.setattr(client_options, "_HOST_STATE", tmp_path)
        assert not store_of({}).daemon
        daemon.bind(str(tmp_path / "socket"))
        assert store_of({}) == store_of({"store": "daemon"})
        assert store_of({"store": "auto"}).writable == ()


@pytest.mark.parametrize("store", ["https://cache.example", "ssh-ng://far", "local?root=/x", "/chroot"])
def test_a_store_whose_paths_lie_elsewhere_is_refused(store: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be used: `store` is `daemon`"):
        store_of({"store": store})


@pytest.mark.parametrize("name", ["a b", "a\tb", "a\u00a0b"])
def test_a_store_below_a_path_with_a_blank_is_refused_before_any_ticket_is_blamed_for_it(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"has a blank in its path, where Nix saves no shell: name another$"):
        store_of(private_store(Path("/srv") / name))


def test_words_of_a_flake_that_blame_the_network_make_no_pod_trouble() -> None:
    text = "error:\n … while fetching the input\n error: unable to download 'http://x/': Could not resolve host"
    found = evaluation_failed(said(text), REDACT)
    assert isinstance(found, ShellRefused)
    assert "would use the network" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Permission denied",
        "error: opening pseudoterminal master: No such device",
        "error: writing to file: No space left on device",
        "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
        "error: the group 'nixbld' specified in 'build-users-group' does not exist",
        "error: path '/nix/store/x' is required, but there is no substituter that can build it",
    ],
)
def test_trouble_of_the_host_is_pod_trouble(text: str) -> None:
    assert isinstance(build_failed(said(text), REDACT), PodTrouble)
    assert isinstance(evaluation_failed(said(text), REDACT), PodTrouble)


def test_the_copy_of_the_repository_has_the_repositorys_own_paths() -> None:
    text = "error: syntax error, unexpected end of file\n       at /nix/store/abc-source/nix/shell.nix:3:1:\n"
    found = evaluation_failed(said(text), REDACT, "/nix/store/abc-source")
    assert str(found) == "`flake.nix` cannot be evaluated: syntax error, unexpected end of file (nix/shell.nix:3:1)"


def test_nothing_secret_is_quoted() -> None:
    for found in (
        evaluation_failed(said("error: hunter2hunter2"), REDACT),
        evaluation_failed(
            said("error: access to URI 'http://hunter2hunter2/' is forbidden in restricted mode"), REDACT
        ),
        build_failed(said("error: hunter2hunter2"), REDACT),
        fetch_failed(said("error: unable to download hunter2hunter2"), REDACT, "it"),
        unreachable(said("warning: unable to download 'https://hunter2hunter2'"), REDACT),
    ):
        assert "hunter2hunter2" not in f"{found} {getattr(found, 'evidence', '')}"


@pytest.mark.parametrize(
    "words",
    [
        "error: Failed to open archive (Source threw exception: error: unable to download 'http://a/b': HTTP error 404",
        "error: unable to download 'http://a/b': HTTP error 422 ()",
        "error: Failed to open archive (Unrecognized archive format)",
        "error: input attribute 'shallow' not supported by scheme 'tarball'",
        "error: input attribute 'ref' is not a string",
        "fatal: repository 'http://a/b/' not found\nerror: Cannot find Git revision '00' in ref 'main' of repository 'http://a/b'!",
        "fatal: couldn't find remote ref refs/heads/x\nerror: Cannot find Git revision '00' in ref 'x' of repository 'http://a/b'!",
    ],
)
def test_an_input_that_is_not_where_the_lock_says_is_the_tickets_failure(words: str) -> None:
    failure = input_failed(said(words), REDACT, "the flake input `far`")
    assert isinstance(failure, TicketFailure)
    assert str(failure).startswith("the flake input `far` cannot be had as `flake.lock` pins it: ")


@pytest.mark.parametrize(
    "words",
    [
        "error: unable to download 'http://a/b': HTTP error 503",
        "error: unable to download 'http://a/b': HTTP error 401",
        "error: unable to download 'http://a/b': Could not resolve hostname (6)",
        "fatal: unable to access 'http://a/b/': Could not resolve host: a\nerror: Cannot find Git revision '00' in ref 'x'",
        "fatal: Authentication failed for 'http://a/b/'\nerror: Cannot find Git revision '00' in ref 'x'",
        "fatal: Could not read from remote repository.\nerror: Cannot find Git revision '00' in ref 'x'",
        "error: opening lock file '/nix/store/x.lock': Permission denied",
    ],
)
def test_an_input_whose_place_cannot_be_asked_is_the_pods_trouble(words: str) -> None:
    assert isinstance(input_failed(said(words), REDACT, "it"), PodTrouble)


def test_limits_are_the_tickets_failure() -> None:
    slow = evaluation_failed(Finished(-9, ended=Ended.TIMED_OUT, duration=120), REDACT)
    assert str(slow) == "the development shell of `flake.nix` was not evaluated: timed out after 2 min"
    full = build_failed(Finished(-9, ended=Ended.LIMIT, limit="wrote more than 4 GiB to disk"), REDACT)
    assert str(full) == "the development shell of `flake.nix` was not built: it wrote more than 4 GiB to disk"


def test_a_cache_that_is_away_is_heard_and_a_name_in_a_list_is_not() -> None:
    assert unreachable(said("  /nix/store/x-timed out.drv\nwarning: nothing"), REDACT) is None
    assert unreachable(said("warning: unable to download 'https://c.example/x.narinfo': timed out"), REDACT)


NET = "Inter-| Receive | Transmit\nface |bytes packets|bytes\nlo: 0 0 0\n"


def test_the_probe_knows_a_sandbox() -> None:
    assert judge(said("", 0), f"closed\n{NET}", REDACT) is None
    assert (
        judge(said("error: builder failed\n > error: executing '/bin/sh': No such file or directory"), "", REDACT)
        is None
    )
    assert "without a sandbox" in str(judge(said("", 0), f"open\n{NET}", REDACT))
    assert "host's network" in str(judge(said("", 0), f"closed\n{NET}eth0: 1 2 3\n", REDACT))
    assert "host's network" in str(judge(said("", 0), "closed\n", REDACT))
    assert "without a sandbox" in str(judge(said("", 0), "", REDACT))
    assert "cannot be used" in str(judge(said("error: no"), "", REDACT))


def test_what_is_read_of_the_store_is_an_ordinary_file(tmp_path: Path) -> None:
    store = own_store(tmp_path, Path("/nix/store"))
    copy = store.here("/nix/store/x-source")
    copy.mkdir(parents=True)
    assert lock_of(store, "/nix/store/x-source") == b""
    lock = copy / "flake.lock"
    makers: list[Callable[[], None]] = [lambda: lock.symlink_to("/etc/passwd"), lock.mkdir, lambda: os.mkfifo(lock)]
    for make in makers:
        make()
        with pytest.raises(TicketFailure, match="no ordinary file"):
            lock_of(store, "/nix/store/x-source")
        if lock.is_dir() and not lock.is_symlink():
            lock.rmdir()
        else:
            lock.unlink()
    lock.write_bytes(b"{}")
    assert lock_of(store, "/nix/store/x-source") == b"{}"
    (store.real / "y-source").symlink_to(copy)
    with pytest.raises(TicketFailure, match="no ordinary file"):
        lock_of(store, "/nix/store/y-source")
    assert result_in(store, "/nix/store/none") == ""
    with pytest.raises(PodTrouble, match="has lost"):
        derivation_in(store, "/nix/store/x.drv")
    (store.real / "x.drv").write_bytes(b"Derive(x")
    with pytest.raises(ShellRefused, match="not known here"):
        derivation_in(store, "/nix/store/x.drv")


@pytest.mark.parametrize(
    ("options", "program", "there", "expected"),
    [
        ({}, "/usr/bin/nix", False, "own"),
        ({"store": "auto"}, "/usr/bin/nix", False, "own"),
        ({}, "/usr/bin/nix", True, "daemon"),
        ({}, "/nix/store/x-nix/bin/nix", False, "the host's" if os.geteuid() == 0 else "daemon"),
        ({"store": "daemon"}, "/usr/bin/nix", False, "daemon"),
        ({"store": "local?store=/a/store&state=/a/state"}, "/usr/bin/nix", False, "named"),
    ],
)
def test_only_where_nix_has_no_store_yet_does_a_repository_build_in_its_own(  # noqa: PLR0917 - a table
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], program: str, there: bool, expected: str
) -> None:
    monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "socket")
    monkeypatch.setattr(client_options, "_HOST_STATE", tmp_path / "none")
    with _listening(tmp_path / "socket") if there else contextlib.nullcontext():
        stores = stores_of(options, tmp_path / "place", program)
    builds = stores.builds
    named = "named" if builds.folder == Path("/a/store") else "the host's"
    assert ("own" if builds.own else "daemon" if builds.daemon else named) == expected
    assert stores.sources.own
    assert stores.sources.folder == stores.builds.folder
    assert (stores.builds.real == stores.sources.real) == (expected == "own")


def test_a_socket_that_may_not_be_looked_at_is_a_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian lets only a group of its own in: what Nix then says is the pod's trouble, and no reason for a second store."""

    class Closed:
        def stat(self) -> None:
            raise PermissionError

    monkeypatch.setattr(client_options, "_SOCKET", Closed())
    assert not client_options.alone({}, "/usr/bin/nix")


def test_what_keeps_a_path_goes_with_its_link_and_follows_none(tmp_path: Path) -> None:
    store = own_store(tmp_path / "place", Path("/nix/store"))
    store.state.mkdir(parents=True)
    for name in ("one", "two"):
        (store.real / name).mkdir(parents=True)
    links = tmp_path / "shells"
    root(store, links / "a", store.real / "one")
    assert (links / "a").readlink() == store.real / "one"
    (kept,) = (store.state / "gcroots").iterdir()
    assert {path.name: str(path.readlink()) for path in kept.iterdir()} == {"a": "/nix/store/one"}
    (links / "a").unlink()
    root(store, links / "b", store.real / "two")
    assert {path.name: str(path.readlink()) for path in kept.iterdir()} == {"b": "/nix/store/two"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept.rename(tmp_path / "moved")
    kept.symlink_to(elsewhere)
    with pytest.raises(PodTrouble, match="cannot be kept"):
        root(store, links / "c", store.real / "two")
    assert not list(elsewhere.iterdir())


@contextlib.contextmanager
def _listening(place: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        yield


def test_a_profile_is_followed_two_steps_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "p").symlink_to("p-1-link")
    (tmp_path / "p-1-link").symlink_to("/nix/store/x-env")
    (tmp_path / "direct").symlink_to("/nix/store/x-env")
    assert followed(tmp_path / "p") == followed(tmp_path / "direct") == "/nix/store/x-env"
    assert followed(tmp_path / "none") == ""
