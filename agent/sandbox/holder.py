"""Makes the folders of a view and becomes the program that binds them: `holder PLACE REAL… -- PROGRAM…`.

A program of its own; it imports nothing of ours. In a mount namespace of its own the folder PLACE/view/N gets mounts of entries
of the N-th REAL folder. The folder is shared, so whoever bound it sees what is added later, by a child that stays behind. Most
is added only when the sandbox stands: bubblewrap reads the table of all mounts anew at each of its steps, so that a thousand
of them would cost it a second, and the kernel some milliseconds.

Where there is a link PLACE/new/N, the entries lie in the folder that it leads to, beside what is written there.

What is asked for: a line `K` in the pipe PLACE/asked is about the file PLACE/view-K, of lines `N NAME`; the answer, in the
pipe PLACE/shown, is `K`, and an error behind it if there was one. PLACE/view-0 is shown before the program begins; the answer
about PLACE/view-1 goes to the pipe PLACE/gate, at which the sandbox waits.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys

NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000
READ_ONLY, NO_SUID, NO_DEVICES, REMOUNT, BIND, REC = 1, 2, 4, 32, 4096, 16384
NO_PROGRAMS = 8
SLAVE, SHARED = 1 << 19, 1 << 20
DEATH = 1
FIRST = 1
C = ctypes.CDLL(None, use_errno=True)


def call(result: int, what: str) -> None:
    """Raise what the kernel said."""
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """One mount."""
    done = C.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), None)
    call(done, target)


def alone() -> None:
    """Get a mount namespace, as who we are; who may not has a user namespace first, in which that is allowed."""
    user, group = os.geteuid(), os.getegid()
    if user or C.unshare(NEW_MOUNTS):
        call(C.unshare(NEW_MOUNTS | NEW_USER), "a user namespace")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - without pathlib it starts faster
                file.write(text)
    mount("none", "/", "none", SLAVE | REC)  # nothing of ours reaches the host


def show(place: str, number: int) -> None:
    """Mount what a file names; what is there already stays."""
    with open(f"{place}/view-{number}", encoding="utf-8") as file:  # noqa: PTH123 - likewise
        for line in file:
            folder, _, name = line.rstrip("\n").partition(" ")
            lasting = os.path.lexists(f"{place}/new/{folder}")
            entry(f"{place}/real/{folder}/{name}", f"{place}/view/{folder}/{name}", lasting=lasting)


def entry(source: str, target: str, *, lasting: bool) -> None:
    """One folder or file as a mount, a link as a link: it is never followed. `lasting`: an earlier box left its place."""
    kind = os.lstat(source).st_mode
    try:
        if stat.S_ISLNK(kind):
            os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211 - likewise
            return
        if stat.S_ISDIR(kind):
            os.mkdir(target, 0o755)  # noqa: PTH102 - likewise
        else:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    except FileExistsError:
        if not lasting or stat.S_ISLNK(kind):
            return
    mount(source, target, "none", BIND)


def begin(place: str, reals: list[str]) -> None:
    """The folders of the view, with what is in them at first."""
    mount("tmpfs", f"{place}/view", "tmpfs", NO_SUID | NO_DEVICES)
    mount("none", f"{place}/view", "none", SHARED)
    for number, real in enumerate(reals):
        here = f"{place}/real/{number}"
        mount(real, here, "none", BIND)  # read-only once, and so is every mount of a part of it
        strict = os.statvfs(here).f_flag & NO_PROGRAMS  # an ordinary user may not take that away
        mount("none", here, "none", BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEVICES | strict)
        os.mkdir(f"{place}/view/{number}", 0o755)  # noqa: PTH102 - likewise
        if os.path.lexists(f"{place}/new/{number}"):
            mount(f"{place}/new/{number}", f"{place}/view/{number}", "none", BIND)
    show(place, 0)


def stay(place: str, parent: int) -> None:
    """Add what is asked for, until the program ends."""
    C.prctl(DEATH, signal.SIGKILL)
    if os.getppid() != parent:
        return
    os.closerange(0, 1024)  # the program's streams and descriptors are not ours to hold open
    asked, shown, gate = (os.open(f"{place}/{name}", os.O_RDWR | os.O_CLOEXEC) for name in ("asked", "shown", "gate"))
    rest = b""
    while True:
        *lines, rest = (rest + os.read(asked, 4096)).split(b"\n")
        for line in lines:
            number, error = int(line), ""
            try:
                show(place, number)
            except OSError as problem:
                error = f" {problem.strerror} ({problem.filename})"
            os.write(gate if number == FIRST else shown, f"{number}{error}\n".encode("utf-8", "replace"))


def main(place: str, *words: str) -> None:
    """Show, and become the program."""
    border = words.index("--")
    try:
        alone()
        begin(place, list(words[:border]))
    except OSError as error:
        sys.exit(f"view: {error.strerror} ({error.filename})")
    parent = os.getpid()
    if os.fork() == 0:
        try:
            stay(place, parent)
        finally:
            os._exit(0)
    os.execv(words[border + 1], words[border + 1 :])  # noqa: S606 - it becomes the program


if __name__ == "__main__":
    main(*sys.argv[1:])
