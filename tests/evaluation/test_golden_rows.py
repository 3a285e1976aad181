"""Saved predictions of small finished runs, one per kind of task: files and rows stay as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ulmfit.classifier.predictions import Predictions, read_predictions, write_predictions
from ulmfit.datasets.task import TASKS, Task, task_of
from ulmfit.evaluation.row import ScoredRow, compare_rows, scored_row

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "rows.json").read_text("utf-8"))
"""Written before the metrics stood in one table; scikit-learn and SciPy computed the scores."""


def read(task: Task, model: str, split: str) -> Predictions:
    description = EXPECTED[task]["description"]
    path = GOLDEN / task / f"{model}-{split}.parquet"
    return read_predictions(path, description["labels"], task_of(description))


def row(task: Task, name: str, models: list[str], **options: Any) -> ScoredRow:
    return scored_row(
        name,
        list(enumerate(read(task, model, "test") for model in models)),
        valid_runs=list(enumerate(read(task, model, "valid") for model in models)),
        positive_label="yes" if task == "single_label" else None,
        resamples=200,
        **options,
    )


def assert_equal(found: Any, expected: Any, where: str = "") -> None:
    """Compare JSON; numbers may differ in their last digits, where sums are made in another order."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name in expected:
            assert_equal(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_equal(one, other, f"{where}[{place}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("task", TASKS)
def test_rows_and_comparisons_are_what_they_were(task: Task) -> None:
    rows = [
        row(task, "model", ["first", "second"]),
        row(task, "ensemble", ["first", "second"], kind="ensemble", average_seeds=True),
        row(task, "baseline", ["baseline"], kind="baseline"),
    ]
    assert_equal([one.result.model_dump(mode="json") for one in rows], EXPECTED[task]["rows"])
    found = {
        metric: [one.model_dump(mode="json") for one in compare_rows(rows, metric, permutations=199)]
        for metric in EXPECTED[task]["comparisons"]
    }
    assert_equal(found, EXPECTED[task]["comparisons"])


@pytest.mark.parametrize("task", TASKS)
def test_prediction_files_are_what_they_were(task: Task, tmp_path: Path) -> None:
    for model in ("first", "second", "baseline"):
        for split in ("valid", "test"):
            write_predictions(tmp_path / "again.parquet", read(task, model, split))
            again, before = (
                pq.read_table(path)
                for path in (tmp_path / "again.parquet", GOLDEN / task / f"{model}-{split}.parquet")
            )
            assert again.schema.equals(before.schema, check_metadata=True)
            assert again.equals(before)
