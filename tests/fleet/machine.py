"""A host with the interface of the NixOS test driver's machines, as far as the scenarios in nix/checks use it.

Its power is real: `crash` pulls the cable and kills the first process, and with it the kernel ends all others, without a
word to anybody. What was on the disk is there again after `start`; /run and /tmp are not.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from fleet.stage import Stage, children

BOOT = Path(__file__).with_name("boot.sh")
PATH = "/run/current-system/sw/bin:/usr/sbin:/usr/bin"
TIMEOUT = 60
"""Seconds; the driver's 900 are for virtual machines."""


class Machine:
    """One host.

    Args:
        name: its host name.
        stage: where it stands.
        shown: folders of this machine that it sees, read-only, as SOURCE:TARGET.
        log: what is written to its console, and what was run on it.
    """

    def __init__(self, name: str, stage: Stage, shown: tuple[str, ...], log: Path) -> None:
        self.name = name
        self._stage = stage
        self._shown = shown
        self._log = log
        self._power: subprocess.Popen[bytes] | None = None
        self._pid = 0

    # -- power and cable -------------------------------------------------------------------------------------------

    def start(self, allow_reboot: bool = False) -> None:
        """Switch it on, if it is off; commands wait until it is up."""
        del allow_reboot
        if self.is_up():
            return
        self._stage.plug(self.name, into=True)
        self._power = self._stage.boot(self.name, BOOT, self._shown, self._log)
        self._pid = 0

    def crash(self) -> None:
        """A power cut."""
        self._stage.plug(self.name, into=False)
        self._connect()
        self._off(("kill", "-KILL", str(self._pid)))

    def shutdown(self) -> None:
        """Switch it off in order."""
        self._connect()
        self._off((*self._inside(), "systemctl", "poweroff"))

    def block(self) -> None:
        """Pull the cable."""
        self._stage.plug(self.name, into=False)

    def unblock(self) -> None:
        """Plug it in again."""
        self._stage.plug(self.name, into=True)

    def release(self) -> None:
        """Off, whatever state it is in: it is not needed any more."""
        if self._power is not None:
            self._power.kill()
            self._power.wait()

    def is_up(self) -> bool:
        return self._power is not None and self._power.poll() is None

    def _off(self, command: tuple[str, ...]) -> None:
        assert self._power is not None
        subprocess.run(command, check=False, capture_output=True)
        self._power.wait(TIMEOUT)
        self._power = None

    def _connect(self) -> None:
        """Wait until its systemd answers."""
        assert self._power is not None, f"{self.name} is switched off"
        if self._pid:
            return
        end = time.monotonic() + TIMEOUT
        while not self._answers():
            assert time.monotonic() < end, f"{self.name} does not boot:\n{self._log.read_text()[-2000:]}"
            time.sleep(0.05)

    def _answers(self) -> bool:
        assert self._power is not None
        assert self._power.poll() is None, f"{self.name} went off:\n{self._log.read_text()[-2000:]}"
        found = _innermost(self._power.pid)
        if not found:
            return False
        asked = subprocess.run(
            [*self._inside(found), "systemctl", "is-system-running"], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip() not in ("running", "degraded"):
            return False
        self._pid = found
        return True

    def _inside(self, pid: int = 0) -> list[str]:
        flags = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
        return ["nsenter", f"--target={pid or self._pid}", *flags, "--", "env", "-i", f"PATH={PATH}", "HOME=/root"]

    # -- commands --------------------------------------------------------------------------------------------------

    def execute(
        self, command: str, check_return: bool = True, check_output: bool = True, timeout: float | None = 900
    ) -> tuple[int, str]:
        """Run a command as root; its exit status and what it wrote to standard output."""
        del check_return, check_output
        self._connect()
        script = f"set -euo pipefail; {command}"
        try:
            done = subprocess.run(
                [*self._inside(), "bash", "-c", script], capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return 124, ""
        with self._log.open("a") as log:
            log.write(f"# {command}\n{done.stdout}{done.stderr}# exit {done.returncode}\n")
        return done.returncode, done.stdout

    def succeed(self, *commands: str, timeout: float | None = None) -> str:
        output = ""
        for command in commands:
            status, out = self.execute(command, timeout=timeout)
            assert status == 0, f"{self.name}: `{command}` failed (exit code {status}):\n{out}\n{self._tail()}"
            output += out
        return output

    def fail(self, *commands: str, timeout: float | None = None) -> str:
        output = ""
        for command in commands:
            status, out = self.execute(command, timeout=timeout)
            assert status != 0, f"{self.name}: `{command}` unexpectedly succeeded:\n{out}"
            output += out
        return output

    def systemctl(self, query: str, user: str | None = None) -> tuple[int, str]:
        assert user is None
        return self.execute(f"systemctl {query}")

    def wait_until_succeeds(self, command: str, timeout: float = TIMEOUT) -> str:
        output = ""

        def succeeds() -> bool:
            nonlocal output
            status, output = self.execute(command, timeout=timeout)
            return status == 0

        self._wait(succeeds, f"`{command}` did not succeed", timeout)
        return output

    def wait_until_fails(self, command: str, timeout: float = TIMEOUT) -> str:
        output = ""

        def fails() -> bool:
            nonlocal output
            status, output = self.execute(command, timeout=timeout)
            return status != 0

        self._wait(fails, f"`{command}` did not fail", timeout)
        return output

    def wait_for_file(self, filename: str, timeout: float = TIMEOUT) -> None:
        self.wait_until_succeeds(f"test -e {filename}", timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: float = TIMEOUT) -> None:
        self.wait_until_succeeds(f"exec 3<>/dev/tcp/{addr}/{port}", timeout)

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: float = TIMEOUT) -> None:
        """Wait until a unit is active; it must not have failed, or be inactive with nothing to change that."""
        assert user is None

        def active() -> bool:
            state = self.get_unit_property(unit, "ActiveState")
            assert state != "failed", f"{self.name}: {unit} failed:\n{self._journal(unit)}"
            if state == "inactive" and "No jobs" in self.systemctl("list-jobs --full")[1]:
                state = self.get_unit_property(unit, "ActiveState")
                assert state != "inactive", f"{self.name}: {unit} is inactive and there are no pending jobs"
            return state == "active"

        self._wait(active, f"{unit} did not start", timeout)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        state = self.get_unit_property(unit, "ActiveState")
        assert state == require_state, f"{self.name}: {unit} is {state}, not {require_state}\n{self._journal(unit)}"

    def get_unit_property(self, unit: str, property: str, user: str | None = None) -> str:  # noqa: A002 - the driver's
        assert user is None
        words = f"systemctl --no-pager show {shlex.quote(unit)} --property={property} --value"
        return self.succeed(words).rstrip("\n")

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        assert user is None
        lines = self.succeed(f"systemctl --no-pager show {shlex.quote(unit)}").splitlines()
        return dict(line.split("=", 1) for line in lines if re.match(r"[^=]+=", line))

    def start_job(self, jobname: str) -> tuple[int, str]:
        return self.systemctl(f"start {jobname}")

    def stop_job(self, jobname: str) -> tuple[int, str]:
        return self.systemctl(f"stop {jobname}")

    def sleep(self, secs: int) -> None:
        time.sleep(secs)

    def copy_from_host(self, source: str, target: str) -> None:
        """Copy a file or folder of this machine onto the host."""
        self._connect()
        parent, name = str(Path(source).parent), Path(source).name
        packed = subprocess.run(["tar", "-C", parent, "-c", name], capture_output=True, check=True).stdout
        script = (
            f"mkdir -p {shlex.quote(str(Path(target).parent))} && cd $(mktemp -d) && tar x && cp -RT {name} {target}"
        )
        subprocess.run([*self._inside(), "bash", "-c", script], input=packed, check=True, capture_output=True)

    def _wait(self, true: Callable[[], bool], sentence: str, timeout: float) -> None:
        end = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < end, f"{self.name}: {sentence} within {timeout} s\n{self._tail()}"
            time.sleep(0.2)

    def _journal(self, unit: str) -> str:
        return self.execute(f"journalctl --no-pager -o cat -u {shlex.quote(unit)} -n 30")[1]

    def _tail(self) -> str:
        """The last words of everything on the host, for whoever has to find out."""
        return self.execute("journalctl --no-pager -o short-monotonic -n 40")[1] if self.is_up() else "(off)"


def _innermost(pid: int) -> int:
    """The host's first process among the descendants of what was started, 0 if it is not there yet."""
    for child in children(pid):
        try:
            numbers = re.search(r"^NSpid:\t(.*)$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE)
            program = Path(f"/proc/{child}/comm").read_text().strip()
        except OSError:
            return 0
        if numbers and len(numbers[1].split()) >= 3 and numbers[1].split()[-1] == "1" and program == "systemd":
            return child
        if found := _innermost(child):
            return found
    return 0
