"""TF-IDF with a linear model: the floor that a pretrained model has to beat. One class per kind of task.

Shapes: N texts, K labels.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC, LinearSVR

from ulmfit.classifier.metrics import main_score, main_score_of
from ulmfit.classifier.multi_label import indicators, tune_thresholds
from ulmfit.classifier.predictions import (
    MultiLabelPredictions,
    Predictions,
    RegressionPredictions,
    SingleLabelPredictions,
)
from ulmfit.corpus.words import words_of
from ulmfit.datasets.task import Task
from ulmfit.evaluation.stages import Analyzer, Learner
from ulmfit.pipeline.errors import InputError

FEATURES: dict[str, dict[str, Any]] = {
    # Scikit-learn's pattern needs two letters or more, and ends words at every vowel sign of Indic scripts.
    "word": {
        "analyzer": "word",
        "ngram_range": (1, 2),
        "tokenizer": words_of,
        "token_pattern": None,
        "min_df": 1,
    },
    # Within words: as good as across word borders, with half the features. Rare features only cost memory.
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
    """Features, model, and what is tuned; `c_grid` None: that of the model in `GRIDS`."""

    analyzer: Analyzer = "char"
    classifier: Learner = "logistic_regression"
    class_weights: Literal["tuned", "balanced", "none"] = "tuned"
    c_grid: Sequence[float] | None = None

    def settings(self) -> list[Setting]:
        """Return the settings to try; of equal scores the first wins: small C, equal weights."""
        weights = {"tuned": (False, True), "balanced": (True,), "none": (False,)}[self.class_weights]
        grid = GRIDS[self.classifier] if self.c_grid is None else self.c_grid
        return [Setting(c, balanced) for c in sorted(grid) for balanced in weights]


@dataclass(frozen=True)
class BaselineResult:
    """Predictions of the chosen model, and how it was chosen."""

    valid: Predictions
    test: Predictions
    chosen: Setting
    features: int
    grid: list[tuple[Setting, float]]
    """Each setting that was tried, with its score on what chose among them."""
    sharpness: float | None
    """Factor on the SVM's decision values; None for a model that needs none."""


@dataclass(frozen=True)
class Chosen:
    """What was chosen without a validation split, of texts with one label each."""

    setting: Setting
    sharpness: float | None
    """As in `BaselineResult`."""
    grid: list[tuple[Setting, float]]
    """Each setting that was tried, with its score; [] where nothing could be tried."""


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
    """Return the setting with the highest score, the first of equal ones, and all scores."""
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


class Fitter(ABC):
    """How one kind of task is fitted to the features of train, with what is tuned on validation."""

    def __init__(
        self, splits: dict[str, Split], features: Features, labels: Sequence[str], learner: Learner
    ) -> None:
        self.splits, self.labels, self.learner = splits, list(labels), learner
        self.features = {"train": features.train, "valid": features.valid, "test": features.test}
        self.train = splits["train"]

    def settings(self, choices: Choices) -> list[Setting]:
        """Return the settings to try."""
        return choices.settings()

    @abstractmethod
    def fit(self, setting: Setting) -> Any:
        """Return a fitted model."""

    @abstractmethod
    def predictions(self, model: Any, name: str) -> Predictions:
        """Return a model's predictions on a split."""

    def score(self, model: Any, metric: str, positive_label: str | None) -> float:
        """Return a model's score on validation."""
        return main_score_of(metric, self.predictions(model, "valid"), positive_label)

    def calibrate(self, model: Any) -> float | None:
        """Fit the factor on the chosen model's decision values; None for a model that needs none."""
        return None


class OneLabelFitter(Fitter):
    """One binary classifier per label (one versus the rest).

    A linear SVM has no probabilities. Its labels are those of the largest decision value; the probabilities
    are the softmax of the decision values times one factor, fitted to the validation labels (Guo et al. 2017,
    temperature scaling), which changes no label. So they are calibrated on validation, and only there.
    """

    sharpness: float | None = None

    def fit(self, setting: Setting) -> Any:
        """Return a fitted classifier; InputError if train has a single label."""
        if len(set(self.train.labels)) < 2:
            raise InputError("TF-IDF baseline: train holds a single label; expected at least two")
        return linear_classifier(self.learner, setting).fit(self.features["train"], list(self.train.labels))

    def score(self, model: Any, metric: str, positive_label: str | None) -> float:
        """Score the predicted labels; probabilities are not needed yet."""
        predicted = [str(label) for label in model.predict(self.features["valid"])]
        return main_score(metric, self.splits["valid"].labels, predicted, self.labels, positive_label)

    def calibrate(self, model: Any) -> float | None:
        """Fit the factor on an SVM's decision values."""
        if self.learner == "linear_svm":
            decisions = decision_values(model, self.features["valid"])
            self.sharpness = fit_sharpness(decisions, self.splits["valid"].labels, list(model.classes_))
        return self.sharpness

    def predictions(self, model: Any, name: str) -> SingleLabelPredictions:
        """Predict the most probable label; labels that train does not hold get probability 0."""
        split, features = self.splits[name], self.features[name]
        probabilities = np.zeros((len(split.ids), len(self.labels)))
        columns = [self.labels.index(label) for label in model.classes_]
        if self.sharpness is None:
            probabilities[:, columns] = model.predict_proba(features)
        else:
            probabilities[:, columns] = softmax(self.sharpness * decision_values(model, features), axis=1)
        return SingleLabelPredictions.from_probabilities(split.ids, split.labels, probabilities, self.labels)


