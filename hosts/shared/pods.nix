# What all hosts with pods have in common: the board, the repositories, the secrets, the cache.
{ lib, ... }:
{
  imports = [ ./machine.nix ];

  # git asks ssh, and ssh asks nobody: it must know the hosts.
  programs.ssh.knownHosts."git.example.org".publicKey =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam";

  # Claude Code is not free software.
  nixpkgs.config.allowUnfreePredicate = pkg: builtins.elem (lib.getName pkg) [ "claude-code" ];

  services.agent = {
    enable = true;

    settings = {
      board.url = "http://board:8080";
      repositories.shop = {
        url = "git@git.example.org:acme/shop.git";
        web = "https://git.example.org/acme/shop";
      };
    };

    # Files that agenix or sops-nix makes.
    credentials = {
      board-token = "/run/secrets/board-token";
      model-key = "/run/secrets/model-key";
      repository-shop-key = "/run/secrets/shop-deploy-key";
    };

    cache = {
      enable = true;
      url = "http://cache:5000";
      publicKeys = [ "cache-1:4ocmuKjyK6t4+VBmVmBRBnEQLFTNa4UwhtzLEH9AKRA=" ];
      push = {
        host = "cache";
        hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam";
        sshKeyFile = "/run/secrets/cache-push-key";
        signingKeyFile = "/run/secrets/pods-signing-key";
      };
    };
  };
}
