"""Talvuri, a small INVENTED agglutinative language: its grammar, a Wikipedia dump and labelled reviews.

Nobody speaks Talvuri and nothing that its texts say is true: all of it is generated from a seed. It lets the
whole way from a dump to a results table run in minutes, without a download, and it shows what that way is
good for: most word forms of its test reviews never occur in the training reviews, but their stems and
suffixes do occur in its Wikipedia.

    concepts     what there are words for
    grammar      sounds, word structure, inflection
    lexicon      a root for every concept, drawn from a seed
    sentences    clauses with a known value: good, bad or neither
    wikipedia    a MediaWiki dump (articles.py writes the articles' wikitext)
    reviews      short texts labelled positive or negative
    stages       the dump and the reviews as stages
"""

LANGUAGE_NAME = "Talvuri"
LANGUAGE_CODE = "qtv"
"""A code that ISO 639-2 leaves to private use (qaa to qtz), so that it can never be a real language's."""

NOTICE = "Talvuri is an invented toy language; this text is generated and states no facts."
"""Written wherever its texts go."""
