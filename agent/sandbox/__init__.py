"""What a program of others may touch: a runner whose processes see their own folders, no network and nobody else."""
