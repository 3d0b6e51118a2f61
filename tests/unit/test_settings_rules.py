import ast
import contextlib
import itertools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent
from agent.errors import ConfigurationError, TicketFailure
from agent.settings import rules as settings_rules
from agent.settings.keys import KEYS
from agent.settings.rules import Settings, describe, judge
from agent.texts.branches import branch_name, wrong_with

LEAST = """
[board]
url = "https://board.example/sub/"
[repositories.shop]
url = "ssh://git@forge.example/shop.git"
[model]
kind = "command"
command = ["worker", "--fast"]
"""

TIME = 'Allowed: a duration such as "4h30m", "15m" or "45s", or a whole number of seconds; above zero and at most 720h.'


def branch(value: str, why: str) -> str:
    return (
        f"repositories.shop.branch = {value} is refused: {why}. It is the branch that work is pushed to, named after the "
        "Epic or else the ticket. Allowed: a branch name with {id} or {version} in it, and {slug} if you like."
    )


REFUSED = [
    # a misspelt key
    ("pot = 'a'", "pot is unknown. Did you mean `pod`? The file may hold: board, execution, model, nix, pod, repositories, sandbox, state."),
    ("[execution]\ntimout = '4h'", "execution.timout is unknown. Did you mean `timeout`? [execution] may hold: grace, idle, margin, timeout, tries."),
    ("[sandbox]\nzzz = 1", "sandbox.zzz is unknown. [sandbox] may hold: disk, kind, nix, processes, readable."),
    ("board.types.bug = ['Bug']", "board.types.bug is unknown. Did you mean `bugs`? [board.types] may hold: bugs, epic, gates, spike, story, tasks."),
    ("repositories.shop.ur = 'x'", "repositories.shop.ur is unknown. Did you mean `url`? [repositories.shop] may hold: base, branch, forge, guarded, shell_files, ssh_key_file, token_file, url, web."),
    # limits are never endless (I-46)
    ("[model]\nkind = 'opus'", 'model.kind = "opus" is refused. It is which coding model works: Claude Code, or any program that prints its result document. Allowed: claude or command.'),
    ("[model]\nname = 'sonnet'", 'model.name = "sonnet" is refused: `sonnet` is an alias. It is the model that Claude Code asks for. Allowed: a full name such as `claude-sonnet-5`; aliases move.'),
    ("[model]\nmax_turns = 0", "model.max_turns = 0 is refused. It is how often one run may ask the model. Allowed: a whole number from 1 to 100000."),
    ("[model]\nmax_usd = 0", "model.max_usd = 0 is refused. It is how many dollars one run may spend, by `model.prices`; 0 is refused, not endless. Allowed: a number above 0 and at most 100000."),
    ("[model.prices]\ninput = -1", "model.prices.input = -1 is refused. It is dollars for a million tokens that the model reads. Allowed: a number from 0 to 100000."),
    ("[sandbox]\nkind = 'docker'", 'sandbox.kind = "docker" is refused. It is what model and checks are shut into; none is nothing at all: they can then do what the pod\'s user can. Allowed: bubblewrap or none.'),
    ("[sandbox]\ndisk = '8GB'", 'sandbox.disk = "8GB" is refused. It is how much a run may write: worktree, home and temporary files together, beyond what was there. Allowed: a size such as "512MiB" or "8GiB", or a whole number of bytes; at least 1MiB.'),
    ("[model]\nkind = 'claude'", 'model.command is set, and model.kind is "claude". Set kind = "command" to use it.'),
    # the wrong kind of value
    ("board = 3", "board = 3 is refused. It is a section. Allowed: a table, `[board]`."),
    ("repositories.shop = 'url'", 'repositories.shop = "url" is refused. It is a section. Allowed: a table, `[repositories.shop]`.'),
    ("pod = 'pod a'", 'pod = "pod a" is refused. It is the name of this pod; `--pod` and $AGENT_POD come before it. Allowed: a text like `pod-a`, as a whole [A-Za-z0-9][A-Za-z0-9._-]{0,62}.'),
    ("[board]\nurl = 'board.example'", "board.url is refused. It is the address of the board, up to and without /api/v3. Allowed: http:// or https://, without user name, password and query."),
    ("[execution]\ntries = 0", "execution.tries = 0 is refused. It is how often one run is started before a person is asked. Allowed: a whole number from 1 to 20."),
    ("[execution]\ntries = true", "execution.tries = true is refused. It is how often one run is started before a person is asked. Allowed: a whole number from 1 to 20."),
    ("[execution]\ntimeout = 0", f"execution.timeout = 0 is refused. It is the lifetime of a claim: at its end its holder stops every effect. {TIME}"),
    ("[execution]\ngrace = '0m'", f'execution.grace = "0m" is refused. It is how long after its lifetime a silent claim is freed by others. {TIME}'),
    ("[execution]\nidle = 1.5", f"execution.idle = 1.5 is refused. It is how long the model may say nothing; a program that prints only at its end needs as much as its longest run. {TIME}"),
    ("[execution]\nmargin = '4h'", "execution.margin (4h) leaves nothing of execution.timeout (4h). It is how long before the lifetime's end model and verify stop. Allowed: less than the timeout."),
    ("board.types.tasks = []", "board.types.tasks = [] is refused. It is the other types that pods implement. Allowed: a list of display names or ids."),
    ("board.types.bugs = 'Bug'", 'board.types.bugs = "Bug" is refused. It is the types taken first, highest priority first. Allowed: a list of display names or ids.'),
    ("board.statuses.ready = ''", 'board.statuses.ready = "" is refused. It is the status of work that may be picked. Allowed: a display name or an id.'),
    ("model.command = []", "model.command is refused. It is for the kind `command`: the program that gets the prompt on its standard input, and its arguments. Allowed: a list of texts, the program first."),
    ("model.command = ['a', 3]", "model.command is refused. It is for the kind `command`: the program that gets the prompt on its standard input, and its arguments. Allowed: a list of texts, the program first."),
    ("repositories.shop.url = 'https://me:pw@forge/x'", "repositories.shop.url is refused: it holds a password, which belongs into `token_file`. It is where git finds the project's repository. Allowed: an address for git, without blanks and without a password."),
    ("repositories.shop.url = '--upload-pack=x'", "repositories.shop.url is refused. It is where git finds the project's repository. Allowed: an address for git, without blanks and without a password."),
    ("repositories.shop.base = '-b'", 'repositories.shop.base = "-b" is refused. It is the branch that work starts from and is brought up to. Allowed: a branch name.'),
    ("repositories.shop.branch = 'work'", branch('"work"', "without {id} and {version} tickets would share a branch")),
    ("repositories.shop.branch = 'agent/{slug}'", branch('"agent/{slug}"', "without {id} and {version} tickets would share a branch")),
    ("repositories.shop.branch = '{id.__class__}'", branch('"{id.__class__}"', "it has {id.__class__}; there are {id}, {slug} and {version}")),
    ("repositories.shop.branch = '{id'", branch('"{id"', "expected '}' before end of string")),
    ("repositories.shop.branch = '../{id}'", branch('"../{id}"', "it gives `../1`, which is no valid name of a branch")),
    ("repositories.shop.branch = 'refs/x{id}'", branch('"refs/x{id}"', "it gives `refs/x1`, which is no valid name of a branch")),
    ("repositories.shop.branch = 'agent/kept/{id}'", branch('"agent/kept/{id}"', "it gives `agent/kept/1`, which is taken")),
    ("repositories.shop.branch = 'main/{id}'", branch('"main/{id}"', "it gives `main/1`, which is taken")),
    ("repositories.shop.base = 'agent'", branch('"agent/{id}-{slug}"', "it gives `agent/1-work`, which is taken")),
    ("repositories.shop.base = 'refs/heads/main'", 'repositories.shop.base = "refs/heads/main" is refused. It is the branch that work starts from and is brought up to. Allowed: a branch name.'),
    ("repositories.shop.forge = 'svn'", 'repositories.shop.forge = "svn" is refused. It is what serves `web`, which decides the links. Allowed: one of github, gitlab, gitea, cgit.'),
    ("repositories.'a b'.url = 'x'", "repositories.'a b' is refused. It is the identifier of a project, the last part of its address on the board. Allowed: letters, digits, `-` and `_`."),
    ("repositories.shop.shell_files = ['../x']", 'repositories.shop.shell_files = ["../x"] is refused: `../x` leads out of the repository. It is more files that the development shell depends on, beside flake.lock and every *.nix file. Allowed: a list of paths or patterns inside the repository, such as `rust-toolchain.toml` or `nix/*.json`.'),
    ("nix.settings = 'x'", "nix.settings is refused. It is settings of Nix for this pod, such as substituters, in the words of nix.conf. Allowed: a table of texts, numbers, booleans and lists of texts."),
    ("nix.settings = {'a\\n' = 1}".replace("'a\\n'", '"a\\n"'), "nix.settings is refused: 'a\\n' is no name of a Nix setting. It is settings of Nix for this pod, such as substituters, in the words of nix.conf. Allowed: a table of texts, numbers, booleans and lists of texts."),
    # what no single value shows
    ("board.types.bugs = ['Bug', 'Task']", "board.types.tasks and board.types.bugs both name 'Task': a type plays one role."),
    ("board.types.gates = ['P', 'P']", "board.types.gates names 'P' twice."),
    ("board.statuses.active = 'New'", "board.statuses.active and board.statuses.ready both name 'New': a status has one meaning."),
    ("board.fields.pod = 'Agent run'", "board.fields.run and board.fields.pod both name 'Agent run': the two fields are two."),
]  # fmt: skip


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = merged(below[key], above[key])
    return both


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_each_refusal_names_key_meaning_and_values(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        judge(merged(tomllib.loads(LEAST), tomllib.loads(text)))
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "nix.settings = {access-tokens = 'github.com=HIDDEN\\n'}".replace("'", '"'),
        "nix.settings = {access-tokens = {'github.com' = 'HIDDEN'}}",
        "nix.settings = 'HIDDEN'",
        "model.command = ['x', 5, 'HIDDEN']",
        "model.key_file = ['HIDDEN']",
        "board.token_file = {x = 'HIDDEN'}",
        "repositories.shop.token_file = ['HIDDEN']",
        "repositories.shop.ssh_key_file = ['HIDDEN']",
        "repositories.shop.url = ['HIDDEN']",
    ],
)
def test_what_may_hold_a_secret_is_refused_without_being_shown(text: str) -> None:
    """It stood in the journal, and on whatever terminal was near."""
    with pytest.raises(ConfigurationError) as refused:
        judge(merged(tomllib.loads(LEAST), tomllib.loads(text)))
    assert "HIDDEN" not in str(refused.value)
    assert text.partition(" ")[0] in str(refused.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("board", "board.url is missing. It is the address of the board"),
        ("repositories", "[repositories] is missing or empty. It says where the work of each project goes"),
    ],
)
def test_each_missing_setting_is_named_with_its_meaning(missing: str, message: str) -> None:
    raw = tomllib.loads(LEAST)
    del raw[missing]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        judge(raw)


