# What a host gets from our modules, as plain values: units, the files they name, accounts, settings of Nix.
#
# Of a host's evaluation, with real packages or stand-ins. nix/golden is made from it, and held against it.
{
  config,
  lib,
  pkgs,
}:
let
  isOurs =
    name:
    lib.any (prefix: lib.hasPrefix prefix name) [
      "agent-"
      "harmonia"
      "podman-openproject"
    ];
  chosen = lib.filterAttrs (name: _: isOurs name);

  pods = lib.filterAttrs (_: pod: pod.enable) config.services.agent.pods;
  client = config.services.agent.cache;
  pushes = client.enable && client.push.host != null;

  # The first word of a command line, without the signs that systemd gives a meaning.
  programOf = line: lib.head (lib.splitString " " (lib.removePrefix "+" line));

  # Real packages have a first line that names their shell, stand-ins have none.
  withShell = text: "#!/bin/bash\n${lib.removePrefix "#!${pkgs.runtimeShell}\n" text}";

  scripts =
    name: service:
    lib.concatMap
      (
        kind:
        lib.optional (service.${kind.option} != "") {
          name = "${lib.removeSuffix ".service" name}-${kind.name}";
          path = programOf (lib.last (lib.toList service.serviceConfig.${kind.directive}));
          mode = "0755";
          text = "#!/bin/bash -e\n${service.${kind.option}}";
        }
      )
      [
        {
          option = "script";
          directive = "ExecStart";
          name = "start";
        }
        {
          option = "preStart";
          directive = "ExecStartPre";
          name = "pre-start";
        }
      ];

in
{
  units = lib.mapAttrs (_: unit: unit.text) (chosen config.systemd.units);

  # Under which targets they are wanted; NixOS makes the links.
  wanted = lib.mapAttrs (_: unit: unit.wantedBy) (
    lib.filterAttrs (_: unit: unit.wantedBy != [ ]) (chosen config.systemd.units)
  );

  files =
    lib.optionals config.services.agent.enable (
      lib.mapAttrsToList (name: pod: {
        name = "agent-${name}.toml";
        path = "${pod.configFile}";
        mode = "0644";
        settings = pod.finalSettings;
      }) pods
    )
    ++ lib.optionals config.services.agent.enable (
      lib.mapAttrsToList (name: pod: {
        name = "bin-agent-${name}";
        path = "${pod.command}/bin/agent-${name}";
        mode = "0755";
        text = withShell pod.command.text;
      }) pods
    )
    ++ lib.concatLists (lib.mapAttrsToList scripts (chosen config.systemd.services))
    ++ lib.optionals pushes [
      {
        name = "agent-cache-queue";
        path = "${client.push.hook}";
        mode = "0755";
        text = withShell client.push.hook.text;
      }
      {
        name = "agent-cache-known-hosts";
        path = "${client.push.knownHosts}";
        mode = "0644";
        inherit (client.push.knownHosts) text;
      }
    ];

  users =
    lib.mapAttrsToList
      (name: user: {
        inherit name;
        inherit (user) group home;
        shell = toString user.shell;
        keys = user.openssh.authorizedKeys.keys;
      })
      (lib.filterAttrs (name: _: isOurs "${name}-" || name == "nix-ssh") config.users.users);

  tmpfiles = lib.filter (lib.hasInfix "agent") config.systemd.tmpfiles.rules;

  nix = lib.getAttrs (lib.intersectLists (lib.attrNames config.nix.settings) [
    "allowed-users"
    "connect-timeout"
    "extra-allowed-users"
    "fallback"
    "post-build-hook"
    "sandbox"
    "secret-key-files"
    "substituters"
    "trusted-public-keys"
  ]) config.nix.settings;

  sshd = lib.optionalString config.nix.sshServe.enable config.services.openssh.extraConfig;

  ports = config.networking.firewall.allowedTCPPorts;
}
