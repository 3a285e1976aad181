"""Whether two rows of a table differ: paired tests over the test split's documents, and the seeds' noise."""

from __future__ import annotations

from pydantic import Field

from ulmfit.evaluation.record_part import RecordPart

Interval = tuple[float, float]


class Comparison(RecordPart):
    """One row held against the reference row, on the same documents, in the main metric."""

    row: str = Field(description="name of the row")
    reference: str = Field(description="name of the row that it is compared with")
    metric: str = Field(description="the metric compared")
    difference: float = Field(description="row minus reference, means over the seeds; 0.01: one point")
    interval: Interval = Field(
        description="95 % paired bootstrap interval of the difference, over documents, seeds held fixed"
    )
    p_bootstrap: float = Field(gt=0, le=1, description="two-sided, paired bootstrap over documents")
    p_permutation: float = Field(
        gt=0, le=1, description="two-sided, approximate randomisation: outputs swapped document by document"
    )
    p_adjusted: float = Field(
        gt=0, le=1, description="p_permutation after Holm's correction for all comparisons of the record"
    )
    seed_margin: float | None = Field(
        None,
        ge=0,
        description="half width of Welch's 95 % interval of the difference of the seeds' means; "
        "None: unknown, a trained row has a single run",
    )

    @property
    def within_seed_noise(self) -> bool | None:
        """Whether other seeds could have turned the difference round; None: a single run cannot tell."""
        return None if self.seed_margin is None else abs(self.difference) <= self.seed_margin
