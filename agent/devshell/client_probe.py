"""Pure: the proof that whoever builds for us does it in a sandbox, by building something that looks around."""

from __future__ import annotations

from typing import Final

from agent.devshell.client_failures import host_failed
from agent.errors import PodTrouble
from agent.programs.runner import Finished
from agent.texts.evidence import Redact

_HOW: Final = "set `sandbox = true` and `sandbox-fallback = false` in the daemon's nix.conf and restart it"


def expression(marker: str, name: str, system: str) -> str:
    """A derivation that says whether it sees a file of the host, and which network it has; `name` must be a new one."""
    script = (
        f"if [ -e {marker} ]; then echo open; else echo closed; fi > $out; "
        "while read -r line; do echo $line; done < /proc/net/dev >> $out"
    ).replace("$", "\\$")
    return f'derivation {{ name = "{name}"; system = "{system}"; builder = "/bin/sh"; args = [ "-c" "{script}" ]; }}'


def judge(done: Finished, found: str, redact: Redact) -> PodTrouble | None:
    """What is wrong with the builder's sandbox; nothing if it is closed.

    Args:
        done: the Nix that built it.
        found: what it left.
        redact: takes out what must not be shown.
    """
    if not done.ok:
        said = done.stderr.decode("utf-8", "replace").lower()
        if (
            "'/bin/sh' does not exist" in said
            or "no such file" in said.partition("executing '/bin/sh'")[2].partition("\n")[0]
        ):
            return None  # every host has /bin/sh: where it is missing, there is a sandbox
        return host_failed(done, redact)
    lines = found.splitlines()
    networks = {line.split(":")[0].strip() for line in lines[1:] if ":" in line}
    if lines[:1] != ["closed"]:
        return PodTrouble(f"Nix's daemon builds without a sandbox, so a build could use the network: {_HOW}")
    if networks != {"lo"}:
        return PodTrouble(f"builds of Nix's daemon have the host's network: {_HOW}")
    return None
