"""The secrets of the fleet under test, those of the VM tests, in the place of the examples that the rendered files name."""

from __future__ import annotations

import re
from pathlib import Path

KEYS = Path(__file__).resolve().parents[2] / "nix/checks/keys"
_SSH = re.compile(r"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample\w*")


def read(name: str) -> str:
    """One of them, or its public half."""
    return (KEYS / name).read_text().strip()


def secrets(host: str) -> dict[str, str]:
    """The files below /run/secrets, as agenix or sops-nix would make them on a host."""
    if host == "cache":
        return {"cache-signing-key": read("cache.secret")}
    if host.startswith("pod-"):
        return {"pods-signing-key": read("pods.secret"), "cache-push-key": read("push")}
    return {}


def put_into(text: str, *, ssh: str) -> str:
    """The text with our public keys in it; `ssh` is whose key the examples for ssh stand for here."""
    for example, ours in (("cache-1", "cache.public"), ("pods-1", "pods.public")):
        text = re.sub(rf"\b{example}:[A-Za-z0-9+/]{{43}}=", read(ours), text)
    return _SSH.sub(" ".join(read(ssh).split()[:2]), text)
