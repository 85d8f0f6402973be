"""Random draws in a user's training step: functions of client, round, fit and step."""
