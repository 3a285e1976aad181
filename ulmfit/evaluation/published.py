"""Published results that a table shows beside its own rows, never among them. Light: recipes import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from ulmfit.evaluation.metric_text import BOUNDS, METRIC_TITLES
from ulmfit.pipeline.record_part import Figure, RecordPart

MANY_TIMES = 1.5
"""Times as many labels from which a published figure is no comparison without a remark."""


class PublishedResult(RecordPart):
    """One number that others reported for the same test split."""

    name: str = Field(min_length=1, description="the system, such as 'fastText' or 'best of the shared task'")
    metric: str = Field(min_length=1, description="a metric's name in this project, such as macro_f1")
    value: Figure = Field(description="as published; shares from 0 to 1, not in percent")
    source: str = Field(min_length=1, description="paper, page or table where it stands")
    verified: bool = Field(
        False, description="whether the number was read in its source; False: shown as unverified"
    )
    training_texts: int | None = Field(
        None, ge=0, description="labelled texts that it was trained on; None: as many as the recipe has"
    )
    note: str = Field("", description="what differs, such as 'frozen vectors'; empty: nothing known")

    @model_validator(mode="after")
    def _value_fits_the_metric(self) -> Self:
        if self.metric not in METRIC_TITLES:
            raise ValueError(f"metric {self.metric!r}: expected one of {', '.join(METRIC_TITLES)}")
        low, high = BOUNDS[self.metric]
        if not low <= self.value <= high:
            raise ValueError(f"{self.metric}: expected a value from {low:g} to {high:g}; got {self.value:g}")
        return self


def labels_beside(result: PublishedResult, training_texts: int) -> str:
    """Return how many labels a published system had beside `training_texts` here; empty: about as many."""
    if result.training_texts is None or not training_texts:
        return ""
    if not result.training_texts:
        return "no labels"
    times = result.training_texts / training_texts
    if MANY_TIMES > times > 1 / MANY_TIMES:
        return ""
    return f"{times:.0f} times the labels" if times > 1 else f"1/{1 / times:.0f} of the labels"


def read_in(
    source: str,
    metric: str,
    values: Mapping[str, float],
    *,
    note: str = "",
    training_texts: int | None = None,
) -> tuple[PublishedResult, ...]:
    """Return results that were read in one source; the arguments map system -> value of one metric."""
    return tuple(
        PublishedResult(
            name=name,
            metric=metric,
            value=value,
            source=source,
            verified=True,
            note=note,
            training_texts=training_texts,
        )
        for name, value in values.items()
    )
