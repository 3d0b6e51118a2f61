# The environment of this repository: `nix develop` enters it. It was added for the coding agents that work here.
{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { nixpkgs, ... }:
    let
      forEachSystem =
        make:
        nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: make nixpkgs.legacyPackages.${system});
    in
    {
      devShells = forEachSystem (pkgs: {
        # coreutils, findutils, grep, sed, tar, make and bash are there always. To add a tool, write its name below
        # (https://search.nixos.org/packages); for a C compiler, take mkShell in place of mkShellNoCC.
        default = pkgs.mkShellNoCC {
          packages = [
            pkgs.python3
          ];
        };
      });
    };
}
