"""Git: one mirror per repository, one worktree per branch owner, and the refs that fence them."""
