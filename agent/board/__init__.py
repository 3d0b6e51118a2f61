"""The board: what it says, what is asked of it, and who is who on it (OpenProject API v3)."""
