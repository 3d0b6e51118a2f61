"""Which inputs a lock file may pin, and where they lie."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.devshell.flake import ShellRefused
from agent.devshell.inputs import LOCK_LIMIT, locked_inputs, vouched
from agent.devshell.origins import quoted
from agent.errors import TicketFailure

HASH = "sha256-xKNCylkogKTgM3mK5+LXSG3t3uXrmvEpROEeMUAHqs4="
REV = "21a67dc470149f337cecafbe965d8d252a390518"
NIXPKGS = {"type": "github", "owner": "NixOS", "repo": "nixpkgs", "rev": REV, "narHash": HASH, "lastModified": 1}
TARBALL = {"type": "tarball", "url": "https://cache.example/flakes/a.tar.gz", "narHash": HASH}
GIT = {"type": "git", "url": "https://git.example/a/b.git", "rev": REV, "ref": "main", "narHash": HASH, "revCount": 3}


def lock(**nodes: Any) -> bytes:
    whole = {name: {"locked": locked, "original": {}} for name, locked in nodes.items()}
    whole["root"] = {"inputs": {name: name for name in nodes}}
    return json.dumps({"nodes": whole, "root": "root", "version": 7}).encode()


def without(locked: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in locked.items() if key not in names}


def test_no_lock_pins_nothing_and_a_root_alone_neither() -> None:
    assert locked_inputs(b"") == ()
    assert locked_inputs(lock()) == ()


def test_the_pinned_nixpkgs_is_taken_by_default_in_any_spelling() -> None:
    (one,) = locked_inputs(lock(nixpkgs=NIXPKGS))
    assert (one.name, one.place, one.scheme) == ("nixpkgs", "github:NixOS/nixpkgs", "github:NixOS/nixpkgs")
    assert one.attributes == without(NIXPKGS, "lastModified")
    assert locked_inputs(lock(nixpkgs={**NIXPKGS, "owner": "nixos"}))


def test_an_input_lies_where_nix_puts_it() -> None:
    """Measured with Nix 2.26: `nix store add --name source`, and its narHash."""
    (one,) = locked_inputs(lock(nixpkgs=NIXPKGS))
    assert one.path("/tmp/hE/nix/store") == "/tmp/hE/nix/store/5ixaif7fiwyjkx915dvg7rf6xvmxc30f-source"


@pytest.mark.parametrize(
    ("locked", "allowed"),
    [
        (NIXPKGS, "github:NixOS/*"),
        ({**NIXPKGS, "host": "forge.example"}, "github:NixOS/nixpkgs?host=forge.example"),
        ({**NIXPKGS, "host": "forge.example"}, "github:NixOS/*?host=forge.example"),
        ({**NIXPKGS, "type": "gitlab", "owner": "group%2Fsub"}, "gitlab:group%2Fsub/nixpkgs"),
        ({**NIXPKGS, "type": "sourcehut", "owner": "~person"}, "sourcehut:~person/nixpkgs"),
        (TARBALL, "https://cache.example/"),
        (TARBALL, "https://cache.example"),
        (TARBALL, "https://cache.example/flakes"),
        (TARBALL, "https://cache.example/flakes/a.tar.gz"),
        (TARBALL, "tarball+https://cache.example/flakes/"),
        ({**TARBALL, "url": TARBALL["url"] + "?rev=1"}, "https://cache.example/flakes/a.tar.gz"),
        (GIT, "git+https://git.example/a/"),
        (GIT, "https://git.example/"),
        ({**GIT, "url": "ssh://git@git.example/a/b.git"}, "git+ssh://git@git.example/a"),
    ],
)
def test_what_is_on_the_list_is_taken(locked: dict[str, Any], allowed: str) -> None:
    (one,) = locked_inputs(lock(one=locked), [allowed])
    assert set(one.attributes) <= set(locked)


@pytest.mark.parametrize(
    ("locked", "allowed"),
    [
        (NIXPKGS, "github:NixOS/nix"),
        (NIXPKGS, "github:NixOS/nixpkgs2"),
        (NIXPKGS, "github:NixOS"),
        (NIXPKGS, "gitlab:NixOS/nixpkgs"),
        (NIXPKGS, "github:NixOS/nixpkgs?host=forge.example"),
        ({**NIXPKGS, "host": "evil.example"}, "github:NixOS/nixpkgs"),
        ({**NIXPKGS, "host": "evil.example"}, "github:NixOS/*"),
        ({**NIXPKGS, "owner": "NixOS-evil"}, "github:NixOS/*"),
        ({**TARBALL, "url": "https://cache.example.org/a"}, "https://cache.example"),
        ({**TARBALL, "url": "https://cache.example/flakes-evil/a"}, "https://cache.example/flakes"),
        ({**TARBALL, "url": "http://cache.example/flakes/a"}, "https://cache.example/flakes"),
        (TARBALL, "git+https://cache.example/"),
        (TARBALL, "https:"),
        (TARBALL, ""),
    ],
)
def test_what_only_resembles_the_list_is_refused(locked: dict[str, Any], allowed: str) -> None:
    with pytest.raises(ShellRefused, match=r"^the flake input `one` \(.*\) is not on the list.*`stuck`"):
        locked_inputs(lock(one=locked), [allowed])


@pytest.mark.parametrize(
    "url",
    [
        "https://cache.example/flakes/../evil/a",
        "https://cache.example/flakes/%2e%2e/evil/a",
        "https://cache.example/flakes/%252e%252e/evil",
        "https://cache.example/flakes//a",
        "https://cache.example/flakes\\..\\evil",
        "https://user:word@cache.example/flakes/a",
        "https://cache.example/flakes/a b",
        "https://cache.example/flakes/\n",
        "https://[::1/flakes/a",
        "file:///etc/passwd",
        "-oProxyCommand=x://a/b",
        "",
    ],
)
def test_a_url_that_does_not_mean_what_it_seems_to_is_refused(url: str) -> None:
    with pytest.raises(ShellRefused):
        locked_inputs(lock(one={**TARBALL, "url": url}), ["https://cache.example/flakes/", "https://cache.example/"])


@pytest.mark.parametrize(
    "locked",
    [
        {**NIXPKGS, "repo": ".."},
        {**NIXPKGS, "repo": "."},
        {**NIXPKGS, "repo": "%2e%2e"},
        {**NIXPKGS, "repo": "%2E%2E%2Fevil"},
        {**NIXPKGS, "repo": "..%2f..%2fevil"},
        {**NIXPKGS, "repo": "%252e%252e"},
        {**NIXPKGS, "repo": "a%2Fb"},
        {**NIXPKGS, "owner": ".."},
        {**NIXPKGS, "owner": "NixOS%2F..%2Fevil"},
        {**NIXPKGS, "type": "gitlab", "repo": "..%2F..%2Fevil"},
        {**NIXPKGS, "type": "gitlab", "owner": "NixOS%2F..%2Fevil"},
        {**NIXPKGS, "type": "gitlab", "owner": "NixOS%2F%2e%2e%2Fevil"},
        {**NIXPKGS, "type": "gitlab", "owner": "NixOS%2F"},
        {**NIXPKGS, "type": "sourcehut", "repo": ".."},
        {**NIXPKGS, "host": ".."},
        {**NIXPKGS, "host": "a%2Fb"},
        {**NIXPKGS, "repo": "nixpkgs\n"},
        {**NIXPKGS, "repo": "nixpkgs\u202e"},
        {**GIT, "ref": "a/../../b"},
    ],
)
def test_no_name_of_a_forge_leads_out_of_what_the_list_names(locked: dict[str, Any]) -> None:
    """`github:acme/..` is another place below the same host."""
    kind = locked["type"]
    allowed = [f"{kind}:NixOS/*", f"{kind}:NixOS/*?host={locked.get('host')}", "https://git.example/"]
    wide = [*allowed, f"{kind}:{locked.get('owner')}/*", f"{kind}:{locked.get('owner')}/{locked.get('repo')}"]
    with pytest.raises(ShellRefused, match=r"in a form that is known here"):
        locked_inputs(lock(one=locked), wide)


@pytest.mark.parametrize(
    "locked",
    [
        without(NIXPKGS, "rev"),
        without(NIXPKGS, "narHash"),
        {**NIXPKGS, "rev": "main"},
        {**NIXPKGS, "rev": 3},
        {**NIXPKGS, "narHash": "sha1-abc="},
        {**NIXPKGS, "narHash": "sha256-abc="},
        {**NIXPKGS, "narHash": "sha256-" + "é" * 44},
        {**NIXPKGS, "owner": "../evil"},
        {**NIXPKGS, "repo": 'nixpkgs" + builtins.fetchurl "x'},
        {**NIXPKGS, "url": "https://evil.example/"},
        {**NIXPKGS, "host": {"a": 1}},
        {**NIXPKGS, "treeHash": "x"},
        without(TARBALL, "narHash"),
        without(GIT, "rev"),
        {**GIT, "ref": "--upload-pack=evil"},
        {**GIT, "submodules": True},
        {**GIT, "lfs": True},
        {**GIT, "shallow": "yes"},
        {**GIT, "ref": True},
        {**GIT, "url": True},
        {**GIT, "url": f"{GIT['url']}?submodules=1"},
        {**GIT, "url": f"{GIT['url']}#x"},
        {**TARBALL, "url": f"{TARBALL['url']}#x"},
        {**TARBALL, "submodules": True},
        {**TARBALL, "shallow": False},
        {**TARBALL, "ref": "main"},
        {**TARBALL, "type": "file", "allRefs": True},
        {**NIXPKGS, "shallow": True},
        {**NIXPKGS, "host": True},
        {"type": "indirect", "id": "nixpkgs"},
        {"type": "hg", "url": "https://hg.example/a", "rev": REV, "narHash": HASH},
        {"type": ["github"], **without(NIXPKGS, "type")},
        {},
        None,
        "x",
    ],
)
def test_what_is_not_pinned_in_a_known_form_is_refused(locked: Any) -> None:
    with pytest.raises(ShellRefused, match=r"^the flake input `one`"):
        locked_inputs(lock(one=locked), ["github:NixOS/nixpkgs", "https://cache.example/", "https://git.example/"])


@pytest.mark.parametrize("path", ["./part", "part/deeper", "./a/../b"])
def test_a_folder_of_the_repository_is_no_input_to_fetch(path: str) -> None:
    assert locked_inputs(lock(part={"type": "path", "path": path})) == ()


@pytest.mark.parametrize("path", ["/etc", "/nix/store/x-source", "../other", "./a/../../b", "\0", 7, None])
def test_a_folder_outside_is_refused(path: Any) -> None:
    with pytest.raises(ShellRefused, match="lies outside the repository"):
        locked_inputs(lock(part={"type": "path", "path": path, "narHash": HASH}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[]", "its version"),
        (b'{"version": 99}', "its version"),
        (b'{"version": 7}', "no root node"),
        (b'{"version": 7, "root": ["x"], "nodes": {}}', "no root node"),
        (b'{"version": 7, "root": "root", "nodes": {"root": {}, "a": 1}}', "an input is no object"),
        (b"[" * 100_000, "it is no JSON"),
        (b'{"a":' * 100_000, "it is no JSON"),
        (
            json.dumps({"version": 7, "root": "r", "nodes": {str(i): {} for i in range(1000)} | {"r": {}}}).encode(),
            "more than",
        ),
    ],
)
def test_what_is_no_lock_file_is_the_tickets_failure(content: bytes, said: str) -> None:
    with pytest.raises(TicketFailure, match=rf"^`flake.lock` cannot be read: .*{said}.*restore"):
        locked_inputs(content)


def test_a_huge_lock_file_is_not_read() -> None:
    with pytest.raises(TicketFailure, match=r"^`flake.lock` is larger than 1 MiB: restore the committed one$"):
        locked_inputs(b" " * (LOCK_LIMIT + 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from([*NIXPKGS, *GIT, "host", "dir", "path"]), json_values | st.just(HASH) | st.just(REV), max_size=7
    )
)
def test_no_lock_file_is_a_crash_and_nothing_unpinned_passes(locked: dict[str, Any]) -> None:
    with contextlib.suppress(TicketFailure):
        for one in locked_inputs(lock(one=locked)):
            assert one.attributes["owner"].casefold() == "nixos"
            assert len(one.digest) == 32


PIN = f"github:NixOS/nixpkgs/{REV}?narHash={HASH}"


def test_what_the_operator_pins_word_for_word_is_taken_and_vouched_for() -> None:
    for written in (PIN, PIN.replace("=", "%3D").replace("narHash%3D", "narHash=")):
        (one,) = locked_inputs(lock(nixpkgs=NIXPKGS), [written])
        assert vouched(one, [written])
    elsewhere = {**NIXPKGS, "host": "forge.example"}
    (one,) = locked_inputs(lock(nixpkgs=elsewhere), [PIN.replace("narHash", "host=forge.example&narHash")])
    assert one.pin == PIN.replace("narHash", "host=forge.example&narHash")


@pytest.mark.parametrize(
    "changes",
    [
        {"rev": "0" * 40},
        {"narHash": "sha256-" + base64.b64encode(b"x" * 32).decode()},
        {"owner": "acme"},
        {"host": "forge.example"},
        {"type": "gitlab"},
    ],
)
def test_what_differs_from_a_pin_is_not_vouched_for(changes: dict[str, str]) -> None:
    with pytest.raises(ShellRefused, match="is not on the list"):
        locked_inputs(lock(one={**NIXPKGS, **changes}), [PIN])
    (one,) = locked_inputs(lock(one=NIXPKGS))
    assert not vouched(one, ["github:NixOS/nixpkgs", "github:NixOS/*", ""])


def test_an_address_that_is_a_url_is_never_vouched_for() -> None:
    (one,) = locked_inputs(lock(one=TARBALL), [TARBALL["url"]])
    assert not vouched(one, [TARBALL["url"], f"{TARBALL['url']}?narHash={HASH}", ""])


@given(st.text())
def test_a_text_in_an_expression_stays_a_text(text: str) -> None:
    written = quoted(text)
    body = written[1:-1]
    plain = body.replace("\\\\", "").replace('\\"', "").replace("\\$", "")
    assert '"' not in plain
    assert "$" not in plain
    assert "\\" not in plain


def test_a_hash_is_of_the_content() -> None:
    digest = hashlib.sha256(b"x").digest()
    (one,) = locked_inputs(lock(one={**NIXPKGS, "narHash": "sha256-" + base64.b64encode(digest).decode()}))
    assert one.digest == digest
