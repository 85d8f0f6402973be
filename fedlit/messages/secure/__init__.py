"""What sums that nobody can read are made of: keys, masks, shares, and whole numbers for real ones."""
