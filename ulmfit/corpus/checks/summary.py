"""What a record says of the checks of a data set: counts of what they found, never ids or texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, NonNegativeInt, model_validator

from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.record_part import RecordPart, part_of

CHECKS, CLEANING = "checks.json", "cleaning.json"
SETTINGS = ("similarity", "shingle_words", "min_words", "min_letters")


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


def summary_of(
    checks: Mapping[str, Any], dropped: Mapping[str, Mapping[str, Sequence[str]]] | None = None
) -> DataCheckSummary:
    """Return the content of `checks.json` with counts in place of lists of ids.

    `dropped` has the ids that a cleaning left out: split -> reason -> ids. Raises InputError when the content
    is malformed.
    """
    conflicts = checks["conflicts"]
    splits = Counter(row["split"] for conflict in conflicts for row in conflict["rows"])
    kinds = Counter(conflict["kind"] for conflict in conflicts)
    content = {
        **{name: checks[name] for name in (*SETTINGS, "texts", "labels", "label_shift")},
        **{name: _counts_of_each(checks[name]) for name in ("inside", "across", "damaged")},
        "conflicts": {
            "exact": kinds["exact"],
            "loose": kinds["loose"],
            "rows": dict(sorted(splits.items())),
        },
        "near_empty": _counts(checks["near_empty"]),
        "dropped": _counts_of_each(dropped or {}),
    }
    return part_of(DataCheckSummary, content, "data checks")


def read_data_checks(checks: Path, cleaned: Path | None = None) -> DataCheckSummary:
    """Return what a record says, from the folders of a DataChecks and, if there is one, a CleanedDataset."""
    dropped = read_json(cleaned / CLEANING)["dropped"] if cleaned else None
    return summary_of(read_json(checks / CHECKS), dropped)


def _counts(lists: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    return {name: len(entries) for name, entries in lists.items()}


def _counts_of_each(
    groups: Mapping[str, Mapping[str, Sequence[Any]]],
) -> dict[str, dict[str, int]]:
    return {name: _counts(lists) for name, lists in groups.items()}
