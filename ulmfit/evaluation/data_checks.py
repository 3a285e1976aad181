"""What a record says of the data behind it: counts of what the checks found, never ids or texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, NonNegativeInt, model_validator

from ulmfit.corpus.checks.wording import sentences
from ulmfit.evaluation.record_part import RecordPart, part_of


class RepeatCounts(RecordPart):
    """How many texts are copies; each counts under the closest kind alone."""

    exact: int = Field(ge=0, description="the same text")
    loose: int = Field(ge=0, description="the same but for case, punctuation and width")
    near: int = Field(ge=0, description="as similar as the summary's `similarity`")


class ConflictCounts(RecordPart):
    """Texts that stand under different labels, over all splits."""

    exact: int = Field(ge=0, description="texts of which two rows are the same")
    loose: int = Field(ge=0, description="texts whose rows are the same but for case and punctuation")
    rows: dict[str, NonNegativeInt] = Field(description="split -> rows that such a text stands in")


class LabelShift(RecordPart):
    """Whether the labels of a split have other shares than in train: Pearson's chi-square test."""

    chi_square: float = Field(ge=0)
    degrees_of_freedom: int = Field(ge=1)
    p_value: float = Field(ge=0, le=1, description="probability of so much difference by chance")
    cramers_v: float = Field(ge=0, le=1, description="effect size: 0.1 small, 0.3 medium, 0.5 large")
    rare_cells: int = Field(
        ge=0, description="cells with fewer than 5 texts expected, where the test is a poor approximation"
    )


class DataCheckSummary(RecordPart):
    """What the checks of a data set found before anything was trained on it."""

    similarity: float = Field(
        ge=0, le=1, description="Jaccard similarity from which texts are nearly the same"
    )
    shingle_words: int = Field(ge=1, description="words of a shingle")
    min_words: int = Field(ge=0, description="words below which a text is near-empty")
    min_letters: int = Field(ge=0, description="letters below which a text is near-empty")
    texts: dict[str, NonNegativeInt] = Field(description="split -> texts that were checked")
    inside: dict[str, RepeatCounts] = Field(description="split -> texts that repeat an earlier one of it")
    across: dict[str, RepeatCounts] = Field(
        description="'test in train' -> texts of test that stand in train"
    )
    conflicts: ConflictCounts
    labels: dict[str, dict[str, NonNegativeInt]] = Field(
        description="split -> label -> texts; empty: no labels"
    )
    label_shift: dict[str, LabelShift] = Field(description="split -> how its labels differ from train's")
    near_empty: dict[str, NonNegativeInt] = Field(description="split -> near-empty texts")
    damaged: dict[str, dict[str, NonNegativeInt]] = Field(
        description="split -> sign of damage -> texts; one may have several"
    )
    dropped: dict[str, dict[str, NonNegativeInt]] = Field(
        {}, description="split -> reason -> texts that were left out of what the record is about"
    )

    @model_validator(mode="after")
    def _shift_has_labels(self) -> Self:
        if missing := sorted({"train", *self.label_shift} - set(self.labels) if self.label_shift else ()):
            raise ValueError(f"label_shift needs the labels of {missing[0]}")
        return self


def checked_data(summary: Mapping[str, Any]) -> DataCheckSummary:
    """Take over the summary of a data set's checks. Raises InputError when it is malformed."""
    return part_of(DataCheckSummary, summary, "data checks")


def data_check_notes(summary: DataCheckSummary | None) -> list[str]:
    """Return the remarks below a table: one line for each thing found, and one on what was left out."""
    if summary is None:
        return []
    lines = [f"data check: {line}" for line in sentences(summary.model_dump())]
    return [*lines, *_dropped_lines(summary)]


def _dropped_lines(summary: DataCheckSummary) -> list[str]:
    listed = [
        f"{split} {sum(reasons.values()):,} ("
        + ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons.items())
        + ")"
        for split, reasons in summary.dropped.items()
    ]
    return [f"left out of the data: {', '.join(listed)}"] if listed else []
