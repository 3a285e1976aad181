"""What the pieces of a released vocabulary tell of the texts that they were made from."""

from __future__ import annotations

import numpy as np
import pytest

from ulmfit.language_model.foreign_reading import describe_reading, never_written, reading_of
from ulmfit.language_model.vocabulary import Vocabulary

FASTAI = [f"▁xx{name}" for name in ("unk", "pad", "bos", "eos", "fld", "rep", "wrep", "up", "maj")]
SIGNS_APART = ["▁,", "▁.", "▁der", "▁)", "en", ".", ","]
SIGNS_AT_WORDS = [",", ".", "▁der", ")", "en", "▁,"]


@pytest.mark.parametrize(
    ("pieces", "advice"),
    [
        ([*FASTAI, *SIGNS_APART], "set vocabulary.reading=multifit"),
        (
            [*FASTAI, *SIGNS_AT_WORDS],
            "set vocabulary.repeats=true, vocabulary.html=true, vocabulary.nfkc=true",
        ),
        (["<unk>", "<s>", *SIGNS_AT_WORDS, "▁Der"], "set vocabulary.marks=false, vocabulary.nfkc=true"),
        (["<unk>", *SIGNS_AT_WORDS, "ﬁ"], "needs no other reading of texts than the default"),
        (
            [*FASTAI, *SIGNS_APART, "&apos;", "ﬁ"],
            "set vocabulary.repeats=true, vocabulary.moses=true",
        ),
        (["xxunk", "xxmaj", ",", "der"], "set vocabulary.kind=words"),
        (["<unk>", "▁", "▁。", "▁、", "▁東", "、"], "vocabulary.moses=true"),
    ],
)
def test_the_reading_is_told_by_the_pieces(pieces: list[str], advice: str) -> None:
    line = describe_reading(pieces)
    assert line.endswith(advice) and "\n" not in line


def test_pieces_in_small_letters_need_marks() -> None:
    assert reading_of(["<unk>", *SIGNS_AT_WORDS])["marks"]


def words(count: int) -> list[str]:
    return [f"▁w{number}" for number in range(count)]


def test_frequent_pieces_that_texts_never_have_are_named() -> None:
    old = Vocabulary.of_foreign([*FASTAI, "▁,", "▁.", "<0x0A>", *words(398)])
    new = Vocabulary.of_foreign(["xxunk", "▁,", "▁.", ",", *words(100)])
    counts = np.full(len(new.pieces), 1_000)
    assert never_written(old, new, counts) == []
    counts[[1, 2]] = 0
    (warning,) = never_written(old, new, counts)
    assert warning.startswith("2 of the 4 most frequent pieces") and ": ▁, ▁.;" in warning
    assert never_written(old, new, counts // 100_000) == [], "so few texts say nothing"
    counts[:] = 0
    assert never_written(old, new, counts) == []
