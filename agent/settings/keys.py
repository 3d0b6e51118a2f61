"""The one table of what can be set: each setting's meaning, its allowed values and how it is read. Pure.

The judge (`agent.settings.rules`) reads with it, messages and documentation are made from it, and a test holds it
against the structs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from agent.settings.readers import (
    MOST_DOLLARS,
    MOST_TRIES,
    read_amount,
    read_argv,
    read_choice,
    read_count,
    read_duration,
    read_git,
    read_guarded,
    read_http,
    read_inner_paths,
    read_model,
    read_name,
    read_names,
    read_nix,
    read_pod,
    read_price,
    read_ref,
    read_size,
    read_some_names,
    read_text,
    read_texts,
)
from agent.texts.claim_token import POD_NAME

GUARDED: Final = (
    ".github/**", ".gitea/**", ".forgejo/**", ".gitlab-ci*", ".gitlab/**", "**/CODEOWNERS", ".agent.toml",
    "**/action.yml", "**/action.yaml", "**/Jenkinsfile*", "*.Jenkinsfile", ".ci/**", ".pipelines/**", ".azuredevops/**",
    ".vsts-ci.y*", "atlantis.y*", "railway.*", "codeship-*", ".woodpecker*", ".drone*", ".circleci/**", ".buildkite/**",
    ".travis.yml", "azure-pipelines*", ".azure-pipelines/**", "bitbucket-pipelines.yml", "bamboo-specs/**",
    ".teamcity/**", ".zuul*", "zuul.*", ".prow*", ".tekton/**", ".harness/**", ".semaphore/**", ".cirrus.*",
    ".build.yml", ".builds/**", "appveyor*", ".appveyor*", "cloudbuild*", "buildspec*", "codemagic.yaml", "bitrise.yml",
    "wercker.yml", "shippable.yml", "garnix.yaml", ".packit*", ".copr/**", ".pre-commit-config.yaml", ".readthedocs.*",
    "renovate.json*", ".renovaterc*", ".mergify*", ".kodiak.toml", "bors.toml", "netlify.toml", "vercel.json",
    ".crow*", ".vela.y*", "screwdriver.y*", ".taskcluster.y*", ".onedev-buildspec.*", "evergreen.y*", ".evergreen.y*",
    ".bazelci/**", ".tangled/**", ".laminar/**", ".rultor.y*", ".devcontainer*", ".gitpod.*", "amplify.y*", "render.y*",
    "wrangler.*", ".upsun/**", ".platform*", ".do/**", "heroku.yml", "fly.toml", "firebase.json",
)  # fmt: skip
"""What decides what a forge's CI does, or a service that acts on a push, and who must agree; a pattern stands for all below, too."""

FORGES: Final = {
    "github": ("/tree/{}", "/commit/{}"),
    "gitlab": ("/-/tree/{}", "/-/commit/{}"),
    "gitea": ("/src/branch/{}", "/commit/{}"),
    "cgit": ("/log/?h={}", "/commit/?id={}"),
}
"""Where each kind of forge shows a branch and a commit, below `web`."""


class Key(Struct, frozen=True):
    """One setting: what it means, what it may be, how it is read; without a default it must be set."""

    meaning: str
    allowed: str
    read: Callable[[Any], Any]
    default: Any = None
    required: bool = False
    shown: bool = True
    """Whether a refused value may be printed: an address can hold a password, and somebody may write a secret for the file that has it."""


_NAME = "a display name or an id"
_NAMES = "a list of display names or ids"
_ACCOUNTS = "a list of ids, or of display names, which people can change"
_FILE = "a path, from the folder of the settings file if it is relative"
_BYTES = 'a size such as "512MiB" or "8GiB", or a whole number of bytes; at least 1MiB'
_TIME = 'a duration such as "4h30m", "15m" or "45s", or a whole number of seconds; above zero and at most 720h'

