"""Predictions of regression tasks: one number a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ulmfit.datasets.stages import Task
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path


@dataclass(frozen=True, eq=False)
class RegressionPredictions:
    """One row for each text, in the data set's order, in the units of the data set.

    Raises InputError when the parts do not fit together or a number is not finite.
    """

    task: ClassVar[Task] = "regression"

    ids: list[str]
    gold: list[float]
    predicted: list[float]
    labels: list[str] = field(default_factory=list, init=False)
    """None, as in the data set's description."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        rows = len(self.ids)
        if not len(self.gold) == len(self.predicted) == rows:
            raise InputError(
                f"predictions: {rows} ids, {len(self.gold)} gold and {len(self.predicted)} predicted "
                "numbers; expected as many of each"
            )
        if len(set(self.ids)) != rows:
            raise InputError("predictions: an id occurs twice; expected distinct ids")
        for row, *numbers in zip(self.ids, self.gold, self.predicted, strict=True):
            if not all(math.isfinite(number) for number in numbers):
                raise InputError(f"predictions, id {row!r}: a number is not finite; expected finite numbers")


def write_regression(path: Path, predictions: RegressionPredictions) -> None:
    """Write `id`, `gold` and `predicted` (both double) as Parquet; same input, same bytes."""
    import pyarrow
    import pyarrow.parquet

    columns = {
        "id": pyarrow.array(predictions.ids, pyarrow.string()),
        "gold": pyarrow.array(predictions.gold, pyarrow.float64()),
        "predicted": pyarrow.array(predictions.predicted, pyarrow.float64()),
    }
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary, compression="zstd")


def average_regression(members: Sequence[RegressionPredictions]) -> RegressionPredictions:
    """Average the numbers of several models on the same rows, which the caller checks."""
    first = members[0]
    rows = zip(*(member.predicted for member in members), strict=True)
    # Divided before they are summed, which keeps the sum of huge numbers finite.
    predicted = [math.fsum(value / len(members) for value in values) for values in rows]
    return RegressionPredictions(first.ids, first.gold, predicted)
