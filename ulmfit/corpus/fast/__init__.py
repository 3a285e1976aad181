"""Our own extraction engine: one pass over the wikitext, in worker processes."""
