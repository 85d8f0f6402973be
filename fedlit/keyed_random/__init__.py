"""Random draws in a user's training step as functions of client, round, fit and step.

`random_mode` intercepts torch's random functions; `random_ops` is the table of replacements; `counter_rng` draws."""
