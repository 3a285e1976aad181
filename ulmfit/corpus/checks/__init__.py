"""Faults of a data set: copies, conflicting labels, shifted labels, near-empty texts."""
