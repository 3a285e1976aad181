"""A recipe for a new language or data set, written from its files: what `ulmfit new` does."""
