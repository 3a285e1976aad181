"""Rare words replaced by a mark in every split, as the language models of PolEval 2018 (task 3) had them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ulmfit.corpus.filters import FilteredCorpus
from ulmfit.corpus.words import count_words
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Work

MARK = "\u2620"
"""Replaces a rare word; the skull of the winning submission. A tokenizer learns it like any other word."""

_WORD = re.compile(r"\S+")


class RareWordsReplaced(FilteredCorpus):
    """A corpus whose rare words, by their count in its training split, are U+2620 in every split.

    A word is the text between white space, with case and punctuation: PolEval's own definition, not that of
    `corpus.words`; texts without spaces between words are refused. Titles are not changed. A model of such
    texts has less to predict: its perplexity and bits per character are not comparable with those of a model
    of the original texts. Memory: about 100 bytes per distinct word.
    """

    stage_name: ClassVar[str] = "rare-words-replaced"

    min_count: int = Field(
        3, ge=2, description="occurrences in the training split that a word needs to be kept (PolEval: 3)"
    )

    def build(self, work: Work) -> None:
        """Read the corpus twice: count its words, then write it with marks."""
        from ulmfit.corpus.documents import write_corpus
        from ulmfit.corpus.stored import continued_account, stored_documents

        folder = work.input(self.corpus)
        kept = frequent_words(_training_texts(folder), self.min_count)
        work.log(f"{len(kept):,} words stand {self.min_count} times or more in the training documents")
        documents = (replace(one, text=with_marks(one.text, kept)) for one in stored_documents(folder))
        account = continued_account(folder)
        write_corpus(documents, work.folder, work.scratch(), account, self.selection(), work.log)
        work.warn(
            "rare words were replaced: the figures of language models of these texts are not comparable to "
            "those of the texts themselves"
        )


def _training_texts(folder: Path) -> Iterator[str]:
    from ulmfit.corpus.stored import stored_documents

    return (document.text for document in stored_documents(folder) if document.split == "train")


def frequent_words(texts: Iterable[str], min_count: int) -> frozenset[str]:
    """Return the words between white space that stand `min_count` times or more in `texts`.

    Raises InputError for texts most of whose words have no spaces between them.
    """
    counts: Counter[str] = Counter()
    words = 0
    for text in texts:
        counts.update(text.split())
        words += count_words(text)
    if words > 2 * counts.total():
        raise InputError(
            f"rare-words-replaced: the training documents have {words:,} words but only {counts.total():,} "
            "runs between white space: expected a language that sets spaces; leave this step out"
        )
    return frozenset(word for word, count in counts.items() if count >= min_count)


def with_marks(text: str, kept: frozenset[str]) -> str:
    """Return `text` with MARK for every word that is not `kept`; the white space stays."""
    return _WORD.sub(lambda word: word[0] if word[0] in kept else MARK, text)
