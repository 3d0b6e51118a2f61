"""The way into a saved shell: real bash, the real Nix on a miss."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.devshell.enter import DevShell, enter
from agent.devshell.flake import Flake, Saved
from agent.devshell.shells import Shells
from agent.errors import PodTrouble, TicketFailure
from agent.programs.command import Command, environment, verify
from agent.programs.processes import Processes
from agent.programs.runner import Ended, Finished, Job
from agent.texts.evidence import redactor
from support.apart import OneShell, no_flake
from support.git_repo import FLAKE, PROJECT, git
from support.needs import needs
from support.nix_client import Counting, PlainClient, listed, nix_environment, nix_of, settings, writable

PATH = os.environ["PATH"]
needs_nix = needs("nix")


class Inside:
    """A saved script, entered as it is: for what Nix has no part in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runner = Counting()
        self.env = {"PATH": PATH, "HOME": str(folder / "home"), "TMPDIR": str(folder / "home" / "tmp")}
        self.script = folder / "shell.rc"

    async def run(self, hook: str, *argv: str, **more: Any) -> Finished:
        self.script.write_text(f'export FROM_SHELL=1\neval "${{shellHook:-}}"\n{hook}\n')
        job = Job(**{"argv": argv, "cwd": self.folder, "env": self.env, "timeout": 20.0, **more})
        return await enter(self.runner, Saved(self.script, Path("/none")), job, redactor(["hunter2hunter2"]))

    def shell(self) -> DevShell:
        return DevShell(runner=self.runner, shells=OneShell(self.script), flake=no_flake, redact=redactor())

    def litter(self) -> list[str]:
        return [path.name for path in (self.folder / "home" / "tmp").iterdir()]


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


async def test_input_output_and_status_are_the_programs(inside: Inside) -> None:
    done = await inside.run(
        "cat; echo welcome to the shop",  # neither reads the prompt nor speaks for the program
        *("sh", "-c", 'cat; echo "$FROM_SHELL $1 $TMPDIR"; echo complaint >&2; exit 7', "sh", "two  words"),
        stdin=b"prompt\n",
    )
    assert done.stdout.decode() == f"prompt\n1 two  words {inside.env['TMPDIR']}\n"
    assert done.stderr == b"welcome to the shop\ncomplaint\n"
    assert done.returncode == 7
    assert inside.litter() == []
    assert len(inside.runner.started) == 1


HABITS = {
    "set -e": "set -e",
    "set -u": "set -u; set -o pipefail",
    "set -x": "set -x",
    "arguments": "set -- echo no; shift",
    "return": "return 3",
    "descriptors": "exec 3>&1 4>&2 5</dev/null",
    "closed output": "exec >&- 2>/dev/null",
    "traps": "trap 'echo trapped' EXIT DEBUG ERR",
    "IFS": "IFS=/; set -f",
    "functions": "sh() { echo mine; }; cat() { echo mine; }",
    "folder": "cd /",
    "background": "sleep 30 &",
    "failure": "false; no-such-command",
}


@pytest.mark.parametrize("hook", HABITS.values(), ids=HABITS)
async def test_whatever_habits_a_hook_has_the_program_runs_as_it_was_asked_to(inside: Inside, hook: str) -> None:
    done = await inside.run(hook, "sh", "-c", 'cat; printf "<%s>" "$@"; exit 5', "sh", "a  b", "", stdin=b"in ")
    assert (done.stdout, done.returncode) == (b"in <a  b><>", 5)


@pytest.mark.parametrize("hook", HABITS.values(), ids=HABITS)
async def test_whatever_habits_a_hook_has_a_check_runs_as_it_was_asked_to(inside: Inside, hook: str) -> None:
    program = ("sh", "-c", 'cat; printf "<%s>" "$FROM_SHELL" "$@"; exit 5', "sh", "a  b", "")
    done = await inside.run(hook, *program, stdin=b"in ", judges=True)
    assert (done.stdout, done.returncode) == (b"in <1><a  b><>", 5)
    assert inside.litter() == []


