# The flake: the package, the NixOS modules, an example fleet and its tests; each output is a file or folder of this repository.
{
  description = "A fleet of coding agents with no dispatcher: the project board is the queue, the lock and the audit log";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;

      forEachSystem =
        make:
        lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
        ] (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = forEachSystem (pkgs: {
        default = pkgs.callPackage ./nix/package.nix { };
      });

      apps = forEachSystem (pkgs: rec {
        default = agent;
        agent = {
          type = "app";
          program = lib.getExe self.packages.${pkgs.stdenv.hostPlatform.system}.default;
          meta.description = "The command `agent`";
        };
      });

      overlays.default = import ./nix/overlay.nix;

      nixosModules = {
        default = ./nix/modules;
        agent = ./nix/modules/agent.nix;
        board = ./nix/modules/board.nix;
        cache = ./nix/modules/cache.nix;
      };

      nixosConfigurations = import ./hosts { inherit lib; };

      devShells = forEachSystem (pkgs: {
        default = pkgs.callPackage ./nix/devshell.nix { };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);

      templates.default = {
        path = ./agent/starter;
        description = "A development shell, as the agents add it to a repository without one";
      };

      checks = forEachSystem (pkgs: import ./nix/checks { inherit pkgs self; });
    };
}
