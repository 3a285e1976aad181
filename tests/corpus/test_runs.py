"""The size of a text in runs, which are nearly the tokens of Moses."""

from __future__ import annotations

import pytest
from sacremoses import MosesTokenizer

from ulmfit.corpus.runs import count_runs
from ulmfit.corpus.words import count_words


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", 0),
        ("eins", 2),
        ("Das Haus, das (alt) ist.", 10),
        ("3,5 und 1.000,25 sind fünf-eins, sagt er ...", 10),
        ("東京は日本の首都です。人口は多い。", 5),
        ("x_y a/b", 7),
        ("eins\n\nzwei", 5),
        ("हिन्दी भाषा", 3),
    ],
)
def test_runs_signs_and_lines_are_counted(text: str, runs: int) -> None:
    assert count_runs(text) == runs


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Das Haus, das 1.250 Jahre alt ist (sagt man), steht in Nord-Süd-Lage; es kostet 3,5 Mio..."),
        ("fr", "Il a dit : « Non ! » et puis [rien] de plus @ midi."),
    ],
)
def test_they_are_the_tokens_of_moses_and_the_lines(language: str, text: str) -> None:
    assert count_runs(text) == len(MosesTokenizer(language).tokenize(text)) + 1


def test_a_sentence_without_spaces_has_few_runs_and_many_words() -> None:
    text = "東京は日本の首都です。"
    assert (count_runs(text), count_words(text)) == (3, 11)
