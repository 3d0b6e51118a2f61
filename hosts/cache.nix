# The host of the shared Nix cache: pods read from it by HTTP and push to it by ssh.
{
  imports = [ ./shared/machine.nix ];

  networking.hostName = "cache";
  services.agent-cache = {
    enable = true;
    openFirewall = true;
    signingKeyFile = "/run/secrets/cache-signing-key";
    podKeys = [ "pods-1:oTxsyNnjO/HvSzd2i/kOpjjsGUSBeOApw9flwgFnOmg=" ];
    pushKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam pods" ];
  };
  services.openssh.settings.PasswordAuthentication = false;

  # What pods push is held by nothing; it goes when the disk fills up, and is built or pushed again.
  nix.settings = {
    min-free = 20 * 1024 * 1024 * 1024;
    max-free = 60 * 1024 * 1024 * 1024;
  };
}
