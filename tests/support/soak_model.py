"""The scripted model, which notes when another one is alive on its ticket: argument two is the folder for locks and notes."""

import fcntl
import io
import re
import runpy
import sys
from pathlib import Path

prompt = sys.stdin.read()
found = re.search(r'<work_package id="(\d+)"', prompt)
ticket = found.group(1) if found else "none"
folder = Path(sys.argv[2])
lock = (folder / f"{ticket}.lock").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    (folder / f"{ticket}.two-models").touch()
with (folder / "started").open("a") as started:
    started.write(f"{ticket}\n")
sys.stdin = io.StringIO(prompt)
runpy.run_path(str(Path(__file__).with_name("scripted_model.py")), run_name="__main__")
