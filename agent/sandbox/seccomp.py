"""Pure: the filter of system calls that bubblewrap loads, as a program for the kernel (classic BPF).

Namespaces do not cover everything. Sockets of virtual machines (AF_VSOCK) know no network namespace, kernel keyrings are
inherited, io_uring opens sockets without asking a filter, and a terminal can be typed into. These are refused, the way an
older kernel would: programs have a way round. A foreign instruction set (32 bit) has numbers of its own and is refused whole.

Where a model lives, no process may take hold of another besides, or limit it: the coder's connection is worth having. Debuggers and
LeakSanitizer need that, so it stays open where a repository is prepared and checked.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _MACHINE, _FIRST, _SECOND = 0, 4, 16, 24
"""Offsets in the kernel's description of a call; of the arguments the lower half, little-endian."""
_X32: Final = 0x40000000
_TIOCSTI: Final = 0x5412
FAMILIES: Final = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
"""The sockets that a network namespace holds."""


class Machine(Struct, frozen=True):
    """The numbers of an instruction set."""

    audit: int
    socket: int
    ioctl: int
    refused: tuple[int, ...]
    holds: tuple[int, ...]
    limits: int


_RING: Final = (425, 426, 427)
MACHINES: Final[Mapping[str, Machine]] = {
    # refused: add_key, request_key, keyctl, bpf, perf_event_open, userfaultfd, io_uring_*
    # holds: ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_getfd; limits: prlimit64
    "x86_64": Machine(
        audit=0xC000003E,
        socket=41,
        ioctl=16,
        refused=(248, 249, 250, 321, 298, 323, *_RING),
        holds=(101, 310, 311, 312, 438),
        limits=302,
    ),
    "aarch64": Machine(
        audit=0xC00000B7,
        socket=198,
        ioctl=29,
        refused=(217, 218, 219, 280, 241, 282, *_RING),
        holds=(117, 270, 271, 272, 438),
        limits=261,
    ),
}


def program(machine: Machine, *, closed: bool = False) -> bytes:
    """The filter for a machine; in a closed one no process may take hold of another."""
    lines = [
        *_load(_MACHINE),
        *_unless(_EQUAL, machine.audit, errno.ENOSYS),
        *_load(_NUMBER),
        *_if(_AT_LEAST, _X32, errno.ENOSYS),
    ]
    for number in machine.refused:
        lines += _if(_EQUAL, number, errno.ENOSYS)
    for number in machine.holds if closed else ():
        lines += _if(_EQUAL, number, errno.EPERM)
    if closed:  # of others; a process that means itself says 0
        lines += _when(machine.limits, [*_load(_FIRST), *_unless(_EQUAL, 0, errno.EPERM), _line(_RETURN, _ALLOW)])
    lines += _when(machine.ioctl, [*_load(_SECOND), *_if(_EQUAL, _TIOCSTI, errno.EPERM), _line(_RETURN, _ALLOW)])
    families = list(FAMILIES.values())
    allowed = [_line(_EQUAL, family, len(families) - place, 0) for place, family in enumerate(families)]
    refusal = _line(_RETURN, _ERRNO | errno.EAFNOSUPPORT)
    lines += _when(machine.socket, [*_load(_FIRST), *allowed, refusal, _line(_RETURN, _ALLOW)])
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)


def _load(offset: int) -> list[bytes]:
    return [_line(_LOAD, offset)]


def _if(test: int, value: int, refusal: int) -> list[bytes]:
    return [_line(test, value, 0, 1), _line(_RETURN, _ERRNO | refusal)]


def _unless(test: int, value: int, refusal: int) -> list[bytes]:
    return [_line(test, value, 1, 0), _line(_RETURN, _ERRNO | refusal)]


def _when(number: int, lines: list[bytes]) -> list[bytes]:
    """These lines for one system call; they end in a return, since they load another value."""
    return [_line(_EQUAL, number, 0, len(lines)), *lines]
