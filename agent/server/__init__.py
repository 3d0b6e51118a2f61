"""The embedded board: an OpenProject-compatible server on SQLite. It shares no code with the client."""
