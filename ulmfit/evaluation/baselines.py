"""TF-IDF with a linear classifier: the floor that a pretrained model has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from ulmfit.classifier.metrics import main_score
from ulmfit.classifier.predictions import Predictions
from ulmfit.classifier.task_predictions import TaskPredictions
from ulmfit.corpus.words import words_of
from ulmfit.evaluation.stages import Analyzer, Learner
from ulmfit.pipeline.errors import InputError

FEATURES: dict[str, dict[str, Any]] = {
    # Scikit-learn's own words have two letters or more, and end at every vowel sign of Indic scripts.
    "word": {
        "analyzer": "word",
        "ngram_range": (1, 2),
        "tokenizer": words_of,
        "token_pattern": None,
        "min_df": 1,
    },
    # Within words: as good as over word borders, with half the features. Those seen once only cost memory.
    "char": {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": 2},
}

GRIDS: dict[str, tuple[float, ...]] = {
    "logistic_regression": (0.3, 1.0, 3.0, 10.0, 30.0),
    "linear_svm": (0.03, 0.1, 0.3, 1.0, 3.0),
    "ridge": (0.1, 0.3, 1.0, 3.0, 10.0),
    "linear_svr": (0.03, 0.1, 0.3, 1.0, 3.0),
}

Model = TypeVar("Model")

SHARPEST = 100.0
"""Bound of the factor on an SVM's decision values, where validation is separated without an error."""


@dataclass(frozen=True)
class Split:
    """The labelled texts of one split; a label is what the task has, a name, a list of names or a number."""

    ids: list[str]
    texts: list[str]
    labels: list[Any]


@dataclass(frozen=True)
class Setting:
    """One point of the grid: inverse strength of regularisation, and whether rare labels weigh more."""

    c: float
    balanced: bool


@dataclass(frozen=True)
class Choices:
    """Features and model, and what is tuned; `c_grid` None is the model's own of `GRIDS`."""

    analyzer: Analyzer = "char"
    classifier: Learner = "logistic_regression"
    class_weights: Literal["tuned", "balanced", "none"] = "tuned"
    c_grid: Sequence[float] | None = None

    def settings(self) -> list[Setting]:
        """Return the settings to try, the ones preferred among equals first: small C, equal weights."""
        weights = {"tuned": (False, True), "balanced": (True,), "none": (False,)}[self.class_weights]
        grid = GRIDS[self.classifier] if self.c_grid is None else self.c_grid
        return [Setting(c, balanced) for c in sorted(grid) for balanced in weights]


@dataclass(frozen=True)
class BaselineResult:
    """Predictions of the chosen model, and how it was chosen."""

    valid: TaskPredictions
    test: TaskPredictions
    chosen: Setting
    features: int
    grid: list[tuple[Setting, float]]
    """Each setting that was tried, with its score on validation."""
    sharpness: float | None
    """Factor on the SVM's decision values; None for a model that needs none."""


@dataclass(frozen=True)
class Features:
    """TF-IDF matrices of the splits, and how many features they have."""

    train: Any
    valid: Any
    test: Any
    count: int


def features_of(splits: dict[str, Split], analyzer: Analyzer) -> Features:
    """Return features whose vocabulary and weights are those of train.

    Raises InputError for an empty split and for texts without features.
    """
    for name in ("train", "valid", "test"):
        if not splits[name].ids:
            raise InputError(f"TF-IDF baseline: the {name} split is empty; expected at least one row")
    vectorizer = TfidfVectorizer(lowercase=True, sublinear_tf=True, **FEATURES[analyzer])
    try:
        train = vectorizer.fit_transform(splits["train"].texts)
    except ValueError as error:
        raise InputError(f"TF-IDF baseline: train gives no {analyzer} features ({error})") from error
    valid, test = (vectorizer.transform(splits[name].texts) for name in ("valid", "test"))
    return Features(train, valid, test, len(vectorizer.vocabulary_))


