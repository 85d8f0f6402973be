"""What is done to a user's module: its step called, its draws keyed, its leavings put back, its models measured."""
