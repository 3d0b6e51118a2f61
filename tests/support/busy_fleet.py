"""A board as a busy fleet leaves it: two weeks of runs behind it, pods at work, questions open. Everything through the API."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from agent import server
from agent.texts import claim_token, report

PODS = ("pod-a", "pod-b", "pod-c", "pod-d")
DAYS = 14

_USERS = """
[[users]]
login = "olga"
name = "Olga Operator"

[[users]]
login = "victor"
name = "Victor Visitor"
role = "Viewer"

[[users]]
login = "agent2"
name = "Second Coding Agent"

[[projects]]
identifier = "shop"
name = "Web shop"

[[projects]]
identifier = "depot"
name = "Depot"
"""

_EPICS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Checkout": (
        "shop",
        ("Take the discount off before tax", "Order total with several vouchers", "Basket survives a sign-in",
         "Gift cards in the basket", "Say why a voucher is refused", "Round half a cent to the even one"),
    ),
    "Delivery": (
        "shop",
        ("Postage by weight", "Split an order into parcels", "Pick-up points on a map", "Track a parcel on the order page",
         "A day of delivery that customers choose"),
    ),
    "Stock that is always right": (
        "depot",
        ("Count while goods are moving", "Reserve stock for a basket", "Undo a booking", "Alarm below the minimum",
         "Import the old depot's shelves"),
    ),
}  # fmt: skip
_BUGS = (
    ("shop", "Empty basket breaks the page", "Immediate"),
    ("shop", "A quantity below zero makes an order cheaper", "High"),
    ("depot", "Two scanners book the same pallet", "High"),
    ("shop", "The search forgets umlauts", "Normal"),
)
_ALONE = (
    ("shop", "Invoice numbers without gaps", "Normal"),
    ("shop", "Article address from its name", "Low"),
    ("depot", "Nightly report of slow movers", "Normal"),
    ("shop", "Log in with a passkey", "Low"),
    ("depot", "Labels for the new printer", "Normal"),
)
_DONE = (
    "Prices as integers", "Currency on every amount", "A page for each brand", "Faster article lists", "Mail after an order",
    "Shelves by number", "Photos in three sizes", "Address check", "Terms as a PDF", "Export for the bookkeeper",
    "Stop words in the search", "Sort by price", "Health check of the depot", "A test for every endpoint", "Retire the old basket",
)  # fmt: skip

DESCRIPTION = """
The carrier weighs every parcel, so **grams are what counts**, not the size.

- up to 2,000 g: 4.90
- up to 5,000 g: 6.90, see #1

```python
assert postage(4_000) == 690
```

