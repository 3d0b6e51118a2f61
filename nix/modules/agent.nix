# `services.agent`: the pods of a host, each a service that ends and a timer that starts it again.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) types;

  cfg = config.services.agent;
  hardening = import ../lib/hardening.nix;
  toml = pkgs.formats.toml { };
  pods = lib.filterAttrs (_: pod: pod.enable) cfg.pods;

  # Claude Code is not free: it is there only if the host's own configuration lets it be.
  claudeAllowed = cfg.claude == null || (builtins.tryEval cfg.claude.outPath).success;

  runsClaude = pod: (pod.finalSettings.model.kind or "claude") == "claude";
  programOf = pod: pod.finalSettings.model.program or "claude";
  needsClaude = pod: runsClaude pod && !lib.hasInfix "/" (programOf pod);

  podModule =
    { name, config, ... }:
    {
      options = {
        enable = lib.mkOption {
          type = types.bool;
          default = true;
          description = ''
            Whether this pod runs. `false` parks it: its state folder stays. Switching it off stops a run that is under
            way; the pod takes its claim up again when it is switched on, if that is before the claim's lifetime ends.
          '';
        };

        settings = lib.mkOption {
          inherit (toml) type;
          default = { };
          example = lib.literalExpression ''{ model.name = "claude-opus-5"; }'';
          description = ''
            Settings of this pod alone, laid over {option}`services.agent.settings`; tables are merged, lists are
            replaced. `agent config keys` lists them all. They end in the Nix store, which everybody can read: secrets
            belong into {option}`credentials`.
          '';
        };

        interval = lib.mkOption {
          type = types.nullOr types.str;
          default = if config.startAt == [ ] then "2min" else null;
          defaultText = lib.literalExpression ''if startAt == [ ] then "2min" else null'';
          example = "30s";
          description = ''
            The pause from the end of one run to the start of the next. A run works until nothing is left, so this is how
            long new work waits for an idle pod.
          '';
        };

        startAt = lib.mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "Mon..Fri 20:00" ];
          description = "Calendar times ({manpage}`systemd.time(7)`) at which the pod starts, in place of {option}`interval`.";
        };

        for = lib.mkOption {
          type = types.strMatching "([0-9]+[hms])+";
          default = "1h";
          example = "8h";
          description = ''
            After this time a run ends between two tickets, and the timer starts the next one: that is when a new
            version of the program and new settings are picked up.
          '';
        };

        credentials = lib.mkOption {
          type = types.attrsOf types.externalPath;
          default = { };
          example = {
            board-token = "/run/secrets/board-token";
            model-key = "/run/secrets/anthropic";
            repository-shop-key = "/run/secrets/shop-deploy-key";
          };
          description = ''
            Files with secrets, outside the Nix store, as agenix or sops-nix make them; root alone need be able to read
            them. systemd hands the pod a copy. Known are `board-token`, `model-key`, and for each project of
            `settings.repositories` `repository-PROJECT-token` (https) and `repository-PROJECT-key` (ssh). They come on top of
            {option}`services.agent.credentials`.
          '';
        };

        environment = lib.mkOption {
          type = types.attrsOf types.str;
          default = { };
          example = {
            NIX_SSL_CERT_FILE = "/etc/ssl/certs/acme.pem";
          };
          description = "Environment variables of the pod. No secrets: everybody can read a unit file.";
        };

        extraPackages = lib.mkOption {
          type = types.listOf types.package;
          default = [ ];
          example = lib.literalExpression "[ pkgs.git-lfs ]";
          description = ''
            More programs in the pod's PATH, and so in the sandbox. What a repository needs is better named in its own
            `flake.nix`, where the agents can change it.
          '';
        };

        sandbox = lib.mkOption {
          type = types.enum [
            "bubblewrap"
            "none"
          ];
          default = cfg.settings.sandbox.kind;
          defaultText = lib.literalExpression "config.services.agent.settings.sandbox.kind";
          description = ''
            What the model and the repository's checks are shut into, and with it how much of the host is closed to the
            unit. `none` closes more of the unit and nothing to the model: it can then do what the pod can, and read its
            credentials.
          '';
        };

        memoryMax = lib.mkOption {
          type = types.str;
          default = "75%";
          example = "16G";
          description = ''
            How much memory the pod's programs may use together ({manpage}`systemd.resource-control(5)`). The kernel
            then ends the largest of them, and the run goes on or fails with a report.
          '';
        };

        serviceConfig = lib.mkOption {
          type = types.attrsOf types.anything;
          default = { };
          example = {
            CPUQuota = "400%";
          };
          description = "Settings of the service that win over ours, for what was not foreseen.";
        };

        finalSettings = lib.mkOption {
          inherit (toml) type;
          readOnly = true;
          description = "All settings of this pod, as they are written to its settings file.";
        };

        configFile = lib.mkOption {
          type = types.package;
          readOnly = true;
          description = "The settings file, judged by `agent config check` while the host is built.";
        };

        command = lib.mkOption {
          type = types.package;
          readOnly = true;
          description = ''
            The command `agent-NAME` in the system's PATH: `agent` as root may run it in the place of the pod, with its
            settings, credentials, state and limits. `agent-pod-a doctor` and `agent-pod-a explain` are what it is for.
          '';
        };
      };

      config = {
        finalSettings = lib.foldl' lib.recursiveUpdate { pod = name; } [
          cfg.settings
          config.settings
          { sandbox.kind = config.sandbox; }
        ];
        command = commandOf name config;
        configFile =
          let
            file = toml.generate "agent-${name}-unchecked.toml" config.finalSettings;
          in
          pkgs.runCommand "agent-${name}.toml" { nativeBuildInputs = [ cfg.package ]; } ''
            agent config check ${file}
            cp ${file} $out
          '';
      };
    };

  credentialsOf = pod: cfg.credentials // pod.credentials;

  # A percent sign begins a specifier of systemd.
  escaped = lib.replaceStrings [ "%" ] [ "%%" ];

  # What the timer's unit and an operator's command have in common.
  surroundingsOf =
    name: pod:
    hardening.${pod.sandbox}
    // {
      User = "agent";
      Group = "agent";
      StateDirectory = "agent/${name}";
      StateDirectoryMode = "0700";
      WorkingDirectory = "/var/lib/agent/${name}";
      LoadCredential = lib.mapAttrsToList (key: file: "${key}:${file}") (credentialsOf pod);
      # Builds and tests may take what is left; the host's own services come first.
      CPUWeight = 50;
      IOWeight = 50;
      MemoryMax = pod.memoryMax;
      # Out of memory, the kernel ends one program of the run; the pod lives on to report it.
      OOMPolicy = "continue";
      # The sandbox's own limit, which names itself on the ticket, is met first: 8 threads for each process.
      TasksMax = 8 * (pod.finalSettings.sandbox.processes or 1024) + 512;
    };

  environmentOf =
    name: pod:
    {
      # Nix keeps a cache there, and /var/lib/agent itself is read-only to the unit.
      HOME = "/var/lib/agent/${name}";
    }
    // pod.environment;

  pathOf =
    pod:
    [
      config.nix.package
      config.programs.ssh.package
      pkgs.bash
      pkgs.coreutils
      pkgs.git
    ]
    ++ lib.optional (pod.sandbox == "bubblewrap") pkgs.bubblewrap
    ++ lib.optional (cfg.claude != null && claudeAllowed && needsClaude pod) cfg.claude
    ++ pod.extraPackages;

  service = name: pod: {
    description = "Agent pod ${name}";
    documentation = [ "file:/etc/agent/${name}.toml" ];
    after = [
      "agent-board.service"
      "network-online.target"
      "nix-daemon.socket"
    ];
    wants = [ "network-online.target" ];
    environment = environmentOf name pod;
    path = pathOf pod;
    # A rebuild leaves the run alone; the next one is the new one.
    restartIfChanged = false;
    stopIfChanged = false;
    # Secrets that come late fail every start until then, and the timer goes on trying.
    startLimitIntervalSec = 0;
    serviceConfig =
      surroundingsOf name pod
      // {
        LoadCredential = map escaped (surroundingsOf name pod).LoadCredential;
        # Ready before its first pass; active from there on until the run is over.
        Type = "notify";
        NotifyAccess = "main";
        # A pod whose event loop stands is killed, without a core with tokens in it, and started again: a calendar would
        # leave its ticket locked until the next night.
        WatchdogSec = 60;
        WatchdogSignal = "SIGKILL";
        # Systemd's `on-watchdog` is none of the values that NixOS takes; this one holds it, and other violent ends.
        Restart = "on-abnormal";
        RestartSec = 5;
        ExecStart = utils.escapeSystemdExecArgs [
          (lib.getExe cfg.package)
          "run"
          "--config"
          "${pod.configFile}"
          "--until-idle"
          "--for"
          pod.for
        ];
        # The first signal is for the pod alone, which ends its programs in order; that takes seconds.
        KillMode = "mixed";
        TimeoutStopSec = "2min";
      }
      // pod.serviceConfig;
  };

  timer = name: pod: {
    description = "Starts the agent pod ${name}";
    wantedBy = [ "timers.target" ];
    timerConfig = {
      AccuracySec = "1s";
      RandomizedDelaySec = "10s";
    }
    // lib.optionalAttrs (pod.interval != null) {
      # The first run. The service is inactive only after a run's end, so runs never overlap.
      OnBootSec = "1min";
      OnUnitInactiveSec = pod.interval;
    }
    // lib.optionalAttrs (pod.startAt != [ ]) {
      OnCalendar = pod.startAt;
      Persistent = true;
    };
  };

  # `agent-pod-a doctor`: the command as the pod runs it, with its user, credentials, state and limits.
  commandOf =
    name: pod:
    let
      properties = lib.concatLists (
        lib.mapAttrsToList (key: value: map (one: "${key}=${text one}") (lib.toList value)) (
          surroundingsOf name pod // pod.serviceConfig
        )
      );
      text = value: if lib.isBool value then lib.boolToYesNo value else toString value;
      variables = environmentOf name pod // {
        AGENT_CONFIG = "${pod.configFile}";
        PATH = "${lib.makeBinPath (pathOf pod)}:/run/current-system/sw/bin";
      };
    in
    pkgs.writeShellScriptBin "agent-${name}" ''
      # Runs `agent` as the pod ${name} does. Its terminal is handed on; the log goes there and not to the journal.
      exec ${config.systemd.package}/bin/systemd-run --quiet --collect --wait --pipe ${
        lib.escapeShellArgs (
          map (property: "--property=${property}") properties
          ++ lib.mapAttrsToList (key: value: "--setenv=${key}=${value}") variables
        )
      } ${lib.getExe cfg.package} "$@"
    '';

  listed = lib.concatStringsSep ", ";

  credentialKinds = "board-token|model-key|repository-([A-Za-z0-9][A-Za-z0-9_-]*)-(token|key)";

  # Every `…_file` of the settings, with its place.
  secretFiles =
    place: value:
    if lib.isAttrs value then
      lib.concatLists (lib.mapAttrsToList (key: secretFiles (place ++ [ key ])) value)
    else
      lib.optional (place != [ ] && lib.hasSuffix "_file" (lib.last place)) {
        place = lib.concatStringsSep "." place;
        inStore = lib.isPath value || lib.hasPrefix builtins.storeDir (toString value);
      };

  podAssertions =
    name: pod:
    let
      option = "services.agent.pods.${name}";
      settings = pod.finalSettings;
      projects = settings.repositories or { };
      wrongCredentials = lib.filter (
        credential:
        let
          found = builtins.match credentialKinds credential;
          project = lib.elemAt found 0;
        in
        found == null || (project != null && !(projects ? ${project}))
      ) (lib.attrNames (credentialsOf pod));
      inStore = map (one: "settings.${one.place}") (
        lib.filter (one: one.inStore) (secretFiles [ ] settings)
      );
      secretVariables = lib.intersectLists (lib.attrNames pod.environment) [
        "AGENT_BOARD_TOKEN"
        "AGENT_MODEL_KEY"
      ];
    in
    [
      {
        assertion = builtins.match "[A-Za-z0-9][A-Za-z0-9._-]{0,62}" name != null;
        message = "${option}: a pod's name is 1 to 63 letters, digits, `.`, `_` and `-`, since it stands on the board.";
      }
      {
        assertion =
          !lib.elem name [
            "board"
            "cache-push"
          ];
        message = "${option}: agent-${name}.service is another unit of this project; give the pod another name.";
      }
      {
        assertion = settings.pod == name;
        message = "${option}: `settings.pod` is the name of the pod's option and cannot be set; rename the option instead.";
      }
      {
        assertion = !(settings ? state);
        message = "${option}: `settings.state` cannot be set: the state folder is /var/lib/agent/${name}, which systemd makes.";
      }
      {
        assertion = settings.board.url or "" != "";
        message = "${option}: the board has no address. Set services.agent.settings.board.url.";
      }
      {
        assertion = projects != { };
        message = ''
          ${option}: there is no repository to work in. Set, by the project's identifier on the board,
          services.agent.settings.repositories.PROJECT.url = "git@git.example.org:acme/project.git".'';
      }
      {
        assertion = (pod.settings.sandbox.kind or pod.sandbox) == pod.sandbox;
        message = "${option}: `settings.sandbox.kind` decides the unit's hardening too. Set ${option}.sandbox instead.";
      }
      {
        assertion = pod.interval != null || pod.startAt != [ ];
        message = "${option}: nothing starts this pod. Set interval or startAt, or enable = false to park it.";
      }
      {
        assertion = wrongCredentials == [ ];
        message = ''
          ${option}: no credential is called ${listed wrongCredentials}. Known are board-token, model-key, and for a
          project of settings.repositories (${listed (lib.attrNames projects)}) repository-PROJECT-token and
          repository-PROJECT-key.'';
      }
      {
        assertion = credentialsOf pod ? board-token || settings ? board.token_file;
        message = ''
          ${option}: the pod has no token for the board. Set services.agent.credentials.board-token = "/run/secrets/board-token",
          a file that agenix or sops-nix makes.'';
      }
      {
        assertion = inStore == [ ];
        message = ''
          ${option}: ${listed inStore} lies in the Nix store, where everybody can read it.
          Write the path as a string that leads outside, or better set services.agent.credentials.'';
      }
      {
        assertion = secretVariables == [ ];
        message = ''
          ${option}: ${listed secretVariables} in `environment` would be in a unit file that everybody can read.
          Set services.agent.credentials instead.'';
      }
      {
        assertion = !needsClaude pod || claudeAllowed;
        message = ''
          ${option} runs Claude Code, whose licence is not free, and this host does not allow it. Say so in the host's configuration:

            nixpkgs.config.allowUnfreePredicate = pkg: builtins.elem (lib.getName pkg) [ "claude-code" ];

          or set settings.model.kind = "command" with another program.'';
      }
      {
        assertion = !needsClaude pod || cfg.claude != null || pod.extraPackages != [ ];
        message = "${option} runs Claude Code, and services.agent.claude is null. Put its package into ${option}.extraPackages, or set settings.model.program to a path.";
      }
    ];

  # The host that an address for git leads to by ssh, if it does.
  sshHost =
    url:
    let
      long = builtins.match "ssh://([^/@]+@)?([^/:]+).*" url;
      short = builtins.match "([^/@:]+@)?([^/@:]+):[^/].*" url;
    in
    lib.optional (long != null) (lib.elemAt long 1) ++ lib.optional (short != null) (lib.elemAt short 1);

  sshKnows =
    host:
    config.programs.ssh.knownHostsFiles != [ ]
    || lib.any (one: lib.any (name: name == host || lib.hasPrefix "[${host}]" name) one.hostNames) (
      lib.attrValues config.programs.ssh.knownHosts
    );

  podWarnings =
    name: pod:
    let
      option = "services.agent.pods.${name}";
      settings = pod.finalSettings;
      url = settings.board.url or "";
      near = "http://(localhost|127\\..*|\\[::1].*|[^./]+)([:/].*)?";
      strangers = lib.unique (
        lib.filter (host: !sshKnows host) (
          lib.concatMap (repository: sshHost (repository.url or "")) (
            lib.attrValues (settings.repositories or { })
          )
        )
      );
      hasKey = credentialsOf pod ? model-key || settings ? model.key_file || settings ? model.api;
    in
    map (one: "${option}: ${one.message}") (
      lib.filter (one: one.when) [
        {
          when = runsClaude pod && !hasKey;
          message = "there is no key for the model's API, so the pod will claim nothing. Set services.agent.credentials.model-key.";
        }
        {
          when = pod.sandbox == "none";
          message = "with sandbox = \"none\" the model can do what the pod can, and read its credentials. That is for a host that does nothing else.";
        }
        {
          when = pod.interval != null && pod.startAt != [ ];
          message = "interval and startAt are both set, and each starts the pod. Set interval = null to keep to the calendar.";
        }
        {
          when = strangers != [ ];
          message = "ssh will not connect to ${listed strangers}, whose key it does not know. Set programs.ssh.knownHosts.\"${lib.head strangers}\".publicKey.";
        }
        {
          when = lib.hasPrefix "http://" url && builtins.match near url == null;
          message = "the board's token travels unencrypted to ${url}. Use https.";
        }
        {
          when = settings ? nix.settings.store;
          message = "settings.nix.settings.store is a store of the pod's own, for one repository. Without it, the host's daemon and its caches are used.";
        }
      ]
    );
