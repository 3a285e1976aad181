"""The predictions of one model on one split: checked, read, written and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from ulmfit.datasets.stages import Task
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path

if TYPE_CHECKING:
    import numpy as np

SUM_TOLERANCE = 1e-2
"""How far the probabilities of a row may be from a sum of 1: half precision rounds that much."""


class HasRows(Protocol):
    """What predictions of every task have."""

    @property
    def task(self) -> Task:
        """The kind of task."""

    @property
    def ids(self) -> list[str]:
        """The texts' ids, in the data set's order."""

    @property
    def labels(self) -> list[str]:
        """The label names of the data set; none in regression."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row for each text, in the data set's order.

    `probabilities` has the shape (rows, labels), its columns in the order of `labels`. Raises InputError
    when the parts do not fit together.
    """

    task: ClassVar[Task] = "single_label"

    ids: list[str]
    gold: list[str]
    predicted: list[str]
    probabilities: np.ndarray
    labels: list[str]

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        rows = len(self.ids)
        if not len(self.gold) == len(self.predicted) == rows:
            raise InputError(
                f"predictions: {rows} ids, {len(self.gold)} gold and {len(self.predicted)} predicted labels; "
                "expected as many of each"
            )
        if len(set(self.ids)) != rows:
            raise InputError("predictions: an id occurs twice; expected distinct ids")
        if len(set(self.labels)) != len(self.labels):
            raise InputError("predictions: a label name is listed twice; expected distinct names")
        if unknown := sorted({*self.gold, *self.predicted} - set(self.labels)):
            raise InputError(f"predictions: label {unknown[0]!r} is not one of {', '.join(self.labels)}")
        self._check_probabilities()

    def _check_probabilities(self) -> None:
        import numpy as np

        shape = (len(self.ids), len(self.labels))
        if self.probabilities.shape != shape:
            raise InputError(
                f"predictions: probabilities have the shape {self.probabilities.shape}, expected {shape} "
                "(rows, labels)"
            )
        # Written so that a NaN fails each comparison.
        in_range = np.all((self.probabilities >= 0) & (self.probabilities <= 1 + SUM_TOLERANCE))
        sums_to_one = np.all(np.abs(self.probabilities.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE)
        if not (in_range and sums_to_one):
            raise InputError(
                "predictions: probabilities have to lie between 0 and 1 and to sum to 1 in every row"
            )

    @classmethod
    def from_probabilities(
        cls, ids: Sequence[str], gold: Sequence[str], probabilities: np.ndarray, labels: Sequence[str]
    ) -> Self:
        """Predict the most probable label of each row (the first of several equal ones)."""
        best = [labels[index] for index in probabilities.argmax(axis=1)]
        return cls(list(ids), list(gold), best, probabilities, list(labels))


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write `id`, `gold`, `predicted`, `p0`, `p1`, ... (float32) as Parquet; same input, same bytes."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, pyarrow.Array] = {
        "id": pyarrow.array(predictions.ids, pyarrow.string()),
        "gold": pyarrow.array(predictions.gold, pyarrow.string()),
        "predicted": pyarrow.array(predictions.predicted, pyarrow.string()),
    }
    for index in range(len(predictions.labels)):
        columns[f"p{index}"] = pyarrow.array(predictions.probabilities[:, index].astype(np.float32))
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary, compression="zstd")


def read_predictions(path: Path, labels: Sequence[str]) -> Predictions:
    """Read a file of `write_predictions`; `labels` are those of dataset.json, in its order.

    Raises InputError when the file is missing, is no Parquet, or does not fit `labels`.
    """
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"predictions {path} cannot be read: {str(error).splitlines()[0]}") from error
    expected = ["id", "gold", "predicted", *(f"p{index}" for index in range(len(labels)))]
    if table.column_names != expected:
        raise InputError(
            f"predictions {path.name}: columns are {', '.join(table.column_names)}; "
            f"expected {', '.join(expected)} for {len(labels)} labels"
        )
    if any(table[name].null_count for name in expected):
        raise InputError(f"predictions {path.name}: a cell is empty; expected a value in every cell")
    probabilities = np.empty((table.num_rows, len(labels)), dtype=np.float32)
    for index in range(len(labels)):
        probabilities[:, index] = table[f"p{index}"].to_numpy()
    return Predictions(
        ids=[str(value) for value in table["id"].to_pylist()],
        gold=[str(value) for value in table["gold"].to_pylist()],
        predicted=[str(value) for value in table["predicted"].to_pylist()],
        probabilities=probabilities,
        labels=list(labels),
    )


def average(members: Sequence[Predictions]) -> Predictions:
    """Average the probabilities of several models (both directions, or an ensemble) and predict anew.

    Raises InputError unless all members have the same labels, ids (in the same order) and gold.
    """
    import numpy as np

    if not members:
        raise InputError("average: there are no predictions; expected at least one model's")
    check_same_rows(members, "average")
    total = np.zeros(members[0].probabilities.shape, dtype=np.float64)
    for member in members:
        total += member.probabilities
    first = members[0]
    return Predictions.from_probabilities(first.ids, first.gold, total / len(members), first.labels)


def check_same_rows(members: Sequence[HasRows], where: str) -> None:
    """Raise InputError unless all members have the same labels, ids (in the same order) and gold labels."""
    first = members[0]
    for number, other in enumerate(members[1:], start=2):
        for part in ("labels", "ids", "gold"):
            if getattr(other, part) != getattr(first, part):
                raise InputError(
                    f"{where}: the {part} of predictions {number} differ from those of the first; expected "
                    "predictions on the same split of the same data set"
                )
