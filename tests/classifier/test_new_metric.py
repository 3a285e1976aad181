"""A new metric is one entry of the table: everything else follows from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENTRY = """
import ulmfit.datasets.metric_table as table

table.METRICS += (
    table.Metric(
        "jaccard",
        "Jaccard index",
        "single_label",
        lambda sums: sums.macro(table.ratio(sums.hits, sums.gold + sums.predicted - sums.hits)),
        column=True,
    ),
)
"""
USES = """
from sklearn.metrics import jaccard_score

from evaluation.samples import made_up_predictions, made_up_record
from stages_for_tests import InventedDataset
from ulmfit.classifier.metrics import main_score_of, majority_score
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.row import compare_rows, scored_row
from ulmfit.report.markdown import markdown_table

good, poor = made_up_predictions(0.9, 0), made_up_predictions(0.4, 1)
expected = jaccard_score(good.gold, good.predicted, average="macro")
assert abs(main_score_of("jaccard", good) - expected) < 1e-12

InventedDataset(metric="jaccard")
ClassifierSettings(select_metric="jaccard").check_task("single_label")
PublishedResult(name="theirs", metric="jaccard", value=0.5, source="a paper")

rows = [scored_row(name, [(0, run)], resamples=50) for name, run in (("good", good), ("poor", poor))]
values = rows[0].result.metrics["jaccard"]
assert abs(values.mean - expected) < 1e-12 and values.interval[0] < expected < values.interval[1]
(comparison,) = compare_rows(rows, "jaccard", permutations=99)
assert comparison.difference < 0 and comparison.p_permutation == 0.01
assert abs(majority_score("jaccard", [6, 3, 1]) - 0.2) < 1e-12

record = made_up_record()
record = record.changed(dataset=record.dataset.changed(metric="jaccard"), comparisons=())
header = next(line for line in markdown_table(record).splitlines() if line.startswith("| model"))
print(header)
"""


def test_a_new_metric_is_one_entry() -> None:
    """In a program of its own, so that the entry is there before anything reads the table."""
    done = subprocess.run(
        [sys.executable, "-c", ENTRY + USES],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert [cell.strip() for cell in done.stdout.split("|")[2:5]] == ["Jaccard index", "accuracy", "macro F1"]
