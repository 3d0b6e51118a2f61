"""The demo's coding model: `python -m agent.demo.model`. Scripted, and it says so.

It reads the prompt on standard input, edits files of the repository in its working directory, and prints the result
document that Claude Code prints (reference/claude-cli.md, section 3). It knows the functions of `recipes.toml` and nothing
else. One of them it cannot get right by itself: its guess fails the test that the ticket asks for, until a person's answer
in a closed Spike stands in the prompt.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

PAUSE: Final = 0.4
"""Seconds of thought, so that people can watch."""
SCRIPTED: Final = "(By the demo's scripted model, not a real one.)"

_TICKET: Final = re.compile(r"<work_package\b.*?</work_package>", re.DOTALL)
_SPIKES: Final = re.compile(r"<resolved_spikes>.*?</resolved_spikes>", re.DOTALL)
_COMMENT: Final = re.compile(r"<comment\b[^>]*>(.*?)</comment>", re.DOTALL)
_FUNCTION: Final = re.compile(r"`(\w+)\(")

_TEST: Final = """\
import unittest

from {module} import {name}


class {title}Test(unittest.TestCase):
    def test_{name}(self):
        {check}
"""


def recipes() -> Mapping[str, Mapping[str, Any]]:
    """What the model knows, by the name of the function."""
    return tomllib.loads((resources.files("agent.demo") / "recipes.toml").read_text(encoding="utf-8"))


def wanted(prompt: str) -> Iterator[str]:
    """The functions that the ticket names, in its order."""
    ticket = _TICKET.search(prompt)
    if ticket is not None:
        yield from _FUNCTION.findall(html.unescape(ticket[0]))


def answers(prompt: str) -> Iterator[str]:
    """What people said in closed Spikes."""
    for block in _SPIKES.findall(prompt):
        yield from (html.unescape(said) for said in _COMMENT.findall(block))


def work(prompt: str, folder: Path) -> dict[str, str]:
    """Do what the ticket asks for, in `folder`; the verdict."""
    known = recipes()
    name = next((one for one in wanted(prompt) if one in known), None)
    if name is None:
        return {
            "verdict": "stuck",
            "summary": f"My script has nothing for this ticket. {SCRIPTED}",
            "question": "Which of the functions that I know is meant: " + ", ".join(known) + "?",
        }
    recipe = known[name]
    values = _values(recipe, prompt)
    _write(folder, name, recipe, values)
    return {"verdict": "done", "summary": f"`{name}`: {_filled(recipe['summary'], values)} {SCRIPTED}"}


def _values(recipe: Mapping[str, Any], prompt: str) -> list[str]:
    """What a person answered, else the guess."""
    for said in answers(prompt):
        found = re.search(recipe.get("answer", r"(?!)"), said)
        if found is not None:
            return list(found.groups())
    return list(recipe.get("guess", ()))


def _write(folder: Path, name: str, recipe: Mapping[str, Any], values: list[str]) -> None:
    file = folder / recipe["file"]
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    new = _filled(recipe["new"], values)
    if "old" in recipe:
        file.write_text(before.replace(recipe["old"], new.lstrip("\n")), encoding="utf-8")
    elif f"def {name}(" not in before:
        file.write_text(f"{before}\n\n{new.strip()}\n".lstrip("\n"), encoding="utf-8")
    module = recipe["file"].removesuffix(".py").replace("/", ".")
    test = _TEST.format(module=module, name=name, title=name.title().replace("_", ""), check=recipe["test"])
    (folder / "tests" / f"test_{name}.py").write_text(test, encoding="utf-8")


def _filled(text: str, values: list[str]) -> str:
    for number, value in enumerate(values, start=1):
        text = text.replace(f"${number}", value)
    return text


def document(verdict: Mapping[str, str], prompt: str, *, session: str, seconds: float) -> dict[str, Any]:
    """The result document. A script counts words, which are its tokens."""
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": verdict["summary"],
        "structured_output": dict(verdict),
        "session_id": session,
        "num_turns": 1,
        "duration_ms": round(seconds * 1000),
        "total_cost_usd": 0.0,
        "usage": {"input_tokens": len(prompt.split()), "output_tokens": len(verdict["summary"].split())},
    }


def main() -> None:
    """Read, work, answer."""
    began = time.monotonic()
    prompt = sys.stdin.read()
    sys.stderr.write(f"{SCRIPTED}\n")
    time.sleep(PAUSE)
    verdict = work(prompt, Path.cwd())
    seconds = time.monotonic() - began
    answer = document(verdict, prompt, session=os.environ.get("AGENT_RUN", ""), seconds=seconds)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
