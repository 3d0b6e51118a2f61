"""What `agent status` looks like."""

from __future__ import annotations

from msgspec.structs import replace

from agent.operate.screen import status
from agent.operate.status import Holding, Listed, Status, Waiting

CLAIM = Holding(
    ticket=42,
    subject="Fix the price",
    pod="pod-b",
    run="7f9c0000-0000-4000-8000-000000000001",
    attempt=2,
    since="2026-11-24T08:00Z",
    is_epic=False,
    active=True,
    mine=False,
    foreign=False,
)
IDLE = Status(pod="pod-a", pods=("pod-a",), claims=(), spikes=Listed(0), untouched=Listed(0), unclaimed=Listed(0))


def test_a_fleet_at_work() -> None:
    seen = replace(
        IDLE,
        pods=("pod-a", "pod-b"),
        claims=(CLAIM, replace(CLAIM, ticket=7, subject="Big", is_epic=True, attempt=1)),
        spikes=Listed(1, (Waiting(50, "Agent stuck on #41: Small"),)),
        untouched=Listed(1, (Waiting(60, "For nobody", "pod-gone"),)),
        unclaimed=Listed(1, (Waiting(61, "Hanna's", "Hanna Human"),)),
    )
    assert status(seen) == [
        "Pods",
        "  pod-a  holds nothing (this pod)",
        "  pod-b  holds #42, Epic #7",
        "",
        "Runs in progress: 1",
        "  #42  pod-b  since 2026-11-24T08:00Z, try 2  Fix the price",
        "",
        "Epics owned: 1",
        "  #7  pod-b  since 2026-11-24T08:00Z, try 1  Big",
        "",
        "Open Spikes: 1",
        "  #50  Agent stuck on #41: Small",
        "",
        "Routed to one pod and untouched for a day: 1",
        "  #60  for pod-gone  For nobody",
        "",
        "Active without a claim: 1",
        "  #61  Hanna Human  Hanna's",
    ]


def test_an_idle_fleet_has_no_troubles_to_tell() -> None:
    assert status(IDLE)[-1] == "Active without a claim: 0"


def test_troubles_are_told_with_what_to_do() -> None:
    seen = replace(
        IDLE,
        claims=(replace(CLAIM, pod="pod-a", foreign=True), replace(CLAIM, ticket=43, active=False)),
        backoff_s=125.0,
        failures=2,
        trouble="the flake input `nixpkgs` cannot be fetched.",
        repositories=("shop",),
    )
    told = status(seen, 400)[-4:]
    assert told[0].startswith("#42: a claim in the name of pod-a that this state folder does not know.")
    assert told[1] == "#43: claimed, but no longer active: its holder stops and lets go."
    said = "This pod had trouble 2 times in a row. The last one: the flake input `nixpkgs` cannot be fetched. It waits 2 min more."
    assert told[2].startswith(said)
    assert told[3] == "The repository could not be used lately: shop. It is asked again."


def test_names_of_others_stay_on_their_line() -> None:
    seen = replace(IDLE, pods=("a\nb", "\x1b[31mred"), unclaimed=Listed(1, (Waiting(1, "x\ny", "n" * 99),)))
    lines = status(seen)
    assert all("\n" not in line and "\x1b" not in line and len(line) <= 80 for line in lines)
