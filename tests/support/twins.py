"""The same ticket B twice on the same board: after a hostile ticket A, and without it. What B meets must be the same.

B's model is a witness: it writes everything that it can see into its worktree (the prompt, the environment, the files of
home, /tmp, worktree and of all folders of the pod that are shown, git's settings and objects, the store, the shells that it
enters), so that all of it is in the tree that is pushed. Both worlds lie at the same path, one after the other: names in the
Nix store depend on it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from agent.devshell.client_options import private_store
from support.boards import embedded_board
from support.fleet import PATIENCE, Fleet, wait_until
from support.git_repo import FLAKE, PROJECT, git
from support.nix_client import writable
from support.pods import write_settings
from support.vitals import watched

TIDYING: Final = 3
"""Passes within which B is taken: one may be spent on what a killed pod left."""
HERE: Final = Path(__file__).resolve().parents[1]
TOOLS: Final = """value.default = shell system {
            SOME_VAR = "from the shell";
            shellHook = builtins.readFile ./hook.sh;
          };
          value.tools = shell system {
            SOME_VAR = "from the tools";
            shellHook = builtins.readFile ./hook.sh;
          };"""
_SHELL: Final = re.compile(r"value\.default = shell system \{.*?\};", re.DOTALL)
FILES: Final = {
    **PROJECT,
    "flake.nix": _SHELL.sub(lambda _: TOOLS, FLAKE, count=1),
    "hook.sh": "export HOOKED=repository\n",
    ".gitignore": "__pycache__/\n*.log\n/target/\n",
}
RELATIONS: Final = ("unrelated", "epic", "repository", "killed")
"""How A stands to B: no relation; both below an Epic, and A failed; in another repository; the pod was killed within A."""
DEEDS: Final = {
    "home and temporary files": r"""
mkdir -p "$HOME"/{.config/git,.config/nix,.cache/nix,.local/bin,.ssh,.claude} "$HOME"/.local/lib/python3.11/site-packages
for name in .bashrc .profile .bash_profile .bash_login .gitconfig .config/git/config .netrc .npmrc .inputrc; do
  echo 'export EVIL=1' > "$HOME/$name"; done
printf '*\n' | tee "$HOME/.config/git/ignore" "$HOME/.config/git/attributes" > /dev/null
echo 'extra-experimental-features = impure-derivations' > "$HOME/.config/nix/nix.conf"
echo 'print("evil")' > "$HOME/.local/lib/python3.11/site-packages/usercustomize.py"
for place in /tmp /var/tmp /dev/shm "$TMPDIR"; do
  echo evil > "$place/evil"; mkfifo "$place/evil-pipe"; ln -s / "$place/evil-link"; mkdir -m 0 "$place/evil-closed"; done
mv "$HOME/tmp" "$HOME/was-tmp"; ln -s "$PWD" "$HOME/tmp"
chmod 0 "$HOME/.cache"
""",
    "worktree": r"""
mkdir -p __pycache__ target vendored deep
echo 'import sys; sys.exit(0)' > sitecustomize.py; cp sitecustomize.py target/
python3 -c "import py_compile; open('shop.py', 'a').write('total = lambda prices: 666\n'); py_compile.compile('shop.py', \
  invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
printf 'def total(prices):\n    return sum(prices)\n' > shop.py
echo evil > evil.log; echo evil > target/evil.so; echo '* ident working-tree-encoding=UTF-16' > .gitattributes
printf '/*\n' > target/.gitignore; printf '[verify]\ncommands = ["true"]\n' > .agent.toml; echo notes > AGENTS.md
truncate -s 50M target/sparse; mkfifo target/pipe; mkdir -m 0 target/closed; ln -s / target/out
touch "$(printf 'new\nline')" "$(printf 'b\303\050d')"; git init -q vendored; chmod 0555 deep; chmod 0777 .
python3 -c "import os
for n in range(200): os.mkdir('d'); os.chdir('d')"
touch -d 1980-01-01 shop.py test_shop.py
""",
    "git": r"""
