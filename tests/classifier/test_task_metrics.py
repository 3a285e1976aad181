"""Metrics of multi-label and regression predictions, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from evaluation.samples import made_up_predictions
from sklearn import metrics as library

from ulmfit.classifier.metrics import main_score_of, score, scores
from ulmfit.classifier.multi_label import names_of
from ulmfit.classifier.predictions import MultiLabelPredictions, RegressionPredictions
from ulmfit.datasets.stages import METRICS_OF_TASK
from ulmfit.pipeline.errors import InputError


def multi(gold: list[list[str]], probabilities: list[list[float]], labels="abc") -> MultiLabelPredictions:
    ids = [str(row) for row in range(len(gold))]
    values = np.array(probabilities, dtype=float).reshape(-1, len(labels))
    return MultiLabelPredictions.from_probabilities(ids, gold, values, list(labels), [0.5] * len(labels))


def numbers(gold: list[float], predicted: list[float]) -> RegressionPredictions:
    return RegressionPredictions([str(row) for row in range(len(gold))], gold, predicted)


def test_multi_label_worked_out_by_hand():
    found = scores(
        multi(
            [["a", "b"], ["a"], []],
            [[0.9, 0.2, 0.6], [0.8, 0.1, 0.0], [0.7, 0.3, 0.1]],
        )
    )
    # a: 2 right, 1 too many; b: 1 missed; c: 1 too many and in no text.
    assert found["macro_f1"] == pytest.approx((4 / 5 + 0 + 0) / 3)
    assert found["micro_f1"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert found["samples_f1"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["subset_accuracy"] == pytest.approx(1 / 3)
    assert found["hamming_loss"] == pytest.approx(3 / 9)
    # a: ranked 1 1 0, so 1; b: its text is second of three, so 1/2; c: no text.
    assert found["average_precision"] == pytest.approx((1 + 1 / 2 + 0) / 3)


@pytest.mark.filterwarnings("ignore:No positive class found")
def test_several_labels_are_scored_as_by_scikit_learn():
    chance = np.random.default_rng(1)
    truth, probabilities = chance.random((40, 3)) < [0.5, 0.2, 0.1], np.round(chance.random((40, 3)), 1)
    predictions = multi(names_of(truth, "abc"), probabilities.tolist())
    gold, predicted = predictions.gold_indicators, predictions.predicted_indicators
    assert scores(predictions) == pytest.approx(
        {
            "macro_f1": library.f1_score(gold, predicted, average="macro", zero_division=0),
            "micro_f1": library.f1_score(gold, predicted, average="micro", zero_division=0),
            "samples_f1": library.f1_score(gold, predicted, average="samples", zero_division=1),
            "subset_accuracy": library.accuracy_score(gold, predicted),
            "hamming_loss": library.hamming_loss(gold, predicted),
            "average_precision": library.average_precision_score(gold, predictions.probabilities),
        },
        rel=1e-12,
    )


@pytest.mark.parametrize("offset", [0, 1e6])
def test_numbers_are_scored_as_by_the_libraries(offset: float):
    """Also where predictions lie far from the gold numbers: no digits of their spread are lost."""
    chance = np.random.default_rng(2)
    gold = np.round(chance.normal(3, 2, 50), 1)
    predicted = offset + np.round(gold + chance.normal(0, 1, 50), 2)
    assert scores(numbers(gold.tolist(), predicted.tolist())) == pytest.approx(
        {
            "pearson": scipy.stats.pearsonr(gold, predicted).statistic,
            "spearman": scipy.stats.spearmanr(gold, predicted).statistic,
            "r2": library.r2_score(gold, predicted),
            "mae": library.mean_absolute_error(gold, predicted),
            "rmse": library.root_mean_squared_error(gold, predicted),
        },
        rel=1e-9,
    )


def test_a_text_rightly_without_labels_counts_in_full():
    found = scores(multi([[], ["a"]], [[0, 0, 0], [1, 0, 0]]))
    assert found["samples_f1"] == found["subset_accuracy"] == 1
    assert found["hamming_loss"] == 0


def test_regression_worked_out_by_hand():
    found = scores(numbers([1, 2, 3, 4], [1, 3, 2, 6]))
    assert found["mae"] == 1
    assert found["rmse"] == pytest.approx(math.sqrt(6 / 4))
    assert found["r2"] == pytest.approx(1 - 6 / 5)
    assert found["pearson"] == pytest.approx(7 / math.sqrt(5 * 14))
    assert found["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_predictions_that_are_all_the_same():
    found = scores(numbers([1, 2, 3], [2, 2, 2]))
    assert (found["pearson"], found["spearman"], found["r2"]) == (0, 0, 0)


def test_single_label_predictions_have_the_metrics_that_they_had():
    predictions = made_up_predictions(0.8, 0)
    positive = predictions.labels[0]
    expected = score(predictions.gold, predictions.predicted, predictions.labels, positive)
    assert scores(predictions, positive) == expected
    assert main_score_of("binary_f1", predictions, positive) == expected["binary_f1"]


def test_every_headline_metric_of_a_task_can_be_computed_and_is_1_at_best():
    cases = {
        "single_label": made_up_predictions(1.0, 0),
        "multi_label": multi([["a"], ["b"]], [[1, 0], [0, 1]], "ab"),
        "regression": numbers([1, 2], [1, 2]),
    }
    for task, predictions in cases.items():
        positive = predictions.labels[0] if task == "single_label" else None
        for metric in METRICS_OF_TASK[task]:
            assert main_score_of(metric, predictions, positive) == pytest.approx(1)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (multi([], []), "no rows"),
        (numbers([], []), "0 rows with 0 different"),
        (numbers([3], [3]), "1 rows with 1 different"),
        (numbers([3, 3], [3, 4]), "2 rows with 1 different"),
    ],
)
def test_nothing_to_score(predictions, message):
    with pytest.raises(InputError, match=message):
        scores(predictions)


def test_metrics_and_labels_that_do_not_fit_the_task():
    regression = numbers([1, 2], [1, 2])
    with pytest.raises(
        InputError, match=r"'accuracy' cannot be computed of regression .*pearson, spearman, r2"
    ):
        main_score_of("accuracy", regression)
    with pytest.raises(InputError, match="'mae' cannot be computed"):
        main_score_of("mae", regression)
    with pytest.raises(InputError, match="positive label 'a' in a regression task"):
        scores(regression, "a")
    with pytest.raises(InputError, match="positive label 'a' in a multi_label task"):
        scores(multi([["a"]], [[1, 0, 0]]), "a")
