"""The overrides and values of a command line: composed, and checked against the comments of conf/. No torch."""
