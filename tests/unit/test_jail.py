"""The pure parts of the sandbox: the command line, the filter of system calls, the limits, and what is said of a failure."""

import errno
import struct
from pathlib import Path

import pytest

from agent.programs.runner import Finished
from agent.sandbox.bubblewrap import arguments, command
from agent.sandbox.host import Host, this_host
from agent.sandbox.jail import RESERVE, Jail, Limits
from agent.sandbox.seccomp import FAMILIES, MACHINES, program
from agent.sandbox.trouble import Facts, advice, facts, trouble

STATE = Path("/state")
HOST = Host(folders=(Path("/usr"), Path("/etc/passwd")), links=((Path("/bin"), "usr/bin"),))
JAIL = Jail(
    writable=(STATE / "work/mine", STATE / "home"),
    readable=(STATE / "published",),
    instead=((STATE / "seen/mine", STATE / "mirror.git"),),
    nested=(STATE / "work/mine/.git", STATE / "mirror.git/worktrees/mine"),
    tmp=STATE / "home/tmp",
)


def options(jail: Jail = JAIL, host: Host = HOST) -> list[str]:
    return arguments(jail, host=host, cwd=STATE / "work/mine")


def mount(path: str, jail: Jail = JAIL, host: Host = HOST) -> tuple[int, list[str]]:
    """Where a path is mounted in the order, and how."""
    words = options(jail, host)
    kinds = {
        "--bind": 2,
        "--ro-bind": 2,
        "--ro-bind-try": 2,
        "--symlink": 2,
        "--tmpfs": 1,
        "--proc": 1,
        "--dev": 1,
        "--dir": 1,
    }
    for place, word in enumerate(words):
        if word in kinds and words[place + kinds[word]] == path:
            return place, words[place : place + kinds[word] + 1]
    raise AssertionError(f"{path} is not mounted")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/state/work/mine", ["--bind", "/state/work/mine", "/state/work/mine"]),
        ("/state/home", ["--bind", "/state/home", "/state/home"]),
        ("/state/home/tmp", ["--bind", "/state/home/tmp", "/state/home/tmp"]),
        ("/tmp", ["--bind", "/state/home/tmp", "/tmp"]),
        ("/var/tmp", ["--bind", "/state/home/tmp", "/var/tmp"]),
        ("/state/published", ["--ro-bind", "/state/published", "/state/published"]),
        ("/state/mirror.git", ["--ro-bind", "/state/seen/mine", "/state/mirror.git"]),
        ("/state/work/mine/.git", ["--ro-bind", "/state/work/mine/.git", "/state/work/mine/.git"]),
        ("/usr", ["--ro-bind", "/usr", "/usr"]),
        ("/bin", ["--symlink", "usr/bin", "/bin"]),
        ("/proc", ["--proc", "/proc"]),
        ("/proc/sys", ["--ro-bind-try", "/proc/sys", "/proc/sys"]),
        ("/dev", ["--dev", "/dev"]),
        ("/dev/shm", ["--tmpfs", "/dev/shm"]),
        ("/run", ["--dir", "/run"]),
    ],
)
def test_each_path_is_mounted_as_it_should_be(path: str, expected: list[str]) -> None:
    assert mount(path)[1] == expected


def test_parents_are_mounted_before_what_lies_below_them() -> None:
    chain = ["/state/mirror.git", "/state/mirror.git/worktrees/mine"]
    assert [mount(path)[0] for path in chain] == sorted(mount(path)[0] for path in chain)
    assert mount("/state/work/mine")[0] < mount("/state/work/mine/.git")[0]
    below = Jail(writable=(Path("/tmp/pytest/work"),), tmp=Path("/tmp/pytest/tmp"))
    assert mount("/tmp", below)[0] < mount("/tmp/pytest/work", below)[0]


def test_a_folder_can_lie_elsewhere_inside_and_counts_where_it_is() -> None:
    jail = Jail(writable=(STATE,), elsewhere=((Path("/pod/store"), Path("/nix/store")),), tmp=Path("/scratch"))
    assert mount("/nix/store", jail)[1] == ["--bind", "/pod/store", "/nix/store"]
    assert Path("/pod/store") in jail.measured


def test_only_what_is_said_to_fetch_has_the_network() -> None:
    assert "--unshare-net" not in options(Jail(writable=(STATE,), tmp=Path("/scratch"), network=True))


def test_what_is_more_particular_wins() -> None:
    jail = Jail(writable=(STATE,), readable=(STATE,), tmp=Path("/scratch"))
    assert mount("/state", jail)[1][0] == "--bind"
    jail = Jail(writable=(STATE,), nested=(STATE,), tmp=Path("/scratch"))
    assert mount("/state", jail)[1][0] == "--ro-bind"


