"""A fleet of coding agents with no dispatcher: the project board is the queue, the lock and the audit log."""

__version__ = "0.1.0"
