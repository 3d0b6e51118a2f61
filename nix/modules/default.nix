# All modules: pods, the embedded board, the shared cache.
{
  imports = [
    ./agent.nix
    ./board.nix
    ./cache.nix
  ];
}
