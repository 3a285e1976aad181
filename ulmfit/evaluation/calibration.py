"""How far a classifier's probabilities can be believed, before and after temperature scaling."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ulmfit.evaluation.record_part import RecordPart

BINS = 15


class ReliabilityBin(RecordPart):
    """The texts whose confidence lies in one of the equal parts of 0 to 1."""

    count: int = Field(ge=0, description="texts in the bin")
    confidence: float | None = Field(
        None, ge=0, le=1, description="mean probability of the predicted label; None: no texts"
    )
    accuracy: float | None = Field(None, ge=0, le=1, description="share that is right; None: no texts")


class CalibrationFigures(RecordPart):
    """How well probabilities fit what happened, on the test split."""

    nll: float = Field(ge=0, description="mean negative log-likelihood of the gold label, nats a text")
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
    at_bound: bool = Field(
        False, description="whether the search ended at its bound, as on a validation split without errors"
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
