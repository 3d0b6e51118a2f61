# Every file of this folder is a host: { pod-a = nixosSystem …; … }.
{ lib }:
let
  files = lib.filterAttrs (name: type: type == "regular" && name != "default.nix" && lib.hasSuffix ".nix" name) (
    builtins.readDir ./.
  );
in
lib.mapAttrs' (
  name: _:
  lib.nameValuePair (lib.removeSuffix ".nix" name) (
    lib.nixosSystem {
      modules = [
        ../nix/modules
        (./. + "/${name}")
      ];
    }
  )
) files
