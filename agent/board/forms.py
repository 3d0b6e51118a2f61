"""What the board says in advance, pure: why it would refuse a creation, where a workflow leads, what an account may do."""

from __future__ import annotations

from typing import Any

from agent.board.wire import ids, understood


@understood
def refusals(form: Any) -> dict[str, str]:
    """By property: why the creation that a form describes would be refused; empty where it would not."""
    found = form["_embedded"].get("validationErrors") or {}
    return {str(name): str(error.get("message", "")) for name, error in found.items()}


@understood
def allowed_statuses(form: Any) -> tuple[int, ...]:
    """The statuses that the form of a work package offers, the present one included."""
    return ids(form["_embedded"]["schema"]["status"]["_links"], "allowedValues")


@understood
def abilities(document: Any) -> frozenset[str]:
    """The links of a work package: `update`, `addComment`, `addChild` and others are there for who may follow them."""
    return frozenset(document["_links"])
