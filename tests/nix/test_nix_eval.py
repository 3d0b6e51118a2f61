"""The Nix half, evaluated without nixpkgs: real NixOS modules, stand-ins for packages. See tests/nix/golden.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import settings
from agent.settings.keys import KEYS
from agent.settings.readers import PROJECT, Unfit
from agent.watchdog import STANDS
from nix.golden import EVAL, GOLDEN, NIX_CONFIG, ROOT, absent, compare, evaluate, expected, nix, present, rendered
from support.boards import missing

pytestmark = pytest.mark.nix

SOURCES = sorted(
    path
    for place in ("flake.nix", "nix", "hosts", "agent/starter")
    for path in ([ROOT / place] if place.endswith(".nix") else (ROOT / place).rglob("*.nix"))
)
PODS_MOST = 3.5
"""The highest exposure of a pod's unit that `systemd-analyze security` may print; 10 is the worst."""
SERVERS_MOST = 1.5


@pytest.fixture(scope="module", autouse=True)
def all_that_is_needed() -> None:
    if reason := absent():
        missing(reason)
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed")


@pytest.fixture(scope="module")
def hosts() -> dict[str, Any]:
    return rendered()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of the repository the flake is made of, in a git repository of its own."""
    folder = tmp_path_factory.mktemp("flake")
    for name in ("flake.nix", "flake.lock", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("nix", "hosts", "agent/starter", "tests/nix"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for words in (("init", "-q"), ("add", "--all")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


# -- the sources ------------------------------------------------------------------------------------------------------


def test_every_file_parses_and_names_nothing_that_is_not_there() -> None:
    done = subprocess.run(
        ["nix-instantiate", "--parse", *map(str, SOURCES)],
        env={**os.environ, "NIX_CONFIG": NIX_CONFIG},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_in_its_first_line_what_it_is_and_holds_no_dead_binding(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.match(r"# [A-Z`].{15,}", text), "the first line"
    assert text.endswith("\n")
    assert not re.search(r"\t| \n", text)
    assert not [
        name
        for name in {*bound(text)} - {"self"}
        if len(re.findall(rf"(?<![\w'-]){re.escape(name)}(?![\w'-])", text)) < 2
    ]
    lists = [
        line for line in text.splitlines() if re.search(r'\[ "[^"]*" "[^"]*" .*\]', line) and "starter" not in str(path)
    ]
    assert not [line for line in lists if not line.lstrip().startswith(("#", "description", "message"))], (
        "one element a line"
    )


def bound(text: str) -> Iterator[str]:
    """Names of `let` bindings and of function arguments, in files of the usual style."""
    for formals in re.findall(r"^\s*\{([^{}=;\"]*)\}:", text, re.MULTILINE):
        yield from (word for word in re.findall(r"[A-Za-z_][\w'-]*", re.sub(r"\?[^,]*|#.*", "", formals)))
    for match in re.finditer(r"^( *)(?:.*= )?let\n(.*?)^\1in\b", text, re.MULTILINE | re.DOTALL):
        deeper = re.escape(match[1] + "  ")
        yield from re.findall(rf"^{deeper}([A-Za-z_][\w'-]*) =", match[2], re.MULTILINE)
        for inherited in re.findall(rf"^{deeper}inherit(?: \([^)]*\))?([^;]*);", match[2], re.MULTILINE):
            yield from inherited.split()


def test_a_dead_binding_is_found() -> None:
    text = "# What it is.\n{ lib, pkgs }:\nlet\n  inherit (lib) types;\n  one = 1;\n  two = one;\nin\nlib\n"
    used = {name: len(re.findall(rf"\b{name}\b", text)) for name in bound(text)}
    assert {name for name, count in used.items() if count < 2} == {"pkgs", "types", "two"}


# -- hosts ------------------------------------------------------------------------------------------------------------


def test_every_host_evaluates_whole_without_a_failed_assertion_or_a_warning(hosts: dict[str, Any]) -> None:
    assert set(hosts) == {path.stem for path in (ROOT / "hosts").glob("*.nix")} - {"default"}
    for name, host in hosts.items():
        assert host["system"].endswith(".drv"), name
        assert host["failed"] == [], name
        assert [one for one in host["warned"] if "agent" in one] == [], name


def test_units_and_files_are_the_golden_ones(hosts: dict[str, Any]) -> None:
    wanted, found = expected(hosts), present(GOLDEN)
    assert sorted(found) == sorted(wanted), "run: make golden"
    different = [name for name, text in wanted.items() if found[name] != text]
    assert not different, f"run `make golden` and look at: {different}"


def test_real_packages_differ_from_the_golden_files_in_hashes_and_versions_alone(
    hosts: dict[str, Any], tmp_path: Path
) -> None:
    """What `nix flake check` does where nixpkgs can be had."""

    def real(found: re.Match[str]) -> str:
        return f"/nix/store/{'b' * 32}-{found[1]}-2.51.0p1/bin"

    text = re.sub(r"/nix/store/0{32}-([a-z-]+)/bin", real, json.dumps(hosts))
    (tmp_path / "rendered.json").write_text(text)
    assert compare(tmp_path / "rendered.json", GOLDEN) == ""
    (tmp_path / "rendered.json").write_text(text.replace("KillMode=mixed", "KillMode=process"))
    assert "+KillMode=process" in compare(tmp_path / "rendered.json", GOLDEN)


def test_the_nodes_of_the_vm_tests_evaluate_and_each_has_its_scenario() -> None:
    found = evaluate("""
      let of = module: let evaluation = evaluate [ (root + "/nix/modules/default.nix") module ]; in failed evaluation.config;
      in lib.mapAttrs (_: of) { inherit (import (root + "/nix/checks/nodes.nix")) board cache pod-c; }
    """)
    assert found == {"board": [], "cache": [], "pod-c": []}
    wrappers = {path.stem for path in (ROOT / "nix/checks").glob("*.nix")} - {"default", "lib", "nodes"}
    assert wrappers == {"cycle", "race", "escalation", "crash", "watchdog", "cache", "hardening", "upgrade"}
    assert all((ROOT / f"nix/checks/{name}.py").exists() for name in wrappers)


# -- units, by systemd ------------------------------------------------------------------------------------------------


@pytest.fixture
def units(hosts: dict[str, Any], tmp_path: Path) -> Path:
    """All units of all hosts in one folder."""
    for host in hosts.values():
        for name, text in host["units"].items():
            (tmp_path / name).write_text(text)
    return tmp_path


def test_systemd_understands_every_line(units: Path) -> None:
    names = [f"./{path.name}" for path in sorted(units.iterdir())]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], cwd=units, capture_output=True, text=True, check=False
    )
    absent = re.compile(r"Command /nix/store/.* is not executable|Unit nix-daemon\.socket not found")
    assert [line for line in done.stderr.splitlines() if not absent.search(line)] == []
    (units / "agent-wrong.service").write_text("[Service]\nProtectClok=yes\nExecStart=/bin/true\n")
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "./agent-wrong.service"],
        cwd=units,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unknown key" in told.stderr


def test_how_much_of_the_host_a_unit_could_reach(
    units: Path, judged: dict[str, Any], measured: Callable[[str], None]
) -> None:
    (units / "agent-open.service").write_text(judged["open"]["units"]["agent-open.service"])
    for path in sorted(units.glob("agent-*.service")):
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", f"./{path.name}"],
            cwd=units,
            capture_output=True,
            text=True,
            check=True,
        )
        (figure,) = re.findall(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
        boxed = "RestrictNamespaces=user" in path.read_text()
        measured(f"systemd-analyze security {path.name}: {figure}{' (bubblewrap)' if boxed else ''}")
        assert float(figure) <= (PODS_MOST if boxed else SERVERS_MOST), done.stdout


def test_a_pod_s_unit_keeps_its_promises(hosts: dict[str, Any]) -> None:
    unit = hosts["pod-a"]["units"]["agent-pod-a.service"]
    timer = hosts["pod-a"]["units"]["agent-pod-a.timer"]
    for line in (
        "Type=notify", "NotifyAccess=main", f"WatchdogSec={STANDS:.0f}", "WatchdogSignal=SIGKILL", "Restart=on-abnormal",
        "User=agent", "KillMode=mixed", "X-RestartIfChanged=false",
        "X-StopIfChanged=false", "LoadCredential=board-token:/run/secrets/board-token", "StateDirectory=agent/pod-a",
    ):  # fmt: skip
        assert line in unit.splitlines()
    for program in ("git", "nix", "bash", "bubblewrap", "coreutils", "openssh", "claude-code"):
        assert f"-{program}/bin" in unit
    assert '"run" "--config"' in unit
    assert '"--until-idle" "--for" "1h"' in unit
    for line in ("OnBootSec=1min", "OnUnitInactiveSec=2min", "AccuracySec=1s"):
        assert line in timer.splitlines()


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*/files/agent-*.toml")), ids=lambda file: file.stem)
def test_the_command_accepts_the_settings_of_every_pod(file: Path) -> None:
    done = subprocess.run(
        ["agent", "config", "check", file], capture_output=True, text=True, check=False, env=on_path()
    )
    assert done.returncode == 0, done.stderr
    found = settings.check(str(file))
    assert f"agent-{found.pod}.toml" == file.name
    assert found.sandbox.kind == "bubblewrap"


def on_path() -> dict[str, str]:
    return {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}


def test_typed_options_are_settings_with_the_same_values_and_defaults() -> None:
    found = evaluate("""
      let
        options = (bare [ ]).options.services.agent.settings.type.getSubOptions [ ];
        typed = path: value:
          if lib.isOption value then [ { key = lib.concatStringsSep "." path; inherit (value) default; allowed = value.type.description; } ]
          else lib.concatLists (lib.mapAttrsToList (name: typed (path ++ [ name ])) value);
      in typed [ ] (removeAttrs options [ "_module" "_freeformOptions" ])
    """)
    assert {one["key"] for one in found} == {"sandbox.kind", "model.kind"}
    for one in found:
        key = KEYS[one["key"]]
        assert one["default"] == key.default
        values = re.findall(r'"([^"]*)"', one["allowed"])
        assert [key.read(value) for value in values] == values
        assert re.fullmatch(key.allowed, " or ".join(values))
        with pytest.raises(Unfit):
            key.read("another")


def test_the_module_knows_the_credentials_and_projects_that_the_command_knows() -> None:
    named = {name for key in KEYS.values() for name in re.findall(r"\$CREDENTIALS_DIRECTORY/([a-z<>-]+)", key.meaning)}
    assert named == {"board-token", "model-key", "repository-<project>-token", "repository-<project>-key"}
    module = (ROOT / "nix/modules/agent.nix").read_text()
    (pattern,) = re.findall(r'credentialKinds = "(.*)";', module)
    assert all(re.fullmatch(pattern, name.replace("<project>", "a-shop_2")) for name in named)
    assert PROJECT.pattern.startswith("[A-Za-z0-9][A-Za-z0-9_-]")


def test_every_option_is_described() -> None:
    found = evaluate("""
      map (one: { inherit (one) name; description = one.description or ""; })
        (lib.filter (one: !one.internal) (lib.concatMap lib.optionAttrSetToDocList (
          let inherit ((bare [ ]).options) services;
          in [ services.agent services.agent-board services.agent-cache ]
        )))
    """)
    described = {one["name"]: one["description"] for one in found}
    assert len(described) > 40
    assert [name for name, text in described.items() if not text] == []
    assert [name for name, text in described.items() if not text.rstrip().endswith((".", ")", "null`"))] == []


# -- mistakes that operators make -------------------------------------------------------------------------------------

HOST = """
  services.agent.enable = true;
  services.agent.settings = {
    board.url = "https://board.example.org";
    repositories.shop.url = "git@git.example.org:acme/shop.git";
  };
  programs.ssh.knownHosts."git.example.org".publicKey = "ssh-ed25519 AAAA";
  services.agent.credentials = { board-token = "/run/secrets/board"; model-key = "/run/secrets/model"; };