def best_of(
    settings: Iterable[Setting], attempt: Callable[[Setting], tuple[float, Model]]
) -> tuple[Setting, Model, list[tuple[Setting, float]]]:
    """Return the setting with the highest score on validation, the first of equal ones, and all scores."""
    grid: list[tuple[Setting, float]] = []
    best: tuple[Setting, Model] | None = None
    for setting in settings:
        value, model = attempt(setting)
        if best is None or value > max(score for _, score in grid):
            best = (setting, model)
        grid.append((setting, value))
    if best is None:
        raise InputError("TF-IDF baseline: c_grid is empty; expected at least one positive number")
    return (*best, grid)


def fit_and_predict(
    splits: dict[str, Split],
    labels: Sequence[str],
    choices: Choices,
    *,
    metric: str,
    positive_label: str | None,
) -> BaselineResult:
    """Fit on train, choose C and class weights by `metric` on valid, predict valid and test.

    One binary classifier a label (one versus the rest), by dual coordinate descent with a fixed seed: the
    same input gives the same output. The test split is only predicted. Raises InputError for an empty
    split, for a train split of one label and for texts without features.

    A linear SVM has no probabilities. Its labels are those of the largest decision value; the probabilities
    are the softmax of the decision values times one factor, fitted to the validation labels (Guo et al. 2017,
    temperature scaling), which changes no label. So they are calibrated on validation, and only there.
    """
    features = features_of(splits, choices.analyzer)
    train, valid, test = splits["train"], splits["valid"], splits["test"]
    if len(set(train.labels)) < 2:
        raise InputError("TF-IDF baseline: train holds a single label; expected at least two")

    def attempt(setting: Setting) -> tuple[float, Any]:
        model = linear_classifier(choices.classifier, setting).fit(features.train, list(train.labels))
        predicted = [str(label) for label in model.predict(features.valid)]
        return main_score(metric, valid.labels, predicted, labels, positive_label), model

    chosen, model, grid = best_of(choices.settings(), attempt)
    sharpness = None
    if choices.classifier == "linear_svm":
        sharpness = fit_sharpness(_decisions(model, features.valid), valid.labels, list(model.classes_))
    return BaselineResult(
        valid=_predict(model, features.valid, valid, labels, sharpness),
        test=_predict(model, features.test, test, labels, sharpness),
        chosen=chosen,
        features=features.count,
        grid=grid,
        sharpness=sharpness,
    )


def linear_classifier(learner: Learner, setting: Setting) -> Any:
    """Return an unfitted classifier, one versus the rest, which takes names and lists of yes and no."""
    # The dual solvers take seconds where lbfgs takes minutes (40,000 texts, 8 labels, 350,000 features).
    shared = {
        "C": setting.c,
        "class_weight": "balanced" if setting.balanced else None,
        "dual": True,
        "tol": 0.01,
        "max_iter": 1000,
        "random_state": 0,
    }
    if learner == "linear_svm":
        return LinearSVC(**shared)
    return OneVsRestClassifier(LogisticRegression(solver="liblinear", **shared))


def _decisions(model: Any, features: Any) -> np.ndarray:
    """Return the decision values (rows, labels of train); two labels have the same one, with both signs."""
    values = model.decision_function(features)
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values


def fit_sharpness(decisions: np.ndarray, gold: Sequence[str], labels: Sequence[str]) -> float:
    """Return the factor on `decisions` (rows, labels) that makes `gold` most likely under their softmax.

    Rows whose gold label is not among `labels` have no say. It lies between 1 / SHARPEST and SHARPEST.
    """
    known = [row for row, label in enumerate(gold) if label in labels]
    columns = [labels.index(gold[row]) for row in known]

    def loss(logarithm: float) -> float:
        return -float(
            log_softmax(np.exp(logarithm) * decisions[known], axis=1)[range(len(known)), columns].sum()
        )

    bound = float(np.log(SHARPEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def _predict(
    model: Any, features: Any, split: Split, labels: Sequence[str], sharpness: float | None
) -> Predictions:
    """Labels that train does not hold get probability 0."""
    probabilities = np.zeros((len(split.ids), len(labels)))
    columns = [labels.index(label) for label in model.classes_]
    if sharpness is None:
        probabilities[:, columns] = model.predict_proba(features)
    else:
        probabilities[:, columns] = softmax(sharpness * _decisions(model, features), axis=1)
    return Predictions.from_probabilities(split.ids, split.labels, probabilities, labels)