ENDS_A_CHECK = {
    "says that it is entered": 'echo entered >> $TMPDIR/enter-*/word; echo entered >&"${word-$__enter_word}"; exit 0',
    "and often": "for one in 1 2 3 4; do echo entered >> $TMPDIR/enter-*/word; done; exit 0",
    "becomes another program": "echo entered >> $TMPDIR/enter-*/word; exec true",
    "ends the bash around it": "echo entered >> $TMPDIR/enter-*/word; kill $$; sleep 1; exit 0",
    "leaves a command in place of variables": "echo entered >> $TMPDIR/enter-*/word; printf 'true\\0A=1\\0' > $__enter_env; exit 0",
    "leaves nothing but a command": "echo entered >> $TMPDIR/enter-*/word; printf 'true\\0--\\0=x\\0' > $__enter_env; exit 0",
    "takes bash's words": "exec() { builtin exit 0; }; mapfile() { exit 0; }; export -f exec mapfile",
    "leaves an end behind": "trap 'exit 0' EXIT; export BASH_ENV=$PWD/none ENV=$PWD/none; set +e",
}


@pytest.mark.parametrize("hook", ENDS_A_CHECK.values(), ids=ENDS_A_CHECK)
async def test_no_end_of_a_hook_is_the_success_of_a_check(inside: Inside, hook: str) -> None:
    """T2: a hook said in bash's place that the shell is entered, ended it with 0, and that was the check's."""
    done = None
    with contextlib.suppress(TicketFailure):
        done = await inside.run(hook, "/bin/sh", "-c", "exit 3", judges=True)
    assert done is None or done.returncode, "the check would have failed"
    assert inside.litter() == []


async def test_a_check_has_what_the_hook_leaves(inside: Inside) -> None:
    hook = "mkdir -p sub; cd sub; export A=$'1\n2'; said() { echo said; }; export -f said; sleep 60 & echo $! > ../pid"
    program = 'pwd; echo "$A"; bash -c said; kill -0 $(cat ../pid) && echo lives; env | grep -c -e __enter -e ^word'
    done = await inside.run(hook, "bash", "-c", program, judges=True)
    assert done.stdout.decode() == f"{inside.folder}/sub\n1\n2\nsaid\nlives\n0\n"


async def test_only_descriptors_of_the_program_are_open_in_it(inside: Inside) -> None:
    plain = await inside.runner.run(Job(argv=("ls", "/proc/self/fd"), cwd=inside.folder, env=inside.env, timeout=10))
    for judges in (False, True):
        assert (await inside.run("", "ls", "/proc/self/fd", judges=judges)).stdout == plain.stdout


@pytest.mark.parametrize(
    ("hook", "code"), [("exit 4", 4), ("exit 0", 0), ("set -e; echo boom >&2; false", 1), ("kill -9 $$", -9)]
)
async def test_a_hook_that_ends_the_shell_is_the_tickets_failure(inside: Inside, hook: str, code: int) -> None:
    with pytest.raises(TicketFailure, match=f"its `shellHook` ended it with exit code {code}$") as caught:
        await inside.run(f"echo hunter2hunter2; echo the last word; {hook}", "true")
    with pytest.raises(TicketFailure, match=f"its `shellHook` ended it with exit code {code or 1}$"):
        await inside.run(hook, "true", judges=True)
    assert "the last word" in caught.value.evidence
    assert "hunter2" not in caught.value.evidence
    assert inside.litter() == []


FORGED = {
    "unreadable": 'echo unreadable >&"$__enter_word"; exit 1',
    "unreadable, alone": 'echo unreadable > "$2"; exit 1',
    "nothing": ': > "$2"; exit 1',
    "nothing, killed": ': > "$2"; kill -9 $$',
    "no line": 'printf "\\n\\n\\n\\n" > "$2"; exit 1',
    "another": "echo x > $2; exit 1",
    "no place for words": 'rm -rf "$TMPDIR"; touch "$TMPDIR"; exit 1',
    "a closed script": ': > "$2"; chmod 0 "$HOME"; exit 1',
}


@pytest.mark.parametrize("judges", [False, True])
@pytest.mark.parametrize("hook", FORGED.values(), ids=FORGED)
async def test_a_hook_that_speaks_for_bash_cannot_make_its_end_the_pods_trouble(
    inside: Inside, hook: str, judges: bool
) -> None:
    with pytest.raises(TicketFailure, match="its `shellHook` ended it with exit code"):
        await inside.run(hook, "true", judges=judges)


