# A VM test of the whole fleet, from a scenario's name and what it has beyond the others.
{ pkgs }:
name:
{
  # Modules of single nodes: { pod-c = …; }.
  nodes ? { },
}:
let
  inherit (pkgs) lib;

  machine = {
    virtualisation = {
      memorySize = 2048;
      # Builds of development shells are written to the disk, not to memory; a power cut leaves them there.
      writableStoreUseTmpfs = false;
      additionalPaths = [
        pkgs.bash
        pkgs.stdenv
      ];
    };
  };
in
pkgs.testers.runNixOSTest {
  inherit name;
  nodes = lib.mapAttrs (node: module: {
    imports = [
      machine
      module
    ]
    ++ lib.optional (nodes ? ${node}) nodes.${node};
  }) (import ./nodes.nix);

  # The hosts say themselves which unfree packages they allow.
  node.pkgs = lib.mkForce null;

  # The names of the driver and of common.py are globals, which its type check does not know of.
  skipLint = true;
  skipTypeCheck = true;
  testScript = builtins.readFile ./common.py + "\n" + builtins.readFile (./. + "/${name}.py");
}
