"""Choosing settings inside the labelled texts themselves: with n labels nothing else tells what is good.

Texts have one label each. Shapes: N texts, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ulmfit.classifier.metrics import main_score
from ulmfit.evaluation.baselines import (
    Choices,
    Chosen,
    OneLabelFitter,
    Setting,
    Split,
    best_of,
    decision_values,
    features_of,
    fit_sharpness,
)
from ulmfit.pipeline.errors import InputError

FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """Places of the texts that a model is fitted on, and of those that it predicts."""

    fitted: list[int]
    held_out: list[int]


def folds_of(labels: Sequence[str], folds: int = FOLDS) -> list[Fold]:
    """Return the folds of N texts: every text is held out once, and each label is spread over the folds.

    Depends on nothing but the labels' order. Folds that would be fitted on a single label are left out; none
    may be left.
    """
    order = sorted(range(len(labels)), key=lambda place: labels[place])
    found = []
    for number in range(min(folds, len(labels))):
        held_out = sorted(order[number::folds])
        fitted = sorted(set(order) - set(held_out))
        if len({labels[place] for place in fitted}) > 1:
            found.append(Fold(fitted, held_out))
    return found


def pooled_score(
    predicted: dict[int, str],
    gold: Sequence[str],
    labels: Sequence[str],
    metric: str,
    positive_label: str | None,
) -> float:
    """Return the metric of the predictions of all folds together; `predicted` goes by place in `gold`."""
    places = sorted(predicted)
    names = [predicted[place] for place in places]
    return main_score(metric, [gold[place] for place in places], names, labels, positive_label)


def choose_inside(
    train: Split, labels: Sequence[str], choices: Choices, *, metric: str, positive_label: str | None
) -> Chosen:
    """Choose a TF-IDF baseline's setting by `metric` in cross-validation of its training texts.

    Features are those of each fold's own texts. An SVM's sharpness is fitted to the decision values of the
    held-out texts. Where no fold can be fitted, which takes a handful of texts, C is the one nearest to 1.
    """
    folds = list(_fitters(train, labels, choices))

    def attempt(setting: Setting) -> tuple[float, list[Any]]:
        models = [fitter.fit(setting) for _, fitter in folds]
        predicted = {
            place: str(label)
            for (fold, fitter), model in zip(folds, models, strict=True)
            for place, label in zip(fold.held_out, model.predict(fitter.features["valid"]), strict=True)
        }
        return pooled_score(predicted, train.labels, labels, metric, positive_label), models

    if not folds:
        setting = min(choices.settings(), key=lambda one: (abs(math.log(one.c)), one.balanced))
        return Chosen(setting, 1.0 if choices.classifier == "linear_svm" else None, [])
    setting, models, grid = best_of(choices.settings(), attempt)
    sharpness = None
    if choices.classifier == "linear_svm":
        sharpness = _sharpness(folds, models, train.labels, labels)
    return Chosen(setting, sharpness, grid)


def _fitters(train: Split, labels: Sequence[str], choices: Choices) -> Iterator[tuple[Fold, OneLabelFitter]]:
    """Yield the folds with what is fitted in each; without those whose texts give no features."""
    for fold in folds_of(train.labels):
        fitted, held_out = part(train, fold.fitted), part(train, fold.held_out)
        splits = {"train": fitted, "valid": held_out, "test": held_out}
        try:
            features = features_of(splits, choices.analyzer)
        except InputError:
            continue
        yield fold, OneLabelFitter(splits, features, labels, choices.classifier)


def _sharpness(
    folds: Sequence[tuple[Fold, OneLabelFitter]],
    models: Sequence[Any],
    gold: Sequence[str],
    labels: Sequence[str],
) -> float:
    """Return the factor that fits the decision values of the held-out texts; a fold may lack a label."""
    rows, names = [], []
    for (fold, fitter), model in zip(folds, models, strict=True):
        columns = [list(labels).index(label) for label in model.classes_]
        known = [row for row, place in enumerate(fold.held_out) if gold[place] in model.classes_]
        values = np.full((len(fold.held_out), len(labels)), -np.inf)
        values[:, columns] = decision_values(model, fitter.features["valid"])
        rows.append(values[known])
        names += [gold[fold.held_out[row]] for row in known]
    return fit_sharpness(np.concatenate(rows), names, list(labels))


def part(split: Split, places: Sequence[int]) -> Split:
    """Return some rows of a split."""
    columns = (split.ids, split.texts, split.labels)
    return Split(*([column[place] for place in places] for column in columns))
