"""Programs of others, run for a ticket: processes, the development shell, the model, and what they said."""
