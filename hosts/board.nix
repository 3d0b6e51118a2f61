# The host of the embedded board. In place of it, an OpenProject of yours serves as well: see openproject.nix.
{
  imports = [ ./shared/machine.nix ];

  networking.hostName = "board";
  services.agent-board = {
    enable = true;
    host = "0.0.0.0";
    openFirewall = true;
  };
}
