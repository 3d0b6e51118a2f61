"""The development shell as a runner: a saved script is sourced by bash, then bash becomes the program.

All of it happens in the runner that is wrapped, so the `shellHook` runs in the sandbox as the program does. How a failure
of the hook is told from one of the program, since both end in an exit code: bash writes a word to a file of ours before
it sources the script, and another before it becomes the program. Both sides hold that file open: a program may well clear
its temporary files away. What the hook prints goes to standard error, and it
reads nothing: standard input and output are the program's alone.

The words are for honest failures. A hook belongs to the repository as the program's own tests do, and can forge both. So where
they say that the host is the trouble, a bash that sources nothing is asked whether it is.

A check of the repository is started by a bash that has sourced nothing: the hook runs in a child of that one, which leaves the
environment and, as with `nix develop`, what it has started. So no end of a hook is an end of the check.

A program that the repository is not to reach into, a coding model, stays out: the shell is entered before it, by itself, and
left again with all that the hook has started; the environment that it came to is for the program's commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.clock import Clock, SystemClock
from agent.devshell.broker import HasShells
from agent.devshell.client_steps import CONTROLLED
from agent.devshell.flake import Flake, Saved
from agent.errors import PodTrouble, TicketFailure
from agent.programs.removal import folder_for_others
from agent.programs.runner import Ended, Finished, Job, Runner
from agent.texts.evidence import Redact, last_words
from agent.texts.markup import spoken

EVALUATION: Final = 3600.0
"""Seconds for a miss whose job has no limit."""
_CONTROL: Final = 'if [ -r "$1" ]; then echo readable; else echo unreadable; fi'
_FOUND: Final = 'if type -P -- "$1" > /dev/null; then echo yes; else echo no; fi'
ENTER: Final = """\
__enter=("$@")
[ -r "$1" ] || { echo unreadable > "$2"; exit 1; }
exec {__enter_word}>> "$2" || exit 1
echo begun >&"$__enter_word" || exit 1
exec {__enter_in}<&0 {__enter_out}>&1 </dev/null 1>&2
. "$1"
trap - DEBUG ERR RETURN
exec 0<&"$__enter_in" 1>&"$__enter_out" {__enter_in}<&- {__enter_out}>&-
set -- "${__enter[@]}"
unset __enter __enter_in __enter_out
[ -z "$3" ] || PATH=$3:$PATH
type -P -- "$4" >/dev/null || { echo missing >&"$__enter_word"; exit 127; }
echo entered >&"$__enter_word" || exit 1
exec {__enter_word}>&-
unset __enter_word
shift 3
exec -- "$@"
"""
"""What bash does with the script $1, the file for words $2, the folder $3 that comes first on PATH and the command behind. A hook may set what it likes,
the arguments, traps and descriptors among it, so they are put right after it."""
_JUDGE: Final = """\
[ -r "$1" ] || {{ echo unreadable > "$2"; exit 1; }}
exec {{word}}>> "$2" || exit 1
echo begun >&"$word" || exit 1
(
  __enter_env=$2.env
  exec </dev/null 1>&2
  . "$1"
  trap - DEBUG ERR RETURN
  exec {env} -0 > "$__enter_env"
)
ended=$?
variables=()
mapfile -d '' -t found < "$2.env"
for one in "${{found[@]}}"; do
  case $one in
    PATH=*) PATH=${{one#PATH=}} ;;
    PWD=*) cd -- "${{one#PWD=}}" ;;
  esac
  case $one in [!=]*=*) variables+=("$one") ;; esac
