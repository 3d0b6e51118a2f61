"""One repository's git: a bare mirror in a folder of ours, the remote, and nothing of the host's configuration.

Every process gets a neutral configuration on its command line: no hooks, no signing, no helper programs, submodules not
followed. Only processes that talk to the remote get the credential, in their environment; the URL travels there too, so
that neither stands in a process list or on disk. The mirror is written as files, not by `git init`: that saves a process
and leaves no half-made state behind.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agent.errors import PodTrouble, TicketFailure
from agent.git import guard as tampering
from agent.git.blame import GitFailed
from agent.git.folder import read_plain, remove, write_plain
from agent.git.refs import (
    CLAIMS,
    HEADS,
    REMOTE,
    TAGS,
    Refs,
    RepositoryUnreachable,
    TooSlow,
    no_base,
    place_of,
    read_refs,
    redirected,
    trouble,
)
from agent.git.tidying import tidy
from agent.git.trash import Trash
from agent.programs.runner import Ended, Finished, Guard, Job, Runner
from agent.texts.bounded import Search
from agent.texts.evidence import Redact, last_words

AUTHOR: Final = "Agent"
ADDRESS: Final = "agent@localhost"
"""Who writes our commits."""
LOCAL_TIMEOUT: Final = 900.0
"""Seconds for a command that stays on this host; a checkout of a large repository takes a while."""
OUTPUT: Final = 64 << 20
"""Bytes of git's output that are kept: a listing that was cut would be a wrong answer."""
LONGEST_LIST: Final = 16 << 20
"""Bytes of a remote's list of branches, some 200,000: as values it is five times as large."""
MEMORY: Final = 2 << 30
"""Bytes that a git may use that looks at a model's files, or that takes or gives a remote's objects."""
LIST_MEMORY: Final = 512 << 20
"""Bytes that a git may use for a remote's list of branches: one of `LONGEST_LIST` takes 128 MiB."""
_FRUGAL: Final = ("pack.threads=2", "pack.windowMemory=128m", "core.bigFileThreshold=64m")
"""So that a repository with large files has no need of more."""
DISK: Final = 10 << 30
"""Bytes that one run may add, unless the settings say otherwise."""
NEUTRAL: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.protectNTFS=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.quotePath=false",
    "core.autocrlf=false",
    "core.editor=true",
    "commit.gpgSign=false",
    "push.gpgSign=false",
    "push.followTags=false",
    "push.recurseSubmodules=no",
    "protocol.ext.allow=never",
    "http.followRedirects=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "log.mailmap=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "advice.graftFileDeprecated=false",
)
"""The settings of every process of ours; the command line outweighs every file."""
CONFIG: Final = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
"""The mirror's own configuration, always exactly this: a changed one was changed by the model."""
HEAD: Final = f"ref: {HEADS}none\n"
"""The mirror's HEAD: it has no branch of its own."""
_BROKEN: Final = Search(
    "mirror: damaged refs",
    rb"reference broken|cannot lock ref|bad object refs|packed-refs|unable to resolve reference",
    sees="what git and a remote say",
)
"""What git says of refs that a power cut or a model left without sense: the remote has them all."""

_REDIRECTED: Final = Search("mirror: a redirect", rb"returned error: 30[12378]", sees="what git and a remote say")
_TRACED: Final = MappingProxyType({"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"})
"""Lets git tell the headers of an answer; it takes the credentials out of them itself (git(1), GIT_TRACE_REDACT)."""
_REDIRECTS: Final = 5

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ALONE: Final = MappingProxyType({"PATH": os.devnull, "GIT_EXEC_PATH": os.devnull})
"""For a git on files that a model wrote: it finds no program to start. In a repository that a model made within its
worktree, git starts another git, which would run what that one's configuration names (filters)."""


class GitHung(GitFailed):
    """A git command on this host did not come to an end."""


