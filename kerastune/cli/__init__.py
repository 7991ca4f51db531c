"""The `kerastune` command: commands, flags, and the table at the end."""