done
[ ${{#variables[@]}} -gt 0 ] || exit $((ended ? ended : 1))
[ -z "$3" ] || PATH=$3:$PATH
type -P -- "$4" > /dev/null || {{ echo missing >&"$word"; exit 127; }}
echo entered >&"$word" || exit 1
exec {{word}}>&-
shift 3
exec -- {env} -i -- "${{variables[@]}}" "PATH=$PATH" "$@"
"""
"""The same for a program whose status is believed: a hook can write the words, and yet not end this bash with 0."""
LARGEST_ENVIRONMENT: Final = 2 << 20
"""Bytes: a quarter of the stack, which is all that the kernel hands over at the usual limit."""


class DevShell:
    """A runner that enters the development shell of a flake first.

    Args:
        runner: where bash runs; the sandbox in a pod.
        shells: has the shell.
        flake: lists the checkout's files as they are now; asked at every run.
        redact: takes out of the hook's words what must not be shown.
        shell: its name below `devShells.<system>`.
        begun: called when the shell is there and the program begins.
        first: a folder of programs that come before the shell's own; None for none.
        before: where the shell is entered for a program that stays out of it; where that runs if none is given.
        clock: the host's if none is given.
    """

    def __init__(
        self,
        *,
        runner: Runner,
        shells: HasShells,
        flake: Callable[[], Awaitable[Flake]],
        redact: Redact,
        shell: str = "default",
        begun: Callable[[], None] = lambda: None,
        first: Path | None = None,
        before: Runner | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._runner = runner
        self._begun = begun
        self._before = before or runner
        self._first = first
        self._shells = shells
        self._flake = flake
        self._redact = redact
        self._shell = shell
        self._clock = clock or SystemClock()

    async def run(self, job: Job) -> Finished:
        """See `Runner.run`; what making the shell takes counts towards the job's time.

        Raises:
            ShellRefused: the shell asks for something that is not given here.
            TicketFailure: the flake does not evaluate, its shell does not build, or its shellHook ends it.
            PodTrouble: Nix, its store or a cache is the trouble, or the program is not in the shell.
        """
        started = self._clock.monotonic()
        limit = EVALUATION if job.timeout is None else job.timeout
        saved = await self._shells.get(await self._flake(), self._shell, timeout=limit)
        left = self._shortened(job, started)
        if job.apart is None:
            self._begun()
            return await enter(self._runner, saved, left, self._redact, first=self._first)
        shell = await environment_of(self._before, saved, left, self._redact, first=self._first)
        await asyncio.to_thread(job.apart.write_bytes, shell)
        self._begun()
        return await self._runner.run(self._shortened(job, started))

    def _shortened(self, job: Job, started: float) -> Job:
        if job.timeout is None:
            return job
        return replace(job, timeout=max(0.0, job.timeout - (self._clock.monotonic() - started)))


async def environment_of(runner: Runner, saved: Saved, job: Job, redact: Redact, *, first: Path | None = None) -> bytes:
    """What a job would see in a saved shell, each variable with a NUL behind it; what the hook has started is over.

    Raises:
        TicketFailure: the shellHook ends it, or leaves more than a program can be given.
        PodTrouble: as `enter`.
    """
    asked = replace(job, argv=(_env(job), "-0"), stdin=b"", output_limit=LARGEST_ENVIRONMENT, apart=None)
    done = await enter(runner, saved, asked, redact, first=first)
    if not done.ok or done.dropped or not done.stdout:
        raise _failure("entered", done, asked, redact)
    return await asyncio.to_thread(_assignments, done.stdout)  # a hook can write there, too


def _env(job: Job) -> str:
    return shutil.which("env", path=job.env.get("PATH", "")) or "/usr/bin/env"


def _assignments(printed: bytes) -> bytes:
    return b"".join(one + b"\0" for one in printed.split(b"\0") if one.find(b"=") > 0)


async def enter(runner: Runner, saved: Saved, job: Job, redact: Redact, *, first: Path | None = None) -> Finished:
    """Run a job in a saved shell; programs in `first` come before the shell's own.

    Raises:
        TicketFailure: the shellHook ends it.
        PodTrouble: bash is not there, the script cannot be read where it runs, or the program is not in the shell.
    """
    bash = shutil.which("bash", path=job.env.get("PATH", ""))
    if bash is None:
        raise PodTrouble("the program `bash`, which enters development shells, is missing: install the package bash")
    async with _word(Path(job.env.get("TMPDIR") or job.env.get("HOME") or job.cwd)) as (word, handle):
        start = (bash, "--norc", "--noprofile", "-c")
        script = _JUDGE.format(env=shlex.quote(_env(job))) if job.judges else ENTER
        argv = (*start, script, "enter", str(saved.script), str(word), str(first or ""), *job.argv)
        done = await runner.run(replace(job, argv=argv))
        said = _said(handle)
    if said == "entered":
        return done
    if said == "missing" and (outside := shutil.which(job.argv[0], path=job.env.get("PATH", ""))):
        argv = (*start, _FOUND, "enter", job.argv[0])  # not shown here, or hidden by the hook?
        control = await runner.run(replace(job, argv=argv, stdin=b"", timeout=CONTROLLED))
        if control.stdout == b"no\n":
            raise _not_shown(job.argv[0], outside)
    if said not in ("begun", "missing") and done.ended is Ended.COMPLETED:
        argv = (*start, _CONTROL, "enter", str(saved.script))
        control = await runner.run(replace(job, argv=argv, stdin=b"", timeout=CONTROLLED))
        if control.stdout != b"readable\n":
            raise _unable(control, saved, redact)
    raise _failure(said, done, job, redact)


@contextlib.asynccontextmanager
async def _word(place: Path) -> AsyncIterator[tuple[Path, int]]:
    """A file for the words, where the sandbox lets bash write, and our own hold on it."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True, mode=0o700)
            word = await stack.enter_async_context(folder_for_others(place, "enter-")) / "word"
            handle = os.open(word, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, handle)
            os.write(handle, b"\n")  # a full disk is ours to find
        except OSError as error:
            raise PodTrouble(f"no file can be made in {place}: {error.strerror}") from error
        yield word, handle


def _said(handle: int) -> str:
    """The last of both words: what the program adds is none. Whatever lies at the file's place by now, is not looked at."""
    lines = os.pread(handle, 1 << 10, 0).decode("ascii", "replace").splitlines()[:3]
    return lines[-1].strip() if lines else ""


def _unable(control: Finished, saved: Saved, redact: Redact) -> PodTrouble:
    """Why no shell can be entered here, in the words of what nothing of the repository had a part in."""
    if control.stdout == b"unreadable\n":
        return PodTrouble(
            f"the saved development shell {saved.script} cannot be read in the sandbox: make it readable there"
        )
    shown = last_words(control.stdout, control.stderr, redact=redact).splitlines()
    last = shown[-1] if shown else f"exit code {control.returncode}"
    return PodTrouble(f"bash could not begin to enter the development shell: {last[:300].rstrip('.')}")


def _not_shown(name: str, outside: str) -> PodTrouble | TicketFailure:
    """A path is the setting's; a name may have been the shell's, and its run took it away."""
    where = f"`{name}` is {outside} on this host, which the sandbox does not show"
    mend = "install it below /usr, or name its folder in `sandbox.readable`"
    if "/" in name:
        return PodTrouble(f"the program {where}: {mend}")
    return TicketFailure(f"the program {where}, and the development shell has none: {mend}, or add it to `flake.nix`")


def _failure(said: str, done: Finished, job: Job, redact: Redact) -> PodTrouble | TicketFailure:
    """Whose fault it is that the program did not begin, where bash can begin."""
    shown = last_words(done.stdout, done.stderr, redact=redact)
    name = job.argv[0]
    if said == "missing" and shutil.which(name, path=job.env.get("PATH", "")) is None:  # or the hook has hidden it
        return PodTrouble(
            f"the program `{name}` is neither in the repository's development shell nor on this host: "
            "add it to one of them, or mend the setting that names it"
        )
    if done.ended is Ended.LIMIT:
        return TicketFailure(f"the `shellHook` of `flake.nix` {done.limit}", evidence=shown)
    if done.ended is not Ended.COMPLETED:
        return TicketFailure(
            f"the development shell was not entered in time ({done.ended.value} after {spoken(done.duration)} "
            "in the `shellHook` of `flake.nix`)",
            evidence=shown,
        )
    return TicketFailure(
        f"the development shell of `flake.nix` cannot be entered: its `shellHook` ended it with exit code {done.returncode}",
        evidence=shown,
    )
