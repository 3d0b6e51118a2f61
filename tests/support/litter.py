"""What a run may leave behind to keep a pod busy."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

FILES: Final = 20_000
DEEP: Final = 1_500
"""Folders within folders: deeper than Python's stack."""
_LITTER: Final = """
import os, sys
for number in range(int(sys.argv[1])):
    if number % 1000 == 0:
        os.mkdir(f"many{number}")
    os.close(os.open(f"many{number // 1000 * 1000}/file{number}", os.O_CREAT | os.O_WRONLY))
for _ in range(int(sys.argv[2])):
    os.mkdir("d")
    os.chdir("d")
"""


async def litter(folder: Path, files: int = FILES, *, deep: int = DEEP) -> None:
    """Fill a folder, made for it, with files and with folders within folders."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    made = await asyncio.create_subprocess_exec(sys.executable, "-c", _LITTER, str(files), str(deep), cwd=folder)
    assert await made.wait() == 0
