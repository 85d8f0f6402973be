"""Words and values a person writes: composed, checked against the comments of conf/, answered where they are wrong."""
