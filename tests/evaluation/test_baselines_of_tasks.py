"""TF-IDF baselines of several labels and of numbers, held against scikit-learn and written-down choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from ulmfit.classifier.multi_label import tune_thresholds
from ulmfit.classifier.predictions import KINDS, MultiLabelPredictions, RegressionPredictions
from ulmfit.classifier.tasks import TASK_KINDS
from ulmfit.datasets.stages import METRICS_OF_TASK
from ulmfit.datasets.targets import LABELS as LABEL_KINDS
from ulmfit.datasets.task import TASKS, Task
from ulmfit.evaluation.baselines import (
    FEATURES,
    FITTERS,
    BaselineResult,
    Choices,
    Split,
    fit_and_predict,
)
from ulmfit.evaluation.stages import LEARNERS
from ulmfit.pipeline.errors import InputError

LABELS = ["a", "b", "c"]
WORDS = {"a": "alpha", "b": "beta", "c": "gamma"}
NOISE = ["one", "two", "three", "four", "five", "six", "seven"]


def made_up(rows: int, seed: int) -> tuple[list[str], list[list[str]], list[float]]:
    """Texts, their labels, and a number that is the weighted count of the labels' words."""
    chance = np.random.default_rng(seed)
    texts, labels, numbers = [], [], []
    for _ in range(rows):
        chosen = [label for label, p in zip(LABELS, (0.5, 0.3, 0.1), strict=True) if chance.random() < p]
        words = [*chance.choice(NOISE, 4), *(WORDS[label] for label in chosen if chance.random() < 0.9)]
        texts.append(" ".join(words))
        labels.append(chosen)
        numbers.append(100.0 + 10 * ("a" in chosen) - 5 * ("b" in chosen) + chance.normal())
    return texts, labels, numbers


def splits(task: Task) -> dict[str, Split]:
    result = {}
    for seed, (name, rows) in enumerate({"train": 120, "valid": 60, "test": 60}.items()):
        texts, labels, numbers = made_up(rows, seed)
        ids = [f"{name}-{number}" for number in range(rows)]
        result[name] = Split(ids, texts, labels if task == "multi_label" else numbers)
    return result


def fit(
    task: Task, data: dict[str, Split], *, metric: str, labels: Sequence[str] = LABELS, **choices
) -> BaselineResult:
    settings = Choices(analyzer="word", **choices)
    return fit_and_predict(data, labels, settings, metric=metric, task=task)


def matrices(data: dict[str, Split]):
    vectorizer = TfidfVectorizer(lowercase=True, sublinear_tf=True, **FEATURES["word"])
    train = vectorizer.fit_transform(data["train"].texts)
    return train, vectorizer.transform(data["valid"].texts), vectorizer.transform(data["test"].texts)


def test_every_kind_of_task_has_its_class_in_each_place() -> None:
    for place in (LABEL_KINDS, KINDS, TASK_KINDS, FITTERS, LEARNERS, METRICS_OF_TASK):
        assert tuple(place) == TASKS


def test_one_classifier_a_label_with_thresholds_of_validation() -> None:
    data = splits("multi_label")
    result = fit("multi_label", data, metric="macro_f1", class_weights="none", c_grid=(3.0,))
    train, valid, test = matrices(data)
    gold = {name: np.array([[x in row for x in LABELS] for row in one.labels]) for name, one in data.items()}
    probabilities = {"valid": np.zeros((60, 3)), "test": np.zeros((60, 3))}
    for label in range(3):
        model = LogisticRegression(
            solver="liblinear", C=3.0, dual=True, tol=0.01, max_iter=1000, random_state=0
        ).fit(train, gold["train"][:, label])
        probabilities["valid"][:, label] = model.predict_proba(valid)[:, 1]
        probabilities["test"][:, label] = model.predict_proba(test)[:, 1]
    found = result.test
    assert isinstance(found, MultiLabelPredictions)
    np.testing.assert_allclose(found.probabilities, probabilities["test"], atol=1e-6)
    assert found.thresholds == pytest.approx(tune_thresholds(gold["valid"], probabilities["valid"]), abs=1e-6)
    assert isinstance(result.valid, MultiLabelPredictions) and result.valid.thresholds == found.thresholds


@pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])
def test_several_labels_are_learnt_and_repeat(classifier) -> None:
    first = fit("multi_label", splits("multi_label"), metric="macro_f1", classifier=classifier)
    again = fit("multi_label", splits("multi_label"), metric="macro_f1", classifier=classifier)
    assert isinstance(first.test, MultiLabelPredictions) and isinstance(again.test, MultiLabelPredictions)
    assert (first.test.probabilities == again.test.probabilities).all() and first.chosen == again.chosen
    assert max(score for _, score in first.grid) > 0.85
    assert dict(first.grid)[first.chosen] == max(score for _, score in first.grid)
    assert len(first.grid) == 10


@pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])
def test_a_label_of_every_text_is_predicted_always(classifier) -> None:
    data = splits("multi_label")
    data = {
        name: Split(x.ids, x.texts, [["a", *(set(row) - {"a"})] for row in x.labels])
        for name, x in data.items()
    }
    result = fit("multi_label", data, metric="micro_f1", classifier=classifier)
    assert isinstance(result.test, MultiLabelPredictions)
    assert all("a" in row for row in result.test.predicted)


def test_ridge_regression_is_that_of_the_dense_matrix() -> None:
    data = splits("regression")
    result = fit("regression", data, metric="pearson", classifier="ridge", c_grid=(2.0,))
    train, _, test = matrices(data)
    gold = np.array(data["train"].labels)
    model = Ridge(alpha=0.5, solver="cholesky").fit(train.toarray(), (gold - gold.mean()) / gold.std())
    expected = model.predict(test.toarray()) * gold.std() + gold.mean()
    assert isinstance(result.test, RegressionPredictions)
    np.testing.assert_allclose(result.test.predicted, expected, atol=1e-3)
    assert result.test.gold == data["test"].labels


@pytest.mark.parametrize("classifier", ["ridge", "linear_svr"])
def test_numbers_are_learnt_in_their_units_and_repeat(classifier) -> None:
    data = splits("regression")
    first = fit("regression", data, metric="pearson", classifier=classifier)
    again = fit("regression", data, metric="pearson", classifier=classifier)
    assert isinstance(first.test, RegressionPredictions) and isinstance(again.test, RegressionPredictions)
    assert first.test.predicted == again.test.predicted
    assert len(first.grid) == 5, "weights of classes change nothing"
    assert max(score for _, score in first.grid) > 0.8
    errors = np.abs(np.array(first.test.predicted) - np.array(first.test.gold))
    assert errors.mean() < 3


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_the_test_labels_change_nothing(task: Task) -> None:
    data = splits(task)
    classifier = "ridge" if task == "regression" else "linear_svm"
    metric = "pearson" if task == "regression" else "macro_f1"
    other = {**data, "test": Split(data["test"].ids, data["test"].texts, data["test"].labels[::-1])}
    first, second = (fit(task, one, metric=metric, classifier=classifier) for one in (data, other))
    assert first.test.predicted == second.test.predicted and first.grid == second.grid


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_bad_splits_are_refused(task: Task) -> None:
    data = splits(task)
    metric = "pearson" if task == "regression" else "macro_f1"
    classifier = "ridge" if task == "regression" else "linear_svm"
    with pytest.raises(InputError, match="valid split is empty"):
        fit(task, {**data, "valid": Split([], [], [])}, metric=metric, classifier=classifier)
    blank = Split(data["train"].ids, ["?"] * 120, data["train"].labels)
    with pytest.raises(InputError, match="no word features"):
        fit(task, {**data, "train": blank}, metric=metric, classifier=classifier)


def test_one_number_alone_is_refused() -> None:
    data = splits("regression")
    data["train"] = Split(data["train"].ids, data["train"].texts, [1.5] * 120)
    with pytest.raises(InputError, match="single number"):
        fit("regression", data, metric="pearson", classifier="ridge")
