"""A user's module: its training step called, probed, and put back as it was."""
