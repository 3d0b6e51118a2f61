"""A model that does as it is told: reads the prompt on stdin, plays the JSON script named by its argument.

Keys of the script, all optional: `files` (path to text, `{run}` is the run id), `verdict`, `summary`, `question`, `sleep`
(seconds), `status` (of a model API that fails), `prompts` (a folder in which every prompt is kept), `wait_for` (a file
whose appearance ends the waiting), `gates` (as `wait_for`, but announces itself by creating `<file>.waiting`),
`per_ticket` (ticket id to a script that is laid over this one), `bash` (what is done in the worktree after the files are
written, the prompt on its standard input).

With its files it writes a test that fails without them, so that no check of what it did passes on the base.
"""

import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TEST = """import unittest
from pathlib import Path

BEFORE = {before!r}


class Work{ticket}(unittest.TestCase):
    def test_there_is_work(self):
        for name, before in BEFORE.items():
            path = Path(name)
            self.assertNotEqual(path.read_text(errors="replace") if path.is_file() else "", before)
"""

script = json.loads(Path(sys.argv[1]).read_text())
prompt = sys.stdin.read()
run = os.environ["AGENT_RUN"]
found = re.search(r'<work_package id="(\d+)"', prompt)
ticket = found.group(1) if found else ""
script |= script.get("per_ticket", {}).get(ticket, {})

if "prompts" in script:
    folder = Path(script["prompts"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{ticket}-{run}-{time.monotonic_ns()}.txt").write_text(prompt)
    (folder / f"{ticket}-{run}-environment.json").write_text(json.dumps(dict(os.environ)))
before: dict[str, str] = {}
for name, text in script.get("files", {"work-{ticket}.txt": "by {run}\n"}).items():
    path = Path(name.replace("{ticket}", ticket))
    path.parent.mkdir(parents=True, exist_ok=True)
    work = text.replace("{run}", run).replace("{ticket}", ticket)
    there = path.read_text(errors="replace") if path.is_file() else ""
    if there != work:
        before[str(path)] = there
    path.write_text(work)
if before:
    proof = Path(f"test_work_{ticket}.py")
    if proof.is_file():  # an earlier run's, which saw the base
        before |= ast.literal_eval(proof.read_text().partition("BEFORE = ")[2].partition("\n")[0])
    proof.write_text(TEST.format(ticket=ticket, before=before))
if "bash" in script:
    subprocess.run(["/bin/bash", "-c", script["bash"]], input=prompt, text=True, stdout=sys.stderr, check=False)
if "gates" in script:
    Path(script["gates"] + ".waiting").write_text(run)
    while not Path(script["gates"]).exists():
        time.sleep(0.05)
time.sleep(script.get("sleep", 0))
document = {
    "type": "result",
    "subtype": "success",
    "is_error": "status" in script,
    "num_turns": 1,
    "session_id": run,
    "duration_ms": 100,
    "total_cost_usd": 0.01,
    "usage": {
        "input_tokens": 200,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 2,
        "output_tokens": 40,
    },
    "api_error_status": script.get("status"),
    "result": "API Error" if "status" in script else "ok",
    "structured_output": {
        "verdict": script.get("verdict", "done"),
        "summary": script.get("summary", "Done as asked."),
        "question": script.get("question", ""),
    },
}
if "status" in script:
    del document["structured_output"]
sys.stdout.write(json.dumps(document))
sys.exit("status" in script)
