# The shared Nix store cache: `services.agent-cache` is its server, `services.agent.cache` what a pod's host does with it.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib) types;

  server = config.services.agent-cache;
  client = config.services.agent.cache;
  hardening = import ../lib/hardening.nix;

  spool = "/var/spool/agent-cache";
  pushes = client.enable && client.push.host != null;
  store = "ssh-ng://nix-ssh@${client.push.host}";

  # harmonia's options moved to services.harmonia.cache, and its one key became a list.
  harmonia = options.services.harmonia.cache or options.services.harmonia;
  harmoniaSettings = {
    enable = true;
    settings.bind = "${server.host}:${toString server.port}";
  }
  // (
    if harmonia ? signKeyPaths then
      { signKeyPaths = [ server.signingKeyFile ]; }
    else
      { signKeyPath = server.signingKeyFile; }
  );
in
{
  options.services.agent-cache = {
    enable = lib.mkEnableOption ''
      the shared Nix cache of a fleet. It serves this host's own store by harmonia, and takes what pods have built and signed
      by ssh
    '';

    signingKeyFile = lib.mkOption {
      type = types.externalPath;
      example = "/run/secrets/cache-signing-key";
      description = ''
        The secret key that signs what is served, as `nix key generate-secret --key-name cache-1` makes it. Its public half
        (`nix key convert-secret-to-public`) goes into {option}`services.agent.cache.publicKeys` of the pods' hosts.
      '';
    };

    podKeys = lib.mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "pods-1:bWVyZWx5IGFuIGV4YW1wbGU=" ];
      description = ''
        The public halves of the keys that the pods' hosts sign with ({option}`services.agent.cache.push.signingKeyFile`).
        Whatever is pushed without one of them is refused.
      '';
    };

    pushKeys = lib.mkOption {
      type = types.listOf types.singleLineStr;
      default = [ ];
      example = [ "ssh-ed25519 AAAAC3Nza… pods" ];
      description = ''
        Who may connect to push: public keys for ssh. Such a connection gets the Nix protocol as the user `nix-ssh`, whom
        Nix does not trust, and no shell.
      '';
    };

    host = lib.mkOption {
      type = types.str;
      default = "[::]";
      description = "The address that harmonia listens on; `[::]` is all, of IPv4 too.";
    };

    port = lib.mkOption {
      type = types.port;
      default = 5000;
      description = "The port that harmonia listens on.";
    };

    openFirewall = lib.mkOption {
      type = types.bool;
      default = false;
      description = "Whether other hosts may reach {option}`port`. (sshd's own module opens its port.)";
    };
  };

  options.services.agent.cache = {
    enable = lib.mkEnableOption "the fleet's shared Nix cache on this host";

    url = lib.mkOption {
      type = types.strMatching "(https?|file)://.+";
      example = "http://cache:5000";
      description = "Where to read. What comes from there is signed, so plain HTTP does no harm.";
    };

    publicKeys = lib.mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "cache-1:bWVyZWx5IGFuIGV4YW1wbGU=" ];
      description = "The public halves of the keys that the cache signs with.";
    };

    push = {
      host = lib.mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "cache";
        description = ''
          The cache's host, to which everything is pushed that this host builds: every development shell among it, so that
          the next pod fetches what this one built. `null`: this host only reads.
        '';
      };

      hostKey = lib.mkOption {
        type = types.strMatching "(ssh|ecdsa)-[^ ]+ [A-Za-z0-9+/=]+.*";
        example = "ssh-ed25519 AAAAC3Nza…";
        description = "The public ssh key of the cache's host (its /etc/ssh/ssh_host_ed25519_key.pub).";
      };

      sshKeyFile = lib.mkOption {
        type = types.externalPath;
        example = "/run/secrets/cache-push-key";
        description = "The private ssh key whose public half is among {option}`services.agent-cache.pushKeys`.";
      };

      signingKeyFile = lib.mkOption {
        type = types.externalPath;
        example = "/run/secrets/pods-signing-key";
        description = ''
          The secret key with which this host's Nix signs what it builds, as `nix key generate-secret --key-name pods-1` makes
          it; its public half is among {option}`services.agent-cache.podKeys`.
        '';
      };

      postBuildHook = lib.mkOption {
        type = types.bool;
        default = true;
        description = ''
          Whether Nix calls {option}`hook` after each build. A host has one such hook: where it has one of its own, switch this
          off and call {option}`hook` from there.
        '';
      };

      hook = lib.mkOption {
        type = types.package;
        readOnly = true;
        description = "The program that queues the paths in `$OUT_PATHS` for pushing. It neither waits nor fails.";
      };

      knownHosts = lib.mkOption {
        type = types.package;
        readOnly = true;
        description = "The cache's host and its ssh key, as ssh reads them.";
      };
    };
  };

  config = lib.mkMerge [
    {
      # Nix waits for its hook and fails the build with it. So this one only leaves a file in the queue, and every end of
      # it is a success. It runs as root: the new file is written where only root may write, then moved.
      services.agent.cache.push.hook = pkgs.writeShellScript "agent-cache-queue" ''
        new=$(${pkgs.coreutils}/bin/mktemp ${spool}/incoming/XXXXXXXXXX) || exit 0
        ${pkgs.coreutils}/bin/printf '%s\n' $OUT_PATHS > "$new" || exit 0
        ${pkgs.coreutils}/bin/chmod 0644 "$new" || exit 0
        ${pkgs.coreutils}/bin/mv --no-target-directory "$new" "${spool}/queue/''${new##*/}" || exit 0
        exit 0
      '';
    }

    (lib.mkIf server.enable {
      warnings = map (one: "services.agent-cache: ${one.message}") (
        lib.filter (one: one.when) [
          {
            when = server.podKeys == [ ];
            message = "podKeys is empty, so nothing that pods push is taken.";
          }
          {
            when = server.pushKeys == [ ];
            message = "pushKeys is empty, so no pod can connect to push.";
          }
        ]
      );

      services.harmonia =
        if options.services.harmonia ? cache then { cache = harmoniaSettings; } else harmoniaSettings;

      nix.sshServe = {
        enable = true;
        protocol = "ssh-ng";
        write = true;
        keys = server.pushKeys;
      };
      # nix-ssh stays untrusted: a path is taken if one of these keys signed it, whoever brings it.
      nix.settings.trusted-public-keys = server.podKeys;
      nix.settings.extra-allowed-users = [ "nix-ssh" ];

      networking.firewall.allowedTCPPorts = lib.optional server.openFirewall server.port;
    })

    (lib.mkIf client.enable {
      assertions = [
        {
          assertion = client.publicKeys != [ ];
          message = "services.agent.cache: without publicKeys nothing from ${client.url} is accepted. Add the cache's public key.";
        }
        {
          assertion = !server.enable || client.push.host == null;
          message = "services.agent.cache.push.host: this host is the cache itself, and what it builds is in its store already. Leave it null.";
        }
      ];

      nix.settings = {
        substituters = [ client.url ];
        trusted-public-keys = client.publicKeys;
        # A cache that is down costs a moment, and then the build.
        connect-timeout = lib.mkDefault 5;
        fallback = lib.mkDefault true;
      };
    })

    (lib.mkIf pushes {
      services.agent.cache.push.knownHosts = pkgs.writeText "agent-cache-known-hosts" ''
        ${client.push.host} ${client.push.hostKey}
      '';

      nix.settings = {
        secret-key-files = [ client.push.signingKeyFile ];
        extra-allowed-users = [ "agent-cache-push" ];
      }
      // lib.optionalAttrs client.push.postBuildHook { post-build-hook = "${client.push.hook}"; };

      users.users.agent-cache-push = {
        description = "Pushes builds to the fleet's cache";
        isSystemUser = true;
        group = "agent-cache-push";
      };
      users.groups.agent-cache-push = { };

      # What could not be pushed for a month is forgotten: it is built anew where it is needed.
      systemd.tmpfiles.rules = [
        "d ${spool} 0755 root root -"
        "d ${spool}/incoming 0700 root root 1d"
        "d ${spool}/queue 0700 agent-cache-push agent-cache-push 30d"
      ];

      systemd.paths.agent-cache-push = {
        description = "Notices builds to push to the fleet's cache";
        wantedBy = [ "paths.target" ];
        pathConfig.PathChanged = "${spool}/queue";
      };

      # For what was queued while the cache was down, or in the moment in which a push ended.
      systemd.timers.agent-cache-push = {
        description = "Tries again to push builds to the fleet's cache";
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnBootSec = "2min";
          OnUnitInactiveSec = "5min";
          AccuracySec = "1s";
        };
      };

      systemd.services.agent-cache-push = {
        description = "Push builds to the fleet's cache";
        after = [
          "network-online.target"
          "nix-daemon.socket"
        ];
        wants = [ "network-online.target" ];
        # Every build triggers it.
        unitConfig.StartLimitIntervalSec = 0;
        path = [
          config.nix.package
          config.programs.ssh.package
          pkgs.coreutils
        ];
        environment = {
          HOME = "/var/cache/agent-cache-push";
          NIX_CONFIG = "experimental-features = nix-command";
          NIX_SSHOPTS = lib.concatStringsSep " " [
            "-i %d/ssh-key"
            "-o BatchMode=yes"
            "-o ConnectTimeout=10"
            "-o IdentitiesOnly=yes"
            "-o StrictHostKeyChecking=yes"
            "-o UserKnownHostsFile=${client.push.knownHosts}"
          ];
        };
        script = ''
          shopt -s nullglob
          cd ${spool}/queue
          failed=0
          while files=(*) && [ ''${#files[@]} -gt "$failed" ]; do
            if ! nix store info --store ${store} 2> /dev/null; then
              echo "The cache ${client.push.host} cannot be reached; ''${#files[@]} builds stay queued." >&2
              exit 1
            fi
            failed=0
            for file in "''${files[@]}"; do
              paths=()
              while read -r path; do
                # A path may have been collected since.
                if [[ $path =~ ^${builtins.storeDir}/[a-z0-9]{32}-[^/]+$ && -e $path ]]; then paths+=("$path"); fi
              done < "$file"
              if [ ''${#paths[@]} -eq 0 ] || nix copy --substitute-on-destination --to ${store} "''${paths[@]}"; then
                rm -f "$file"
              else
                failed=$((failed + 1))
              fi
            done
          done
          if [ "$failed" -gt 0 ]; then
            echo "$failed builds could not be pushed and stay queued." >&2
            exit 1
          fi
        '';
        serviceConfig = hardening.server // {
          Type = "oneshot";
          User = "agent-cache-push";
          Group = "agent-cache-push";
          CacheDirectory = "agent-cache-push";
          LoadCredential = [ "ssh-key:${client.push.sshKeyFile}" ];
          ReadWritePaths = [ "${spool}/queue" ];
          TimeoutStartSec = "1h";
        };
      };
    })
  ];
}
