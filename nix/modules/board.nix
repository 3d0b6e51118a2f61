# `services.agent-board`: the embedded board, an OpenProject-compatible server for a small team.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) types;

  cfg = config.services.agent-board;
  hardening = import ../lib/hardening.nix;
  loopback = lib.elem cfg.host [
    "127.0.0.1"
    "::1"
    "localhost"
  ];
  closedIn =
    !loopback
    && config.networking.firewall.enable
    && !lib.elem cfg.port config.networking.firewall.allowedTCPPorts;
  shownHost = if lib.hasInfix ":" cfg.host then "[${cfg.host}]" else cfg.host;
  importBacklog = lib.optionalString (
    cfg.backlog != null
  ) "agent board import --json new ${cfg.backlog} >> made.json";
in
{
  options.services.agent-board = {
    enable = lib.mkEnableOption "the embedded board of the coding agents";

    package = lib.mkOption {
      type = types.package;
      default = pkgs.callPackage ../package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./nix/package.nix { }";
      description = "The package with the command `agent`.";
    };

    host = lib.mkOption {
      type = types.str;
      default = "127.0.0.1";
      example = "0.0.0.0";
      description = ''
        The address to listen on. The board speaks plain HTTP: beyond this host and a network that you trust, put a
        reverse proxy with TLS before it.
      '';
    };

    port = lib.mkOption {
      type = types.port;
      default = 8080;
      description = "The port to listen on.";
    };

    openFirewall = lib.mkOption {
      type = types.bool;
      default = false;
      description = "Whether other hosts may reach {option}`port`.";
    };

    backlog = lib.mkOption {
      type = types.nullOr types.path;
      default = null;
      example = lib.literalExpression "./backlog.toml";
      description = ''
        A backlog (TOML) that the first start puts on the new board: its projects, users and tickets. Later changes of the file do
        nothing; `agent board import` adds to a board.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !(cfg.openFirewall && loopback);
        message = "services.agent-board: the firewall is open, and the board listens on ${cfg.host} alone. Set services.agent-board.host = \"0.0.0.0\".";
      }
    ];
    warnings = lib.optional closedIn ''
      services.agent-board listens on ${cfg.host}, and the firewall lets nobody through. Set
      services.agent-board.openFirewall = true, or open the port for one interface.
    '';

    users.users.agent-board = {
      description = "Board of the coding agents";
      isSystemUser = true;
      group = "agent-board";
    };
    users.groups.agent-board = { };

    networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall cfg.port;

    systemd.services.agent-board = {
      description = "Board of the coding agents";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      path = [
        cfg.package
        pkgs.coreutils
        pkgs.jq
      ];
      # The board and the tokens of its accounts are made together or not at all. The tokens are in tokens/LOGIN, which root
      # reads and hands to the pods; the board itself keeps no copy.
      preStart = ''
        cd "$STATE_DIRECTORY"
        if [ ! -e board ]; then
          rm -rf new tokens
          mkdir tokens
          agent board init --json new > made.json
          ${importBacklog}
          jq --raw-output '.tokens // {} | to_entries[] | "\(.key) \(.value)"' made.json | while read -r login token; do
            echo "$token" > "tokens/$login"
          done
          rm made.json
          sync
          mv new board
        fi
      '';
      serviceConfig = hardening.server // {
        ExecStart = utils.escapeSystemdExecArgs [
          (lib.getExe cfg.package)
          "board"
          "serve"
          "/var/lib/agent-board/board"
          "--listen"
          "${shownHost}:${toString cfg.port}"
        ];
        User = "agent-board";
        Group = "agent-board";
        StateDirectory = "agent-board";
        StateDirectoryMode = "0700";
        Restart = "on-failure";
        RestartSec = "2s";
      };
    };

    environment.systemPackages = [ cfg.package ];
  };
}
