"""Whose comments count as the fleet's.

A board knows no settings, so the accounts that pods act as are told by what they did. A marker alone proves nothing, since
whoever copies a comment copies its marker too: it must stand where its author had just claimed the ticket.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from agent.page.words import FLEET_LOGIN
from agent.server.store import Db
from agent.texts.claim_token import SIGN
from agent.texts.report import Event


def fleet(db: Db, run_field: int, projects: Iterable[int] | None = None) -> frozenset[int]:
    """The accounts that pods act as: by their login, or by a claim that they told of in one of these projects, else anywhere.

    Not by a claim that they hold: a person may be the assignee of an owned Epic, or have just taken a ticket from a pod.
    """
    named = db.column("SELECT id FROM users WHERE login LIKE ?", f"{FLEET_LOGIN}%")
    # By the index `journals_with_markers`; nearly always the first comment of an account decides.
    claimed = db.column(
        "SELECT id FROM users WHERE id NOT IN (SELECT value FROM json_each(?)) AND EXISTS (SELECT 1 FROM journals"
        " WHERE user_id = users.id AND instr(notes, '<!-- ') > 0 AND instr(notes, ?)"
        " AND json_extract(data, '$.assigned_to_id') = users.id"
        " AND instr(json_extract(data, '$.custom_values.' || ?), ?) AND (? OR (SELECT project_id FROM work_packages"
        " WHERE id = work_package_id) IN (SELECT value FROM json_each(?))))",
        json.dumps(named),
        f"event={Event.CLAIMED} -->",
        str(run_field),
        SIGN,
        projects is None,
        json.dumps(list(projects or ())),
    )
    return frozenset((*named, *claimed))
