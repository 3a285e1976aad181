"""How well a classifier's probabilities are calibrated, before and after temperature scaling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from ulmfit.pipeline.record_part import RecordPart

if TYPE_CHECKING:
    import numpy as np

    from ulmfit.classifier.predictions import SingleLabelPredictions

BINS = 15

LOWEST, HIGHEST = 0.01, 1000.0
"""Temperatures that are searched."""

_FLOOR = 2.0**-126
"""A probability of 0 (small ones become 0 in float32) counts as the smallest float32."""


class ReliabilityBin(RecordPart):
    """The texts whose confidence lies in one of the equal parts of 0 to 1."""

    count: int = Field(ge=0, description="texts in the bin")
    confidence: float | None = Field(
        None, ge=0, le=1, description="mean probability of the predicted label; None: no texts"
    )
    accuracy: float | None = Field(None, ge=0, le=1, description="share that is right; None: no texts")


class CalibrationFigures(RecordPart):
    """How well probabilities fit what happened, on the test split."""

    nll: float = Field(ge=0, description="mean negative log-likelihood of the gold label, nats per text")
    brier: float = Field(ge=0, le=2, description="squared error of the probabilities, summed over labels")
    ece: float = Field(ge=0, le=1, description="expected calibration error over the bins, 0 to 1")
    bins: tuple[ReliabilityBin, ...] = Field(
        description="equal-width bins of the predicted label's probability; bin k of n: (k/n, (k+1)/n]"
    )


class Calibration(RecordPart):
    """Temperature scaling of one run: fitted on validation, measured on test. Predictions do not change."""

    temperature: float = Field(
        gt=0, description="what the logits are divided by; above 1: the classifier was too sure of itself"
    )
    fitted: bool = Field(
        True,
        description="False: there is no best temperature, because no validation text is predicted wrongly, "
        "or because the predictions are no better than chance; it is 1 then",
    )
    validation_texts: int = Field(ge=1, description="texts that the temperature was fitted on")
    before: CalibrationFigures
    after: CalibrationFigures

    @model_validator(mode="after")
    def _same_texts(self) -> Self:
        counts = [sum(part.count for part in figures.bins) for figures in (self.before, self.after)]
        if counts[0] != counts[1]:
            raise ValueError(f"{counts[0]} texts before and {counts[1]} after scaling; expected as many")
        return self


def calibrate(valid: SingleLabelPredictions, test: SingleLabelPredictions) -> Calibration:
    """Fit a temperature on validation (Guo et al. 2017, section 4.2) and measure it on test.

    Predicted labels stay the same: dividing logits by a number does not change their order.
    """
    temperature = fit_temperature(_log_probabilities(valid.probabilities), _codes(valid, valid.gold))
    log_p = _log_probabilities(test.probabilities)
    gold, predicted = _codes(test, test.gold), _codes(test, test.predicted)
    return Calibration(
        temperature=temperature or 1.0,
        fitted=temperature is not None,
        validation_texts=len(valid.ids),
        before=measure(log_p, gold, predicted),
        after=measure(log_p / (temperature or 1.0), gold, predicted),
    )


def fit_temperature(log_p: np.ndarray, gold: np.ndarray) -> float | None:
    """Return the temperature with the lowest mean negative log-likelihood; None if that is at no finite one.

    `log_p` are logits or log-probabilities (texts, labels), `gold` indices of labels. The likelihood has one
    peak in the temperature, so that a bounded search on its logarithm finds it. If the search ends at a
    bound, there is no best temperature: no text is wrong, or no more are right than by chance.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return _nll(log_p / math.exp(log_temperature), gold)

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    if min(loss(bound) for bound in bounds) <= found.fun:
        return None
    return float(math.exp(found.x))


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities (texts, labels) at another temperature; every row sums to 1."""
    return _softmax(_log_probabilities(probabilities) / temperature)


def measure(logits: np.ndarray, gold: np.ndarray, predicted: np.ndarray) -> CalibrationFigures:
    """Measure logits or log-probabilities (texts, labels); `gold` and `predicted` are indices of labels.

    The expected calibration error is the mean over texts of the gap between accuracy and mean confidence of
    the text's bin; confidence is the probability of the predicted label, the bins have equal widths
    (Guo et al. 2017, section 2).
    """
    import numpy as np

    probabilities = _softmax(logits)
    confidence, right = probabilities[np.arange(len(gold)), predicted], gold == predicted
    wanted = np.eye(probabilities.shape[1])[gold]
    inside = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(inside, minlength=BINS)
    confident = np.bincount(inside, weights=confidence, minlength=BINS)
    hits = np.bincount(inside, weights=right, minlength=BINS)
    return CalibrationFigures(
        nll=_nll(logits, gold),
        brier=float(((probabilities - wanted) ** 2).sum(axis=1).mean()),
        ece=float(np.abs(hits - confident).sum() / len(gold)),
        bins=tuple(_bin(int(n), float(c), float(h)) for n, c, h in zip(counts, confident, hits, strict=True)),
    )


def _bin(count: int, confidence: float, hits: float) -> ReliabilityBin:
    if not count:
        return ReliabilityBin(count=0)
    return ReliabilityBin(count=count, confidence=min(1.0, confidence / count), accuracy=hits / count)


def _codes(predictions: SingleLabelPredictions, names: list[str]) -> np.ndarray:
    import numpy as np

    index = {label: number for number, label in enumerate(predictions.labels)}
    return np.array([index[name] for name in names], dtype=np.intp)


def _log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.log(np.maximum(probabilities.astype(np.float64), _FLOOR))


def _softmax(logits: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return softmax(logits, axis=1)


def _nll(logits: np.ndarray, gold: np.ndarray) -> float:
    import numpy as np
    from scipy.special import log_softmax

    return max(0.0, float(-log_softmax(logits, axis=1)[np.arange(len(gold)), gold].mean()))