async def test_a_hook_that_does_not_end_is_the_tickets_failure(inside: Inside) -> None:
    with pytest.raises(TicketFailure, match=r"not entered in time \(timed out after 0 s in the `shellHook`") as caught:
        await inside.run("echo waiting; sleep 60", "true", timeout=0.5)
    assert caught.value.evidence == "waiting"
    with pytest.raises(TicketFailure, match=r"not entered in time \(idle"):
        await inside.run("sleep 60", "true", idle=0.5)


async def test_a_hook_that_exceeds_what_the_guard_allows_is_the_tickets_failure(inside: Inside) -> None:
    with pytest.raises(TicketFailure, match=r"the `shellHook` of `flake.nix` wrote more than 4 GiB to disk$"):
        await inside.run("sleep 60", "true", guard=lambda _pid: "wrote more than 4 GiB to disk")


async def test_limits_of_the_program_are_the_programs(inside: Inside) -> None:
    done = await inside.run("", "sh", "-c", "echo begun; sleep 60", timeout=1.0)
    assert (done.ended, done.stdout) == (Ended.TIMED_OUT, b"begun\n")
    assert inside.litter() == []


@pytest.mark.parametrize("trick", ["mkfifo", "mkdir", "ln -s /dev/zero", "ln -s /etc/passwd"])
async def test_what_a_hook_puts_in_the_place_of_the_word_is_not_read(inside: Inside, trick: str) -> None:
    hook = f'w=$(echo "$TMPDIR"/enter-*/word); rm "$w"; {trick} "$w"; exit 3'
    with pytest.raises(TicketFailure, match="its `shellHook` ended it with exit code 3"):
        await asyncio.wait_for(inside.run(hook, "true"), 10)
    assert inside.litter() == []


@pytest.mark.parametrize("hook", ["", 'rm -rf "$TMPDIR"/*'])
async def test_temporary_files_may_be_cleared_away(inside: Inside, hook: str) -> None:
    done = await inside.run(hook, "sh", "-c", 'rm -rf "$TMPDIR"/*; ls /proc/self/fd | wc -l; exit 7')
    assert done.returncode == 7
    assert int(done.stdout) <= 4, "the program is handed no descriptor of ours; `ls` opens one"
    assert inside.litter() == []


async def test_a_program_that_stays_out_finds_the_shell_in_a_file(inside: Inside) -> None:
    inside.script.write_text(
        "export A=$'1\\n2' BASH_ENV=x; sleep 60 & printf '=x\\0junk\\0' >&$__enter_out; exec() { builtin exec -a me \"$@\"; }; unset -f exec; cd /\n"
    )
    file = inside.folder / "environment"
    job = Job(
        argv=("sh", "-c", "cat; pwd; env"), cwd=inside.folder, env=inside.env, stdin=b"prompt\n", timeout=20, apart=file
    )
    done = await inside.shell().run(job)
    assert done.stdout.startswith(f"prompt\n{inside.folder}\n".encode())
    assert b"BASH_ENV" not in done.stdout
    found = set(file.read_bytes().split(b"\0"))
    assert not {b"=x", b"junk"} & found
    assert {b"A=1\n2", b"BASH_ENV=x", f"HOME={inside.env['HOME']}".encode()} <= found
    assert inside.litter() == []


async def test_a_hook_that_prints_a_million_variables_is_the_tickets_failure_and_stands_no_loop(inside: Inside) -> None:
    """T1, T10: what it prints into the shell's environment was parted in the loop, up to eight mebibytes of it."""
    for count, taken in ((600_000, True), (1_000_000, False)):
        inside.script.write_text(
            f"head -c {3 * count} /dev/zero | tr '\\0' 'a' | sed 's/aaa/a=\\x00/g' >&$__enter_out\n"
        )
        job = Job(argv=("true",), cwd=inside.folder, env=inside.env, timeout=60, apart=inside.folder / "environment")
        if taken:
            assert (await inside.shell().run(job)).ok
            assert (inside.folder / "environment").read_bytes().count(b"a=\0") == count
        else:
            with pytest.raises(TicketFailure):
                await inside.shell().run(job)