git=$(git rev-parse --git-common-dir); mine=$(git rev-parse --git-dir)
git update-index --assume-unchanged shop.py; git update-index --skip-worktree test_shop.py; git add -N evil.nix
git config core.hooksPath /tmp; git config --worktree core.fsmonitor /tmp/evil; git sparse-checkout set stdenv
for place in "$git" "$mine"; do mkdir -p "$place/hooks" "$place/info"
  for name in info/attributes info/exclude info/sparse-checkout info/grafts hooks/post-checkout hooks/pre-commit config \
    config.worktree objects/info/alternates shallow packed-refs index index.lock HEAD.lock MERGE_HEAD; do
      printf '#!/bin/sh\ntouch /tmp/evil\n' > "$place/$name"; chmod +x "$place/$name"; done; done
echo evil | git hash-object -w --stdin; git stash; git tag evil; git branch evil; git worktree add /tmp/evil
rm -f .git; mkdir .git; printf '[core]\n\tfsmonitor = /tmp/evil\n' > .git/config
GIT_DIR=$PWD/.git git init -q; GIT_DIR=$PWD/.git git add -A; echo '{ }' > evil.nix
""",
    "shell": r"""
cp hook.sh "$HOME/hook.sh"; cp stdenv/setup "$HOME/setup"; cp flake.nix "$HOME/flake.nix"
echo 'export EVIL=1; echo evil > evil.txt' >> hook.sh; echo 'export EVIL=2' >> stdenv/setup
nix develop .#tools --command true; nix develop --command true; nix develop .#nothing --command true
sed -i 's/from the tools/from A/; s/from the shell/from A/' flake.nix; nix develop .#tools --command true
cp "$HOME/hook.sh" hook.sh; cp "$HOME/setup" stdenv/setup
nix develop .#tools --command true
cp "$HOME/flake.nix" flake.nix; rm -f evil.txt
nix develop .#tools --command true
find WORLD/pod -name '*.rc' -exec sh -c 'echo evil >> "$1"; ln -sf /tmp/evil "$1"' sh {} \;
find WORLD/pod /tmp -name shells -type d -exec sh -c 'echo evil > "$1"/evil.rc' sh {} \;
""",
    "store, processes and environment": r"""
