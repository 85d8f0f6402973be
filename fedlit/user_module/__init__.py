"""A user's module: its training step is called and probed, and the module is restored after each client.

For both trainers and for measuring. `trainer_stub` is the module's trainer where no Lightning Trainer runs."""
