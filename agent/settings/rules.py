"""Judging settings, pure: a mapping in, frozen settings out; each refusal names the key, its meaning and its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from agent.errors import ConfigurationError
from agent.settings.keys import FORGES, KEYS, Key
from agent.settings.readers import PROJECT, Unfit
from agent.texts.bounded import nearest
from agent.texts.branches import wrong_with_template
from agent.texts.claim_token import duration_text


class Types(Struct, frozen=True, kw_only=True):
    """Which types of the board play which role; names, or ids as digits."""

    bugs: tuple[str, ...]
    tasks: tuple[str, ...]
    epic: str
    story: str
    spike: str
    gates: tuple[str, ...]


class Statuses(Struct, frozen=True, kw_only=True):
    """Which statuses mean what; names, or ids as digits."""

    ready: str
    active: str
    done: tuple[str, ...]


class FieldNames(Struct, frozen=True, kw_only=True):
    """How the fleet's two custom fields are called."""

    pod: str
    run: str


class BoardSettings(Struct, frozen=True, kw_only=True):
    """Where the board is and how it speaks."""

    url: str
    token_file: str
    fleet_users: tuple[str, ...]
    people: tuple[str, ...]
    integrations: tuple[str, ...]
    types: Types
    statuses: Statuses
    fields: FieldNames


class Repository(Struct, frozen=True, kw_only=True):
    """The repository of one project."""

    url: str
    base: str
    branch: str
    web: str
    forge: str
    token_file: str
    ssh_key_file: str
    shell_files: tuple[str, ...]
    guarded: tuple[str, ...]

    def branch_url(self, branch: str) -> str:
        """Where people see a branch; empty when `web` is."""
        return self.web and self.web.rstrip("/") + FORGES[self.forge][0].format(branch)

    def commit_url(self, commit: str) -> str:
        """Where people see a commit; empty when `web` is."""
        return self.web and self.web.rstrip("/") + FORGES[self.forge][1].format(commit)


class Execution(Struct, frozen=True, kw_only=True):
    """The limits of a run, in seconds and tries."""

    timeout: int
    idle: int
    grace: int
    margin: int
    tries: int


class PriceSettings(Struct, frozen=True, kw_only=True):
    """Dollars for a million tokens; then factors on them, of what may be asked for besides, 0 where it may not."""

    input: float
    output: float
    cache_write: float
    cache_read: float
    speed: float
    service_tier: float
    inference_geo: float
    cache_1h: float
    long_context: float


class ModelSettings(Struct, frozen=True, kw_only=True):
    """Which coding model works, and what it may spend on one run."""

    kind: str
    command: tuple[str, ...]
    program: str
    name: str
    api: str
    key_file: str
    max_turns: int
    max_tokens: int
    max_usd: float
    request_keys: tuple[str, ...]
    prices: PriceSettings


class SandboxSettings(Struct, frozen=True, kw_only=True):
    """What model and checks are shut into, and how much they may take; `disk` is in bytes."""

    kind: str
    nix: str
    readable: tuple[str, ...]
    disk: int
    processes: int


class NixSettings(Struct, frozen=True, kw_only=True):
    """Nix, as far as this pod differs from the host, and what a repository's flake may use."""

    settings: Mapping[str, str]
    inputs: tuple[str, ...]
    starter: str


class Settings(Struct, frozen=True, kw_only=True):
    """All that can be set."""

    pod: str
    state: str
    board: BoardSettings
    repositories: Mapping[str, Repository]
    execution: Execution
    model: ModelSettings
    sandbox: SandboxSettings
    nix: NixSettings


# --- the judge -----------------------------------------------------------------------------------------------------


def judge(raw: Mapping[str, Any]) -> Settings:
    """The settings that a TOML document stands for; `pod` and `state` may be empty still.

    Raises:
        ConfigurationError: names the key, its meaning and its allowed values.
    """
    _refuse_unknown(raw, "")
    board, model = _table(raw, "board"), _table(raw, "model")
    settings = Settings(
        pod=_value("pod", raw, KEYS["pod"]),
        state=_value("state", raw, KEYS["state"]),
        board=BoardSettings(
            **_values("board", board),
            types=Types(**_values("board.types", _table(board, "board.types"))),
            statuses=Statuses(**_values("board.statuses", _table(board, "board.statuses"))),
            fields=FieldNames(**_values("board.fields", _table(board, "board.fields"))),
        ),
        repositories=_repositories(_table(raw, "repositories")),
        execution=Execution(**_values("execution", _table(raw, "execution"))),
        model=ModelSettings(
            **_values("model", model), prices=PriceSettings(**_values("model.prices", _table(model, "model.prices")))
        ),
        sandbox=SandboxSettings(**_values("sandbox", _table(raw, "sandbox"))),
        nix=NixSettings(**_values("nix", _table(raw, "nix"))),
    )
    _judge_together(settings)
    return settings


