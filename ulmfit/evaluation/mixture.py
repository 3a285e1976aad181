"""A model averaged with a model of another kind, which may make other errors.

Both are calibrated first, so that an overconfident one does not decide alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ulmfit.classifier.predictions import Predictions, SingleLabelPredictions, average_splits
from ulmfit.evaluation.calibration import calibrate, scaled

Splits = tuple[Predictions, Predictions]
"""Predictions of one model on validation and test."""

PARTS = ((1, 1), (1, 3), (3, 1))
"""Weights of model and other in the average; of equal scores the first is taken, which is one half."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The averaged predictions, and what validation chose."""

    valid: Predictions
    test: Predictions
    share: float
    """Of the model in the average, 0 to 1; the rest is the other's."""
    other: int
    """Which of the others was taken."""


def mixture(model: Splits, others: Sequence[Splits], score: Callable[[Predictions], float]) -> Mixture:
    """Average a model with the one of the others (at least one) that has the highest `score` on validation.

    The shares are the ones of `PARTS` with the highest score on validation. Averaged are probabilities at
    the temperature that fits validation (Guo et al. 2017); of several labels, whose thresholds are tuned
    anew, and of numbers the predictions as they are. The test split is only predicted.
    """
    chosen = max(range(len(others)), key=lambda place: score(others[place][0]))
    own, other = _calibrated(*model), _calibrated(*others[chosen])

    def averaged(parts: tuple[int, int]) -> Mixture:
        members = [own] * parts[0] + [other] * parts[1]
        valid, test = average_splits([one for one, _ in members], [one for _, one in members])
        return Mixture(valid, test, parts[0] / sum(parts), chosen)

    return max(map(averaged, PARTS), key=lambda tried: score(tried.valid))


def _calibrated(valid: Predictions, test: Predictions) -> Splits:
    if not (isinstance(valid, SingleLabelPredictions) and isinstance(test, SingleLabelPredictions)):
        return valid, test
    temperature = calibrate(valid, test).temperature
    return _scaled(valid, temperature), _scaled(test, temperature)


def _scaled(run: SingleLabelPredictions, temperature: float) -> SingleLabelPredictions:
    probabilities = scaled(run.probabilities, temperature)
    return SingleLabelPredictions.from_probabilities(run.ids, run.gold, probabilities, run.labels)
