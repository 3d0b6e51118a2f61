# The development shell of this repository: what `make` needs; the Python packages themselves come into .venv.
{
  bubblewrap,
  git,
  gnumake,
  iproute2,
  libfaketime,
  mkShellNoCC,
  nix,
  nixfmt-tree,
  nodejs,
  python3,
  xz,
}:
mkShellNoCC {
  packages = [
    bubblewrap
    git
    gnumake
    iproute2
    libfaketime
    nix
    nixfmt-tree
    nodejs
    python3
    xz
  ];
}