def test_defaults_are_those_of_the_design() -> None:
    settings = judge(tomllib.loads(LEAST))
    assert settings.board.url == "https://board.example/sub"
    assert settings.board.types.tasks == ("Task", "Feature")
    assert settings.board.statuses.done == ("In testing", "Closed")
    assert (settings.execution.timeout, settings.execution.idle, settings.execution.grace) == (14_400, 900, 1800)
    assert settings.repositories["shop"].branch == "agent/{id}-{slug}"
    assert settings.nix.settings == {}
    assert (settings.sandbox.kind, settings.sandbox.nix) == ("bubblewrap", "broker")


def test_claude_code_is_the_default_and_needs_no_command() -> None:
    raw = tomllib.loads(LEAST)
    del raw["model"]
    assert (judge(raw).model.kind, judge(raw).model.command) == ("claude", ())
    with pytest.raises(ConfigurationError, match=r"model\.command is missing"):
        judge({**raw, "model": {"kind": "command"}})


def test_all_that_can_be_set_is_taken() -> None:
    settings = judge(
        merged(
            tomllib.loads(LEAST),
            tomllib.loads("""
                pod = "pod-a"
                state = "state"
                board.fleet_users = ["agent", 7]
                board.types = { bugs = [], gates = [], epic = 5 }
                execution = { timeout = "90m", idle = 60, tries = 1, margin = "1s" }
                repositories.shop = { base = "release/v2", branch = "release/{version}", web = "https://f/shop/" }
                repositories.shop_2 = { url = "../shop.git", shell_files = ["rust-toolchain.toml"] }
                sandbox = { kind = "none", disk = "512MiB", readable = ["/opt/tool"] }
                model = { max_usd = 2.5, prices = { input = 1, cache_read = 0 } }
                [nix.settings]
                substituters = ["https://a", "https://b"]
                max-jobs = 4
                fallback = false
                flake-registry = ""
            """),
        )
    )
    assert settings.board.fleet_users == ("agent", "7"), "an id is kept as digits"
    assert settings.board.types.gates == ()
    assert settings.board.types.epic == "5"
    assert settings.execution.timeout == 5400
    assert settings.sandbox.disk == 512 << 20
    assert (settings.model.max_usd, settings.model.prices.input, settings.model.prices.output) == (2.5, 1.0, 15.0)
    assert settings.nix.settings == {
        "substituters": "https://a https://b",
        "max-jobs": "4",
        "fallback": "false",
        "flake-registry": "",
    }


