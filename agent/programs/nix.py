"""The development shell of a repository: a runner whose processes live in `nix develop`.

How a failure of Nix is told from one of the program, since both end in an exit code: the first thing that runs inside
the shell writes a word to a file of ours. No word, and it was Nix, the flake, or the flake's `shellHook`; with it, the
exit code is the program's. So one evaluation is enough. What a `shellHook` prints goes to standard error: standard output
is the program's alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.errors import PodTrouble, TicketFailure
from agent.programs.runner import Ended, Finished, Job, Runner, missing
from agent.texts.clean import clean
from agent.texts.evidence import Redact, last_words
from agent.texts.markup import spoken

_OUTER: Final = 'exec 3>&1 1>&2; exec "$@"'
"""Keeps the real standard output as descriptor 3 while Nix and the shellHook speak."""
_INNER: Final = (
    'exec 1>&3 3>&-; unset XDG_CACHE_HOME; command -v -- "$2" >/dev/null 2>&1 || { echo missing > "$1"; exit 127; }; '
    'echo entered > "$1"; shift; exec "$@"'
)
"""Runs first inside the shell: leaves its word in the file $1, then becomes the program."""

_POD: Final = re.compile(
    r"cannot connect to (the )?(socket|daemon)"
    r"|(opening lock file|opening file|creating directory|getting status of) '[^']*': (permission denied|read-only file system)"
    r"|unable to (download|fetch) .*(resolve|connect|time|http error (401|403|429|5\d\d))"
    r"|could not resolve host|no space left on device|opening pseudoterminal|database disk image is malformed|experimental nix feature",
    re.IGNORECASE,
)
"""What Nix says when it, its store, its daemon or a cache is the trouble, and not the repository's flake (measured, 2.26)."""


def configuration(options: Mapping[str, str]) -> str:
    """The text for NIX_CONFIG. A flake's own settings are never taken, and no registry is asked; `options` go last."""
    lines = {"experimental-features": "nix-command flakes", "accept-flake-config": "false", "flake-registry": ""}
    return "".join(f"{key} = {value}\n" for key, value in {**lines, **options}.items())


def private_store(folder: Path) -> dict[str, str]:
    """Options for a store of one's own below `folder`: no daemon, no root, no cache.

    Its paths begin with `folder`, so a public cache has nothing for it; it serves flakes without inputs, as in the demo
    and in tests. Without substituters Nix fails at once offline, and does not retry names that do not resolve.
    """
    place = folder.resolve()
    return {
        "store": f"local?store={place}/store&state={place}/state&log={place}/log",
        "substituters": "",
        "sandbox": "false",
        "build-users-group": "",
    }


class DevShell:
    """A runner that enters the development shell of the flake in `cwd` first.

    Args:
        runner: what starts processes.
        folder: ours, for Nix's caches and the words from inside; it outlives the run.
        options: settings of Nix in the words of nix.conf, whatever the host's says.
        redact: takes out of Nix's words what must not be shown.
    """

    def __init__(self, *, runner: Runner, folder: Path, options: Mapping[str, str], redact: Redact) -> None:
        self._runner = runner
        self._folder = folder.absolute()
        self._options = dict(options)
        self._redact = redact

    async def run(self, job: Job) -> Finished:
        """See `Runner.run`; PATH of its environment must lead to Nix.

        Raises:
            TicketFailure: the flake does not evaluate, its shell does not build, or its shellHook ends it.
            PodTrouble: Nix, its store or a cache is the trouble, or the program is not in the shell.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="enter-", ignore_cleanup_errors=True) as inside:
            word = Path(inside) / "word"
            entered = ["/bin/sh", "-c", _INNER, "enter", str(word), *job.argv]
            if shutil.which("nix", path=job.env.get("PATH", "")) is None:
                raise missing("nix")
            # `nix develop` leaves a folder in TMPDIR and points TMPDIR there: it goes with this one.
            env = {**job.env, **self.environment(), "TMPDIR": inside}
            argv = ("/bin/sh", "-c", _OUTER, "enter", *self.argv(entered))
            done = await self._runner.run(replace(job, argv=argv, env=env))
            said = _said_inside(word)
        if said == "entered":
            return done
        if said == "missing":
            raise PodTrouble(
                f"the program `{job.argv[0]}` is neither in the repository's development shell nor on this host: "
                "add it to one of them, or mend the setting that names it"
            )
        raise failure(done, self._redact)

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in the shell."""
        return ["nix", "develop", "--no-write-lock-file", "--command", *command]

    def environment(self) -> dict[str, str]:
        """What Nix needs to know; nothing of it is secret. Its cache is ours, one a store: it names paths of that store."""
        store = hashlib.sha256(self._options.get("store", "").encode()).hexdigest()[:8]
        return {"NIX_CONFIG": configuration(self._options), "XDG_CACHE_HOME": str(self._folder / f"cache-{store}")}

    async def check(self, *, cwd: Path, env: Mapping[str, str]) -> None:
        """Prove that Nix is there and its store opens; for the preflight.

        Raises:
            PodTrouble: it does not.
        """
        done = await self._runner.run(
            Job(argv=("nix", "store", "info"), cwd=cwd, env={**env, **self.environment()}, timeout=60)
        )
        if not done.ok:
            raise PodTrouble(
                f"Nix cannot be used on this host: {_gist(done, self._redact)}; "
                "mend it, or give it a store of its own: `[nix.settings] store = …`"
            )


def _said_inside(word: Path) -> str:
    with contextlib.suppress(OSError):
        return word.read_text().strip()
    return ""


def failure(done: Finished, redact: Redact) -> PodTrouble | TicketFailure:
    """Whose fault it is that the shell was not entered."""
    if done.ended is not Ended.COMPLETED:
        return TicketFailure(
            f"the development shell was not entered in time ({done.ended.value} after {spoken(done.duration)})",
            evidence=last_words(done.stderr, redact=redact),
        )
    if any(_POD.search(line) for line in _telling(done)):
        return PodTrouble(f"Nix cannot enter the development shell: {_gist(done, redact)}")
    return TicketFailure(
        f"the development shell of `flake.nix` cannot be entered: {_gist(done, redact)}",
        evidence=last_words(done.stderr, redact=redact),
    )


def _telling(done: Finished) -> list[str]:
    """The lines that are about the end: warnings come before a retry that may have gone well."""
    lines = clean(done.stderr.decode("utf-8", "replace")).splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("warning:", "error (ignored):"))]


def _gist(done: Finished, redact: Redact) -> str:
    lines = [redact(line).strip() for line in _telling(done)]
    errors = [line for line in lines if line.startswith("error:") and line != "error:"]
    silent = f"exit code {done.returncode}, most likely of its `shellHook`"
    return (errors or [silent])[-1].removeprefix("error: ")[:300].rstrip(".")
