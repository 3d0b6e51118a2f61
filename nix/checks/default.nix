# What `nix flake check` builds beside the outputs themselves: every other file of this folder is a test.
{
  pkgs,
  self,
}:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;

  scenario = import ./lib.nix { inherit pkgs; };

  files = lib.filterAttrs (
    name: _:
    lib.hasSuffix ".nix" name
    && !lib.elem name [
      "default.nix"
      "lib.nix"
      "nodes.nix"
    ]
  ) (builtins.readDir ./.);

  scenarios = lib.mapAttrs' (
    name: _:
    lib.nameValuePair (lib.removeSuffix ".nix" name) (
      import (./. + "/${name}") { inherit scenario; }
    )
  ) files;

  sources = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.fileFilter (file: file.hasExt "nix") ../..;
  };

  # The golden files, against what real nixpkgs make of the hosts.
  rendered = pkgs.writeText "rendered.json" (
    builtins.toJSON (
      lib.mapAttrs (
        _: host:
        import ../lib/render.nix {
          inherit lib;
          inherit (host) config pkgs;
        }
      ) self.nixosConfigurations
    )
  );
in
{
  package = self.packages.${system}.default;

  formatting = pkgs.runCommand "formatting" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
    find ${sources} -name '*.nix' -exec nixfmt --check {} +
    touch $out
  '';
}
// lib.optionalAttrs (system == "x86_64-linux") (
  scenarios
  // {
    golden = pkgs.runCommand "golden" { nativeBuildInputs = [ pkgs.python3 ]; } ''
      python3 ${../../tests/nix/golden.py} --compare ${rendered} ${../golden}
      touch $out
    '';
  }
)