@pytest.mark.parametrize(
    "option",
    [
        *("--unshare-user", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
        *("--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "--seccomp"),
    ],
)
def test_no_wall_is_optional(option: str) -> None:
    assert option in options()
    assert not [word for word in options() if word.endswith("-try") and word.startswith("--unshare")]


@pytest.mark.parametrize("path", ["/", "/dev"])
def test_what_lies_in_memory_ends_read_only(path: str) -> None:
    words = options()
    place = max(place for place, word in enumerate(words) if word == "--remount-ro" and words[place + 1] == path)
    assert place > max(place for place, word in enumerate(words) if word in {"--bind", "--ro-bind", "--tmpfs"})


def test_shared_memory_is_bounded() -> None:
    words = options()
    place = words.index("--tmpfs")
    assert words[place - 4 : place + 2] == ["--perms", "1777", "--size", str(256 << 20), "--tmpfs", "/dev/shm"]


def test_variables_that_shells_make_up_are_taken_away_unless_they_were_given() -> None:
    def strange(*names: str) -> str:
        words = command(
            ("true",),
            bwrap="/usr/bin/bwrap",
            place=Path("/place"),
            cwd=STATE,
            names=frozenset(names),
            jail=JAIL,
            limits=Limits(disk=1 << 30, processes=100),
            host=HOST,
        )
        assert words[-6:-2] == (words[-6], "sandbox", str((1 << 30) // 512), "800")
        assert words[-1] == "true"
        return words[-2]

    assert strange("PATH") == "OLDPWD PWD SHLVL"
    assert strange("PATH", "PWD") == "OLDPWD SHLVL"


@pytest.mark.parametrize(
    ("used", "text"),
    [
        ({"disk": 2 << 30}, ""),
        ({"disk": (2 << 30) + 1}, "wrote more than 2 GiB to disk"),
        ({"processes": 512}, ""),
        ({"processes": 513}, "ran more than 512 processes at once"),
        ({"disk": 3 << 30, "processes": 600}, "ran more than 512 processes at once"),
    ],
)
def test_a_limit_is_said_in_words(used: dict[str, int], text: str) -> None:
    assert Limits(disk=2 << 30, processes=512).judge(**used) == text


def test_no_run_is_given_the_room_that_the_pod_and_git_need() -> None:
    """T6: a run within its limit of 8 GiB filled a smaller disk, and the pod could not even write that it had failed."""
    limits = Limits(disk=8 << 30, processes=512)
    assert limits.within(17 << 30) == limits
    scarce = limits.within(RESERVE + (600 << 20))
    assert (scarce.disk, scarce.processes) == (300 << 20, 512)
    assert (
        scarce.judge(disk=(300 << 20) + 1) == "wrote more than 300 MiB to disk, and the pod's disk has no room for more"
    )
    assert limits.within(0).disk == 0


@pytest.mark.parametrize(
    ("disk", "text"), [(1536 << 20, "1536 MiB"), (10 << 10, "10 KiB"), (1001, "1001 bytes"), (0, "0 bytes")]
)
def test_a_size_is_said_exactly(disk: int, text: str) -> None:
    assert Limits(disk=disk, processes=1).judge(disk=disk + 1) == f"wrote more than {text} to disk"


def test_folders_are_measured_once() -> None:
    assert JAIL.measured == (STATE / "home", STATE / "work/mine")


def verdict(code: bytes, call: bytes) -> int:
    """What the kernel would say: the few instructions that the filter uses."""
    place, value = 0, 0
    while True:
        op, yes, no, operand = struct.unpack_from("<HBBI", code, 8 * place)
        place += 1
        if op == 0x20:
            (value,) = struct.unpack_from("<I", call, operand)
        elif op in (0x15, 0x35):
            place += yes if (value == operand if op == 0x15 else value >= operand) else no
        else:
            return int(operand)


def call(number: int, first: int = 0, second: int = 0, *, audit: int = 0xC000003E) -> bytes:
    return struct.pack("<IIQQQQQQQ", number, audit, 0, first, second, 0, 0, 0, 0)


ALLOWED = 0x7FFF0000
X86 = program(MACHINES["x86_64"])


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        (call(0), ALLOWED),
        (call(41, 1), ALLOWED),
        (call(41, 2), ALLOWED),
        (call(41, 10), ALLOWED),
        (call(41, 16), ALLOWED),
        (call(41, 40), errno.EAFNOSUPPORT),
        (call(41, (1 << 32) + 40), errno.EAFNOSUPPORT),
        (call(250), errno.ENOSYS),
        (call(425), errno.ENOSYS),
        (call(16, 0, 0x5401), ALLOWED),
        (call(16, 0, 0x5412), errno.EPERM),
        (call(16, 0, (1 << 32) + 0x5412), errno.EPERM),
        (call(0x40000000 + 41, 40), errno.ENOSYS),
        (call(102, audit=0x40000003), errno.ENOSYS),
    ],
)
def test_the_filter_judges_a_call(called: bytes, expected: int) -> None:
    assert verdict(X86, called) == (expected if expected == ALLOWED else 0x50000 | expected)


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_has_its_filter(name: str) -> None:
    machine = MACHINES[name]
    code = program(machine)
    for family in FAMILIES.values():
        assert verdict(code, call(machine.socket, family, audit=machine.audit)) == ALLOWED
    for number in machine.refused:
        assert verdict(code, call(number, audit=machine.audit)) == 0x50000 | errno.ENOSYS


def test_a_merged_usr_keeps_its_symlinks(tmp_path: Path) -> None:
    for name in ("usr/bin", "etc/ssl/certs", "etc/ssl/private"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    for name in ("passwd", "shadow", "gshadow", "npmrc", "netrc"):
        (tmp_path / "etc" / name).touch()
    host = this_host(tmp_path)
    assert host.links == ((tmp_path / "bin", "usr/bin"),)
    assert host.folders == (tmp_path / "usr", tmp_path / "etc/passwd", tmp_path / "etc/ssl/certs"), "and nothing secret"


def test_nixos_keeps_its_symlinks_into_the_store(tmp_path: Path) -> None:
    store = tmp_path / "nix/store"
    for name in ("bash/bin", "etc/etc/profiles", "system/sw/bin"):
        (store / name).mkdir(parents=True)
    (store / "bash/bin/sh").touch()
    (store / "etc/etc/hosts").touch()
    for name in ("bin", "usr/bin", "etc", "run"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin/sh").symlink_to(store / "bash/bin/sh")
    (tmp_path / "run/current-system").symlink_to(store / "system")
    (tmp_path / "etc/static").symlink_to(store / "etc/etc")
    (tmp_path / "etc/hosts").symlink_to(tmp_path / "etc/static/hosts")
    host = this_host(tmp_path)
    links = dict(host.links)
    assert links == {
        tmp_path / "run/current-system": str(store / "system"),
        tmp_path / "etc/static": str(store / "etc/etc"),
    }
    assert set(host.folders) == {tmp_path / "usr", tmp_path / "bin", tmp_path / "etc/hosts", store}


@pytest.mark.parametrize(
    ("said", "seen", "expected"),
    [
        (
            "Creating new namespace failed: Operation not permitted",
            Facts(clone="0"),
            "kernel.unprivileged_userns_clone=1",
        ),
        ("No permissions to create new namespace", Facts(most="0"), "user.max_user_namespaces=10000"),
        (
            "setting up uid map: Permission denied",
            Facts(apparmor="1"),
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("loopback: Failed RTM_NEWADDR: Operation not permitted", Facts(apparmor="1"), "profile with `userns,`"),
        ("No permissions to create a new namespace", Facts(filtered=True), "seccomp=unconfined"),
        ("No permissions to create a new namespace", Facts(), "look at the kernel's settings"),
        ("Can't mount proc on /proc: Operation not permitted", Facts(), "ProtectKernelTunables"),
        ("loopback: Failed to create NETLINK_ROUTE socket", Facts(), "allow AF_NETLINK"),
        ("Unknown option --disable-userns", Facts(), "bubblewrap 0.8"),
        ("Can't find source path /gone: No such file or directory", Facts(clone="0"), "mend what it says"),
        ("Can't mkdir /x: Permission denied", Facts(apparmor="1"), "mend what it says"),
    ],
)
def test_the_advice_fits_the_refusal(said: str, seen: Facts, expected: str) -> None:
    assert expected in advice(said, seen)


def test_a_failure_is_one_sentence() -> None:
    done = Finished(1, stderr=b"bwrap: first\nbwrap: Can't find source path /gone: No such file or directory\n")
    assert str(trouble(done, Facts())) == (
        "bubblewrap cannot make a sandbox on this host (Can't find source path /gone: No such file or directory): mend what it says"
    )
    assert "ended with status -9 and without a word" in str(trouble(Finished(-9), Facts()))


def test_the_switches_of_a_host_are_read(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/unprivileged_userns_clone").write_text("0\n")
    (tmp_path / "status").write_text("Name:\tx\nSeccomp:\t2\n")
    assert facts(tmp_path, tmp_path / "status") == Facts(clone="0", filtered=True)
    assert facts(tmp_path / "nowhere", tmp_path / "nothing") == Facts()