@pytest.mark.parametrize("hook", ["exit 0", "exit 4", "exec true", "exec() { :; }", "exec >&2; exec sh -c 'exit 1'"])
async def test_a_program_that_stays_out_is_not_started_where_the_shell_is_not_entered(
    inside: Inside, hook: str
) -> None:
    inside.script.write_text(hook)
    job = Job(
        argv=("touch", "begun"), cwd=inside.folder, env=inside.env, timeout=20, apart=inside.folder / "environment"
    )
    with pytest.raises(TicketFailure, match="its `shellHook` ended it with exit code"):
        await inside.shell().run(job)
    assert not (inside.folder / "begun").exists()


@pytest.mark.parametrize("program", ["no-such-model", "./no-such-model", "cd", "/etc/passwd"])
async def test_a_program_that_is_nowhere_is_pod_trouble(inside: Inside, program: str) -> None:
    with pytest.raises(
        PodTrouble, match=f"`{program}` is neither in the repository's development shell nor on this host: add it"
    ):
        await inside.run("trap 'echo bye' EXIT", program)


class Boxed(Counting):
    """In a sandbox that does not show one folder of the host."""

    def __init__(self, hidden: Path) -> None:
        super().__init__()
        self.hidden = hidden

    async def run(self, job: Job) -> Finished:
        box = ("bwrap", "--dev-bind", "/", "/", "--tmpfs", str(self.hidden), "--")
        return await super().run(replace(job, argv=(*box, *job.argv)))


@needs("bwrap")
@pytest.mark.parametrize("name", ["{}/model", "model"])
async def test_a_program_that_the_sandbox_does_not_show_is_told_with_the_setting_that_shows_it(
    inside: Inside, tmp_path: Path, name: str
) -> None:
    """It was "its `shellHook` ended it", a Spike for each ticket, and people looked at a hook that there was not."""
    opt = tmp_path / "opt"
    opt.mkdir()
    shutil.copy("/bin/true", opt / "model")
    inside.env["PATH"] = f"{PATH}:{opt}"
    inside.runner = Boxed(opt)
    with pytest.raises((PodTrouble, TicketFailure), match=r"does not show.*`sandbox\.readable`") as caught:
        await inside.run("", name.format(opt))
    assert caught.type is (PodTrouble if "/" in name else TicketFailure)


@pytest.mark.parametrize("hook", ["PATH=/none", "enable -n type", "echo missing >> $TMPDIR/enter-*/word; exit 127"])
async def test_a_hook_that_hides_a_program_of_the_host_is_the_tickets_failure(inside: Inside, hook: str) -> None:
    with pytest.raises(TicketFailure, match="its `shellHook` ended it with exit code 127"):
        await inside.run(hook, "ls")


async def test_what_the_program_says_as_if_it_were_bash_is_not_heard(inside: Inside) -> None:
    done = await inside.run("", "sh", "-c", "echo missing >> $TMPDIR/enter-*/word; exit 127")
    assert done.returncode == 127


async def test_an_exit_code_of_the_program_is_never_one_of_the_shell(inside: Inside) -> None:
    for code in (1, 2, 126, 127):
        assert (await inside.run("", "sh", "-c", f"exit {code}")).returncode == code


async def test_a_host_without_bash_is_told_what_to_install(inside: Inside, tmp_path: Path) -> None:
    inside.env["PATH"] = str(tmp_path)
    with pytest.raises(PodTrouble, match=r"`bash`.* is missing: install the package bash$"):
        await inside.run("", "true")


async def test_a_script_that_is_not_there_inside_is_pod_trouble(inside: Inside) -> None:
    saved = Saved(inside.folder / "not-bound.rc", Path("/none"))
    job = Job(argv=("true",), cwd=inside.folder, env=inside.env, timeout=10)
    with pytest.raises(PodTrouble, match=r"not-bound\.rc cannot be read in the sandbox"):
        await enter(inside.runner, saved, job, redactor())