in
{
  imports = [ ./cache.nix ];

  options.services.agent = {
    enable = lib.mkEnableOption "the coding agents of this host";

    package = lib.mkOption {
      type = types.package;
      default = pkgs.callPackage ../package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./nix/package.nix { }";
      description = "The package with the command `agent`.";
    };

    claude = lib.mkOption {
      type = types.nullOr types.package;
      default = pkgs.claude-code;
      defaultText = lib.literalExpression "pkgs.claude-code";
      description = ''
        Claude Code, for pods whose `model.kind` is `claude`. It is not free, and nothing here allows it behind your back:
        {option}`nixpkgs.config.allowUnfreePredicate` must. `null` leaves it out.
      '';
    };

    settings = lib.mkOption {
      type = types.submodule {
        freeformType = toml.type;
        options = {
          sandbox.kind = lib.mkOption {
            type = types.enum [
              "bubblewrap"
              "none"
            ];
            default = "bubblewrap";
            description = "What the model and the repositories' checks are shut into; see {option}`services.agent.pods.<name>.sandbox`.";
          };
          model.kind = lib.mkOption {
            type = types.enum [
              "claude"
              "command"
            ];
            default = "claude";
            description = "Which coding model works: Claude Code, or any program that prints its result document (`model.command`).";
          };
        };
      };
      default = { };
      example = lib.literalExpression ''
        {
          board.url = "https://openproject.example.org";
          repositories.shop.url = "git@git.example.org:acme/shop.git";
        }
      '';
      description = ''
        Settings for all pods of this host, as in `agent.toml`; `agent config keys` lists them all. They are judged while the
        host is built. They end in the Nix store, which everybody can read: no secrets.
      '';
    };

    credentials = lib.mkOption {
      type = types.attrsOf types.externalPath;
      default = { };
      example = {
        board-token = "/run/secrets/board-token";
        model-key = "/run/secrets/anthropic";
      };
      description = "Files with secrets for all pods of this host; see {option}`services.agent.pods.<name>.credentials`.";
    };

    pods = lib.mkOption {
      type = types.attrsOf (types.submodule podModule);
      default = { };
      example = lib.literalExpression "{ pod-a = { }; }";
      description = ''
        The pods of this host, by their names on the board. A name must be the only one of its kind in the fleet: it says
        who holds a claim, and people route tickets to it. Two pods on one host work on two tickets at once.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions =
      lib.concatLists (lib.mapAttrsToList podAssertions pods)
      ++ lib.optionals (pods != { }) [
        {
          assertion = config.nix.enable;
          message = "services.agent needs Nix on this host: it makes the development shells. Set nix.enable = true.";
        }
        {
          assertion = config.nix.settings.sandbox == true;
          message = "services.agent needs nix.settings.sandbox = true: without it a build could use the network, past the agents' sandbox.";
        }
        {
          assertion =
            config.security.allowUserNamespaces
            || lib.all (pod: pod.sandbox == "none") (lib.attrValues pods);
          message = "services.agent: bubblewrap needs user namespaces. Set security.allowUserNamespaces = true.";
        }
        {
          assertion = !(cfg.settings ? pod) && !(cfg.settings ? state);
          message = "services.agent.settings: `pod` and `state` are of one pod each and follow from its name; take them out.";
        }
      ];

    warnings =
      lib.concatLists (lib.mapAttrsToList podWarnings pods)
      ++ lib.optional (cfg.pods == { }) ''
        services.agent is enabled and has no pods. Add one: services.agent.pods.pod-a = { };
      '';

    # Who may use the daemon: in addition to others. A definition of `allowed-users` would lock everyone else out, and
    # `trusted-users` would make the agents root.
    nix.settings.extra-allowed-users = [ "@agent" ];

    users.users.agent = {
      description = "Coding agents";
      isSystemUser = true;
      group = "agent";
      home = "/var/lib/agent";
    };
    users.groups.agent = { };

    systemd.services = lib.concatMapAttrs (name: pod: { "agent-${name}" = service name pod; }) pods;
    systemd.timers = lib.concatMapAttrs (name: pod: { "agent-${name}" = timer name pod; }) pods;

    environment.systemPackages = [ cfg.package ] ++ lib.mapAttrsToList (_: pod: pod.command) pods;
    environment.etc = lib.concatMapAttrs (name: pod: {
      "agent/${name}.toml".source = pod.configFile;
    }) pods;
  };
}
