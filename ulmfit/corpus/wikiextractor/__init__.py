"""The engine around wikiextractor: what it is given, how it is watched, what is mended afterwards."""
