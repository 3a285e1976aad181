"""A model averaged with another: which one, at which share, and on whose scores."""

from __future__ import annotations

import numpy as np
import pytest

from ulmfit.classifier.predictions import Predictions, RegressionPredictions, SingleLabelPredictions
from ulmfit.evaluation.mixture import mixture

GOLD = ["no", "yes"] * 20


def predictions(right: float, wrong: tuple[int, ...] = (), rows: int = 40) -> Predictions:
    """Predictions that give the gold label `right`, and in the `wrong` rows the other label."""
    probabilities = np.empty((rows, 2))
    for row in range(rows):
        column = row % 2 if row not in wrong else 1 - row % 2
        probabilities[row] = [right, 1 - right] if column == 0 else [1 - right, right]
    ids = [str(row) for row in range(rows)]
    return SingleLabelPredictions.from_probabilities(ids, GOLD[:rows], probabilities, ["no", "yes"])


def accuracy(run: Predictions) -> float:
    return float(np.mean([one == other for one, other in zip(run.gold, run.predicted, strict=True)]))


def test_the_other_model_is_the_best_on_validation_whatever_test_says() -> None:
    model = predictions(0.7, wrong=(0, 1)), predictions(0.7, wrong=(0, 1))
    worse = predictions(0.9, wrong=(2, 3, 4, 5)), predictions(0.9)
    better = predictions(0.9, wrong=(6,)), predictions(0.9, wrong=(6, 7, 8, 9, 10))
    assert mixture(model, [worse, better, better], accuracy).other == 1


def test_probabilities_are_calibrated_before_they_are_averaged() -> None:
    """A model that is sure and often wrong has less say than one that is less sure and rarely wrong."""
    sure = predictions(0.999, wrong=tuple(range(15))), predictions(0.999, wrong=tuple(range(15)))
    modest = predictions(0.8, wrong=(20,)), predictions(0.8, wrong=(20,))
    together = mixture(sure, [modest], accuracy)
    assert together.share == 0.5
    assert accuracy(together.valid) == accuracy(together.test) == 39 / 40
    assert accuracy(sure[0]) == 25 / 40


def test_one_half_where_validation_does_not_choose() -> None:
    model = predictions(0.9, wrong=(0,)), predictions(0.9, wrong=(1,))
    together = mixture(model, [model], accuracy)
    assert together.share == 0.5
    assert together.test.predicted == model[1].predicted


@pytest.mark.parametrize(("own", "expected"), [(0.0, 0.75), (4.0, 0.25)])
def test_the_share_is_the_best_of_three_on_validation(own: float, expected: float) -> None:
    """Numbers are averaged as they are: the gold ones are 1, the other model says 4 or 0."""

    def numbers(value: float) -> RegressionPredictions:
        return RegressionPredictions(["a", "b"], [1.0, 1.0], [value, value])

    def error(run: Predictions) -> float:
        assert isinstance(run, RegressionPredictions)
        return -abs(run.predicted[0] - 1)

    together = mixture((numbers(own), numbers(8.0)), [(numbers(4.0 - own), numbers(0.0))], error)
    assert together.share == expected
    assert isinstance(together.test, RegressionPredictions)
    assert together.test.predicted == pytest.approx([8 * expected] * 2)
    assert isinstance(together.valid, RegressionPredictions)
    assert together.valid.predicted == pytest.approx([1.0, 1.0])
