"""Empty, long and strange texts are read; what is no text is refused in a line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
from bundles_for_tests import Made

from ulmfit import LanguageModel, TextClassifier
from ulmfit.pipeline.errors import InputError

ODD = ["", " \n", "🙂👍🏽", "a\0b", "\ud800", "שלום", "kalomi " * 100]


@pytest.fixture(scope="module")
def model(language_model: Path) -> LanguageModel:
    return LanguageModel.load(language_model, device="cpu")


@pytest.fixture(scope="module")
def classifier(single_label: Made) -> TextClassifier:
    return TextClassifier.load(single_label.folder, device="cpu")


def test_a_language_model_reads_odd_texts(model: LanguageModel) -> None:
    for direction in model.directions:
        scores = model.score(ODD, direction)
        assert [score.tokens == 0 for score in scores] == [True, True, *[False] * 5]
        assert all(math.isfinite(score.loss) for score in scores)
        assert all(score.bits_per_character > 0 for score in scores[2:])
    assert math.isnan(model.score([""])[0].bits_per_character)
    assert model.document_vectors(ODD).shape == (7, 2 * 3 * 16)
    assert numpy.isfinite(model.document_vectors(ODD)).all()
    assert model.word_vectors(ODD[:6]).shape == (6, 16)
    assert model.word_vectors(word for word in ["ka"]).shape == (1, 16)
    for text in ODD:
        assert isinstance(model.generate(text, tokens=2), str)


def test_a_classifier_reads_odd_texts(classifier: TextClassifier) -> None:
    numpy.testing.assert_allclose(classifier.predict_proba(ODD).sum(axis=1), 1)
    assert numpy.isfinite(classifier.document_vectors(ODD)).all()
    numpy.testing.assert_array_equal(*classifier.predict_proba(["", " \n"]))
    with pytest.raises(InputError, match="no word in the text"):
        classifier.explain(" ")


@pytest.mark.soak
def test_texts_of_a_hundred_thousand_characters(model: LanguageModel, classifier: TextClassifier) -> None:
    text = "kalomi ka lomi " * 6_667
    (score,) = model.score([text])
    assert score.characters == len(text) and math.isfinite(score.token_perplexity)
    assert numpy.isfinite(model.document_vectors([text])).all()
    assert model.generate(text, tokens=1).startswith("kalomi")
    # Of a long text a classifier reads the first tokens.
    first = classifier.predict_proba([text[: len(text) // 4], text])
    numpy.testing.assert_allclose(first[0], first[1], atol=1e-6)


@pytest.mark.parametrize("given", [None, 5, "kalomi", [None], [b"kalomi"]])
def test_what_is_no_list_of_texts_is_refused(
    model: LanguageModel, classifier: TextClassifier, given: Any
) -> None:
    for read in (
        model.score,
        model.document_vectors,
        model.word_vectors,
        classifier.predict,
        classifier.predict_proba,
        classifier.document_vectors,
    ):
        with pytest.raises(InputError, match=r"expected a (list of )?string"):
            read(given)


@pytest.mark.parametrize("given", [None, 5, b"kalomi", ["kalomi"]])
def test_what_is_no_text_is_refused(model: LanguageModel, classifier: TextClassifier, given: Any) -> None:
    for read in (model.generate, classifier.explain):
        with pytest.raises(InputError, match=r"text 1 is of type .*: expected a string"):
            read(given)


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"temperature": math.nan}, {"tokens": -1}, {"tokens": 1.5}]
)
def test_texts_that_cannot_be_written_are_refused(model: LanguageModel, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a number above 0, and a whole number"):
        model.generate("kalomi", **options)


def test_a_temperature_near_zero_takes_the_likeliest_token(model: LanguageModel) -> None:
    texts = {model.generate("kalomi", tokens=5, temperature=1e-30, seed=seed) for seed in range(3)}
    assert len(texts) == 1
