"""When each pod was last heard of: from what it wrote on tickets within the last week."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from agent.page.pods import Seen
from agent.server.call import stamp
from agent.server.store import Db
from agent.texts import told
from agent.texts.report import Event

REMEMBERED: Final = timedelta(days=7)
MOST_RUNS: Final = 50_000
_BY_OTHERS: Final = (Event.COPIED, Event.EXPIRED, Event.RELEASED)
"""They name a pod that did not write them."""


class Sightings:
    """Grows with each reading: only comments that are newer than the last reading are looked at."""

    def __init__(self) -> None:
        self._since = ""
        self._pods: dict[tuple[int, str], str] = {}
        """By project and run: what is said in one project explains nothing in another."""
        self._seen: dict[int, dict[str, Seen]] = {}

    def read(self, db: Db, now: datetime) -> dict[int, dict[str, Seen]]:
        """What each project shows of each pod."""
        oldest = stamp(now - REMEMBERED)
        for row in db.rows(
            "SELECT journals.updated_at, notes, project_id FROM users CROSS JOIN journals ON journals.user_id = users.id"
            " JOIN work_packages ON work_packages.id = work_package_id"
            " WHERE journals.updated_at >= ? AND instr(notes, '<!-- ') > 0 ORDER BY journals.updated_at, journals.id",
            max(self._since, oldest),
        ):
            self._since = row["updated_at"]
            self._hear(row["project_id"], row["updated_at"], row["notes"])
        return {
            project: {name: one for name, one in of_project.items() if one.at >= oldest}
            for project, of_project in self._seen.items()
        }

    def _hear(self, project: int, at: str, notes: str) -> None:
        comment = told.read(notes)
        if comment is None or comment.event in _BY_OTHERS:
            return
        pod = comment.pod or self._pods.get((project, comment.run))
        if pod:
            self._pods[project, comment.run] = pod
            if len(self._pods) > MOST_RUNS:
                del self._pods[next(iter(self._pods))]
            self._seen.setdefault(project, {})[pod] = Seen(at, comment.event == Event.INTERRUPTED)
