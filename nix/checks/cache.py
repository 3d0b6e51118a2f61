# ruff: noqa: D100, F821, INP001, S101, S604 - a script of the NixOS test driver, whose names are globals
# What one pod builds for a development shell, the next one takes from the fleet's cache, and only with the cache's word.

CACHE = "http://cache:5000"


def new_tool(name: str) -> None:
    """The project gets a tool that nobody has built yet."""
    board.succeed(
        f'cd {DESK} && sed -i \'s/"fleet-tool[^"]*"/"fleet-tool-{name}"/\' flake.nix && {PERSON} commit -q -a -m \'Tool {name}\'',
        f"git -C {DESK} push -q git://localhost/shop.git main",
    )


def tool(name: str) -> tuple[str, str]:
    """A ticket done by a pod: which path its shell's tool has, and what is in it."""
    ticket = add(f"Use the tool on {name}", files={"work/tool": "by {run}"}, shell={"tool": "echo $TOOL; cat $TOOL"})
    once(name)
    assert done(ticket), comments(ticket)
    path, text = json.loads(content(ticket, "shell.json"))["tool"]["said"].split()
    return path, text


def facts(name: str, path: str) -> dict[str, Any]:
    """What the store of a host says of a path."""
    told = json.loads(PODS[name].succeed(f"nix --extra-experimental-features nix-command path-info --json {path}"))
    found: dict[str, Any] = told[path] if isinstance(told, dict) else told[0]
    return found


def served(path: str) -> bool:
    """Whether the cache has it, as every pod would ask."""
    digest = path.removeprefix("/nix/store/")[:32]
    return bool(pod_b.execute(f"curl -sf {CACHE}/{digest}.narinfo | grep ^Sig:")[0] == 0)


with subtest("pod A builds, and its build reaches the cache, signed"):
    new_tool("shared")
    path, text = tool("pod-a")
    assert facts("pod-a", path)["ultimate"]
    eventually(lambda: served(path), "the cache never got it")

with subtest("pod B takes it from there"):
    assert tool("pod-b") == (path, text)
    taken = facts("pod-b", path)
    assert not taken.get("ultimate"), taken
    assert taken["signatures"], taken

with subtest("a path without a signature that the host knows is refused"):
    pod_c.succeed(f"! test -e {path}")
    pod_c.fail(f"nix-store --option trusted-public-keys '' --option secret-key-files '' -r {path}")
    pod_c.succeed(f"nix-store -r {path}")

with subtest("the cache takes nothing that the pods' key did not sign"):
    unit = "systemctl cat agent-cache-push.service"
    ssh_key = pod_c.succeed(f"{unit} | sed -n s/^LoadCredential=ssh-key://p").strip()
    options = pod_c.succeed(f"{unit} | sed -n 's/^Environment=\"NIX_SSHOPTS=\\(.*\\)\"$/\\1/p'").strip()
    push = f"NIX_SSHOPTS={shlex.quote(options.replace('%d/ssh-key', ssh_key))} nix copy --to ssh-ng://nix-ssh@cache"
    mine = 'derivation { name = "foreign"; system = builtins.currentSystem; builder = "/bin/bash"; args = [ "-c" "echo > $out" ]; }'
    quiet = "--option secret-key-files '' --option post-build-hook ''"
    foreign = pod_c.succeed(f"nix-build --no-out-link {quiet} -E {shlex.quote(mine)}").strip()
    pod_c.fail(f"{push} {foreign}")
    cache.fail(f"test -e {foreign}")
    signing_key = pod_c.succeed("sed -n 's/^secret-key-files = //p' /etc/nix/nix.conf").strip()
    pod_c.succeed(f"nix store sign --key-file {signing_key} {foreign}", f"{push} {foreign}")
    cache.succeed(f"test -e {foreign}")

with subtest("a cache that is down costs nothing"):
    cache.crash()
    new_tool("alone")
    path, _ = tool("pod-a")
    assert facts("pod-a", path)["ultimate"]
    cache.start()
    eventually(lambda: served(path), "what was built meanwhile never reached the cache")
