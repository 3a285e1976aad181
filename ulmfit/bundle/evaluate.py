"""Measures a classifier of a bundle on a labelled file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from ulmfit.bundle.classifier import TextClassifier
from ulmfit.bundle.inputs import Row, rows_of
from ulmfit.bundle.outputs import BETWEEN_LABELS
from ulmfit.bundle.predict import predicted
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.progress import Progress


def evaluate(
    classifier: TextClassifier,
    path: Path,
    *,
    text_columns: Sequence[str] = (),
    label_column: str = "label",
    separator: str = BETWEEN_LABELS,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Return the metrics of the classifier on the texts and labels of a table, as the results table has them.

    Texts without content are predicted as empty ones, as in a test split. `separator` stands between the
    labels of a cell. Raises InputError for a row without a label, and for one that the classifier lacks.
    """
    from ulmfit.classifier.metrics import scores
    from ulmfit.datasets.targets import LABELS, read_labels

    description = classifier.description
    columns = tuple(text_columns) or description.text_columns
    labels: list[Any] = []
    values: list[numpy.ndarray] = []

    def read() -> Iterator[Row]:
        for row in rows_of(path, columns, field_marks=description.field_marks, label_column=label_column):
            labels.append(row.label)
            yield row

    for block in predicted(classifier, read(), empty_too=True):
        values += [one.numbers for one in block if one.numbers is not None]
        if progress is not None:
            progress.advance(len(block))
    if not labels:
        raise InputError(f"{path} has no rows: expected at least one text with its label")
    names = [str(number) for number in range(1, len(labels) + 1)]
    gold = read_labels(names, labels, str(path), LABELS[description.task], separator)
    _check_labels(gold, description.labels, path)
    task = classifier.members[0].task
    predictions = task.predictions(names, gold, numpy.stack(values))
    return scores(predictions, description.positive_label)


def _check_labels(gold: Sequence[Any], labels: Sequence[str], path: Path) -> None:
    if not labels:
        return
    for number, cell in enumerate(gold, start=1):
        for label in [cell] if isinstance(cell, str) else cell:
            if label not in labels:
                raise InputError(
                    f"{path}, row {number}: label {label!r} is none of the classifier's: expected one of "
                    f"{', '.join(labels[:20])}"
                )
