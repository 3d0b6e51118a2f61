"""What the demo's scripted model does, as the tool calls of a Messages API: the real Claude Code carries them out."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.demo import model
from agent.demo.turns import Answer, Body, Call, Turn, answered, call, prompt_of

_TICKET: Final = "<work_package"


def demo(body: Body) -> Turn:
    """The demo's script: the ticket of the prompt decides."""
    turns = demo_turns(prompt_of(body, _TICKET))
    return turns[min(answered(body, _TICKET), len(turns) - 1)]


def demo_turns(prompt: str) -> list[Turn]:
    """What the scripted model does for a ticket, as tool calls: read, edit, write, run the tests, give the verdict.

    What a file becomes is found by letting it work in a scratch folder that holds nothing but what it replaces.
    """
    known = model.recipes()
    recipe = known.get(next((one for one in model.wanted(prompt) if one in known), ""))
    with tempfile.TemporaryDirectory(prefix="agent-demo-") as name:
        folder = Path(name)
        (folder / "tests").mkdir()
        if recipe is not None:
            place = folder / recipe["file"]
            place.parent.mkdir()
            place.write_text(recipe.get("old", ""), encoding="utf-8")
        given = model.work(prompt, folder)
        files = {str(one.relative_to(folder)): one.read_text(encoding="utf-8") for one in folder.rglob("*.py")}
    end = call("StructuredOutput", **given)
    if recipe is None:
        return [end]
    changed = files.pop(recipe["file"])
    writes = tuple(Call("Write", {"file_path": path, "content": text}) for path, text in sorted(files.items()))
    begin, change = _edited(recipe, changed) if "old" in recipe else _appended(recipe["file"], changed)
    return [
        begin,
        Answer(calls=(change, *writes)),
        call("Bash", command="python3 -m unittest -q 2>&1 | tail -n 3"),
        end,
    ]


def _edited(recipe: Mapping[str, Any], new: str) -> tuple[Turn, Call]:
    edit = {"file_path": recipe["file"], "old_string": recipe["old"], "new_string": new}
    return call("Read", file_path=recipe["file"]), Call("Edit", edit)


def _appended(file: str, code: str) -> tuple[Turn, Call]:
    """By the shell: whether the file exists is not known here."""
    place, first = shlex.quote(file), shlex.quote(code.partition("\n")[0])
    add = f"{{ [ ! -s {place} ] || printf '\\n\\n'; printf %s {shlex.quote(code)}; }} >> {place}"
    return call("Glob", pattern=file), Call("Bash", {"command": f"grep -qsF {first} {place} || {add}"})
