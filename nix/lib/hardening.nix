# The hardening of our units: what all of them get, and what a pod gets by the kind of its sandbox.
let
  common = {
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    KeyringMode = "private";
    LockPersonality = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateIPC = true;
    PrivateTmp = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectKernelModules = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RestrictRealtime = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    UMask = "0077";
  };

  closed = common // {
    PrivateUsers = true;
    ProcSubset = "pid";
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelTunables = true;
    RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
    RestrictNamespaces = true;
    RestrictSUIDSGID = true;
    SystemCallFilter = [
      "@system-service"
      "~@privileged"
    ];
  };
in
{
  # A server of ours that starts no foreign program.
  server = closed // {
    MemoryDenyWriteExecute = true;
  };

  # A pod whose programs are shut into nothing of ours. Left open:
  # - MemoryDenyWriteExecute: Node's compiler makes its code writable, then executable.
  # - the network, which the board, git and the model's API are on.
  none = closed;

  # A pod whose programs are shut into bubblewrap, which must be able to build its sandbox. Left open, beyond the above:
  # - ProtectKernelTunables, ProtectKernelLogs, ProtectHostname, ProcSubset: each covers a part of /proc, and then the
  #   kernel lets nobody mount the fresh /proc of a sandbox ("Can't mount proc on /proc"). The sandbox has its own.
  # - RestrictNamespaces: the sandbox is made of these; time namespaces stay closed.
  # - RestrictSUIDSGID, and with it DynamicUser: its filter answers ENOSYS to openat2, with which bubblewrap opens paths.
  # - SystemCallFilter: @mount is how the sandbox gets its root, sethostname how it gets a name; without @privileged
  #   taken out, since that holds these calls. NoNewPrivileges and the empty CapabilityBoundingSet keep them from working
  #   on the host itself.
  # - AF_NETLINK: bubblewrap switches the loopback device of the sandbox on.
  # - PrivateUsers: a sandbox brings a user namespace of its own.
  bubblewrap = common // {
    RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
    RestrictNamespaces = "user mnt pid net ipc uts cgroup";
    SystemCallFilter = "@system-service @mount sethostname";
  };
}
