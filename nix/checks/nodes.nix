# The nodes of the VM tests: the hosts of the example fleet, with a scripted model, a git server, timers that fire in
# seconds, and keys that everybody knows. No node reaches anything outside.
let
  key = name: builtins.readFile (./keys + "/${name}");

  secret = name: {
    source = ./keys + "/${name}";
    mode = "0400";
  };

  offline = {
    nix.settings = {
      experimental-features = [
        "nix-command"
        "flakes"
      ];
      flake-registry = "";
    };
  };

  pod =
    name: host:
    { lib, pkgs, ... }:
    {
      imports = [
        ../modules
        offline
        host
      ];

      services.agent = {
        settings = {
          repositories.shop = lib.mkForce { url = "git://board/shop.git"; };
          model = {
            kind = "command";
            command = [
              "${pkgs.python3}/bin/python3"
              "-IB"
              "${./model.py}"
            ];
          };
        };
        credentials = lib.mkForce { board-token = "/run/secrets/board-token"; };
        cache = {
          publicKeys = lib.mkForce [ (key "cache.public") ];
          push = {
            hostKey = lib.mkForce (lib.trim (key "host.pub"));
            signingKeyFile = lib.mkForce "/etc/fleet/pods.secret";
            sshKeyFile = lib.mkForce "/etc/fleet/push";
          };
        };
      };

      systemd.timers."agent-${name}".timerConfig = {
        OnBootSec = lib.mkForce "2s";
        OnUnitInactiveSec = lib.mkForce "1s";
        RandomizedDelaySec = lib.mkForce "0";
      };
      systemd.timers.agent-cache-push.timerConfig.OnUnitInactiveSec = lib.mkForce "5s";

      environment.etc = {
        "fleet/pods.secret" = secret "pods.secret";
        "fleet/push" = secret "push";
      };

      nix.settings = {
        substituters = lib.mkForce [ "http://cache:5000" ];
        # The builder of the scenarios' project, whose flake has no inputs.
        extra-sandbox-paths = [ "/bin/bash=${pkgs.bash}/bin/bash" ];
      };
      systemd.tmpfiles.rules = [ "L+ /bin/bash - - - - ${pkgs.bash}/bin/bash" ];

      environment.systemPackages = [ pkgs.curl ];
    };
in
{
  board =
    { pkgs, ... }:
    {
      imports = [
        ../modules
        ../../hosts/board.nix
        offline
      ];

      services.gitDaemon = {
        enable = true;
        basePath = "/srv/git";
        exportAll = true;
        options = "--enable=receive-pack";
      };
      networking.firewall.allowedTCPPorts = [ 9418 ];
      systemd.tmpfiles.rules = [ "d /srv/git 0755 git git -" ];

      environment.etc."fleet/project".source = ./project;
      environment.systemPackages = [
        pkgs.curl
        pkgs.git
        pkgs.jq
      ];
    };

  cache =
    { lib, ... }:
    {
      imports = [
        ../modules
        ../../hosts/cache.nix
        offline
      ];

      services.agent-cache = {
        signingKeyFile = lib.mkForce "/etc/fleet/cache.secret";
        podKeys = lib.mkForce [ (key "pods.public") ];
        pushKeys = lib.mkForce [ (lib.trim (key "push.pub")) ];
      };
      services.openssh.hostKeys = lib.mkForce [ ];
      services.openssh.extraConfig = "HostKey /etc/fleet/host";
      environment.etc = {
        "fleet/cache.secret" = secret "cache.secret";
        "fleet/host" = secret "host";
      };
      nix.settings.substituters = lib.mkForce [ ];
    };

  pod-a = pod "pod-a" ../../hosts/pod-a.nix;
  pod-b = pod "pod-b" ../../hosts/pod-b.nix;
  pod-c = pod "pod-c" ../../hosts/pod-c.nix;
}
