"""The development shell of a repository: evaluated once, saved, and entered without Nix."""