async def test_a_sandbox_that_does_not_start_bash_is_pod_trouble(inside: Inside) -> None:
    class Broken(Processes):
        async def run(self, job: Job) -> Finished:
            return await super().run(replace(job, argv=("sh", "-c", "echo bwrap: no permission >&2; exit 1")))

    inside.script.touch()
    job = Job(argv=("true",), cwd=inside.folder, env=inside.env, timeout=10)
    with pytest.raises(PodTrouble, match=r"bash could not begin to enter the development shell: bwrap: no permission$"):
        await enter(Broken(), Saved(inside.script, Path("/none")), job, redactor())


async def test_a_place_for_files_that_cannot_be_written_is_pod_trouble(inside: Inside) -> None:
    (inside.folder / "home").write_text("a file")
    with pytest.raises(PodTrouble, match="no file can be made in "):
        await inside.run("", "true")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nix")
    yield folder
    writable(folder)


class Bench:
    """A dev shell over a checkout."""

    def __init__(self, folder: Path, store: Path, runner: Processes | None = None) -> None:
        self.checkout = folder / "checkout"
        for name, content in PROJECT.items():
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / name).write_text(content)
        git(self.checkout, "init", "--quiet", "-b", "main")
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "-m", "First commit")
        self.home = folder / "home"
        self.outside = Counting()
        self.inner = Counting()
        self.lister = runner or Processes()
        self.options = settings(store)
        (folder / "nix").mkdir()
        env = nix_environment(self.options, folder / "nix")
        self.client = PlainClient(runner or self.outside, env)
        self.shells = Shells(
            self.client,
            folder / "shells",
            nix=nix_of(runner or self.outside, folder / "nix", env),
            options=self.options,
        )
        self.shell = DevShell(runner=runner or self.inner, shells=self.shells, flake=self.listing, redact=redactor())

    async def listing(self) -> Flake:
        return await listed(self.checkout, runner=self.lister)

    async def run(self, *argv: str, env: Mapping[str, str] | None = None, **more: Any) -> Finished:
        whole = env or environment(path=PATH, home=self.home, run="r")
        return await self.shell.run(Job(argv=argv, cwd=self.checkout, env=whole, **more))

    def flake(self, old: str, new: str) -> None:
        assert old in FLAKE
        (self.checkout / "flake.nix").write_text(FLAKE.replace(old, new))


@pytest.fixture
def bench(tmp_path: Path, store: Path) -> Bench:
    return Bench(tmp_path, store)


@needs_nix
@pytest.mark.nix
async def test_a_miss_and_a_hit_are_the_same_to_the_program_and_a_hit_runs_no_nix(bench: Bench) -> None:
    command = (
        "sh",
        "-c",
        'cat; echo "$SOME_VAR, $HOOKED, $1, $TMPDIR, ${NIX_BUILD_TOP-unset}, ${out-unset}"; pwd; exit 7',
    )
    miss = await bench.run(*command, "sh", "two words", stdin=b"prompt\n")
    assert miss.stdout.decode() == (
        f"prompt\nfrom the shell, 1, two words, {bench.home}/tmp, unset, unset\n{bench.checkout}\n"
    )
    bench.outside.started.clear()
    hit = await bench.run(*command, "sh", "two words", stdin=b"prompt\n")
    assert (hit.stdout, hit.stderr, hit.returncode) == (miss.stdout, b"", 7)
    assert bench.outside.started == []
    assert [Path(argv[0]).name for argv in bench.inner.started] == ["bash", "bash"]
    assert list((bench.home / "tmp").iterdir()) == []


@needs_nix
@pytest.mark.nix
async def test_the_hook_runs_at_every_entry_inside_and_never_where_nix_runs(bench: Bench) -> None:
    bench.flake("export HOOKED=1", f"echo hooked >> {bench.checkout}/hooks.txt")
    for count in (1, 2, 3):
        assert (await bench.run("true")).ok
        assert (bench.checkout / "hooks.txt").read_text() == "hooked\n" * count


@needs_nix
@pytest.mark.nix
async def test_the_time_of_a_miss_is_time_of_the_job(bench: Bench) -> None:
    bench.flake(
        "SOME_VAR =",
        "LOOP = builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: builtins.foldl' (a: b: a + b) x (builtins.genList (y: y) 30000)) 30000); SOME_VAR =",
    )
    with pytest.raises(TicketFailure):
        await bench.run("true", timeout=1.0)
    assert list((bench.shells._entries.folder).iterdir()) == []


