"""Pure: a shared library of one constructor that closes a process to everybody else in its sandbox, as bytes.

The kernel lets nobody without a privilege attach to, read or write a process that may not be dumped: no ptrace, no
`pidfd_getfd`, no `process_vm_*`, and neither `/proc/PID/mem` nor `/proc/PID/fd`, for which no filter of calls helps. A process
can only say that of itself (prctl(2), PR_SET_DUMPABLE), and each `exec` takes it back, so a launcher cannot say it for a
program. A library that is loaded before the program can; its children begin open again. The pod itself, as the owner of the
sandbox's user namespace, still sees everything.

There is no compiler where a pod is installed, and the library is five instructions: so it is written down here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class _Machine(Struct, frozen=True):
    number: int
    code: bytes


_MACHINES: Final[Mapping[str, _Machine]] = {
    # endbr64; mov eax, 157; mov edi, 4; xor esi, esi; syscall; ret
    "x86_64": _Machine(62, bytes.fromhex("f30f1efa b89d000000 bf04000000 31f6 0f05 c3")),
    # mov x8, 167; mov x0, 4; mov x1, 0; svc 0; ret
    "aarch64": _Machine(183, struct.pack("<5I", 0xD28014E8, 0xD2800080, 0xD2800001, 0xD4000001, 0xD65F03C0)),
}

_ALIGNED: Final = 0x10000
"""The largest page of any machine; the writable part lies so far behind the rest of the file in memory."""
_HEADER, _SEGMENT, _SYMBOL, _ENTRY = 64, 56, 24, 16
_SEGMENTS: Final = 4
_HASH: Final = _HEADER + _SEGMENTS * _SEGMENT
_SYMBOLS: Final = _HASH + 16
_STRINGS: Final = _SYMBOLS + _SYMBOL
_CODE: Final = _STRINGS + 8
_DYNAMIC: Final = _CODE + 32
_ENTRIES: Final = 7
_SIZE: Final = _DYNAMIC + _ENTRIES * _ENTRY

_LOAD, _DYN, _STACK = 1, 2, 0x6474E551
_R, _RW, _RX = 4, 6, 5


def library(machine: str) -> bytes:
    """The library for an instruction set (elf(5)).

    Raises:
        KeyError: it is none that the sandbox knows.
    """
    found = _MACHINES[machine]
    header = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 3, found.number, 1, 0, _HEADER, 0, 0,
        _HEADER, _SEGMENT, _SEGMENTS, 64, 0, 0,
    )  # fmt: skip
    dynamic_at = _ALIGNED + _DYNAMIC
    segments = (
        _segment(_LOAD, _RX, 0, 0, _DYNAMIC),
        _segment(_LOAD, _RW, _DYNAMIC, dynamic_at, _SIZE - _DYNAMIC),
        _segment(_DYN, _RW, _DYNAMIC, dynamic_at, _SIZE - _DYNAMIC),
        _segment(_STACK, _RW, 0, 0, 0),
    )
    hashes = struct.pack("<4I", 1, 1, 0, 0)  # one bucket, one symbol, and that is none
    # hash, strings, symbols, their sizes, the constructor, the end
    entries = ((4, _HASH), (5, _STRINGS), (6, _SYMBOLS), (10, 1), (11, _SYMBOL), (12, _CODE), (0, 0))
    text = b"".join((header, *segments, hashes, bytes(_SYMBOL), bytes(8), found.code.ljust(32, b"\0")))
    return text + b"".join(struct.pack("<QQ", *entry) for entry in entries)


def _segment(kind: int, flags: int, offset: int, address: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, _ALIGNED)
