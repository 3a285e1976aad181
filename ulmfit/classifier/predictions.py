"""The predictions of one model on one split: checked, read, written and averaged. One class per kind of task.

Shapes: N texts, K labels.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, overload

import numpy as np

from ulmfit.classifier.multi_label import indicators, names_of, tune_thresholds
from ulmfit.classifier.outcomes import LabelOutcomes, MultiLabelOutcomes, NumberOutcomes, Outcomes
from ulmfit.datasets.task import Task, has_one_label
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path

if TYPE_CHECKING:
    import pyarrow

SUM_TOLERANCE = 1e-2
"""How far the probabilities of a row may be from a sum of 1: half precision rounds that much."""
THRESHOLDS = b"thresholds"
"""Key of the Parquet file's own metadata under which thresholds stand, as a JSON list."""


class Predictions(ABC):
    """One row for each text, in the data set's order; InputError when the parts do not fit together."""

    task: ClassVar[Task]

    ids: list[str]
    """The texts' ids."""
    gold: list[Any]
    """The texts' labels, as the data set has them."""
    predicted: list[Any]
    """The predicted labels, in the same form."""
    labels: list[str]
    """The label names of the data set; none if its labels are numbers."""

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
        self._check()

    @abstractmethod
    def _check(self) -> None:
        """Refuse what the kind of task does not allow."""

    def outcomes(self, positive_label: str | None = None) -> Outcomes:
        """Return what is scored; `positive_label` is for single-label tasks alone."""
        if positive_label is not None and not has_one_label(self.task):
            raise InputError(
                f"metrics: positive label {positive_label!r} in a {self.task} task: leave it out"
            )
        return self._outcomes(positive_label)

    @abstractmethod
    def _outcomes(self, positive_label: str | None) -> Outcomes: ...

    @classmethod
    @abstractmethod
    def _average(cls, members: Sequence[Self], valid: Sequence[Self] | None, where: str) -> Self:
        """Average members on the same rows; `valid` are the models' predictions on validation."""

    def _probabilities(self) -> np.ndarray:
        """Return the columns p0, p1, ... of a file (N, K)."""
        return np.empty((len(self.ids), 0))

    def _metadata(self) -> dict[bytes, bytes] | None:
        """Return what a file has beside its columns, as metadata."""
        return None

    @classmethod
    def _parts(cls, table: pyarrow.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of the class, from a checked file."""
        return {
            "ids": table["id"].to_pylist(),
            "gold": table["gold"].to_pylist(),
            "predicted": table["predicted"].to_pylist(),
        }


class _WithProbabilities(Predictions):
    """What tasks with labels share."""

    probabilities: np.ndarray
    """(N, K), columns in the order of `labels`."""

    def _probabilities(self) -> np.ndarray:
        return self.probabilities

    @classmethod
    def _parts(cls, table: pyarrow.Table, labels: Sequence[str]) -> dict[str, Any]:
        probabilities = [table[f"p{index}"].to_numpy() for index in range(len(labels))]
        return super()._parts(table, labels) | {
            "probabilities": np.stack(probabilities, axis=1),
            "labels": list(labels),
        }

    def _check_names(self, names: Iterable[str]) -> None:
        if unknown := sorted(set(names) - set(self.labels)):
            raise InputError(f"predictions: label {unknown[0]!r} is not one of {', '.join(self.labels)}")

    def _check_shape(self) -> None:
        shape = (len(self.ids), len(self.labels))
        if self.probabilities.shape != shape:
            raise InputError(
                f"predictions: probabilities have the shape {self.probabilities.shape}, expected {shape} "
                "(rows, labels)"
            )


@dataclass(frozen=True, eq=False)
class SingleLabelPredictions(_WithProbabilities):
    """One label per text."""

    task = "single_label"

    ids: list[str]
    gold: list[str]
    predicted: list[str]
    probabilities: np.ndarray
    labels: list[str]

    @classmethod
    def from_probabilities(
        cls, ids: Sequence[str], gold: Sequence[str], probabilities: np.ndarray, labels: Sequence[str]
    ) -> Self:
        """Predict the most probable label of each row (the first of several equal ones)."""
        best = [labels[index] for index in probabilities.argmax(axis=1)]
        return cls(list(ids), list(gold), best, probabilities, list(labels))

    def _check(self) -> None:
        self._check_names([*self.gold, *self.predicted])
        self._check_shape()
        # Written so that a NaN fails each comparison.
        in_range = np.all((self.probabilities >= 0) & (self.probabilities <= 1 + SUM_TOLERANCE))
        sums_to_one = np.all(np.abs(self.probabilities.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE)
        if not (in_range and sums_to_one):
            raise InputError(
                "predictions: probabilities have to lie between 0 and 1 and to sum to 1 in every row"
            )

    def _outcomes(self, positive_label: str | None) -> LabelOutcomes:
        if positive_label is not None and positive_label not in self.labels:
            raise InputError(
                f"metrics: positive label {positive_label!r} is not one of {', '.join(self.labels)}"
            )
        return LabelOutcomes.of(self.gold, self.predicted, self.labels, positive_label)

    @classmethod
    def _average(cls, members: Sequence[Self], valid: Sequence[Self] | None, where: str) -> Self:
        first = members[0]
        return cls.from_probabilities(first.ids, first.gold, _mean_probabilities(members), first.labels)


@dataclass(frozen=True, eq=False)
class MultiLabelPredictions(_WithProbabilities):
    """Any number of labels per text; gold and predicted are lists of names in label order.

    The probabilities, float32, are independent of each other. A label is predicted where its probability is
    not below its threshold; `thresholds` has one for each.
    """

    task = "multi_label"

    ids: list[str]
    gold: list[list[str]]
    predicted: list[list[str]]
    probabilities: np.ndarray
    labels: list[str]
    thresholds: list[float]

    @classmethod
    def from_probabilities(
        cls,
        ids: Sequence[str],
        gold: Iterable[Sequence[str]],
        probabilities: np.ndarray,
        labels: Sequence[str],
        thresholds: Sequence[float],
    ) -> Self:
        """Predict every label whose probability, as float32, is not below its threshold.

        The probabilities are rounded first, so that reading a file again gives the same predictions.
        """
        rounded = probabilities.astype(np.float32)
        return cls(
            ids=list(ids),
            gold=names_of(indicators(gold, labels), labels),
            predicted=names_of(rounded >= np.array(thresholds, dtype=np.float64), labels),
            probabilities=rounded,
            labels=list(labels),
            thresholds=list(thresholds),
        )

    @property
    def gold_indicators(self) -> np.ndarray:
        """The gold labels (N, K) as true and false."""
        return indicators(self.gold, self.labels)

    @property
    def predicted_indicators(self) -> np.ndarray:
        """The predicted labels (N, K) as true and false."""
        return indicators(self.predicted, self.labels)

    def _check(self) -> None:
        for names in (*self.gold, *self.predicted):
            self._check_names(names)
            if len(set(names)) != len(names):
                raise InputError(f"predictions: {', '.join(names)} has a label twice; expected each once")
        self._check_shape()
        if self.probabilities.dtype != np.float32:
            raise InputError(
                f"predictions: probabilities are {self.probabilities.dtype}, expected float32, as in files"
            )
        if len(self.thresholds) != len(self.labels):
            raise InputError(
                f"predictions: {len(self.thresholds)} thresholds for {len(self.labels)} labels; expected one "
                "for each"
            )
        # Written so that a NaN fails each comparison.
        if not np.all((self.probabilities >= 0) & (self.probabilities <= 1)):
            raise InputError("predictions: probabilities have to lie between 0 and 1")
        if not all(0 <= threshold <= 1 for threshold in self.thresholds):
            raise InputError("predictions: thresholds have to lie between 0 and 1")
        if names_of(self.probabilities >= np.array(self.thresholds), self.labels) != self.predicted:
            raise InputError(
                "predictions: the predicted labels are not those with a probability from their threshold on"
            )

    def _outcomes(self, positive_label: str | None) -> MultiLabelOutcomes:
        return MultiLabelOutcomes(self.gold_indicators, self.predicted_indicators, self.probabilities)

    @classmethod
    def _average(cls, members: Sequence[Self], valid: Sequence[Self] | None, where: str) -> Self:
        if valid is None:
            raise InputError(
                f"{where}: an average of several labels needs predictions on validation, where its "
                "thresholds are tuned"
            )
        thresholds = tune_thresholds(valid[0].gold_indicators, _mean_probabilities(valid))
        first, mean = members[0], _mean_probabilities(members)
        return cls.from_probabilities(first.ids, first.gold, mean, first.labels, thresholds)

    def _metadata(self) -> dict[bytes, bytes]:
        return {THRESHOLDS: json.dumps(self.thresholds).encode()}

    @classmethod
    def _parts(cls, table: pyarrow.Table, labels: Sequence[str]) -> dict[str, Any]:
        try:
            thresholds = json.loads((table.schema.metadata or {})[THRESHOLDS])
        except (KeyError, ValueError):
            thresholds = None
        if not isinstance(thresholds, list) or not all(isinstance(one, (int, float)) for one in thresholds):
            raise InputError("thresholds are missing; expected one for each label")
        return super()._parts(table, labels) | {"thresholds": list(map(float, thresholds))}


@dataclass(frozen=True, eq=False)
class RegressionPredictions(Predictions):
    """One finite number per text, in the units of the data set."""

    task = "regression"

    ids: list[str]
    gold: list[float]
    predicted: list[float]
    labels: list[str] = field(default_factory=list, init=False)

    def _check(self) -> None:
        for row, *numbers in zip(self.ids, self.gold, self.predicted, strict=True):
            if not all(math.isfinite(number) for number in numbers):
                raise InputError(f"predictions: id {row!r}: a number is not finite; expected finite numbers")

    def _outcomes(self, positive_label: str | None) -> NumberOutcomes:
        return NumberOutcomes(np.array(self.gold), np.array(self.predicted))

    @classmethod
    def _average(cls, members: Sequence[Self], valid: Sequence[Self] | None, where: str) -> Self:
        first = members[0]
        rows = zip(*(member.predicted for member in members), strict=True)
        # Divided before they are summed, which keeps the sum of huge numbers finite.
        predicted = [math.fsum(value / len(members) for value in values) for values in rows]
        return cls(first.ids, first.gold, predicted)


KINDS: dict[Task, type[Predictions]] = {
    kind.task: kind for kind in (SingleLabelPredictions, MultiLabelPredictions, RegressionPredictions)
}
AnyPredictions = TypeVar("AnyPredictions", bound=Predictions)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions as Parquet; same input, same bytes.

    The columns are `id`, `gold` and `predicted`, of the type that the task's labels have, and for tasks with
    labels `p0`, `p1`, ... (float32). Thresholds stand in the file's metadata.
    """
    import pyarrow
    import pyarrow.parquet

    types = _columns(predictions.task, predictions.labels)
    parts = [predictions.ids, predictions.gold, predictions.predicted]
    parts += list(predictions._probabilities().astype(np.float32).T)
    columns = {
        name: pyarrow.array(part, kind) for (name, kind), part in zip(types.items(), parts, strict=True)
    }
    table = pyarrow.table(columns).replace_schema_metadata(predictions._metadata())
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")


@overload
def read_predictions(
    path: Path, labels: Sequence[str], task: Literal["single_label"] = "single_label"
) -> SingleLabelPredictions: ...
@overload
def read_predictions(path: Path, labels: Sequence[str], task: Task) -> Predictions: ...
def read_predictions(path: Path, labels: Sequence[str], task: Task = "single_label") -> Predictions:
    """Read a file of `write_predictions`; labels (in their order) and task are those of `dataset.json`.

    Raises InputError when the file is missing, is no Parquet, or does not fit the data set.
    """
    table = _read_table(path, task, labels)
    kind = KINDS[task]
    try:
        return kind(**kind._parts(table, labels))
    except InputError as error:
        raise InputError(f"predictions {path.name}: {str(error).removeprefix('predictions: ')}") from error


def _columns(task: Task, labels: Sequence[str]) -> dict[str, pyarrow.DataType]:
    import pyarrow

    from ulmfit.datasets.targets import LABELS

    of_label = LABELS[task].type
    probabilities = {f"p{index}": pyarrow.float32() for index in range(len(labels))}
    return {"id": pyarrow.string(), "gold": of_label, "predicted": of_label, **probabilities}


def _read_table(path: Path, task: Task, labels: Sequence[str]) -> pyarrow.Table:
    """Read the columns that a file has to have, without empty cells."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path, partitioning=None)
        table.validate(full=True)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"predictions {path} cannot be read: {str(error).splitlines()[0]}") from error
    expected = _columns(task, labels)
    if table.column_names != list(expected):
        of_what = f"for {len(labels)} labels" if labels else f"of {task}"
        raise InputError(
            f"predictions {path.name}: columns are {', '.join(table.column_names)}; "
            f"expected {', '.join(expected)} {of_what}"
        )
    for name, kind in expected.items():
        column = table[name]
        if column.type != kind:
            raise InputError(f"predictions {path.name}: column {name} holds {column.type}, expected {kind}")
        flat = column.combine_chunks().flatten() if pyarrow.types.is_list(kind) else column
        if column.null_count or flat.null_count:
            raise InputError(f"predictions {path.name}: a cell is empty; expected a value in every cell")
    return table


def average(
    members: Sequence[AnyPredictions],
    valid: Sequence[AnyPredictions] | None = None,
    where: str = "average",
) -> AnyPredictions:
    """Average several models (both directions, or an ensemble) on one split.

    One label: the probabilities, then the most probable label. Several: the probabilities, with thresholds
    tuned on the averaged ones of `valid`, the same models' predictions on validation. Numbers: their mean.
    Raises InputError, which begins with `where`, without models, and unless all are of one task, with the
    same labels, ids (in the same order) and gold.
    """
    if not members:
        raise InputError(f"{where}: there are no predictions; expected at least one model's")
    every = [*members, *(valid or ())]
    if len(tasks := sorted({one.task for one in every})) > 1:
        raise InputError(f"{where}: predictions of different tasks, {', '.join(tasks)}; expected one task")
    for split in (members, valid):
        if split:
            check_same_rows(split, where)
    return members[0]._average(members, valid, where)


def average_splits(
    valid: Sequence[AnyPredictions], test: Sequence[AnyPredictions], where: str = "average"
) -> tuple[AnyPredictions, AnyPredictions]:
    """Average the same models on validation and on test; thresholds come from validation, see `average`."""
    if not valid or len(valid) != len(test):
        raise InputError(
            f"{where}: {len(valid)} predictions on validation and {len(test)} on test; expected as many of "
            "each, at least one"
        )
    return average(valid, valid, where), average(test, valid, where)


def check_same_rows(members: Sequence[Predictions], where: str) -> None:
    """Raise InputError unless all members have the same labels, ids (in the same order) and gold labels."""
    first = members[0]
    for number, other in enumerate(members[1:], start=2):
        for part in ("labels", "ids", "gold"):
            if getattr(other, part) != getattr(first, part):
                raise InputError(
                    f"{where}: the {part} of predictions {number} differ from those of the first; expected "
                    "predictions on the same split of the same data set"
                )


def _mean_probabilities(members: Sequence[_WithProbabilities]) -> np.ndarray:
    return np.stack([member.probabilities for member in members]).mean(axis=0, dtype=np.float64)
