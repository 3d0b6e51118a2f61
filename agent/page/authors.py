"""Whose comments count as the fleet's.

A board knows no settings, so the accounts that pods act as are told by what they did. A marker alone proves nothing, since
whoever copies a comment copies its marker too: it must stand where its author had just claimed the ticket.
"""

from __future__ import annotations

import json

from agent.page.words import FLEET_LOGIN
from agent.server.store import Db
from agent.texts.claim_token import SIGN
from agent.texts.report import Event


def fleet(db: Db, run_field: int) -> frozenset[int]:
    """The accounts that pods act as: by their login, by a claim that they hold, or by one that they told of."""
    named = db.column("SELECT id FROM users WHERE login LIKE ?", f"{FLEET_LOGIN}%")
    holding = db.column(
        "SELECT DISTINCT assigned_to_id FROM custom_values JOIN work_packages ON id = work_package_id"
        " WHERE custom_field_id = ? AND instr(value, ?) AND assigned_to_id IS NOT NULL",
        run_field,
        SIGN,
    )
    sure = {*named, *holding}
    # By the index `journals_with_markers`; nearly always the first comment of an account decides.
    claimed = db.column(
        "SELECT id FROM users WHERE id NOT IN (SELECT value FROM json_each(?)) AND EXISTS (SELECT 1 FROM journals"
        " WHERE user_id = users.id AND instr(notes, '<!-- ') > 0 AND instr(notes, ?)"
        " AND json_extract(data, '$.assigned_to_id') = users.id"
        " AND instr(json_extract(data, '$.custom_values.' || ?), ?))",
        json.dumps(sorted(sure)),
        f"event={Event.CLAIMED} -->",
        str(run_field),
        SIGN,
    )
    return frozenset((*sure, *claimed))
