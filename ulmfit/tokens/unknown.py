"""How many unknown tokens are too many to compare perplexities with those of other vocabularies."""

from __future__ import annotations

LARGEST_UNKNOWN_SHARE = 0.001
"""Most unknown tokens per word of the raw text for a fair perplexity; more make it look too good."""


def unknown_share(unknown_tokens: int, words: int) -> float:
    """Return the unknown tokens per word of the raw text: at least the share of words that have one."""
    return unknown_tokens / max(words, 1)


def too_many_unknown(unknown_tokens: int, words: int) -> bool:
    """Return whether perplexity and bits per character look too good to be compared."""
    return unknown_share(unknown_tokens, words) > LARGEST_UNKNOWN_SHARE
