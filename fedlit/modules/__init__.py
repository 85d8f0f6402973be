"""What is done to a user's LightningModule: its step is called, its draws are keyed, its leavings put back, its models measured."""
