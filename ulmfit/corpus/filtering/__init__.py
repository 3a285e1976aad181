"""Duplicates, and texts of a test split, in a finished corpus."""
