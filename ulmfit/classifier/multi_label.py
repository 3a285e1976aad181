"""Predictions of multi-label tasks, and the thresholds from which a label is predicted.

Shapes: N texts, K labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ulmfit.datasets.stages import Task
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path

THRESHOLDS = b"thresholds"
"""Key of the Parquet file's own metadata under which the thresholds stand, as a JSON list."""


@dataclass(frozen=True, eq=False)
class MultiLabelPredictions:
    """One row for each text, in the data set's order; gold and predicted are lists of names in label order.

    `probabilities` (N, K), float32, are independent of each other, with columns in the order of `labels`. A
    label is predicted where its probability is not below its threshold; `thresholds` has one for each.
    Raises InputError when the parts do not fit together.
    """

    task: ClassVar[Task] = "multi_label"

    ids: list[str]
    gold: list[list[str]]
    predicted: list[list[str]]
    probabilities: np.ndarray
    labels: list[str]
    thresholds: list[float]

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        rows = len(self.ids)
        if not len(self.gold) == len(self.predicted) == rows:
            raise InputError(
                f"predictions: {rows} ids, {len(self.gold)} gold and {len(self.predicted)} predicted lists "
                "of labels; expected as many of each"
            )
        if len(set(self.ids)) != rows:
            raise InputError("predictions: an id occurs twice; expected distinct ids")
        if len(set(self.labels)) != len(self.labels):
            raise InputError("predictions: a label name is listed twice; expected distinct names")
        for names in (*self.gold, *self.predicted):
            if unknown := sorted(set(names) - set(self.labels)):
                raise InputError(f"predictions: label {unknown[0]!r} is not one of {', '.join(self.labels)}")
            if len(set(names)) != len(names):
                raise InputError(f"predictions: {', '.join(names)} has a label twice; expected each once")
        self._check_numbers()
        if names_of(self.probabilities >= np.array(self.thresholds), self.labels) != self.predicted:
            raise InputError(
                "predictions: the predicted labels are not those with a probability from their threshold on"
            )

    def _check_numbers(self) -> None:
        shape = (len(self.ids), len(self.labels))
        if self.probabilities.shape != shape:
            raise InputError(
                f"predictions: probabilities have the shape {self.probabilities.shape}, expected {shape} "
                "(rows, labels)"
            )
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


def indicators(rows: Iterable[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Return lists of names as true and false (N, K); InputError for an unknown name."""
    places = {label: place for place, label in enumerate(labels)}
    rows = list(rows)
    result = np.zeros((len(rows), len(labels)), dtype=bool)
    for row, names in enumerate(rows):
        for name in names:
            if name not in places:
                raise InputError(f"label {name!r} is not one of {', '.join(labels)}")
            result[row, places[name]] = True
    return result


def names_of(marked: np.ndarray, labels: Sequence[str]) -> list[list[str]]:
    """Return the names of the labels that are true in each row (N, K), in the order of `labels`."""
    return [[label for label, is_true in zip(labels, row, strict=True) if is_true] for row in marked]


def tune_thresholds(gold: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Return the threshold of each label that gives it the highest F1 on validation texts.

    `gold` (N, K) is true or false. Tried are .5, the middles between neighbouring probabilities, and one
    from which every text gets the label; of several with the same F1 the nearest to .5, then the smaller. A
    label that no text has keeps .5. Probabilities count as float32, as in `MultiLabelPredictions`.
    """
    rounded = probabilities.astype(np.float32).astype(np.float64)
    return [_threshold(gold[:, label], rounded[:, label]) for label in range(gold.shape[1])]


def _threshold(gold: np.ndarray, probabilities: np.ndarray) -> float:
    values = np.unique(probabilities)
    if not gold.any():
        return 0.5
    candidates = np.concatenate([[0.5, values[0] / 2], (values[1:] + values[:-1]) / 2])
    order = np.argsort(probabilities)
    # Texts from a threshold on, and how many of them have the label.
    below = np.searchsorted(probabilities[order], candidates, side="left")
    predicted = len(gold) - below
    right = gold.sum() - np.concatenate([[0], np.cumsum(gold[order])])[below]
    scores = 2 * right / (predicted + gold.sum())
    best = candidates[scores == scores.max()]
    return float(min(best, key=lambda threshold: (abs(threshold - 0.5), threshold)))


def write_multi_label(path: Path, predictions: MultiLabelPredictions) -> None:
    """Write `id`, `gold`, `predicted` (lists of names), `p0`, ... (float32) and the thresholds as Parquet."""
    import pyarrow
    import pyarrow.parquet

    lists = pyarrow.list_(pyarrow.string())
    columns: dict[str, pyarrow.Array] = {
        "id": pyarrow.array(predictions.ids, pyarrow.string()),
        "gold": pyarrow.array(predictions.gold, lists),
        "predicted": pyarrow.array(predictions.predicted, lists),
    }
    for index in range(len(predictions.labels)):
        columns[f"p{index}"] = pyarrow.array(predictions.probabilities[:, index].astype(np.float32))
    metadata = {THRESHOLDS: json.dumps(predictions.thresholds).encode()}
    table = pyarrow.table(columns).replace_schema_metadata(metadata)
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")


def average_multi_label(
    valid: Sequence[MultiLabelPredictions], test: Sequence[MultiLabelPredictions]
) -> tuple[MultiLabelPredictions, MultiLabelPredictions]:
    """Average the probabilities of several models, with thresholds tuned anew on validation.

    `valid` and `test` hold one for each model and the same rows among themselves, which the caller checks.
    """
    thresholds = tune_thresholds(valid[0].gold_indicators, _mean(valid))

    def averaged(members: Sequence[MultiLabelPredictions]) -> MultiLabelPredictions:
        first = members[0]
        return MultiLabelPredictions.from_probabilities(
            first.ids, first.gold, _mean(members), first.labels, thresholds
        )

    return averaged(valid), averaged(test)


def _mean(members: Sequence[MultiLabelPredictions]) -> np.ndarray:
    return np.stack([member.probabilities for member in members]).mean(axis=0, dtype=np.float64)
