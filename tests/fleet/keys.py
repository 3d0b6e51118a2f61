"""The secrets of the fleet under test, in the place of the examples that the rendered files name."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_EXAMPLE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample[A-Za-z]*"


@dataclass(frozen=True)
class Pair:
    secret: str
    public: str


@dataclass(frozen=True)
class Keys:
    """New ones for every fleet.

    Attributes:
        cache: what the cache signs with.
        pods: what the pods' Nix signs with.
        host: the cache's ssh host key.
        push: the pods' ssh key.
    """

    cache: Pair
    pods: Pair
    host: Pair
    push: Pair

    def put_into(self, text: str, *, ssh: Pair) -> str:
        """The text with our public keys in it; `ssh` is the one that the examples for ssh stand for here."""
        for name, pair in (("cache-1", self.cache), ("pods-1", self.pods)):
            text = re.sub(rf"\b{name}:[A-Za-z0-9+/]{{43}}=", lambda _, pair=pair: pair.public, text)  # type: ignore[misc]
        return re.sub(_EXAMPLE, lambda _: ssh.public, text)

    def secrets(self, host: str) -> dict[str, str]:
        """The files below /run/secrets, as agenix or sops-nix would make them on a host."""
        if host == "cache":
            return {"cache-signing-key": self.cache.secret}
        if host.startswith("pod-"):
            return {"pods-signing-key": self.pods.secret, "cache-push-key": self.push.secret}
        return {}


def new() -> Keys:
    """Make them."""
    return Keys(cache=_nix("cache-1"), pods=_nix("pods-1"), host=_ssh(), push=_ssh())


def _nix(name: str) -> Pair:
    nix = ["nix", "--extra-experimental-features", "nix-command", "key"]
    secret = _run([*nix, "generate-secret", "--key-name", name])
    return Pair(secret, _run([*nix, "convert-secret-to-public"], secret))


def _ssh() -> Pair:
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)])
        public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        return Pair(key.read_text(), public)


def _run(command: list[str], stdin: str = "") -> str:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout.strip()
