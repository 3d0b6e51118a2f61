"""How a history ended, in words that two histories share: run ids, commits and times are taken out."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from agent.programs.survivors import marked
from support.fleet import Fleet
from support.git_repo import git

_RUN: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHORT: Final = re.compile(r"(?<=-)[0-9a-f]{8}\b")
_COMMIT: Final = re.compile(r"(?<=commit `)[0-9a-f]{7}(?=`)")
_SILENCE: Final = re.compile(r"(?<=has not been heard of for ).*")
_LINKS: Final = ("type", "status", "priority", "assignee", "responsible", "author")
_OWN_NOTE: Final = re.compile(r"_.*#\d+_")
"""What the board itself says of a child."""

INTERRUPTIONS: Final = ("Taken over by pod ", "Interrupted: ")
"""The only lines by which a history with a kill may differ from one without: they tell of it."""

Ending = dict[str, Any]


def ending(fleet: Fleet, config: Path) -> Ending:
    """Board, remote and host as they are now."""
    names = _Names(fleet)
    tickets = fleet.request("GET", '/work_packages?filters=[]&pageSize=200&sortBy=[["id","asc"]]')
    found: Ending = {}
    for one in tickets["_embedded"]["elements"]:
        found[f"#{one['id']}"] = names.plain(_work_package(fleet, one))
    for ref, sha in fleet.remote.refs().items():
        log = git(fleet.remote.path, "log", "--format=%T%x00%an%x00%P%x00%B%x01", sha) if "heads" in ref else sha
        commits = [part.strip().split("\0") for part in log.split("\x01") if part.strip()]
        found[names.plain(ref)] = [
            [names.plain(one[-1]), one[0], one[1]] for one in commits if len(one) > 1
        ] or "a claim"
    found["host"] = names.plain(_host(fleet, config, names))
    return found


def _work_package(fleet: Fleet, one: dict[str, Any]) -> Any:
    comments = [text for text in fleet.comments(one["id"]) if not _OWN_NOTE.fullmatch(text.splitlines()[0])]
    told = [(text.splitlines()[0], text.splitlines()[-1]) for text in comments]
    return {
        **{key: one["_links"].get(key, {}).get("title") for key in _LINKS},
        "pod": one[fleet.board.pod],
        "run": one[fleet.board.run],
        "subject": one["subject"],
        "description": one["description"]["raw"],
        "scheduleManually": one["scheduleManually"],
        "children": fleet.children(one["id"]),
        "comments": [pair for pair in told if not pair[0].startswith(INTERRUPTIONS)],
    }


def _host(fleet: Fleet, config: Path, names: _Names) -> Any:
    """What is left in the pod's own folder, and of its processes.

    A claim that was recorded and, as far as the pod knows, may still be on its way is remembered for its lifetime; so only
    those count that the board shows.
    """
    state = config.parent / "state"
    remembered = json.loads((state / "state.json").read_text())
    kept = ("backoff", "texts", "refused", "farewells")
    folders = (
        "homes",
        "usage",
        "repositories/shop/work",
        "repositories/shop/checks",
        "repositories/shop/runs",
        "repositories/shop/mirror.git/worktrees",
    )
    return {
        **{key: remembered.get(key) for key in kept},
        "claims": [one["ticket"] for one in remembered["claims"] if fleet.run_of(one["ticket"]) == one["token"]],
        **{one: sorted(path.name for path in (state / one).glob("*")) for one in folders},
        "processes": sum(len(marked(run)) for run in names.runs),
    }


class _Names:
    """Names for what differs between two histories that mean the same."""

    def __init__(self, fleet: Fleet) -> None:
        self.runs: dict[str, str] = {}
        self._short: dict[str, str] = {}
        self._count = itertools.count(1)
        listed = git(fleet.remote.path, "log", "--all", "--format=%H %s").splitlines()
        self._commits = {line[:7]: line.split(" ", 1)[1] for line in listed}

    def plain(self, value: Any) -> Any:
        """The same with the names."""
        if isinstance(value, dict):
            return {self.plain(key): self.plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(one) for one in value]
        if not isinstance(value, str):
            return value
        text = _RUN.sub(lambda found: self._run(found[0]), _SILENCE.sub("<a while>", value))
        text = _COMMIT.sub(lambda found: f"<{self._commits.get(found[0], 'not on the remote')}>", text)
        return _SHORT.sub(lambda found: self._short.get(found[0], found[0]), text)

    def _run(self, run: str) -> str:
        if run not in self.runs:
            self.runs[run] = f"run {next(self._count)}"
            self._short[run[:8]] = self.runs[run]
        return self.runs[run]


def differences(expected: Ending, found: Ending, *, besides: Collection[str] = ()) -> list[str]:
    """Where two endings differ, besides what may be there or not."""
    both = [{key: value for key, value in one.items() if key not in besides} for one in (expected, found)]
    return list(_differ("", *both))


def _differ(where: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}):
            yield from _differ(f"{where}/{key}", expected.get(key), found.get(key))
    elif expected != found:
        yield f"{where}: {found!r} instead of {expected!r}"
