"""Builds a TF-IDF baseline's stage, and fits a finished one again to predict other texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

from ulmfit.classifier.predictions import write_predictions
from ulmfit.datasets.task import has_numbers, task_of
from ulmfit.evaluation.baselines import (
    FEATURES,
    BaselineResult,
    Choices,
    OneLabelFitter,
    Setting,
    Split,
    features_of,
    fit_and_predict,
)
from ulmfit.evaluation.cross_validation import choose_inside
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.stage import Work

RESULT = "baseline.json"


def build(stage: TfidfBaseline, work: Work) -> None:
    """Build a `TfidfBaseline` stage."""
    folder = work.input(stage.dataset)
    description = read_json(folder / "dataset.json")
    labels, task, metric = description["labels"], task_of(description), description["metric"]
    if len(labels) < 2 and not has_numbers(task):
        raise InputError(f"{folder / 'dataset.json'}: {len(labels)} labels; expected at least two")
    splits = {split: read_split(folder / f"{split}.parquet") for split in ("train", "valid", "test")}
    choices = Choices(stage.analyzer, stage.classifier, stage.class_weights, stage.c_grid)
    scored = {"metric": metric, "positive_label": stage.dataset.positive_label}
    inside = stage.choice == "cross_validation"
    result = fit_and_predict(
        splits,
        labels,
        choices,
        **scored,
        task=task,
        chosen=choose_inside(splits["train"], labels, choices, **scored) if inside else None,
    )
    write_predictions(work.folder / "predictions-valid.parquet", result.valid)
    write_predictions(work.folder / "predictions-test.parquet", result.test)
    write_json(work.folder / RESULT, _description(stage, result, metric))
    weights = "balanced" if result.chosen.balanced else "equal"
    work.log(
        f"{stage.analyzer} n-grams: {result.features} features, C = {result.chosen.c:g}, {weights} weights"
    )


def probabilities_of(
    stage: TfidfBaseline, folder: Path, train: Split, labels: Sequence[str], texts: Sequence[str]
) -> np.ndarray:
    """Return probabilities (N, K) of a finished baseline in `folder`, fitted again, for other texts.

    `train` are the texts that it was fitted on; texts have one label each.
    """
    found = read_json(folder / RESULT)
    others = Split([str(number) for number in range(len(texts))], list(texts), [labels[0]] * len(texts))
    splits = {"train": train, "valid": train, "test": others}
    fitter = OneLabelFitter(splits, features_of(splits, stage.analyzer), labels, stage.classifier)
    fitter.sharpness = found["sharpness"]
    model = fitter.fit(Setting(found["C"], found["balanced"]))
    return fitter.predictions(model, "test").probabilities


def read_split(path: Path) -> Split:
    """Read the labelled texts of a split."""
    table = pyarrow.parquet.read_table(path, columns=["id", "text", "label"])
    return Split(
        ids=table["id"].to_pylist(), texts=table["text"].to_pylist(), labels=table["label"].to_pylist()
    )


def _description(stage: TfidfBaseline, result: BaselineResult, metric: str) -> dict[str, Any]:
    inside = stage.choice == "cross_validation"
    score = "cross_validation" if inside else "valid"
    return {
        "analyzer": stage.analyzer,
        "ngrams": list(FEATURES[stage.analyzer]["ngram_range"]),
        "classifier": stage.classifier,
        "features": result.features,
        "balanced": result.chosen.balanced,
        "C": result.chosen.c,
        "sharpness": result.sharpness,
        "metric": metric,
        "grid": [
            {"C": setting.c, "balanced": setting.balanced, score: value} for setting, value in result.grid
        ],
    }
