"""Predictions of any kind of task: read, written and averaged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.classifier.multi_label import (
    THRESHOLDS,
    MultiLabelPredictions,
    average_multi_label,
    write_multi_label,
)
from ulmfit.classifier.predictions import Predictions, average, check_same_rows, read_predictions
from ulmfit.classifier.predictions import write_predictions as write_single_label
from ulmfit.classifier.regression import RegressionPredictions, average_regression, write_regression
from ulmfit.datasets.stages import Task
from ulmfit.pipeline.errors import InputError

if TYPE_CHECKING:
    import pyarrow

TaskPredictions = Predictions | MultiLabelPredictions | RegressionPredictions


def task_of(description: Mapping[str, Any]) -> Task:
    """Return the task that the content of a `dataset.json` names; without one it is single_label."""
    task = description.get("task", "single_label")
    if task not in ("single_label", "multi_label", "regression"):
        raise InputError(f"dataset.json: task {task!r} is none of single_label, multi_label and regression")
    return task


def write_any(path: Path, predictions: TaskPredictions) -> None:
    """Write predictions as Parquet; same input, same bytes."""
    if isinstance(predictions, Predictions):
        write_single_label(path, predictions)
    elif isinstance(predictions, MultiLabelPredictions):
        write_multi_label(path, predictions)
    else:
        write_regression(path, predictions)


def read_any(path: Path, description: Mapping[str, Any]) -> TaskPredictions:
    """Read a file of `write_any`; `description` is the content of the data set's `dataset.json`.

    Raises InputError when the file is missing, is no Parquet, or does not fit the data set.
    """
    task = task_of(description)
    if task == "single_label":
        return read_predictions(path, description["labels"])
    return _read_multi_label(path, description["labels"]) if task == "multi_label" else _read_regression(path)


def average_any(
    valid: Sequence[TaskPredictions], test: Sequence[TaskPredictions]
) -> tuple[TaskPredictions, TaskPredictions]:
    """Average several models (both directions, or an ensemble): their predictions on validation and test.

    Single-label: the probabilities, then the most probable label. Multi-label: the probabilities, with
    thresholds tuned on the averaged ones of validation. Regression: the numbers. Raises InputError without
    models, for other numbers of them on the two splits, and unless all are of one task, with the same labels,
    ids (in the same order) and gold on each split.
    """
    if not valid or len(valid) != len(test):
        raise InputError(
            f"average: {len(valid)} predictions on validation and {len(test)} on test; expected as many of "
            "each, at least one"
        )
    for members in (valid, test):
        check_same_rows(members, "average")
    both = [*valid, *test]
    if all(isinstance(one, Predictions) for one in both):
        return average(valid), average(test)  # type: ignore[arg-type]
    if all(isinstance(one, MultiLabelPredictions) for one in both):
        return average_multi_label(valid, test)  # type: ignore[arg-type]
    if all(isinstance(one, RegressionPredictions) for one in both):
        return average_regression(valid), average_regression(test)  # type: ignore[arg-type]
    tasks = ", ".join(sorted({one.task for one in both}))
    raise InputError(f"average: predictions of different tasks, {tasks}; expected one task")


def _read_multi_label(path: Path, labels: Sequence[str]) -> MultiLabelPredictions:
    import numpy as np
    import pyarrow

    lists = pyarrow.list_(pyarrow.string())
    probabilities = {f"p{index}": pyarrow.float32() for index in range(len(labels))}
    expected = {"id": pyarrow.string(), "gold": lists, "predicted": lists, **probabilities}
    table = _read_table(path, expected, f" for {len(labels)} labels")
    return MultiLabelPredictions(
        ids=table["id"].to_pylist(),
        gold=table["gold"].to_pylist(),
        predicted=table["predicted"].to_pylist(),
        probabilities=np.stack([table[name].to_numpy() for name in probabilities], axis=1),
        labels=list(labels),
        thresholds=_thresholds(path, table),
    )


def _thresholds(path: Path, table: pyarrow.Table) -> list[float]:
    try:
        found = json.loads((table.schema.metadata or {})[THRESHOLDS])
    except (KeyError, ValueError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, (int, float)) for one in found):
        raise InputError(f"predictions {path.name}: thresholds are missing; expected one for each label")
    return [float(one) for one in found]


def _read_regression(path: Path) -> RegressionPredictions:
    import pyarrow

    number = pyarrow.float64()
    table = _read_table(path, {"id": pyarrow.string(), "gold": number, "predicted": number}, " of regression")
    return RegressionPredictions(
        ids=table["id"].to_pylist(), gold=table["gold"].to_pylist(), predicted=table["predicted"].to_pylist()
    )


def _read_table(path: Path, expected: Mapping[str, pyarrow.DataType], of_what: str) -> pyarrow.Table:
    """Read the columns that a file has to have, without empty cells."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path, partitioning=None)
        table.validate(full=True)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"predictions {path} cannot be read: {str(error).splitlines()[0]}") from error
    if table.column_names != list(expected):
        raise InputError(
            f"predictions {path.name}: columns are {', '.join(table.column_names)}; "
            f"expected {', '.join(expected)}{of_what}"
        )
    for name, kind in expected.items():
        column = table[name]
        if column.type != kind:
            raise InputError(f"predictions {path.name}: column {name} holds {column.type}, expected {kind}")
        flat = column.combine_chunks().flatten() if pyarrow.types.is_list(kind) else column
        if column.null_count or flat.null_count:
            raise InputError(f"predictions {path.name}: a cell is empty; expected a value in every cell")
    return table
