# One host for everything: the embedded board and two pods. The board's first start makes the pods' token.
{ lib, ... }:
{
  imports = [ ./shared/machine.nix ];

  networking.hostName = "all-in-one";
  programs.ssh.knownHosts."git.example.org".publicKey =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam";

  nixpkgs.config.allowUnfreePredicate = pkg: builtins.elem (lib.getName pkg) [ "claude-code" ];

  services.agent-board.enable = true;

  services.agent = {
    enable = true;
    settings = {
      board.url = "http://127.0.0.1:8080";
      repositories.shop.url = "git@git.example.org:acme/shop.git";
    };
    credentials = {
      board-token = "/var/lib/agent-board/tokens/agent";
      model-key = "/run/secrets/model-key";
      repository-shop-key = "/run/secrets/shop-deploy-key";
    };
    pods = {
      alpha = { };
      beta.startAt = [ "Mon..Fri 20:00" ]; # helps out at night
      beta.for = "10h";
    };
  };
}