KEYS: Final[Mapping[str, Key]] = {
    "pod": Key(
        "the name of this pod; `--pod` and $AGENT_POD come before it",
        f"a text like `pod-a`, as a whole {POD_NAME}",
        read_pod,
        "",
    ),
    "state": Key(
        "the folder for what the pod remembers; else $STATE_DIRECTORY, $XDG_STATE_HOME/agent/<pod>, "
        "~/.local/state/agent/<pod>",
        _FILE,
        read_text,
        "",
    ),
    "board.url": Key(
        "the address of the board, up to and without /api/v3",
        "http:// or https://, without user name, password and query",
        read_http,
        required=True,
        shown=False,
    ),
    "board.token_file": Key(
        "the file with the board's API token; $CREDENTIALS_DIRECTORY/board-token comes before it, $AGENT_BOARD_TOKEN after",
        _FILE,
        read_text,
        "",
        shown=False,
    ),
    "board.fleet_users": Key(
        "the accounts that pods act as; without any, the account of this pod's token", _ACCOUNTS, read_names, ()
    ),
    "board.people": Key(
        "accounts whose words count beside those who may be assigned in the project", _ACCOUNTS, read_names, ()
    ),
    "board.integrations": Key(
        "accounts through which others speak, such as the one that copies a forge's notes: their words never count",
        _ACCOUNTS,
        read_names,
        (),
    ),
    "board.types.bugs": Key("the types taken first, highest priority first", _NAMES, read_names, ("Bug",)),
    "board.types.tasks": Key("the other types that pods implement", _NAMES, read_some_names, ("Task", "Feature")),
    "board.types.epic": Key(
        "the type whose work packages are owned whole: one writer, one branch", _NAME, read_name, "Epic"
    ),
    "board.types.story": Key("the type that groups work below an Epic", _NAME, read_name, "User story"),
    "board.types.spike": Key("the type of the child that asks a person for help", _NAME, read_name, "Spike"),
    "board.types.gates": Key(
        "the types that hold back all below them until they are active; none switches gating off",
        _NAMES,
        read_names,
        ("Phase", "Summary task"),
    ),
    "board.statuses.ready": Key("the status of work that may be picked", _NAME, read_name, "New"),
    "board.statuses.active": Key(
        "the status of claimed work, owned Epics and open gates", _NAME, read_name, "In progress"
    ),
    "board.statuses.done": Key(
        "the statuses for finished work; the first one counts that the type's workflow allows",
        _NAMES,
        read_some_names,
        ("In testing", "Closed"),
    ),
    "board.fields.pod": Key("the custom field that names a claim's pod", _NAME, read_name, "Agent pod"),
    "board.fields.run": Key("the custom field that holds a claim's token", _NAME, read_name, "Agent run"),
    "repositories.*.url": Key(
        "where git finds the project's repository",
        "an address for git, without blanks and without a password",
        read_git,
        required=True,
        shown=False,
    ),
    "repositories.*.base": Key(
        "the branch that work starts from and is brought up to", "a branch name", read_ref, "main"
    ),
    "repositories.*.branch": Key(
        "the branch that work is pushed to, named after the Epic or else the ticket",
        "a branch name with {id} or {version} in it, and {slug} if you like",
        read_text,
        "agent/{id}-{slug}",
    ),
    "repositories.*.web": Key(
        "the repository's page, so that branches and commits become links",
        "http:// or https://, without user name, password and query",
        read_http,
        "",
        shown=False,
    ),
    "repositories.*.forge": Key(
        "what serves `web`, which decides the links", "one of " + ", ".join(FORGES), read_choice(*FORGES), "github"
    ),
    "repositories.*.token_file": Key(
        "the file with the token for an https address; $CREDENTIALS_DIRECTORY/repository-<project>-token comes before it",
        _FILE,
        read_text,
        "",
        shown=False,
    ),
    "repositories.*.ssh_key_file": Key(
        "the file with the private key for an ssh address; $CREDENTIALS_DIRECTORY/repository-<project>-key comes before it",
        _FILE,
        read_text,
        "",
        shown=False,
    ),
    "repositories.*.shell_files": Key(
        "more files that the development shell depends on, beside flake.lock and every *.nix file",
        "a list of paths or patterns inside the repository, such as `rust-toolchain.toml` or `nix/*.json`",
        read_inner_paths,
        (),
    ),
    "repositories.*.guarded": Key(
        "the files of which a person must see every change before it is at a branch, where a push starts the forge's CI",
        "a list of paths or patterns inside the repository, such as `scripts/ci/**`; the case does not matter",
        read_guarded,
        GUARDED,
    ),
    "execution.timeout": Key(
        "the lifetime of a claim: at its end its holder stops every effect", _TIME, read_duration, 14_400
    ),
    "execution.idle": Key(
        "how long the model may say nothing; a program that prints only at its end needs as much as its longest run",
        _TIME,
        read_duration,
        900,
    ),
    "execution.grace": Key("how long after its lifetime a silent claim is freed by others", _TIME, read_duration, 1800),
    "execution.margin": Key("how long before the lifetime's end model and verify stop", _TIME, read_duration, 600),
    "execution.tries": Key(
        "how often one run is started before a person is asked",
        f"a whole number from 1 to {MOST_TRIES}",
        read_count(1, MOST_TRIES),
        3,
    ),
    "model.kind": Key(
        "which coding model works: Claude Code, or any program that prints its result document",
        "claude or command",
        read_choice("claude", "command"),
        "claude",
    ),
    "model.command": Key(
        "for the kind `command`: the program that gets the prompt on its standard input, and its arguments",
        "a list of texts, the program first",
        read_argv,
        (),
        shown=False,
    ),
    "model.program": Key(
        "Claude Code's program: a name in $PATH or a path; a wrapper has to become it, not to start it",
        "a text such as `claude`",
        read_text,
        "claude",
    ),
    "model.name": Key(
        "the model that Claude Code asks for",
        "a full name such as `claude-sonnet-5`; aliases move",
        read_model,
        "claude-sonnet-5",
    ),
    "model.api": Key(
        "the address of the Messages API; the pod's relay asks it, never the sandbox",
        "http:// or https://, without user name, password and query, and without /v1",
        read_http,
        "https://api.anthropic.com",
        shown=False,
    ),
    "model.key_file": Key(
        "the file with the key for the Messages API; $CREDENTIALS_DIRECTORY/model-key comes before it, "
        "$AGENT_MODEL_KEY after",
        _FILE,
        read_text,
        "",
        shown=False,
    ),
    "model.max_turns": Key(
        "how often one run may ask the model", "a whole number from 1 to 100000", read_count(1, 100_000), 200
    ),
    "model.max_tokens": Key(
        "how many tokens one run may spend: read, written and cached together",
        "a whole number from 1 to 10000000000",
        read_count(1, 10**10),
        50_000_000,
    ),
    "model.max_usd": Key(
        "how many dollars one run may spend, by `model.prices`; 0 is refused, not endless",
        f"a number above 0 and at most {MOST_DOLLARS}",
        read_amount,
        20.0,
    ),
    "model.request_keys": Key(
        "what a request to the model may hold besides, where a Claude Code sends keys that the relay does not know",
        "a list of names of keys",
        read_texts,
        (),
    ),
    **{
        "model.prices." + kind: Key(
            f"dollars for a million {what}", f"a number from 0 to {MOST_DOLLARS}", read_price, default
        )
        for kind, what, default in (
            ("input", "tokens that the model reads", 3.0),
            ("output", "tokens that it writes", 15.0),
            ("cache_write", "tokens that go into the API's cache", 3.75),
            ("cache_read", "tokens that come out of it", 0.3),
        )
    },
    **{
        "model.prices." + kind: Key(
            f"how many times these prices a request costs {what}; 0 is refused",
            f"a number from 0 to {MOST_DOLLARS}",
            read_price,
            0.0,
        )
        for kind, what in (
            ("speed", "that asks for another speed"),
            ("service_tier", "that asks for a service tier"),
            ("inference_geo", "that asks for a region"),
            ("cache_1h", "that asks for a cache of more than 5 minutes"),
            ("long_context", "that asks for the long context by a beta of its own"),
        )
    },
    "sandbox.kind": Key(
        "what model and checks are shut into; none is nothing at all: they can then do what the pod's user can",
        "bubblewrap or none",
        read_choice("bubblewrap", "none"),
        "bubblewrap",
    ),
    "sandbox.nix": Key(
        "whether `nix develop` works inside the sandbox: the pod evaluates and builds for it, without a network",
        "broker or none",
        read_choice("broker", "none"),
        "broker",
    ),
    "sandbox.readable": Key(
        "more paths that the sandbox shows, read-only: a tool outside /usr and the Nix store",
        "a list of paths",
        read_texts,
        (),
    ),
    "sandbox.disk": Key(
        "how much a run may write: worktree, home and temporary files together, beyond what was there",
        _BYTES,
        read_size,
        8 << 30,
    ),
    "sandbox.processes": Key(
        "how many processes a run may have at once", "a whole number from 16 to 100000", read_count(16, 100_000), 1024
    ),
    "nix.settings": Key(
        "settings of Nix for this pod, such as substituters, in the words of nix.conf",
        "a table of texts, numbers, booleans and lists of texts",
        read_nix,
        {},
        shown=False,
    ),
    "nix.inputs": Key(
        "where the inputs of a repository's flake may come from; they must be pinned in its flake.lock",
        "a list of texts such as `github:NixOS/nixpkgs`; `github:acme/*` is all of acme's; a locked URL with its narHash may come from the host",
        read_texts,
        ("github:NixOS/nixpkgs",),
    ),
    "nix.starter": Key(
        "the folder with the flake.nix and flake.lock that a repository without any gets; empty is ours, on nixpkgs",
        _FILE,
        read_text,
        "",
    ),
}
