"""Texts, pure: what the fleet writes on the board, reads back from it, and tells the model."""
