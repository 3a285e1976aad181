"""TF-IDF baselines of every kind of task: the features of `baselines.py`, and a linear model that fits.

Shapes: N texts, K labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVR

from ulmfit.classifier.multi_label import MultiLabelPredictions, indicators, tune_thresholds
from ulmfit.classifier.regression import RegressionPredictions
from ulmfit.classifier.task_metrics import main_score_of
from ulmfit.datasets.stages import Task
from ulmfit.evaluation.baselines import (
    BaselineResult,
    Choices,
    Setting,
    Split,
    best_of,
    features_of,
    fit_and_predict,
    linear_classifier,
)
from ulmfit.evaluation.stages import Learner
from ulmfit.pipeline.errors import InputError


def fit_and_predict_task(
    task: Task,
    splits: dict[str, Split],
    labels: Sequence[str],
    choices: Choices,
    *,
    metric: str,
    positive_label: str | None,
) -> BaselineResult:
    """Fit on train, choose what is tuned by `metric` on valid, predict valid and test.

    The labels of `splits` are what the task has: names, lists of names, numbers. The same input gives the
    same output. Raises InputError for splits on which nothing can be fitted.
    """
    if task == "multi_label":
        return several_labels(splits, labels, choices, metric)
    if task == "regression":
        return numbers(splits, choices, metric)
    return fit_and_predict(splits, labels, choices, metric=metric, positive_label=positive_label)


def several_labels(
    splits: dict[str, Split], labels: Sequence[str], choices: Choices, metric: str
) -> BaselineResult:
    """Fit one classifier a label, with a threshold each, as the neural classifiers have.

    Thresholds are tuned on valid in every setting that is tried. A linear SVM has no probabilities: they are
    the logistic function of its decision values, which keeps the order of the texts.
    """
    features = features_of(splits, choices.analyzer)
    valid, test = splits["valid"], splits["test"]
    train_gold = indicators(splits["train"].labels, labels).astype(np.int64)
    valid_gold = indicators(valid.labels, labels)

    def predictions(
        model: Any, split: Split, matrix: Any, thresholds: Sequence[float]
    ) -> MultiLabelPredictions:
        values = _probabilities(model, matrix, choices.classifier)
        return MultiLabelPredictions.from_probabilities(split.ids, split.labels, values, labels, thresholds)

    def attempt(setting: Setting) -> tuple[float, tuple[Any, list[float]]]:
        model = linear_classifier(choices.classifier, setting)
        if not isinstance(model, OneVsRestClassifier):
            model = OneVsRestClassifier(model)
        with warnings.catch_warnings():
            # A label of every text is warned of; it is always predicted.
            warnings.simplefilter("ignore")
            model.fit(features.train, train_gold)
        thresholds = tune_thresholds(valid_gold, _probabilities(model, features.valid, choices.classifier))
        score = main_score_of(metric, predictions(model, valid, features.valid, thresholds))
        return score, (model, thresholds)

    chosen, (model, thresholds), grid = best_of(choices.settings(), attempt)
    return BaselineResult(
        valid=predictions(model, valid, features.valid, thresholds),
        test=predictions(model, test, features.test, thresholds),
        chosen=chosen,
        features=features.count,
        grid=grid,
        sharpness=None,
    )


def _probabilities(model: OneVsRestClassifier, matrix: Any, learner: Learner) -> np.ndarray:
    """Return the labels' independent probabilities (N, K)."""
    if learner == "linear_svm":
        return expit(model.decision_function(matrix))
    return model.predict_proba(matrix)


def numbers(splits: dict[str, Split], choices: Choices, metric: str) -> BaselineResult:
    """Fit ridge regression or a linear SVR to the training texts' numbers, standardised by those."""
    features = features_of(splits, choices.analyzer)
    valid, test = splits["valid"], splits["test"]
    gold = np.array(splits["train"].labels, dtype=np.float64)
    mean, sd = float(gold.mean()), float(gold.std())
    if not sd > 0:
        raise InputError("TF-IDF baseline: train holds a single number; expected at least two")

    def predictions(model: Any, split: Split, matrix: Any) -> RegressionPredictions:
        values = model.predict(matrix) * sd + mean
        return RegressionPredictions(list(split.ids), list(map(float, split.labels)), values.tolist())

    def attempt(setting: Setting) -> tuple[float, Any]:
        model = _regressor(choices.classifier, setting.c).fit(features.train, (gold - mean) / sd)
        return main_score_of(metric, predictions(model, valid, features.valid)), model

    # Weights are of classes, and here are none.
    settings = [setting for setting in choices.settings() if not setting.balanced]
    chosen, model, grid = best_of(settings, attempt)
    return BaselineResult(
        valid=predictions(model, valid, features.valid),
        test=predictions(model, test, features.test),
        chosen=chosen,
        features=features.count,
        grid=grid,
        sharpness=None,
    )


def _regressor(learner: Learner, c: float) -> Any:
    if learner == "ridge":
        return Ridge(alpha=1 / c, solver="sparse_cg", tol=1e-6)
    return LinearSVR(C=c, epsilon=0.1, dual=True, tol=1e-3, max_iter=10_000, random_state=0)