def _repositories(raw: Mapping[str, Any]) -> Mapping[str, Repository]:
    if not raw:
        raise ConfigurationError(
            "[repositories] is missing or empty. It says where the work of each project goes, by the project's "
            "identifier on the board. Allowed: tables such as `[repositories.shop]` with a `url`."
        )
    for identifier in raw:
        if PROJECT.fullmatch(identifier) is None:
            raise ConfigurationError(
                f"repositories.{identifier!r} is refused. It is the identifier of a project, the last part of its "
                "address on the board. Allowed: letters, digits, `-` and `_`."
            )
    return {identifier: _repository(raw, f"repositories.{identifier}") for identifier in raw}


def _repository(raw: Mapping[str, Any], path: str) -> Repository:
    one = Repository(**_values(path, _table(raw, path, "repositories.*"), "repositories.*"))
    if problem := wrong_with_template(one.branch, base=one.base):
        raise _refusal(f"{path}.branch", KEYS["repositories.*.branch"], one.branch, problem)
    return one


def _judge_together(settings: Settings) -> None:
    """What no single value shows."""
    execution, types, statuses = settings.execution, settings.board.types, settings.board.statuses
    if settings.model.kind == "command" and not settings.model.command:
        raise ConfigurationError(f"model.command is missing. {_explained(KEYS['model.command'])}")
    if settings.model.kind == "claude" and settings.model.command:
        raise ConfigurationError('model.command is set, and model.kind is "claude". Set kind = "command" to use it.')
    if execution.margin >= execution.timeout:
        raise ConfigurationError(
            f"execution.margin ({duration_text(execution.margin)}) leaves nothing of execution.timeout "
            f"({duration_text(execution.timeout)}). It is {KEYS['execution.margin'].meaning}. Allowed: less than the timeout."
        )
    roles = (
        ("bugs", types.bugs), ("tasks", types.tasks), ("epic", (types.epic,)), ("story", (types.story,)),
        ("spike", (types.spike,)), ("gates", types.gates),
    )  # fmt: skip
    _judge_distinct("board.types", "a type plays one role", roles)
    meanings = (("ready", (statuses.ready,)), ("active", (statuses.active,)), ("done", statuses.done))
    _judge_distinct("board.statuses", "a status has one meaning", meanings)
    fields = settings.board.fields
    _judge_distinct("board.fields", "the two fields are two", (("pod", (fields.pod,)), ("run", (fields.run,))))


def _judge_distinct(section: str, rule: str, roles: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
    taken: dict[str, str] = {}
    for role, names in roles:
        for name in names:
            if name in taken:
                raise ConfigurationError(
                    f"{section}.{role} and {section}.{taken[name]} both name {name!r}: {rule}."
                    if taken[name] != role
                    else f"{section}.{role} names {name!r} twice."
                )
            taken[name] = role


def describe() -> list[tuple[str, str, str, str]]:
    """Every setting for the documentation: key, meaning, allowed values, default as TOML would write it."""
    return [
        (path, key.meaning, key.allowed, "(must be set)" if key.required else _whole(key.default))
        for path, key in KEYS.items()
    ]


# --- one table, one value --------------------------------------------------------------------------------------------


def _table(parent: Mapping[str, Any], path: str, pattern: str = "") -> Mapping[str, Any]:
    """A section, empty if it is missing; what it does not know is refused."""
    table = parent.get(path.rpartition(".")[2], {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path} = {_shown(table)} is refused. It is a section. Allowed: a table, `[{path}]`.")
    _refuse_unknown(table, path, pattern or path)
    return table


def _refuse_unknown(table: Mapping[str, Any], path: str, pattern: str = "") -> None:
    start = pattern + "." if pattern else ""
    known = sorted({key.removeprefix(start).partition(".")[0] for key in KEYS if key.startswith(start)})
    for name in table:
        whole = f"{path}.{name}" if path else name
        if name not in known and "*" not in known:
            near = nearest(name, known)
            hint = f" Did you mean `{near}`?" if near else ""
            where = f"[{path}]" if path else "The file"
            raise ConfigurationError(f"{whole} is unknown.{hint} {where} may hold: {', '.join(known)}.")


def _values(path: str, table: Mapping[str, Any], pattern: str = "") -> dict[str, Any]:
    """The values of a section, without those of the sections in it."""
    start = (pattern or path) + "."
    names = [key.removeprefix(start) for key in KEYS if key.startswith(start)]
    return {name: _value(f"{path}.{name}", table, KEYS[start + name]) for name in names if "." not in name}


def _value(path: str, table: Mapping[str, Any], key: Key) -> Any:
    name = path.rpartition(".")[2]
    if name not in table:
        if key.required:
            raise ConfigurationError(f"{path} is missing. {_explained(key)}")
        return key.default
    try:
        return key.read(table[name])
    except Unfit as unfit:
        raise _refusal(path, key, table[name], str(unfit)) from None


def _refusal(path: str, key: Key, value: object, why: str) -> ConfigurationError:
    shown = f" = {_shown(value)}" if key.shown else ""
    return ConfigurationError(f"{path}{shown} is refused{f': {why}' if why else ''}. {_explained(key)}")


def _explained(key: Key) -> str:
    return f"It is {key.meaning}. Allowed: {key.allowed}."


def _whole(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value, enc_hook=str).decode(errors="replace")
    return text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - a line's worth
