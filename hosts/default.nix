# Every file of this folder is a host: { pod-a = nixosSystem …; … }.
{ lib }:
let
  isHost = name: type: type == "regular" && name != "default.nix" && lib.hasSuffix ".nix" name;

  host =
    name:
    lib.nixosSystem {
      modules = [
        ../nix/modules
        (./. + "/${name}")
      ];
    };
in
lib.mapAttrs' (name: _: lib.nameValuePair (lib.removeSuffix ".nix" name) (host name)) (
  lib.filterAttrs isHost (builtins.readDir ./.)
)