@needs_nix
@pytest.mark.nix
async def test_the_checkout_stays_as_it_is(bench: Bench) -> None:
    await bench.run("true")
    assert git(bench.checkout, "status", "--porcelain") == ""


@needs_nix
@pytest.mark.nix
async def test_a_program_sees_the_shell_and_its_own_environment_and_nothing_of_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AGENT_BOARD_TOKEN", "AGENT_CONFIG", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK", "CREDENTIALS_DIRECTORY"):
        monkeypatch.setenv(name, "hunter2hunter2")
    run = str(uuid.uuid4())
    done = await bench.run("env", env=environment(path=PATH, home=bench.home, run=run))
    seen = dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)
    assert "hunter2" not in done.stdout.decode()
    assert (seen["AGENT_RUN"], seen["HOME"], seen["TMPDIR"]) == (run, str(bench.home), f"{bench.home}/tmp")
    assert seen["PATH"].endswith(f":{PATH}")
    assert not [
        name
        for name in seen
        if name.startswith(("AGENT_", "GIT_", "SSH_", "XDG_CACHE", "NIX_CONFIG", "__enter")) and name != "AGENT_RUN"
    ]


@needs_nix
@pytest.mark.nix
async def test_a_model_and_the_checks_run_in_the_shell(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "model"
    program.write_text(
        '#!/bin/sh\ncat > prompt.txt; [ "$HOOKED" = 1 ] || exit 9\n'
        'echo \'{"type":"result","subtype":"success","is_error":false,"structured_output":{"verdict":"done"}}\'\n'
    )
    program.chmod(0o755)
    model = Command(runner=bench.shell, argv=[str(program)], path=PATH, home=bench.home, redact=redactor())
    result = await model.run("Do it.", cwd=bench.checkout, run=str(uuid.uuid4()), timeout=60)
    assert result.verdict == "done"
    assert (bench.checkout / "prompt.txt").read_text() == "Do it."
    env = environment(path=PATH, home=bench.home, run="r")

    async def check() -> None:
        commands = ["python3 -m unittest -q", 'test "$HOOKED" = 1']
        await verify(commands, runner=bench.shell, cwd=bench.checkout, env=env, timeout=60, redact=redactor())

    await check()
    (bench.checkout / "shop.py").write_text("def total(prices):\n    return 0\n")
    with pytest.raises(TicketFailure, match=r"^test suite failed with exit code 1$") as caught:
        await check()
    assert "AssertionError: 0 != 3" in caught.value.evidence
    assert bench.client.evaluations == 1


class AsNobody(Processes):
    """Everything as an ordinary user without access to Nix's store or daemon."""

    async def run(self, job: Job) -> Finished:
        if (folder := Path(job.env.get("TMPDIR", "/none"))).exists():  # made by the pod, which is that user in earnest
            for path in (folder, *folder.glob("enter-*"), *folder.glob("enter-*/word")):  # noqa: ASYNC240
                os.chown(path, 65534, 65534)
        argv = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *job.argv)
        return await super().run(replace(job, argv=argv))


@pytest.fixture
def nobodys() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="agent-nix-"))  # pytest's own folders are closed to others
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_nix
@pytest.mark.nix
@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv to become an ordinary user"
)
async def test_an_ordinary_user_without_a_daemon_enters_by_a_store_of_its_own(nobodys: Path) -> None:
    bench = Bench(nobodys, nobodys / "store", AsNobody(grace=0.3))
    for path in (*nobodys.rglob("*"), nobodys):  # noqa: ASYNC240
        os.chown(path, 65534, 65534, follow_symlinks=False)
    (nobodys / "shells").mkdir()
    os.chown(nobodys / "shells", 65534, 65534)
    for _ in range(2):
        done = await bench.run("sh", "-c", 'echo "$SOME_VAR, $HOOKED"; id -u')
        assert done.stdout == b"from the shell, 1\n65534\n"
    assert bench.client.evaluations == 1