class SeveralLabelsFitter(Fitter):
    """One classifier per label, with a threshold each, as the neural classifiers have.

    Thresholds are tuned on validation in every setting that is tried. A linear SVM has no probabilities: they
    are the logistic function of its decision values, which keeps the order of the texts.
    """

    def fit(self, setting: Setting) -> tuple[OneVsRestClassifier, list[float]]:
        """Return fitted classifiers and thresholds."""
        model = linear_classifier(self.learner, setting)
        if not isinstance(model, OneVsRestClassifier):
            model = OneVsRestClassifier(model)
        with warnings.catch_warnings():
            # A label that every text has causes a warning of scikit-learn; it is always predicted.
            warnings.simplefilter("ignore")
            model.fit(self.features["train"], indicators(self.train.labels, self.labels).astype(np.int64))
        gold = indicators(self.splits["valid"].labels, self.labels)
        return model, tune_thresholds(gold, self._probabilities(model, "valid"))

    def predictions(self, model: tuple[OneVsRestClassifier, list[float]], name: str) -> MultiLabelPredictions:
        """Predict the labels from their thresholds on."""
        split, (classifiers, thresholds) = self.splits[name], model
        values = self._probabilities(classifiers, name)
        return MultiLabelPredictions.from_probabilities(
            split.ids, split.labels, values, self.labels, thresholds
        )

    def _probabilities(self, model: OneVsRestClassifier, name: str) -> np.ndarray:
        """Return the labels' independent probabilities (N, K)."""
        if self.learner == "linear_svm":
            return expit(model.decision_function(self.features[name]))
        return model.predict_proba(self.features[name])


class NumberFitter(Fitter):
    """Ridge regression or a linear SVR of the training texts' numbers, standardised by those."""

    def settings(self, choices: Choices) -> list[Setting]:
        """Return the settings to try; there are no classes to weigh."""
        return [setting for setting in choices.settings() if not setting.balanced]

    def fit(self, setting: Setting) -> Any:
        """Return a fitted model; InputError if train has a single number."""
        mean, sd = self._mean_and_sd()
        if not sd > 0:
            raise InputError("TF-IDF baseline: train holds a single number; expected at least two")
        gold = np.array(self.train.labels, dtype=np.float64)
        return _regressor(self.learner, setting.c).fit(self.features["train"], (gold - mean) / sd)

    def predictions(self, model: Any, name: str) -> RegressionPredictions:
        """Predict numbers in the labels' units."""
        split, (mean, sd) = self.splits[name], self._mean_and_sd()
        values = model.predict(self.features[name]) * sd + mean
        return RegressionPredictions(list(split.ids), list(map(float, split.labels)), values.tolist())

    def _mean_and_sd(self) -> tuple[float, float]:
        gold = np.array(self.train.labels, dtype=np.float64)
        return float(gold.mean()), float(gold.std())


FITTERS: dict[Task, type[Fitter]] = {
    "single_label": OneLabelFitter,
    "multi_label": SeveralLabelsFitter,
    "regression": NumberFitter,
}


def fit_and_predict(
    splits: dict[str, Split],
    labels: Sequence[str],
    choices: Choices,
    *,
    metric: str,
    positive_label: str | None = None,
    task: Task = "single_label",
    chosen: Chosen | None = None,
) -> BaselineResult:
    """Fit on train, choose what is tuned by `metric` on valid, predict valid and test.

    With `chosen` nothing is chosen any more, and valid is only predicted.
    The labels of `splits` are what the task has: names, lists of names, numbers. Models are fitted by dual
    coordinate descent with a fixed seed: the same input gives the same output. The test split is only
    predicted. Raises InputError for splits on which nothing can be fitted.
    """
    features = features_of(splits, choices.analyzer)
    fitter = FITTERS[task](splits, features, labels, choices.classifier)

    def attempt(setting: Setting) -> tuple[float, Any]:
        model = fitter.fit(setting)
        return fitter.score(model, metric, positive_label), model

    if chosen is None:
        setting, model, grid = best_of(fitter.settings(choices), attempt)
        sharpness = fitter.calibrate(model)
    else:
        setting, sharpness, grid = chosen.setting, chosen.sharpness, chosen.grid
        model = fitter.fit(setting)
        if isinstance(fitter, OneLabelFitter):
            fitter.sharpness = sharpness
    return BaselineResult(
        valid=fitter.predictions(model, "valid"),
        test=fitter.predictions(model, "test"),
        chosen=setting,
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


def _regressor(learner: Learner, c: float) -> Any:
    if learner == "ridge":
        return Ridge(alpha=1 / c, solver="sparse_cg", tol=1e-6)
    return LinearSVR(C=c, epsilon=0.1, dual=True, tol=1e-3, max_iter=10_000, random_state=0)


def decision_values(model: Any, features: Any) -> np.ndarray:
    """Return the decision values (rows, labels of train); two labels have the same one, with both signs."""
    values = model.decision_function(features)
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values


def fit_sharpness(decisions: np.ndarray, gold: Sequence[str], labels: Sequence[str]) -> float:
    """Return the factor on `decisions` (rows, labels) that makes `gold` most likely under their softmax.

    Rows whose gold label is not among `labels` are left out. It lies between 1 / SHARPEST and SHARPEST.
    """
    known = [row for row, label in enumerate(gold) if label in labels]
    columns = [labels.index(gold[row]) for row in known]

    def loss(logarithm: float) -> float:
        return -float(
            log_softmax(np.exp(logarithm) * decisions[known], axis=1)[range(len(known)), columns].sum()
        )

    bound = float(np.log(SHARPEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))
