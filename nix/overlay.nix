# The overlay: `pkgs.agent`.
final: _prev: {
  agent = final.callPackage ./package.nix { };
}