class Mirror:
    """The git commands of one repository; the vocabulary of `repo`, `worktree` and `workspace`.

    Args:
        url: the remote, in any form that git takes.
        base: its main branch.
        folder: for the mirror, the worktrees and the records; nobody else writes there.
        runner: what starts processes.
        credential: environment variables for the processes that talk to the remote, and for no other
            (`GIT_SSH_COMMAND`, or an `http.extraHeader` by `GIT_CONFIG_COUNT`).
        redact: takes out of git's words what must not be shown.
        timeout: seconds for one command that talks to the remote.
        path: PATH of git and what it starts (ssh).
        brief: fetch only the tip of the base, its history and file contents left out, for commands that only look at
            it. Such a mirror is cut short: never in the folder of a pod.
        disk: bytes that one run may add.
        guarded: the paths of which a person must see every change before it is at a branch.
    """

    def __init__(
        self,
        *,
        url: str,
        base: str,
        folder: Path,
        runner: Runner,
        redact: Redact,
        credential: Mapping[str, str] = _NOTHING,
        timeout: float = 120,
        path: str = os.defpath,
        brief: bool = False,
        disk: int = DISK,
        guarded: Sequence[str] = (),
    ) -> None:
        self.base = base
        self.disk = disk
        self.folder = folder = folder.absolute()
        self.path = folder / "mirror.git"
        self.place = place_of(url)
        self.guarded = tuple(guarded)
        self.hidden: bool | None = None
        """Whether the remote takes refs below `refs/agent`; None while that is not known, and then it is tried."""
        self._url = url
        self._runner = runner
        self._redact = redact
        self._credential = dict(credential)
        self._timeout = timeout
        self._brief = brief
        self._prepared = False
        self.trash = Trash(folder / "trash")
        """For whatever lies in `folder`."""
        self.known: tampering.Seal = {}
        """What git's files held when they were last looked at."""
        self.repaired = False
        """Whether the configuration had to be put right since this was last set to False."""
        self._env = {
            "PATH": path,
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "LANGUAGE": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": os.devnull,
            **{f"GIT_{role}_NAME": AUTHOR for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": ADDRESS for role in ("AUTHOR", "COMMITTER")},
        }

    async def prepare(self) -> None:
        """Make the mirror if there is none; clear what a killed git left; put its configuration right."""
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.path / "HEAD").exists():
            remove(self.path)
            for part in ("objects/info", "objects/pack", "refs/heads", "info"):
                (self.path / part).mkdir(parents=True)
            (self.path / "config").write_text(CONFIG)
            (self.path / "HEAD").write_text(HEAD)  # last: it makes the folder a repository
        if not self._prepared:
            (self.folder / "home").mkdir(exist_ok=True)
            tampering.unlock(self.path)
            tampering.clear_drafts(self.path)
            self._prepared = True
        if read_plain(self.path / "config") != CONFIG.encode():  # before every git: it could name programs
            write_plain(self.path / "config", CONFIG.encode())
            self.repaired = True

    async def mend(self, changes: Sequence[str] = ()) -> None:
        """Put away what is not ours, and what was touched.

        Args:
            changes: from `guard.touched`.
        """
        await asyncio.to_thread(self._mend, changes)

    def _mend(self, changes: Sequence[str]) -> None:
        self._prepare()
        tampering.mend(self.path, changes, living=[path.name for path in (self.folder / "work").glob("*")])
        if read_plain(self.path / "HEAD") != HEAD.encode():
            write_plain(self.path / "HEAD", HEAD.encode())
        self.repaired = False

    async def local(
        self,
        *arguments: str,
        gitdir: Path | None = None,
        tree: Path | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        ok: tuple[int, ...] = (0,),
        timeout: float = LOCAL_TIMEOUT,  # noqa: ASYNC109 - the runner's
        idle: bool = False,
    ) -> Finished:
        """A command that stays on this host.

        Args:
            arguments: the git command.
            gitdir: the git directory, the mirror if none is given.
            tree: the work tree, and where the command runs; it can start no program then.
            stdin: what it reads.
            env: more environment.
            ok: exit codes that are answers.
            timeout: seconds.
            idle: whether all others go first.

        Raises:
            GitHung: no end in time.
            GitFailed: any other exit code, or too much memory.
        """
        await self.prepare()
        more = {"GIT_DIR": str(gitdir or self.path), **(env or {})}
        if tree:
            more |= {"GIT_WORK_TREE": str(tree), **_ALONE}
        guard = _memory if tree else None  # rules of git that a model wrote are held in memory
        cwd = tree or self.folder
        done = await self._run(arguments, cwd=cwd, env=more, stdin=stdin, timeout=timeout, guard=guard, idle=idle)
        if done.ended is Ended.TIMED_OUT:
            failed = self.failed(arguments[0], done)
            raise GitHung(str(failed), f"`git {arguments[0]}` did not come to an end", done.stderr)
        if done.ended is not Ended.COMPLETED or done.returncode not in ok or done.dropped:
            raise self.failed(arguments[0], done)
        return done

    async def copy(self, source: Path, target: Path) -> None:
        """A copy of a folder, links and times as they are; a file system that can shares the bytes.

        Raises:
            PodTrouble: it is not whole.
        """
        argv = ("cp", "-a", "--reflink=auto", "--", str(source), str(target))
        done = await self._runner.run(Job(argv=argv, cwd=self.folder, env=self._env, timeout=LOCAL_TIMEOUT))
        if not done.ok:
            raise PodTrouble(f"{source} could not be copied: {self.said(done)}")

    def failed(self, command: str, done: Finished) -> GitFailed:
        """The error for a command that should have worked here."""
        said = self.said(done)
        if done.dropped:
            said = f"the answer of `git {command}` is longer than {OUTPUT >> 20} MiB"
        elif done.ended is Ended.LIMIT:
            said = f"`git {command}` {done.limit}"
        message = (
            f"`git {command}` failed in our copy of {self.place} ({self.path}): {said}; "
            "if that goes on, move the folder away: it is made anew"
        )
        return GitFailed(message, said, done.stderr, crowded=bool(done.dropped), killed=done.returncode < 0)

    async def remote(self, *arguments: str) -> Finished:
        """A command that talks to the remote, under the name `origin`; its failure is for the caller to read.

        Git follows no redirect: it would take the credential along, wherever that leads. Within the same origin it is
        followed here.

        Raises:
            TooSlow: no end in time.
            RepositoryUnreachable: the remote is elsewhere now.
        """
        done = await self._talk(*arguments)
        for _ in range(_REDIRECTS):
            if done.ok or not _REDIRECTED.first(done.stderr) or not await self._follow():
                break
            done = await self._talk(*arguments)
        return done

    async def _follow(self) -> bool:
        """Go to where the remote says that it is now, with the credential; whether it says so."""
        traced = await self._talk("ls-remote", "origin", "HEAD", env=_TRACED)
        moved = redirected(self._url, traced.stderr.decode("utf-8", "replace"))
        if moved is None:
            return False
        address, same_origin = moved
        if not same_origin:
            raise RepositoryUnreachable(
                f"the repository {self.place} cannot be used: the remote is now at {place_of(address)}: set `url`"
            )
        self._credential = {name: value.replace(self._url, address) for name, value in self._credential.items()}
        self._url = address
        return True

    async def _talk(self, *arguments: str, env: Mapping[str, str] = _NOTHING) -> Finished:
        await self.prepare()
        count = int(self._credential.get("GIT_CONFIG_COUNT", "0"))
        more = {
            "GIT_DIR": str(self.path),
            "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
            **self._credential,
            "GIT_CONFIG_COUNT": str(count + 1),
            f"GIT_CONFIG_KEY_{count}": "remote.origin.url",
            f"GIT_CONFIG_VALUE_{count}": self._url,
            **env,
        }
        memory = LIST_MEMORY if arguments[0] == "ls-remote" else MEMORY
        words = (*_settings(_FRUGAL), *arguments)
        done = await self._run(words, cwd=self.folder, env=more, stdin=b"", timeout=self._timeout, memory=memory)
        if done.ended is not Ended.COMPLETED:
            raise TooSlow(
                f"the repository {self.place} cannot be used: it did not answer within {self._timeout:.0f} s; "
                "it is tried again later"
            )
        return done

    async def _run(
        self,
        arguments: tuple[str, ...],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes,
        timeout: float,  # noqa: ASYNC109 - the runner's
        guard: Guard | None = None,
        idle: bool = False,
        memory: int | None = None,
    ) -> Finished:
        whole = {**self._env, **env}
        program = shutil.which("git", path=self._env["PATH"]) if whole["PATH"] == os.devnull else None
        argv = (program or "git", *_settings(NEUTRAL), *arguments)
        if idle and (nice := shutil.which("nice", path=self._env["PATH"])):
            argv = (nice, "-n", "19", *argv)
        return await self._runner.run(
            Job(
                argv=argv,
                cwd=cwd,
                env=whole,
                stdin=stdin,
                timeout=timeout,
                output_limit=OUTPUT,
                guard=guard,
                memory=memory,
            )
        )

    def said(self, done: Finished) -> str:
        """Git's own words, fit to be shown."""
        return last_words(done.stderr or done.stdout, redact=self._redact) or f"exit code {done.returncode}"

    def unreachable(self, done: Finished) -> RepositoryUnreachable:
        """The error for a remote command that failed."""
        return RepositoryUnreachable(trouble(self.place, self.said(done)))

    async def list_refs(self, *patterns: str) -> Refs:
        """Branches and claim refs of the remote, in one process.

        Raises:
            RepositoryUnreachable: no list, or one that is too long to be whole.
        """
        done = await self.remote("ls-remote", "--refs", "origin", *(patterns or (f"{HEADS}*", f"{CLAIMS}*")))
        if not done.ok:
            raise self.unreachable(done)
        if done.dropped or len(done.stdout) > LONGEST_LIST:
            raise RepositoryUnreachable(
                f"the repository {self.place} cannot be used: its list of branches is longer than {LONGEST_LIST >> 20} MiB"
            )
        return await asyncio.to_thread(read_refs, done.stdout)

    async def fetch(self) -> None:
        """Bring all branches and tags of the remote into the mirror and forget those that are gone."""
        what = ["--prune", "origin", f"+{HEADS}*:{REMOTE}*", f"+refs/tags/*:{TAGS}*"]
        if self._brief:
            what = ["--depth=1", "--filter=blob:none", "origin", f"+{HEADS}{self.base}:{REMOTE}{self.base}"]
        words = ("fetch", "--no-tags", "--no-write-fetch-head", "--quiet", *what)
        done = await self.remote(*words)
        if not done.ok and _BROKEN.first(done.stderr):
            await asyncio.to_thread(tampering.forget_refs, self.path)
            done = await self.remote(*words)
        if not done.ok:
            raise self.unreachable(done)
        if not self._brief:
            await tidy(self.local, self.path)

    async def resolve(self, revision: str) -> str | None:
        """The object id of a revision in the mirror; None if there is no such thing."""
        done = await self.local("rev-parse", "--verify", "--quiet", "--end-of-options", revision, ok=(0, 1, 128))
        return done.stdout.decode().strip() or None

    async def tip(self, branch: str) -> str | None:
        """Where the remote's branch stood at the last fetch."""
        return await self.resolve(f"{REMOTE}{branch}")

    async def tips(self, branch: str) -> tuple[str, str | None]:
        """Where the base and a branch stood at the last fetch, by one process.

        Raises:
            TicketFailure: there is no base.
        """
        wanted = [f"{REMOTE}{name}" for name in (self.base, branch)]
        done = await self.local("for-each-ref", "--format=%(refname) %(objectname)", *wanted)
        found = dict(line.split(" ", 1) for line in done.stdout.decode("utf-8", "replace").splitlines())
        return found.get(wanted[0]) or await self.base_tip(), found.get(wanted[1])

    async def base_tip(self) -> str:
        """Where the base branch stood at the last fetch.

        Raises:
            TicketFailure: it does not exist.
        """
        if tip := await self.tip(self.base):
            return tip
        branches = (await self.local("for-each-ref", "--count=1", "--format=%(refname)", REMOTE)).stdout
        raise TicketFailure(no_base(self.place, self.base, empty=not branches))


def _settings(all_of: Sequence[str]) -> list[str]:
    return [word for one in all_of for word in ("-c", one)]


def _memory(pid: int) -> str:
    """A guard: what a process uses beyond its measure."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has ended
        return ""
    return f"took more than {MEMORY >> 30} GiB of memory" if pages * os.sysconf("SC_PAGE_SIZE") > MEMORY else ""
