"""Where the errors are: parts of equal size, intervals, new words, and the surest errors."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.classifier.predictions import SingleLabelPredictions
from ulmfit.evaluation.error_analysis import LabelScore, Part, Share, analyse_errors, folded_words, parts_by
from ulmfit.evaluation.record import Record
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.record_part import RecordPart
from ulmfit.report.sections.errors import part_names

LABELS = ["no", "yes"]
TEXTS = ["One two three", "ONE, two!", "new words", "three", "…", "one Four"]
GOLD = ["no", "yes", "yes", "no", "no", "yes"]
YES = [0.1, 0.2, 0.05, 0.7, 0.9, 0.8]
"""Probabilities of yes: the second, third, fourth and fifth are wrong."""


def predictions() -> SingleLabelPredictions:
    probabilities = numpy.array([[1 - yes, yes] for yes in YES])
    return SingleLabelPredictions.from_probabilities([f"t{i}" for i in range(6)], GOLD, probabilities, LABELS)


def analysis(**options):
    return analyse_errors(
        "ULMFiT", 2, predictions(), TEXTS, [5, 5, 9, 2, 1, 6], ["One, two?", "THREE four!"], **options
    )


def test_surest_errors_come_first() -> None:
    found = analysis().mistakes
    assert [one.id for one in found] == ["t2", "t4", "t1", "t3"]
    first = found[0]
    assert (first.text, first.gold, first.predicted) == ("new words", "yes", "no")
    assert (first.probability, first.gold_probability) == pytest.approx((0.95, 0.05))
    assert [one.id for one in analysis(most=2).mistakes] == ["t2", "t4"]
    assert analysis(most=0).mistakes == ()


def test_parts_by_hand() -> None:
    found = analysis()
    assert found.right == Share(2, 6)
    assert [(part.low, part.high, part.right) for part in found.by_length] == [
        (1, 2, Share(0, 2)),
        (5, 5, Share(1, 2)),
        (6, 6, Share(1, 1)),
        (9, 9, Share(0, 1)),
    ]
    # The text without words is left out; two words that no training text has are all of a text.
    assert [(part.low, part.high, part.right) for part in found.by_unseen] == [
        (0, 0, Share(2, 4)),
        (1, 1, Share(0, 1)),
    ]
    assert [part.right.whole for part in found.by_fertility] == [1, 1, 1, 1, 1]
    assert found.by_fertility[0].low == pytest.approx(5 / 3)


def test_labels_by_hand() -> None:
    no, yes = analysis().labels
    assert no == LabelScore("no", recall=Share(1, 3), precision=Share(1, 3))
    assert yes == LabelScore("yes", recall=Share(1, 3), precision=Share(1, 3))
    assert no.f1 == pytest.approx(1 / 3)
    assert LabelScore("x", Share(0, 0), Share(0, 0)).f1 == 0


def test_interval_is_wilsons() -> None:
    low, high = Share(8, 10).interval
    z = 1.959963984540054
    middle = (0.8 + z * z / 20) / (1 + z * z / 10)
    half = z / (1 + z * z / 10) * math.sqrt(0.8 * 0.2 / 10 + z * z / 400)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-9)
    assert Share(0, 0).interval is None
    assert Share(0, 0).value is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("„Ärger“, sagt’s  er.", ["ärger", "sagt", "s", "er"]),
        ("... !? —", []),
        ("", []),
        ("हिन्दी की", ["हिन्दी", "की"]),
        ("東京 abc", ["東", "京", "abc"]),
        ("STRASSE straße", ["strasse", "strasse"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert folded_words(text) == words


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 7))
def test_parts_hold_every_text_once_and_are_never_empty(values: list[int], most: int) -> None:
    array = numpy.array(values)
    parts = parts_by(array, numpy.ones(len(values), bool), most)
    assert 1 <= len(parts) <= most
    assert all(part.right.whole for part in parts)
    assert sum(part.right.whole for part in parts) == len(values)
    assert [part.low for part in parts] == sorted(part.low for part in parts)
    for part in parts:
        assert part.right.whole == sum(part.low <= value <= part.high for value in values)


def test_distinct_values_make_parts_of_equal_size() -> None:
    parts = parts_by(numpy.arange(100.0), numpy.arange(100) % 2 == 0)
    assert [part.right for part in parts] == [Share(10, 20)] * 5


def test_ranges_of_parts_do_not_look_as_if_they_overlapped() -> None:
    parts = [Part(0.09, 0.3812, Share(1, 2)), Part(0.3821, 0.44, Share(1, 2)), Part(0.5, 0.5, Share(1, 2))]
    assert part_names(parts, 100, 0) == ["9.0 – 38.1", "38.2 – 44.0", "50.0"]
    assert part_names(parts[1:], 100, 0) == ["38 – 44", "50"]
    assert part_names([Part(9, 37, Share(1, 2)), Part(38, 1043, Share(1, 2))], 1, 0) == [
        "9 – 37",
        "38 – 1,043",
    ]


def test_no_texts_with_words() -> None:
    assert parts_by(numpy.zeros(0), numpy.zeros(0, bool)) == ()


def test_texts_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="6 predictions, 5 texts"):
        analyse_errors("ULMFiT", 1, predictions(), TEXTS[:5], [1] * 6, [])


def test_an_analysis_can_not_stand_in_a_record() -> None:
    assert not isinstance(analysis(), RecordPart)
    with pytest.raises(ValueError, match="errors"):
        Record.model_validate({"errors": analysis()})