"""
PUSHING = """
  services.agent.cache = {
    enable = true;
    url = "http://cache:5000";
    publicKeys = [ "cache-1:key" ];
    push = { host = "cache"; hostKey = "ssh-ed25519 AAAA"; sshKeyFile = "/run/a"; signingKeyFile = "/run/b"; };
  };
"""
EXAMPLES = {
    # Each pod makes its own mistake.
    "pods": HOST
    + """
  services.agent.pods = {
    "bad name" = { };
    board = { };
    renamed.settings.pod = "other";
    stateful.settings.state = "/srv";
    homeless.settings.board.url = "";
    kind.settings.sandbox.kind = "none";
    sleeping.interval = null;
    misspelt.credentials.bord-token = "/run/secrets/x";
    stranger.credentials.repository-toys-key = "/run/secrets/x";
    leaky.settings.model.key_file = ./LICENSE;
    loud.environment.AGENT_MODEL_KEY = "sk-1";
    open = { sandbox = "none"; };
    both = { interval = "5min"; startAt = [ "20:00" ]; };
    plain.settings.board.url = "http://board.example.org";
    strange.settings.repositories.toys.url = "ssh://git@toys.example.org:2222/toys.git";
    near.settings.board.url = "http://board:8080";
    private.settings.nix.settings.store = "local";
    parked = { enable = false; interval = null; };
    command.settings.model = { kind = "command"; command = [ "/bin/true" ]; };
    good = {
      credentials = { repository-shop-token = "/run/secrets/a"; repository-shop-key = "/run/secrets/b"; };
      startAt = [ "Mon..Fri 20:00" ];
    };
  };
