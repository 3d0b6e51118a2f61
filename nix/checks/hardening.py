# ruff: noqa: F821, INP001, S101, S108 - a script of the NixOS test driver, whose names are globals
# The sandbox under the real unit, and the unit itself: what an attacker tries in them fails, though each attempt works outside.

EXPOSURE = 3.5
UNIT = "agent-pod-a.service"
STATE = "/var/lib/agent/pod-a"

with subtest("systemd's own judgement"):
    table = pod_a.succeed(f"systemd-analyze security --no-pager {UNIT}")
    exposure = float(table.split(f"Overall exposure level for {UNIT}: ")[1].split()[0])
    print(f"systemd-analyze security {UNIT}: {exposure}")
    assert exposure <= EXPOSURE, table


def connect(host: str, port: int) -> str:
    return f"bash -c 'exec 3<>/dev/tcp/{host}/{port}'"


# Name: what the model tries in the sandbox, and the same as root on the host, where it works. Both exit with 0 on success.
IN_THE_SANDBOX = {
    "read the token": ("cat /run/secrets/board-token", "cat /run/secrets/board-token"),
    "read the credential": (f"cat /run/credentials/{UNIT}/board-token", f"cat {STATE}/credential"),
    "read the shadow file": ("cat /etc/shadow", "cat /etc/shadow"),
    "look into the pod's state": (f"ls {STATE}/state.json {STATE}/lock {STATE}/nix", f"ls {STATE}/nix"),
    "see processes of the host": ("ls -d /proc/[0-9]*/ | grep -c . | grep -qE '[0-9]{2}'", "test -d /proc/1"),
    "reach the board": (connect("board", 8080), connect("board", 8080)),
    "reach itself": (connect("127.0.0.1", 22022), "true"),
    "reach Nix's daemon": ("test -S /nix/var/nix/daemon-socket/socket", "test -S /nix/var/nix/daemon-socket/socket"),
    "talk to systemd": ("test -e /run/systemd/private", "test -e /run/systemd/private"),
    "write to the system": ("touch /attacked /usr/attacked /etc/attacked", "touch /etc/attacked && rm /etc/attacked"),
    "write to the store": ("touch /nix/store/attacked", "touch /nix/store/attacked && rm /nix/store/attacked"),
    "mount something": ("mount -t tmpfs tmpfs /mnt", "mkdir -p /run/m && mount -t tmpfs t /run/m && umount /run/m"),
    "make a user namespace": ("unshare --user --map-root-user true", "unshare --user --map-root-user true"),
    "change the host's name": ("hostname attacked", "hostname $(hostname)"),
    "tune the kernel": ("echo 60 > /proc/sys/vm/swappiness", "test -e /proc/sys/vm/swappiness"),
}

with subtest("attacks from the sandbox"):
    ticket = add(
        "Try to get out", files={"work/attacks": "by {run}"}, shell={name: pair[0] for name, pair in IN_THE_SANDBOX.items()}
    )
    once("pod-a")
    assert done(ticket), comments(ticket)
    pod_a.succeed(f"cp /run/secrets/board-token {STATE}/credential")
    results = json.loads(content(ticket, "shell.json"))
    assert set(results) == set(IN_THE_SANDBOX)
    for name, (_, control) in IN_THE_SANDBOX.items():
        assert results[name]["status"] != 0, f"{name}: {results[name]}"
        pod_a.succeed(control)
    pod_a.succeed(f"rm {STATE}/credential")
    assert tokens["agent"] not in json.dumps(results)

# The same for a pod that was taken over: what its own process could do, without the sandbox.
IN_THE_UNIT = {
    "read the source of the credential": ("cat /run/secrets/board-token", "cat /run/secrets/board-token"),
    "read the shadow file": ("cat /etc/shadow", "cat /etc/shadow"),
    "see processes of others": ("test -e /proc/1/stat", "test -e /proc/1/stat"),
    "look into homes": ("ls /root /home/*", "ls /root"),
    "write to the system": ("touch /usr/a || touch /etc/a || touch /var/a", "touch /etc/a && rm /etc/a"),
    "become root": ("setpriv --reuid=0 true || su -c true", "setpriv --reuid=0 true"),
    "mount something": ("mount -t tmpfs tmpfs /mnt", "mkdir -p /run/m && mount -t tmpfs t /run/m && umount /run/m"),
    "set the clock": ("date -s now", "true"),
    "load a module": ("test -r /lib/modules -a -w /proc/sys/kernel/modprobe", "test -e /proc/sys/kernel/modprobe"),
    "use a device": ("test -e /dev/kmsg -o -e /dev/sda -o -e /dev/vda", "true"),
    "open a raw socket": ("ping -c 1 -W 1 board", "true"),
    "change the host's name": ("hostname attacked", "hostname $(hostname)"),
}

with subtest("attacks from the unit's own process"):
    script = "".join(
        f"if ( {attack} ) > /dev/null 2>&1; then echo 'GOT {name}'; else echo 'FAILED {name}'; fi\n"
        for name, (attack, _) in IN_THE_UNIT.items()
    )
    path = pod_a.get_unit_property(UNIT, "FragmentPath")
    pod_a.succeed(
        f"printf %s {shlex.quote(script)} > /var/lib/attack.sh && chmod 0755 /var/lib/attack.sh",
        f"sed 's|^ExecStart=.*|ExecStart=/bin/sh /var/lib/attack.sh|' {path} > /run/systemd/system/agent-attack.service",
        "systemctl daemon-reload && systemctl start agent-attack.service",
    )
    told = pod_a.succeed("journalctl -o cat -u agent-attack.service")
    for name, (_, control) in IN_THE_UNIT.items():
        assert f"FAILED {name}" in told, told
        pod_a.succeed(control)
    pod_a.succeed("rm /run/systemd/system/agent-attack.service /var/lib/attack.sh && systemctl daemon-reload")
    print(f"attacks: {len(IN_THE_SANDBOX)} from the sandbox, {len(IN_THE_UNIT)} from the unit, 0 successes")
