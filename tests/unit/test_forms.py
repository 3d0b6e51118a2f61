"""What a form and the links of a work package promise in advance; spoilt ones are in test_wire."""

from __future__ import annotations

from typing import Any

import pytest

from agent.board import forms
from agent.board.wire import Malformed


def form(links: Any) -> Any:
    return {"_embedded": {"schema": {"status": {"_links": links}}}}


def test_a_form_offers_statuses() -> None:
    allowed = {"allowedValues": [{"href": "/api/v3/statuses/1"}, {"href": "/sub/api/v3/statuses/7"}, {"href": None}]}
    assert forms.allowed_statuses(form(allowed)) == (1, 7)
    assert forms.allowed_statuses(form({})) == ()
    with pytest.raises(Malformed, match="no allowed statuses that we understand"):
        forms.allowed_statuses(form(None))


def test_a_form_says_what_a_creation_would_be_refused_for() -> None:
    errors = {"assignee": {"message": "Assignee is not a member."}, "subject": {}}
    assert forms.refusals({"_embedded": {"validationErrors": errors}}) == {
        "assignee": "Assignee is not a member.",
        "subject": "",
    }
    assert forms.refusals({"_embedded": {}}) == {}
    with pytest.raises(Malformed, match="no refusals that we understand"):
        forms.refusals({})


def test_a_work_package_has_links_for_what_one_may_do_to_it() -> None:
    document = {"_links": {"self": {"href": "/api/v3/work_packages/1"}, "update": {"href": "/api/v3/work_packages/1"}}}
    assert forms.abilities(document) == {"self", "update"}
    with pytest.raises(Malformed, match="no abilities that we understand"):
        forms.abilities({})