""",
    "unfree": HOST
    + """
  services.agent.pods.pod-a = { };
  services.agent.pods.pod-b.settings.model.program = "/opt/claude";
  services.agent-board = { enable = true; host = "0.0.0.0"; };
  nixpkgs.overlays = [ (final: prev: { claude-code = prev.claude-code // { outPath = throw "unfree"; }; }) ];
""",
    "bare": """
  services.agent = { enable = true; pods.pod-a = { }; claude = null; settings.pod = "x"; };
  nix.enable = false;
  nix.settings.sandbox = false;
  security.allowUserNamespaces = false;
""",
    "open": HOST + 'services.agent.pods.open.sandbox = "none";',
    # A host without a pod, that is board and cache.
    "servers": HOST
    + PUSHING.replace('publicKeys = [ "cache-1:key" ];', "")
    + """
  services.agent-board = { enable = true; openFirewall = true; };
  services.agent-cache = { enable = true; signingKeyFile = "/run/secrets/key"; };
""",
}
FAILED = {
    ("pods", "bad name", "1 to 63 letters"),
    ("pods", "board", "another unit"),
    ("pods", "renamed", "rename the option"),
    ("pods", "stateful", "state folder is /var/lib/agent/stateful"),
    ("pods", "homeless", "settings.board.url"),
    ("pods", "kind", "pods.kind.sandbox"),
    ("pods", "sleeping", "nothing starts this pod"),
    ("pods", "misspelt", "bord-token"),
    ("pods", "stranger", "repository-toys-key"),
    ("pods", "leaky", "settings.model.key_file lies in the Nix store"),
    ("pods", "loud", "AGENT_MODEL_KEY"),
    ("unfree", "pod-a", 'allowUnfreePredicate = pkg: builtins.elem (lib.getName pkg) [ "claude-code" ];'),
    ("bare", "pod-a", "no token for the board"),
    ("bare", "pod-a", "services.agent.settings.board.url"),
    ("bare", "pod-a", "no repository"),
    ("bare", "pod-a", "services.agent.claude is null"),
    ("bare", "pod-a", "rename the option"),
    ("bare", "services.agent.settings", "of one pod each"),
    ("bare", "services.agent", "nix.enable = true"),
    ("bare", "services.agent", "nix.settings.sandbox = true"),
    ("bare", "services.agent", "security.allowUserNamespaces = true"),
    ("servers", "services.agent-board", "the firewall is open"),
    ("servers", "services.agent.cache", "publicKeys"),
    ("servers", "services.agent.cache.push.host", "the cache itself"),
}
WARNED = {
    ("pods", "open", "can do what the pod can"),
    ("pods", "both", "interval = null"),
    ("pods", "plain", "unencrypted"),
    ("pods", "private", "settings.nix.settings.store"),
    ("pods", "strange", 'programs.ssh.knownHosts."toys.example.org"'),
    ("open", "open", "can do what the pod can"),
    ("bare", "pod-a", "no key for the model's API"),
    ("servers", "services.agent", "has no pods"),
    ("unfree", "services.agent-board", "openFirewall = true"),
    ("servers", "services.agent-cache", "podKeys is empty"),
    ("servers", "services.agent-cache", "pushKeys is empty"),
}


@pytest.fixture(scope="module")
def judged() -> dict[str, Any]:
    """What is said of each example; `units` of those that are in order."""
    modules = "".join(f"{json.dumps(name)} = {{ ... }}: {{ {text} }};\n" for name, text in EXAMPLES.items())
    found: dict[str, Any] = evaluate(f"""
      let
        of = module:
          let inherit (evaluate [ (root + "/nix/modules/default.nix") module ]) config pkgs;
          in {{ failed = failed config; warned = config.warnings; units = lib.optionalAttrs (failed config == [ ]) (render {{ inherit config pkgs; }}).units; }};
      in lib.mapAttrs (_: of) {{ {modules} }}
    """)
    return found


@pytest.mark.parametrize(("kind", "wanted"), [("failed", FAILED), ("warned", WARNED)])
def test_each_mistake_is_told_with_what_to_do_and_nothing_else_is(
    kind: str, wanted: set[tuple[str, str, str]], judged: dict[str, Any]
) -> None:
    for example, found in judged.items():
        ours = [one for one in found[kind] if "services.agent" in one]
        mine = [(who, words) for where, who, words in wanted if where == example]
        for who, words in mine:
            assert [one for one in ours if who in one and words in " ".join(one.split())], (example, who, words, ours)
        assert len(ours) == len(mine), (example, ours)


def test_every_assertion_and_warning_of_the_modules_has_a_failing_example() -> None:
    texts = {path: path.read_text() for path in (ROOT / "nix/modules").glob("*.nix")}
    assertions = sum(len(re.findall(r"^\s+assertion =", text, re.MULTILINE)) for text in texts.values())
    warnings = sum(
        len(re.findall(r"^\s+when =", text, re.MULTILINE))
        + len(re.findall(r"lib\.optional .* ''$", text, re.MULTILINE))
        for text in texts.values()
    )
    doubled = (
        2  # `misspelt` and `stranger` meet one assertion; so do `renamed` and the pod of `bare`; `homeless` and it
    )
    assert assertions == len(FAILED) - doubled - 1
    assert warnings == len(WARNED) - 1  # `open` twice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services.agent.credentials.board-token = ./token;", "not in the Nix store"),
        ('services.agent.credentials.board-token = builtins.toFile "token" "secret";', "not in the Nix store"),
        ('services.agent.pods.a.credentials.board-token = "/nix/store/00000000000000000000000000000000-x";', "not in the Nix store"),
        ('services.agent.settings.sandbox.kind = "docker";', "is not of type"),
        ("services.agent.pods.a.intervall = 5;", "does not exist"),
    ],
)  # fmt: skip
def test_what_has_the_wrong_type_is_refused(text: str, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        evaluate(f"""
          let inherit ((bare [ ({{ ... }}: {{ {text} }}) ]).config.services) agent;
          in [ agent.credentials agent.settings (map (pod: pod.credentials) (lib.attrValues agent.pods)) ]
        """)


def test_a_host_s_own_hook_is_not_replaced_in_silence() -> None:
    mine = 'nix.settings.post-build-hook = "/mine";'
    with pytest.raises(RuntimeError, match="conflicting definition"):
        evaluate(f"""
          (evaluate [ (root + "/nix/modules/default.nix") ({{ ... }}: {{ {PUSHING} {mine} }}) ]).config.nix.settings
        """)


# -- the flake --------------------------------------------------------------------------------------------------------


def test_the_lock_file_stays_as_it_is_offline(checkout: Path) -> None:
    before = (checkout / "flake.lock").read_bytes()
    for words in (("metadata",), ("lock",)):
        done = nix("flake", *words, cwd=checkout)
        assert done.returncode == 0, done.stderr
        assert (checkout / "flake.lock").read_bytes() == before
    assert before == (ROOT / "agent/starter/flake.lock").read_bytes()


def test_the_flake_lists_its_outputs_for_both_systems(checkout: Path) -> None:
    done = nix(
        "flake", "show", "--json", "--all-systems", "--impure", "--override-input", "nixpkgs", f"path:{EVAL}",
        cwd=checkout, FLAKE_DIR=str(checkout),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    both = {"x86_64-linux", "aarch64-linux"}
    for name in ("apps", "checks", "devShells", "formatter", "packages"):
        assert set(found[name]) == both, name
    assert set(found["apps"]["x86_64-linux"]) == {"agent", "default"}
    assert set(found["nixosModules"]) == {"default", "agent", "board", "cache"}
    assert set(found["nixosConfigurations"]) == {path.stem for path in (ROOT / "hosts").glob("*.nix")} - {"default"}
    assert set(found["checks"]["x86_64-linux"]) == {
        "package", "formatting", "golden", "cycle", "race", "escalation", "crash", "watchdog", "cache", "hardening", "upgrade",
    }  # fmt: skip
    assert found["packages"]["aarch64-linux"]["default"]["name"] == "agent"
    assert {"templates", "overlays"} <= set(found)


def test_the_package_needs_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    package = (ROOT / "nix/package.nix").read_text()
    (block,) = re.findall(r"dependencies = with python3Packages; \[(.*?)\];", package, re.DOTALL)
    assert sorted(block.split()) == sorted(re.split(r"[>=]", one)[0] for one in project["dependencies"])


# -- the queue --------------------------------------------------------------------------------------------------------


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    for name in ("incoming", "queue"):
        (tmp_path / "spool" / name).mkdir(parents=True)
    return tmp_path / "spool"


def script(name: str, spool: Path, cache: str = "") -> str:
    """A rendered script, with this machine's programs and folders."""
    text = (GOLDEN / "pod-a/files" / name).read_text()
    text = re.sub(r"/nix/store/0{32}-\w+", "/usr", text).replace("/var/spool/agent-cache", str(spool))
    path = spool.parent / name
    path.write_text(text.replace("ssh-ng://nix-ssh@cache", f"'{cache}'"))
    path.chmod(0o755)
    return str(path)


PROJECT_FLAKE = """
{
  outputs =
    { self }:
    let
      run = name: text: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/bash"; args = [ "-c" text ]; outputs = [ "out" ]; stdenv = ./stdenv; TOOL = tool; };
      tool = derivation { name = "tool"; system = "x86_64-linux"; builder = "/bin/bash"; args = [ "-c" "echo tool > $out" ]; };
    in
    { devShells.x86_64-linux.default = run "shell" "export > $out"; };
}
"""


def test_a_development_shell_that_was_built_is_queued_whole(spool: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "stdenv").mkdir(parents=True)
    (project / "stdenv/setup").write_text("export PATH=/usr/bin:/bin\n")
    (project / "flake.nix").write_text(PROJECT_FLAKE)
    here = f"local?store={tmp_path}/s&state={tmp_path}/state&log={tmp_path}/log"
    hook = script("agent-cache-queue", spool)
    built = nix("print-dev-env", "--store", here, "--option", "post-build-hook", hook, f"path:{project}")
    assert built.returncode == 0, built.stderr
    queued = [path.read_text().strip() for path in (spool / "queue").iterdir()]
    assert sorted(path.rpartition("-")[2] for path in queued) == ["env", "tool"]
    assert list((spool / "incoming").iterdir()) == []
    shell = next(path for path in queued if path.endswith("-env"))
    told = nix("path-info", "--store", here, "-r", shell)
    assert {path.rpartition("/")[2].partition("-")[2] for path in told.stdout.split()} == {
        "shell-env",
        "stdenv",
        "tool",
    }, "its closure is the shell"


def test_the_hook_never_fails_a_build(spool: Path) -> None:
    hook = script("agent-cache-queue", spool)
    shutil.rmtree(spool)
    assert subprocess.run([hook], env={"OUT_PATHS": "/nix/store/x"}, capture_output=True, check=False).returncode == 0
    spool.mkdir()
    (spool / "incoming").mkdir()
    assert subprocess.run([hook], env={"OUT_PATHS": "/nix/store/x"}, capture_output=True, check=False).returncode == 0


FAKE_NIX = """#!/bin/bash
echo "$*" >> {log}
case "$1" in
  store) [ ! -e {log}.down ] ;;
  copy) [[ "$*" != *poison* ]] ;;
esac
"""


def test_the_queue_waits_for_a_cache_that_is_down_and_one_bad_path_holds_back_no_other(
    spool: Path, tmp_path: Path
) -> None:
    programs, log, store = tmp_path / "bin", tmp_path / "log", tmp_path / "nix"
    programs.mkdir()
    (programs / "nix").write_text(FAKE_NIX.format(log=log))
    (programs / "nix").chmod(0o755)
    paths = {name: store / f"{'0' * 32}-{name}" for name in ("one", "two", "poison")}
    for path in paths.values():
        path.mkdir(parents=True)
    for name, path in paths.items():
        (spool / "queue" / name).write_text(f"{path}\n")
    (spool / "queue/collected").write_text(f"{store}/{'1' * 32}-gone\n--option\n")
    push = script("agent-cache-push-start", spool, "ssh-ng://cache")
    Path(push).write_text(Path(push).read_text().replace("^/nix/store/", f"^{store}/"))
    env = {"PATH": f"{programs}:/usr/bin:/bin"}

    Path(f"{log}.down").touch()
    done = subprocess.run([push], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, len(list((spool / "queue").iterdir()))) == (1, 4)
    assert "4 builds stay queued" in done.stderr

    Path(f"{log}.down").unlink()
    done = subprocess.run([push], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [path.name for path in (spool / "queue").iterdir()] == ["poison"]
    copies = [line.split()[-1] for line in log.read_text().splitlines() if line.startswith("copy")]
    assert sorted(set(copies)) == sorted(map(str, paths.values()))
    assert "--option" not in copies

    (spool / "queue/poison").unlink()
    assert subprocess.run([push], env=env, capture_output=True, check=False).returncode == 0


def test_the_board_s_first_start_makes_board_and_tokens_together_and_a_later_one_changes_nothing(
    tmp_path: Path,
) -> None:
    text = (GOLDEN / "board/files/agent-board-pre-start").read_text()
    if shutil.which("jq") is None:
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "jq").write_text(
            "#!/usr/bin/python3\nimport json, sys\n"
            "for line in open(sys.argv[-1]):\n"
            "    for key, value in json.loads(line).get('tokens', {}).items(): print(key, value)\n"
        )
        (programs / "jq").chmod(0o755)
    state = tmp_path / "state"
    (state / "new").mkdir(parents=True)
    (state / "new/half").touch()
    env = {**on_path(), "STATE_DIRECTORY": str(state)}
    env["PATH"] = f"{tmp_path / 'bin'}:{env['PATH']}"
    subprocess.run(["bash", "-euc", text], env=env, check=True)
    tokens = {path.name: path.read_text() for path in (state / "tokens").iterdir()}
    assert set(tokens) == {"admin", "agent", "human"}
    assert all(token.startswith("opapi-") for token in tokens.values())
    assert sorted(path.name for path in state.iterdir()) == ["board", "tokens"]
    subprocess.run(["bash", "-euc", text], env=env, check=True)
    assert {path.name: path.read_text() for path in (state / "tokens").iterdir()} == tokens


# -- what the README promises -----------------------------------------------------------------------------------------


def readme() -> list[str]:
    section = (ROOT / "README.md").read_text("utf-8").partition("\n## Run a fleet\n")[2].partition("\n## ")[0]
    return re.findall(r"```nix\n(.*?)```", section, re.DOTALL)


@pytest.mark.parametrize("block", readme())
def test_the_readme_s_fleet_is_two_pods_in_under_thirty_lines(block: str) -> None:
    assert len(block.splitlines()) < 30
    found = evaluate(f"""
      let
        secret = {{ name, ... }}: {{ options.path = lib.mkOption {{ default = "/run/secrets/${{name}}"; }}; }};
        sops = {{ ... }}: {{
          options.sops.defaultSopsFile = lib.mkOption {{ type = lib.types.path; }};
          options.sops.secrets = lib.mkOption {{ type = lib.types.attrsOf (lib.types.submodule secret); }};
        }};
        inherit (evaluate [ (root + "/nix/modules/default.nix") sops ({block}) ]) config;
        pods = lib.attrValues config.services.agent.pods;
      in
      {{
        failed = failed config;
        warned = lib.filter (lib.hasInfix "agent") config.warnings;
        settings = map (pod: pod.finalSettings) pods;
        timers = lib.filter (lib.hasPrefix "agent-") (lib.attrNames config.systemd.timers);
      }}
    """)
    assert (found["failed"], found["warned"]) == ([], [])
    assert [settings.judge(one).pod for one in found["settings"]] == ["pod-a", "pod-b"]
    assert found["timers"] == ["agent-pod-a", "agent-pod-b"]
