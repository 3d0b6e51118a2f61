"""How the reasons read that stand behind "Interrupted: ", "Execution failed: " and "What changed: "."""

import ast
from collections.abc import Iterator
from pathlib import Path

import agent

BEHIND_A_COLON = {
    "PodTrouble", "RepositoryUnreachable", "ClaimRefRefused", "ModelTrouble", "TicketFailure", "Superseded", "trouble",
}  # fmt: skip
PLACES = ("git/*.py", "programs/*.py", "execution.py", "pod.py")


def reasons() -> Iterator[str]:
    """The first argument of each of these errors, as far as it is written down; a value in it is `{}`."""
    folder = Path(agent.__file__).parent
    for path in (path for place in PLACES for path in folder.glob(place)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BEHIND_A_COLON:
                text = node.args[0]
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def test_a_reason_begins_in_lower_case_and_has_no_full_stop() -> None:
    found = list(reasons())
    assert len(found) > 30, "they are found at all"
    assert [one for one in found if one[:1].isupper() and not one.startswith("Nix ")] == []
    assert [one for one in found if one.endswith(".") or ". " in one] == []
