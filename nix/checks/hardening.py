# ruff: noqa: D100, D103, F821, INP001, S101, T201 - a script of the NixOS test driver, whose names are globals
# The sandbox under the real unit, and the unit itself: what an attacker tries in them fails, though each attempt works outside.

EXPOSURE = 3.5
UNIT = "agent-pod-a.service"
STATE = "/var/lib/agent/pod-a"
TOOLS = "PATH=/run/current-system/sw/bin:$PATH; "

with subtest("systemd knows every directive"):
    told = pod_a.succeed(f"systemd-analyze verify --man=no {UNIT} agent-pod-a.timer agent-cache-push.service 2>&1")
    assert "Unknown" not in told, told

with subtest("systemd's own judgement"):
    for machine, unit in ((pod_a, UNIT), (pod_a, "agent-cache-push.service"), (board, "agent-board.service")):
        table = machine.succeed(f"systemd-analyze security --no-pager {unit}")
        exposure = float(table.split(f"Overall exposure level for {unit}: ")[1].split()[0])
        print(f"systemd-analyze security {unit}: {exposure}")
        assert exposure <= EXPOSURE, table


def connect(host: str, port: int) -> str:
    return f"timeout 5 bash -c 'exec 3<>/dev/tcp/{host}/{port}'"


# What the model tries; the very same works for root on the host at the same time, or what stands beside it.
IN_THE_SANDBOX = {
    "read the token": "cat /run/secrets/board-token",
    "read the credential": f"cat /run/credentials/{UNIT}/board-token",
    "read the shadow file": "cat /etc/shadow",
    "look into the pod's state": f"ls {STATE}/nix",
    "see processes of the host": "test $(ls -d /proc/[0-9]*/ | wc -l) -gt 9",
    "reach the board": connect("board", 8080),
    "reach the cache": connect("cache", 5000),
    "reach Nix's daemon": "test -S /nix/var/nix/daemon-socket/socket",
    "talk to systemd": "test -e /run/systemd/private",
    "write to /etc": "touch /etc/attacked && rm /etc/attacked",
    "write beside the root": "touch /attacked && rm /attacked",
    "write to Nix's state": "touch /nix/var/nix/attacked && rm /nix/var/nix/attacked",
    "mount something": "mkdir -p /tmp/m && mount -t tmpfs tmpfs /tmp/m && umount /tmp/m",
    "make a user namespace": "unshare --user --map-root-user true",
    "rename the host": "hostname $(cat /proc/sys/kernel/hostname)",
    "tune the kernel": "test -w /proc/sys/vm/swappiness",
}
# The same for a pod that was taken over: what its own process could do, without the sandbox.
IN_THE_UNIT = {
    "read the source of the credential": "cat /run/secrets/board-token",
    "read the shadow file": "cat /etc/shadow",
    "see the processes of others": "test -e /proc/1/stat",
    "look into homes": "ls /home/open/seen",
    "look into the temporary files of others": "ls /tmp/open/seen",
    "write where all may write": "touch /var/open/attacked && rm /var/open/attacked",
    "write to /etc": "touch /etc/attacked && rm /etc/attacked",
    "become root": "setpriv --reuid=0 true",
    "mount something": "mkdir -p /tmp/m && mount -t tmpfs tmpfs /tmp/m && umount /tmp/m",
    "take another personality": "setarch --addr-no-randomize true",
    "go before everything else": "chrt --fifo 1 true",
    "rename the host": "hostname $(cat /proc/sys/kernel/hostname)",
}

with subtest("attacks from the sandbox"):
    attacks = {name: TOOLS + attack for name, attack in IN_THE_SANDBOX.items()}
    ticket = add("Try to get out", files={"work/attacks": "by {run}"}, shell=attacks, gate=True)
    pod_a.succeed(f"systemctl start --no-block {UNIT}")
    pod_a.wait_for_file(f"{gate('pod-a', ticket)}/waiting", timeout=PATIENCE)
    for attack in IN_THE_SANDBOX.values():
        pod_a.succeed(attack)

with subtest("the pod itself has no privilege"):
    pid = pod_a.get_unit_property(UNIT, "MainPID")
    facts = dict(line.split(":", 1) for line in pod_a.succeed(f"cat /proc/{pid}/status").splitlines())
    assert facts["NoNewPrivs"].strip() == "1"
    assert facts["Seccomp"].strip() == "2"
    assert {facts[one].strip().strip("0") for one in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert facts["Uid"].split()[0] == pod_a.succeed("id -u agent").strip()

with subtest("no attack got anything"):
    let_go("pod-a", ticket)
    eventually(lambda: done(ticket), "the ticket was not done")
    results = json.loads(content(ticket, "shell.json"))
    assert set(results) == set(IN_THE_SANDBOX)
    got = {name: one for name, one in results.items() if one["status"] == 0}
    assert not got, got
    assert not any("not found" in one["said"] for one in results.values()), results
    assert tokens["agent"] not in json.dumps(results)
    wait_for_rest("pod-a")

with subtest("attacks from the unit's own process"):
    script = TOOLS + "".join(
        f"\nif ( {attack} ) 2>&1; then echo '<got {name}>'; else echo '<failed {name}>'; fi"
        for name, attack in IN_THE_UNIT.items()
    )
    path = pod_a.get_unit_property(UNIT, "FragmentPath")
    places = "/home/open /tmp/open /var/open"
    pod_a.succeed(f"for place in {places}; do install -d -m 1777 $place && touch $place/seen; done")
    pod_a.succeed(
        f"printf %s {shlex.quote(script)} > /var/lib/attack && chmod 0755 /var/lib/attack",
        f"sed 's|^ExecStart=.*|ExecStart=/bin/sh /var/lib/attack|; s|^Type=.*|Type=oneshot|' {path}"
        " > /run/systemd/system/agent-attack.service",
        "systemctl daemon-reload && systemctl start agent-attack.service",
    )
    told = pod_a.succeed("journalctl --sync && journalctl -o cat -u agent-attack.service")
    assert "not found" not in told, told
    for name, attack in IN_THE_UNIT.items():
        assert f"<failed {name}>" in told, f"{name}: {told}"
        pod_a.succeed(attack)
    pod_a.succeed(f"rm -r {places}")
    pod_a.succeed("rm /run/systemd/system/agent-attack.service /var/lib/attack && systemctl daemon-reload")
    print(f"attacks: {len(IN_THE_SANDBOX)} from the sandbox, {len(IN_THE_UNIT)} from the unit, 0 successes")
