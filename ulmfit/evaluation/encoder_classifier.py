"""Logistic regression on the vectors of a frozen encoder, its settings chosen in cross-validation.

Shapes: N texts, D numbers per vector, K labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ulmfit.classifier.predictions import SingleLabelPredictions, write_predictions
from ulmfit.evaluation.baselines import Setting, Split, best_of
from ulmfit.evaluation.cross_validation import folds_of, pooled_score
from ulmfit.evaluation.encoder_stages import EncoderClassifier
from ulmfit.evaluation.text_vectors import vectors_of
from ulmfit.evaluation.tfidf import read_split
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.stage import Work

RESULT = "encoder.json"


@dataclass(frozen=True, eq=False)
class VectorModel:
    """Logistic regression on centred vectors, whose mean square length in training is 1."""

    mean: np.ndarray
    length: float
    model: LogisticRegression
    labels: list[str]

    @classmethod
    def fit(cls, vectors: np.ndarray, gold: Sequence[str], labels: Sequence[str], setting: Setting) -> Any:
        """Fit it to vectors (N, D) and the labels of their texts."""
        values = vectors.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        length = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
        weights = "balanced" if setting.balanced else None
        model = LogisticRegression(C=setting.c, class_weight=weights, max_iter=500)
        with warnings.catch_warnings():
            # A large C may need more iterations; what they would change is decided by cross-validation.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(centred / length, list(gold))
        return cls(mean, length, model, list(labels))

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """Return probabilities (N, K); labels that train does not hold get 0."""
        result = np.zeros((len(vectors), len(self.labels)))
        columns = [self.labels.index(label) for label in self.model.classes_]
        if len(vectors):
            scaled = (vectors.astype(np.float64) - self.mean) / self.length
            result[:, columns] = self.model.predict_proba(scaled)
        return result


def build(stage: EncoderClassifier, work: Work) -> None:
    """Build an `EncoderClassifier` stage."""
    folder, vectors = work.input(stage.dataset), work.input(stage.vectors)
    description = read_json(folder / "dataset.json")
    labels, metric = description["labels"], description["metric"]
    splits = {name: read_split(folder / f"{name}.parquet") for name in ("train", "valid", "test")}
    found = {name: vectors_of(vectors, name, split.ids) for name, split in splits.items()}
    gold = splits["train"].labels
    if len(set(gold)) < 2:
        raise InputError("encoder: train holds a single label; expected at least two")
    settings = [Setting(c, balanced) for c in sorted(stage.c_grid) for balanced in (False, True)]
    setting, grid = choose(found["train"], gold, labels, settings, metric, stage.dataset.positive_label)
    model = VectorModel.fit(found["train"], gold, labels, setting)
    for name in ("valid", "test"):
        split = splits[name]
        predictions = SingleLabelPredictions.from_probabilities(
            split.ids, split.labels, model.probabilities(found[name]), labels
        )
        write_predictions(work.folder / f"predictions-{name}.parquet", predictions)
    content = {
        "C": setting.c,
        "balanced": setting.balanced,
        "metric": metric,
        "grid": [{"C": one.c, "balanced": one.balanced, "cross_validation": value} for one, value in grid],
    }
    write_json(work.folder / RESULT, content)
    weights = "balanced" if setting.balanced else "equal"
    work.log(f"{found['train'].shape[1]} numbers per vector, C = {setting.c:g}, {weights} weights")


def choose(
    vectors: np.ndarray,
    gold: Sequence[str],
    labels: Sequence[str],
    settings: Sequence[Setting],
    metric: str,
    positive_label: str | None,
) -> tuple[Setting, list[tuple[Setting, float]]]:
    """Return the best setting in cross-validation, and all scores; the middle one where no fold is left."""
    folds = folds_of(gold)

    def attempt(setting: Setting) -> tuple[float, None]:
        predicted: dict[int, str] = {}
        for fold in folds:
            model = VectorModel.fit(
                vectors[fold.fitted], [gold[place] for place in fold.fitted], labels, setting
            )
            best = model.probabilities(vectors[fold.held_out]).argmax(axis=1)
            predicted |= {place: labels[number] for place, number in zip(fold.held_out, best, strict=True)}
        return pooled_score(predicted, gold, labels, metric, positive_label), None

    if not folds:
        return settings[len(settings) // 2], []
    setting, _, grid = best_of(settings, attempt)
    return setting, grid


def probabilities_of(
    folder: Path, train: Split, labels: Sequence[str], train_vectors: np.ndarray, vectors: np.ndarray
) -> np.ndarray:
    """Return probabilities (N, K) of a finished classifier in `folder`, fitted again, for other vectors."""
    found = read_json(folder / RESULT)
    model = VectorModel.fit(train_vectors, train.labels, labels, Setting(found["C"], found["balanced"]))
    return model.probabilities(vectors)