cp flake.nix "$HOME/flake.nix"
sed -i 's|SOME_VAR = "from the tools";|SOME_VAR = "from the tools"; evil = derivation { inherit system; name = "evil"; builder = "/bin/bash"; args = [ "-c" "for one in ${"$"}{out%/*}/*; do /bin/chmod -R u+w $one; echo export EVIL=1 >> $one; echo export EVIL=1 >> $one/setup; done; echo evil > $out" ]; };|' flake.nix
nix develop .#tools --command true
cp "$HOME/flake.nix" flake.nix
store=$(dirname "$stdenv"); chmod -R u+w "$store"; echo evil > "$store/evil"; for one in "$store"/*; do echo evil >> "$one"; done
ln -s "$store" evil-link; rm -f evil-link
cat > "$HOME/evil.sh" <<'END'
while sleep 0.2; do echo evil > evil.txt; echo evil > /tmp/evil; done
END
setsid nohup bash "$HOME/evil.sh" > /dev/null 2>&1 &
export BASH_ENV="$HOME/evil.sh" ENV="$HOME/evil.sh" PYTHONSTARTUP="$HOME/evil.sh" GIT_DIR=/tmp PATH="$HOME:$PATH"
""",
}
"""What A leaves, by kind; each command may fail. `WORLD` is the folder of everything."""
WITNESS: Final = r"""
mkdir seen
cat > seen/prompt
env -0 | sort -z | tr '\0' '\n' > seen/environment
list() { find "$@" -printf '%M %n %s %p %l\n' 2>&1 | sed -E 's/^(d[^ ]* )[0-9]+ [0-9]+/\1/' | LC_ALL=C sort; }
list "$HOME" > seen/home
list /tmp /var/tmp /dev/shm -path WORLD -prune -o > seen/temporary
list . -path ./seen -prune -o > seen/worktree
find . -path ./seen -prune -o -type f -exec sha256sum {} + | LC_ALL=C sort -k2 > seen/worktree-sums
store=$(dirname "$stdenv")
list "$store" > seen/store
find "$store" -type f -exec sha256sum {} + | LC_ALL=C sort -k2 > seen/store-sums
list WORLD \( -path "$PWD" -o -path "$HOME" -o -path "$store" -o -name objects -o -name refs -o -name logs -o -name packed-refs \
  -o -name FETCH_HEAD -o -name index \) -prune -o > seen/pod
git=$(git rev-parse --git-common-dir)
{ git cat-file --batch-all-objects --batch-check="%(objectname)"; git for-each-ref --format="%(refname)"; } > seen/objects
{ git config --list --show-origin; git status --porcelain --ignored; git ls-files -v -s; git stash list; git worktree list --porcelain | grep -v ^HEAD
  git log -3 --format='%T %s' HEAD; cat "$git"/info/* "$git"/config; ls -la "$git"/hooks | tail -n +2 | cut -c1-10; } > seen/git 2>&1
cut -d' ' -f5 /proc/self/mountinfo | LC_ALL=C sort > seen/mounts
nix develop .#tools --command sh -c 'env -0 | sort -z | tr "\0" "\n"' > seen/tools 2>&1
python3 -c 'import shop; print(shop.total([1, 2]))' > seen/import 2>&1
rm -rf __pycache__
ulimit -a > seen/limits
"""
"""What B does: it looks."""


class Hostile(Struct, frozen=True):
    """What A does and how it stands to B.

    Attributes:
        bash: what its model does in its box.
        verdict: how it ends; `stuck` fails the ticket.
        relation: of `RELATIONS`.
    """

    bash: str
    verdict: str = "done"
    relation: str = "unrelated"


class World:
    """A board, two repositories and one pod."""

    def __init__(self, folder: Path, hostile: Hostile) -> None:
        self.folder = folder
        folder.mkdir()
        self.hostile = hostile
        self.board = embedded_board(folder / "board")
        self.shop = Fleet(self.board, "shop", folder / "shop")
        self.blog = Fleet(self.board, "blog", folder / "blog")
        for fleet in (self.shop, self.blog):
            fleet.remote.push("main", FILES, "The project")
        theirs = self.blog if hostile.relation == "repository" else self.shop
        parent = self.shop.add("Checkout", kind="Epic") if hostile.relation == "epic" else None
        self.a = theirs.add("First", priority="High", parent=parent)
        self.b = self.shop.add("Second", parent=parent, text="Look around.")
        self.branch = f"agent/{parent}-checkout" if parent else f"agent/{self.b}-second"
        self.theirs = theirs
        self.parent = parent
        witness = WITNESS.replace("WORLD", str(folder))
        script = {
            "files": {},
            "per_ticket": {
                str(self.a): {
                    "files": {"a.txt": "by A\n"},
                    "bash": hostile.bash.replace("WORLD", str(folder)),
                    "verdict": hostile.verdict,
                },
                str(self.b): {"bash": witness},
            },
        }
        readable = [str(HERE), sys.prefix, sys.base_prefix, str(folder / "pod" / "script.json")]
        sections: dict[str, Any] = {
            "sandbox": {"kind": "bubblewrap", "readable": readable},
            "nix.settings": private_store(folder / "store"),
        }
        urls = {"shop": self.shop.remote.url, "blog": self.blog.remote.url}
        self.config = write_settings(folder / "pod", self.board, urls, script=script, **sections)

    def a_is_over(self) -> None:
        """A had its turn."""
        if self.hostile.relation != "killed":
            result = self.cycle(1)
            assert result["ticket"] == self.a, result
            return
        pod = self.start(1)
        worktree = self.config.parent / "state/repositories/shop/work" / str(self.a)
        wait_until(lambda: (worktree / "ready-to-be-killed").exists() or pod.poll() is not None)
        assert pod.poll() is None, (self.config.parent / "log").read_text()
        with pod:
            pod.send_signal(signal.SIGKILL)
        self.theirs.change(self.a, status="On hold")

    def look(self) -> dict[str, str]:
        """B's turn, and what came of it: by file of the pushed tree, and its end on the board."""
        results = [self.cycle(2)]
        while results[-1]["ticket"] != self.b and len(results) < TIDYING:
            results.append(self.cycle(2))
        assert results[-1]["ticket"] == self.b, results
        assert results[-1]["end"]["kind"] == "done", results
        names = git(self.shop.remote.path, "ls-tree", "-r", "-z", "--name-only", self.branch).split("\0")
        seen = {name: git(self.shop.remote.path, "show", f"{self.branch}:{name}") for name in names if name}
        run = next(line for line in seen["seen/environment"].splitlines() if line.startswith("AGENT_RUN=")).split("=")[
            1
        ]
        seen["seen/objects"] = self._unpublished(seen["seen/objects"])
        seen["comments"] = "\n".join(self.shop.comments(self.b))
        seen["status"] = self.shop.status(self.b)
        return {name: self._plain(text, run) for name, text in seen.items()}

    def _unpublished(self, seen: str) -> str:
        """What B could read of git and whoever clones the remote could not, by its name: objects and refs."""
        objects = git(self.shop.remote.path, "rev-list", "--objects", "--no-object-names", "--branches")
        refs = git(
            self.shop.remote.path, "for-each-ref", "--format=refs/remotes/origin/%(refname:lstrip=2)", "refs/heads"
        )
        found = seen.splitlines()
        assert set(found) & set(refs.splitlines()), "it looked"
        return "".join(f"{line}\n" for line in found if line not in {*objects.splitlines(), *refs.splitlines()})

    def _plain(self, text: str, run: str) -> str:
        """Without what chance and the clock have put there."""
        text = text.replace(run, "RUN").replace(run[:8], "RUN8")
        text = text.replace(self.board.url, "http://board")
        text = re.sub(r"\b(agent|enter)-(sandbox-)?[a-z0-9_]{8}\b", r"\1-X", text)
        text = re.sub(r"commit `[0-9a-f]{7}`|/commit/[0-9a-f]+", "commit X", text)
        return re.sub(r"[0-9.]+ (ms|s)\b", "N s", text)

    def cycle(self, seed: int) -> dict[str, Any]:
        """One pass of the pod."""
        pod = self.start(seed)
        assert pod.stdout is not None
        try:
            said, _ = pod.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            pod.kill()
            raise
        assert said.strip(), (self.config.parent / "log").read_text()
        result: dict[str, Any] = json.loads(said.splitlines()[-1])
        return result

    def start(self, seed: int) -> subprocess.Popen[str]:
        """A pass that goes on by itself."""
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), **watched()}
        env["PYTHONPATH"] += f":{HERE}:{HERE.parent}"
        argv = [sys.executable, "-m", "support.fixed_pod", str(self.config), str(seed)]
        with (self.config.parent / "log").open("a") as log:
            return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True, env=env, cwd=self.folder)

    def close(self) -> None:
        """Nothing of it goes on, and its folder is gone."""
        self.board.close()
        writable(self.folder)
        subprocess.run(["chmod", "-R", "u+rwX", str(self.folder)], check=False, stderr=subprocess.DEVNULL)
        if os.environ.get("KEEP_WORLDS"):
            self.folder.rename(self.folder.with_name(f"{self.folder.name}-{os.urandom(3).hex()}"))
        shutil.rmtree(self.folder, ignore_errors=True)


def hostile(deed: str, relation: str) -> Hostile:
    """One of the deeds in one of the relations."""
    waits = "\ntouch ready-to-be-killed; sleep 60\n" if relation == "killed" else ""
    return Hostile(DEEDS[deed] + waits, verdict="stuck" if relation == "epic" else "done", relation=relation)


def differences(folder: Path, deed: Hostile) -> dict[str, tuple[str, str]]:
    """What B meets after A and would not meet without; by file, both texts. Empty if nothing of A is left."""
    found: list[dict[str, str]] = []
    for with_a in (False, True):
        world = World(folder / "world", deed)
        try:
            if with_a:
                world.a_is_over()
            else:
                world.theirs.change(world.a, status="On hold")
            found.append(world.look())
        finally:
            world.close()
    without, after = found
    names = sorted({*without, *after})
    return {
        name: (without.get(name, ""), after.get(name, "")) for name in names if without.get(name) != after.get(name)
    }
