"""What is done with a run that has ended: its models measured on any data, and exported."""
