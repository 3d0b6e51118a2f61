# ruff: noqa: D100, D103, F821, INP001, S101 - a script of the NixOS test driver, whose names are globals
# What every scenario begins with: put before each of them by whoever runs it (the VM tests, tests/fleet).
import contextlib
import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

PODS = {"pod-a": pod_a, "pod-b": pod_b, "pod-c": pod_c}
REMOTE = "/srv/git/shop.git"
DESK = "/root/desk"
PERSON = "git -c user.name=Person -c user.email=person@example.org -c safe.directory='*'"
BOOT = 300
PATIENCE = 60

tokens: dict[str, str] = {}
names: dict[str, dict[str, Any]] = {}


def open_fleet() -> None:
    """Board, repository and secrets, where they are not there yet; no pod works."""
    start_all()
    board.wait_for_open_port(8080, timeout=BOOT)
    if board.execute(f"test -e {REMOTE}")[0]:
        _make_project()
        _make_repository()
    for login in ("agent", "human"):
        tokens[login] = board.succeed(f"cat /var/lib/agent-board/tokens/{login}").strip()
    for kind in ("types", "statuses"):
        names[kind] = {one["name"]: one["_links"]["self"]["href"] for one in elements(f"/{kind}")}
    for name in PODS:
        equip(name)
        halt(name)


def _make_project() -> None:
    backlog = '[[projects]]\nidentifier = "shop"\nname = "Shop"\n'
    board.succeed(
        f"printf %s {shlex.quote(backlog)} > /run/backlog.toml",
        "runuser -u agent-board -- agent board import /var/lib/agent-board/board /run/backlog.toml",
    )


def _make_repository() -> None:
    board.succeed(
        f"cp -rL /etc/fleet/project {DESK} && chmod -R u+w {DESK}",
        f"cd {DESK} && git init -q -b main && git add --all && {PERSON} commit -q -m 'First commit'",
        f"git init -q --bare -b main {REMOTE} && git -C {DESK} push -q {REMOTE} main",
        f"chown -R git: {REMOTE}",
    )


def equip(name: str) -> None:
    """Put a pod's secrets where its unit takes them from, as agenix or sops-nix would; /run forgets them at each boot."""
    machine = PODS[name]
    machine.succeed("install -d -m 0700 /run/secrets")
    for line in machine.succeed(f"systemctl cat agent-{name}.service | sed -n s/^LoadCredential=//p").split():
        credential, file = line.split(":")
        secret = tokens["agent"] if credential == "board-token" else "not-used-here"
        machine.succeed(f"(umask 077 && echo {secret} > {file})")


# -- pods -------------------------------------------------------------------------------------------------------------


def halt(name: str) -> None:
    PODS[name].succeed(f"systemctl stop agent-{name}.timer agent-{name}.service")
    PODS[name].execute(f"systemctl reset-failed agent-{name}.service")


def work(name: str) -> None:
    """Let the timer start it, again and again."""
    PODS[name].succeed(f"systemctl start agent-{name}.timer")


def once(name: str) -> None:
    """One run of the unit, waited for."""
    PODS[name].succeed(f"systemctl start agent-{name}.service", timeout=PATIENCE)
    wait_for_rest(name)


def wait_for_rest(name: str) -> None:
    """Wait until the run is over."""
    PODS[name].wait_until_succeeds(f'test "$(systemctl is-active agent-{name}.service)" = inactive', timeout=PATIENCE)


@contextlib.contextmanager
def working(*pods: str) -> Iterator[None]:
    """Pods work, by their timers, as long as the context lasts."""
    for name in pods:
        work(name)
    try:
        yield
    finally:
        for name in pods:
            halt(name)


def gate(name: str, ticket: int) -> str:
    """Where a run that waits is found, on the pod's host."""
    return f"/var/lib/agent/{name}/repositories/shop/work/{ticket}/.gate"


def let_go(name: str, ticket: int) -> None:
    PODS[name].succeed(f"touch {gate(name, ticket)}/go")


# -- the board, through a person's eyes -------------------------------------------------------------------------------


def request(method: str, path: str, body: Any = None, account: str = "human") -> Any:
    data = "" if body is None else f" -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
    url = shlex.quote(f"http://localhost:8080/api/v3{path}")
    answer = board.succeed(f"curl -sS --fail-with-body -u apikey:{tokens[account]} -X {method}{data} {url}")
    return json.loads(answer) if answer.strip() else {}


def elements(path: str) -> list[Any]:
    found: list[Any] = request("GET", path)["_embedded"]["elements"]
    return found


def add(subject: str, kind: str = "Task", **play: Any) -> int:
    """A new ticket, with what the model shall do for it."""
    links = {"type": {"href": names["types"][kind]}, "project": {"href": "/api/v3/projects/shop"}}
    text = f"play: {json.dumps(play)}"
    made = request(
        "POST", "/work_packages?notify=false", {"subject": subject, "description": {"raw": text}, "_links": links}
    )
    return int(made["id"])


def status(ticket: int) -> str:
    return str(request("GET", f"/work_packages/{ticket}")["_links"]["status"]["title"])


def move(ticket: int, to: str) -> None:
    lock = request("GET", f"/work_packages/{ticket}")["lockVersion"]
    body = {"lockVersion": lock, "_links": {"status": {"href": names["statuses"][to]}}}
    request("PATCH", f"/work_packages/{ticket}", body)


def say(ticket: int, text: str) -> None:
    request("POST", f"/work_packages/{ticket}/activities", {"comment": {"raw": text}})


def comments(ticket: int) -> list[str]:
    found = elements(f"/work_packages/{ticket}/activities")
    return [one["comment"]["raw"] for one in found if one["comment"]["raw"]]


def said(ticket: int, words: str) -> int:
    """In how many comments these words stand in the first line."""
    return sum(words in text.splitlines()[0] for text in comments(ticket))


def children(ticket: int) -> list[int]:
    links = request("GET", f"/work_packages/{ticket}")["_links"].get("children", [])
    return [int(one["href"].rsplit("/", 1)[1]) for one in links]


def eventually(true: Any, sentence: str, timeout: float = PATIENCE) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, sentence
        time.sleep(0.3)


def done(ticket: int) -> bool:
    return status(ticket) == "In testing"


# -- the repository, as its owner sees it -----------------------------------------------------------------------------


def git(*words: str) -> str:
    return str(board.succeed("git -c safe.directory='*' -C " + shlex.join([REMOTE, *words]))).strip()


def branch(ticket: int) -> str:
    """The ticket's branch."""
    found = git("for-each-ref", "--format=%(refname:short)", f"refs/heads/agent/{ticket}-*").split()
    assert len(found) == 1, f"#{ticket} has the branches {found}"
    return found[0]


def messages(ticket: int) -> list[str]:
    """What the commits on a ticket's branch say, beyond main."""
    text = git("log", "--format=%B%x00", f"main..{branch(ticket)}")
    return [one.strip() for one in text.split("\0") if one.strip()]


def content(ticket: int, name: str) -> str:
    return git("show", f"{branch(ticket)}:{name}")


open_fleet()
