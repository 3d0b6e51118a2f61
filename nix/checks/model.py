# ruff: noqa: INP001, S603 - a program that stands alone
"""The scenarios' coding model: it does what the ticket's description says after the word `play:`, in JSON.

`files`: path to text, `{run}` is the run id. `answer`: a word that must stand in a closed Spike, else what is written is
broken. `gate`: after writing, wait for `.gate/go` in the worktree, and say so in `.gate/waiting`. `shell`: name to a command;
what became of each goes to the file `shell.json`. `verdict` and `question` are its last words.
"""

import html
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

prompt = sys.stdin.read()
ticket = re.search(r"<work_package\b.*?</work_package>", prompt, re.DOTALL)
play = {}
if ticket:
    described = html.unescape(ticket[0]).partition("play:")[2].strip()
    play = json.JSONDecoder().raw_decode(described)[0] if described else {}
run = os.environ["AGENT_RUN"]

answers = html.unescape("".join(re.findall(r"<resolved_spikes>.*?</resolved_spikes>", prompt, re.DOTALL)))
broken = "answer" in play and play["answer"] not in answers
for name, text in play.get("files", {}).items():
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("BROKEN\n" if broken else text.replace("{run}", run) + "\n")

found = {}
for name, command in play.get("shell", {}).items():
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=20, check=False)
    found[name] = {"status": done.returncode, "said": (done.stdout + done.stderr)[-400:]}
if found:
    Path("shell.json").write_text(json.dumps(found, indent=1))

if play.get("gate"):
    gate = Path(".gate")
    gate.mkdir(exist_ok=True)
    (gate / "waiting").write_text(run)
    while not (gate / "go").exists():
        time.sleep(0.05)
    (gate / "go").unlink()
    (gate / "waiting").unlink()

verdict = {"verdict": play.get("verdict", "done"), "summary": "Played.", "question": play.get("question", "")}
document = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "ok",
    "structured_output": verdict,
    "session_id": run,
    "num_turns": 1,
    "duration_ms": 100,
    "total_cost_usd": 0.01,
    "usage": {"input_tokens": len(prompt.split()), "output_tokens": 2},
}
sys.stdout.write(json.dumps(document))