> Prices as agreed with the carrier in March.
"""


@dataclass
class Busy:
    """What was made: the tokens by login, ids by subject."""

    tokens: Mapping[str, str]
    ids: Mapping[str, int]


def fill(folder: Path, *, seed: int = 1) -> Busy:
    """Make a board in a folder and let a fleet have worked on it until now."""
    accounts = server.create(folder)
    imported = server.import_backlog(folder, _USERS)
    tokens = {**accounts.tokens, **imported.tokens}
    return Busy(tokens=tokens, ids=_History(folder, tokens, seed).play())


class _History:
    """Moves a clock and says what people and pods do at each moment."""

    def __init__(self, folder: Path, tokens: Mapping[str, str], seed: int) -> None:
        self._end = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        self._now = self._end - dt.timedelta(days=DAYS)
        transport = httpx.ASGITransport(server.app(folder, clock=lambda: self._now))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://board")
        self._loop = asyncio.Runner()
        self._tokens = tokens
        self._random = random.Random(seed)
        self._ids: dict[str, int] = {}
        names = {}
        for kind in ("statuses", "types", "priorities", "projects"):
            found = self._ask("GET", f"/{kind}", login="admin")["_embedded"]["elements"]
            names[kind] = {one.get("identifier", one["name"]): one["id"] for one in found}
        self._names = names
        people = self._ask("GET", "/principals?pageSize=-1", login="admin")["_embedded"]["elements"]
        self._users = {one["name"]: one["id"] for one in people}

    def play(self) -> Mapping[str, int]:
        self._backlog()
        for number, subject in enumerate(_DONE):
            self._now = self._end - dt.timedelta(days=DAYS - 0.4 - number * 0.86, minutes=self._random.randrange(240))
            self._finished(subject, PODS[number % len(PODS)], failed_first=number % 5 == 3)
        self._now = self._end - dt.timedelta(hours=5)
        self._steering()
        self._present()
        self._loop.run(self._client.aclose())
        self._loop.close()
        return self._ids

    def _backlog(self) -> None:
        for subject, priority in zip(_DONE, ("Normal", "High", "Normal", "Low", "Normal") * 3, strict=True):
            self._make(subject, "Task", "shop" if len(subject) % 2 else "depot", priority=priority)
        for epic, (project, tasks) in _EPICS.items():
            above = self._make(epic, "Epic", project, description=f"What the shop needs of *{epic.lower()}*.")
            story = self._make(f"A customer trusts the {epic.lower()}", "User story", project, parent=above)
            for number, task in enumerate(tasks):
                kind = "Feature" if number % 3 == 2 else "Task"
                self._make(task, kind, project, parent=story if number % 2 else above, description=DESCRIPTION)
        for project, subject, priority in _BUGS:
            self._make(subject, "Bug", project, priority=priority)
        for project, subject, priority in _ALONE:
            self._make(subject, "Task", project, priority=priority)
        gate = self._make("Second phase: abroad", "Summary task", "shop", parent=self._ids["Delivery"])
        self._make("Customs form", "Task", "shop", parent=gate)
        self._make("Duties in the basket", "Task", "shop", parent=gate)

    def _steering(self) -> None:
        ids = self._ids
        for blocker, blocked in (
            ("Take the discount off before tax", "Order total with several vouchers"),
            ("Postage by weight", "Split an order into parcels"),
            ("Count while goods are moving", "Reserve stock for a basket"),
        ):
            links = {"to": {"href": f"/api/v3/work_packages/{ids[blocked]}"}}
            self._ask("POST", f"/work_packages/{ids[blocker]}/relations", {"type": "blocks", "_links": links})
        self._change("Article address from its name", pod="pod-b", login="olga")
        self._change("Labels for the new printer", pod="pod-d", login="olga")
        self._change("The search forgets umlauts", assignee="Olga Operator", login="olga")
        self._change("Pick-up points on a map", dueDate=str(self._end.date() + dt.timedelta(days=3)), login="olga")
        self._comment("Pick-up points on a map", "The map comes from our own server, please: no outside tiles.", "olga")

    def _present(self) -> None:
        """What is going on now: three pods at work, one of them after a restart, a question open, two waiting for review."""
        self._now = self._end - dt.timedelta(hours=4)
        self._finished("Round half a cent to the even one", "pod-a", epic="Checkout")
        self._now = self._end - dt.timedelta(hours=2, minutes=10)
        self._failed(
            "Import the old depot's shelves",
            "pod-c",
            "test suite failed with exit code 1",
            epic="Stock that is always right",
        )
        self._now = self._end - dt.timedelta(hours=1, minutes=20)
        self._finished("Undo a booking", "pod-c", epic="Stock that is always right", status="In testing")
        self._now = self._end - dt.timedelta(minutes=41)
        self._claim("Take the discount off before tax", "pod-a", epic="Checkout")
        self._now = self._end - dt.timedelta(minutes=17)
        self._claim("Count while goods are moving", "pod-c", epic="Stock that is always right", attempt=2)
        self._now = self._end - dt.timedelta(minutes=6, seconds=12)
        self._claim("Empty basket breaks the page", "pod-b")
        self._now = self._end

    def _finished(
        self, subject: str, pod: str, *, failed_first: bool = False, epic: str = "", status: str = "Closed"
    ) -> None:
        if failed_first:
            self._failed(subject, pod, "the model changed nothing", answered=True)
        run = self._claim(subject, pod, epic=epic)
        seconds = self._random.randrange(240, 3000)
        self._now += dt.timedelta(seconds=seconds)
        tokens = self._random.randrange(90_000, 1_400_000)
        written = tokens // self._random.randrange(18, 40)
        commit = f"{self._random.getrandbits(160):040x}"
        done = report.completed(
            run, input_tokens=tokens, output_tokens=written, summary=f"{subject}: done, with a test that says so.",
            cost_usd=round(tokens * 2.6e-6, 2), duration_s=seconds, verified=["pytest -q"],
        )  # fmt: skip
        self._comment(subject, done, "agent")
        branch = f"agent/{self._ids[epic or subject]}-{(epic or subject).lower().replace(' ', '-')}"
        web = "https://git.example.org/acme/shop"
        pushed = report.pushed(run, branch=branch, commit=commit, commit_url=f"{web}/commit/{commit}")
        self._comment(subject, pushed, "agent")
        self._change(subject, status="In testing", run=None, login="agent")
        if status == "Closed":
            self._now += dt.timedelta(minutes=self._random.randrange(8, 90))
            self._change(subject, status="Closed", login="olga")

    def _failed(self, subject: str, pod: str, reason: str, *, epic: str = "", answered: bool = False) -> None:
        run = self._claim(subject, pod, epic=epic)
        self._now += dt.timedelta(minutes=self._random.randrange(9, 40))
        evidence = "E   AssertionError: assert 12 == 13\n1 failed, 41 passed in 2.10s"
        self._comment(subject, report.failed(run, reason=reason, evidence=evidence), "agent")
        ticket = self._ids[subject]
        text = report.spike_description(
            run, ticket=ticket, reason=reason, evidence=evidence,
            question="The old depot has 13 shelves in its plan and 12 in its file. Which of the two counts?",
        )  # fmt: skip
        project = self._ask("GET", f"/work_packages/{ticket}")["_links"]["project"]["title"]
        identifier = "shop" if project == "Web shop" else "depot"
        title = report.spike_subject(ticket, subject)
        spike = self._make(title, "Spike", identifier, parent=ticket, description=text, login="agent")
        self._comment(subject, report.spike_created(run, spike=spike), "agent")
        self._change(subject, status="New", pod=None, run=None, assignee=None, login="agent")
        if answered:
            self._now += dt.timedelta(minutes=self._random.randrange(20, 300))
            self._comment(title, "The plan counts; the file misses the cellar.", "olga")
            self._change(title, status="Closed", login="olga")

    def _claim(self, subject: str, pod: str, *, epic: str = "", attempt: int = 1) -> str:
        run = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        nonce = f"{self._random.getrandbits(64):016x}"
        token = claim_token.new(
            run=run, nonce=nonce, pod=pod, lifetime_s=4 * 3600, now=self._now.replace(tzinfo=dt.UTC)
        )
        if attempt > 1:
            token = token.renewed(nonce=f"{nonce}a", now=self._now.replace(tzinfo=dt.UTC), attempt=attempt)
        if epic:
            self._change(epic, status="In progress", pod=pod, run=str(token), assignee="Coding Agent", login="agent")
            self._comment(epic, report.epic_taken(run, pod=pod), "agent")
        self._change(subject, status="In progress", pod=pod, run=str(token), assignee="Coding Agent", login="agent")
        text = (
            report.claimed(run, pod=pod) if attempt == 1 else report.taken_over(run, pod=pod, attempt=attempt, tries=3)
        )
        self._comment(subject, text, "agent")
        return run

    def _make(
        self, subject: str, kind: str, project: str, *, parent: int | None = None, priority: str = "Normal",
        description: str = "", login: str = "olga",
    ) -> int:  # fmt: skip
        links = {
            "type": self._link("types", kind),
            "project": self._link("projects", project),
            "priority": self._link("priorities", priority),
            **({"parent": {"href": f"/api/v3/work_packages/{parent}"}} if parent else {}),
        }
        body = {"subject": subject, "description": {"raw": description}, "_links": links}
        made: int = self._ask("POST", "/work_packages", body, login=login)["id"]
        self._ids[subject] = made
        return made

    def _change(self, subject: str, *, login: str, **wanted: Any) -> None:
        id_ = self._ids[subject]
        body: dict[str, Any] = {"lockVersion": self._ask("GET", f"/work_packages/{id_}")["lockVersion"], "_links": {}}
        for name, value in wanted.items():
            if name == "status":
                body["_links"]["status"] = self._link("statuses", value)
            elif name == "assignee":
                body["_links"]["assignee"] = {"href": f"/api/v3/users/{self._users[value]}" if value else None}
            else:
                body[{"pod": "customField601", "run": "customField602"}.get(name, name)] = value
        self._ask("PATCH", f"/work_packages/{id_}", body, login=login)

    def _comment(self, subject: str, text: str, login: str) -> None:
        self._ask("POST", f"/work_packages/{self._ids[subject]}/activities", {"comment": {"raw": text}}, login=login)

    def _link(self, kind: str, name: str) -> dict[str, str]:
        return {"href": f"/api/v3/{kind}/{self._names[kind][name]}"}

    def _ask(self, method: str, path: str, body: Any = None, *, login: str = "olga") -> Any:
        asking = self._client.request(method, f"/api/v3{path}", json=body, auth=("apikey", self._tokens[login]))
        answer = self._loop.run(asking)
        if answer.is_error:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()