@pytest.mark.parametrize(
    ("forge", "branch", "commit"),
    [
        ("github", "https://f/s/tree/agent/42-x", "https://f/s/commit/a3f"),
        ("gitlab", "https://f/s/-/tree/agent/42-x", "https://f/s/-/commit/a3f"),
        ("gitea", "https://f/s/src/branch/agent/42-x", "https://f/s/commit/a3f"),
        ("cgit", "https://f/s/log/?h=agent/42-x", "https://f/s/commit/?id=a3f"),
    ],
)
def test_each_forge_has_its_links(forge: str, branch: str, commit: str) -> None:
    raw = merged(tomllib.loads(LEAST), {"repositories": {"shop": {"web": "https://f/s", "forge": forge}}})
    shop = judge(raw).repositories["shop"]
    assert (shop.branch_url("agent/42-x"), shop.commit_url("a3f")) == (branch, commit)


def test_without_web_there_are_no_links() -> None:
    shop = judge(tomllib.loads(LEAST)).repositories["shop"]
    assert (shop.branch_url("b"), shop.commit_url("c")) == ("", "")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)
paths = st.sampled_from([*KEYS, "board", "repositories", "execution", "nix", "x.y"])


@given(paths, values)
def test_any_value_anywhere_is_judged_and_nothing_else_is_raised(path: str, value: Any) -> None:
    raw = tomllib.loads(LEAST)
    *sections, name = path.replace("*", "shop").split(".")
    table = raw
    for section in sections:
        table = table.setdefault(section, {})
    table[name] = value
    with contextlib.suppress(ConfigurationError):
        judge(raw)


