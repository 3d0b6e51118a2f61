# What stands here for a machine's own hardware configuration. Replace it by yours.
{
  boot.loader.grub.enable = false;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "26.05";
}