@given(
    st.lists(
        st.sampled_from(
            ["{id}", "{slug}", "{version}", "{id!r}", "{id:>9}", "{", "main", "agent", "kept", "/", ".", "-", " "]
        )
    ).map("".join),
    st.sampled_from(["main", "agent", "release/1"]),
    st.text(),
    st.text(),
)
def test_a_template_that_is_taken_gives_every_ticket_its_branch_or_fails_that_ticket(
    template: str, base: str, subject: str, version: str
) -> None:
    raw = merged(tomllib.loads(LEAST), {"repositories": {"shop": {"branch": template, "base": base}}})
    with contextlib.suppress(ConfigurationError):
        shop = judge(raw).repositories["shop"]
        with contextlib.suppress(TicketFailure):
            name = branch_name(shop.branch, id=42, subject=subject, version=version, base=base)
            assert wrong_with(name, base=base) == ""


def test_every_field_of_every_section_can_be_set_and_is_explained() -> None:
    """The table, the structs and the documentation are one."""

    def fields(struct: Any, path: str) -> set[str]:
        found = set()
        for field in msgspec.structs.fields(struct):
            name = path + field.name
            is_section = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
            found |= fields(field.type, f"{name}.") if is_section else {name}
        return found

    structs = fields(Settings, "") - {"repositories"} | fields(settings_rules.Repository, "repositories.*.")
    assert structs == set(KEYS)
    assert [path for path, *_ in describe()] == list(KEYS)
    assert all(meaning and allowed and default for _, meaning, allowed, default in describe())


NAMED = re.compile(
    r"\b((?:board|repositories|execution|model|sandbox|nix)\.(?!conf\b)[a-z_.{}]+[a-z_}])"  # a dotted key or section
    r"|(?i:set|mend|check the|into|to) `([a-z_.]+)`"  # "mend `base`"
)


def messages(*packages: str) -> list[str]:
    """The texts in the code of these packages that are no docstrings; a value in one is `{}`."""
    found = []
    for path in (path for package in packages for path in Path(agent.__file__).parent.joinpath(package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if id(node) in loose | inner:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append("".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values))
    return found


def test_every_setting_that_a_message_names_exists() -> None:
    wholes = {part for key in KEYS for part in itertools.accumulate(key.split("."), "{}.{}".format)}
    leaves = {key.rpartition(".")[2] for key in KEYS}
    named = {one[0] or one[1] for text in messages("git", "programs", "settings") for one in NAMED.findall(text)}
    assert {"nix.settings", "base", "url", "state"} <= named, "they are found at all"
    wrong = {re.sub(r"^repositories\.[^.]+", "repositories.*", one) for one in named} - wholes - leaves
    assert not wrong


def test_every_default_is_a_value_that_may_be_set() -> None:
    for path, key in KEYS.items():
        if not key.required and key.default not in ("", (), {}):
            default = list(key.default) if isinstance(key.default, tuple) else key.default
            assert key.read(default) == key.default, path
