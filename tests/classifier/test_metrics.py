"""Metrics against numbers worked out by hand, and what has to hold for any predictions."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as library

from ulmfit.classifier.metrics import (
    confusion_matrix,
    label_scores,
    main_score,
    majority_score,
    score,
)
from ulmfit.classifier.outcomes import LabelOutcomes
from ulmfit.datasets.stages import METRICS_OF_TASK
from ulmfit.pipeline.errors import InputError


def from_matrix(matrix: list[list[int]], labels: list[str]) -> tuple[list[str], list[str]]:
    """Unfold a confusion matrix (rows gold) into gold and predicted labels."""
    pairs = [
        (gold, predicted)
        for gold, row in zip(labels, matrix, strict=True)
        for predicted, count in zip(labels, row, strict=True)
        for _ in range(count)
    ]
    return [gold for gold, _ in pairs], [predicted for _, predicted in pairs]


def test_binary_case_worked_out_by_hand():
    # yes: 3 true positives, 1 false positive, 2 false negatives; no: 4, 2, 1.
    gold, predicted = from_matrix([[4, 1], [2, 3]], ["no", "yes"])
    scores = score(gold, predicted, ["no", "yes"], "yes")
    assert scores["accuracy"] == pytest.approx(7 / 10)
    assert scores["binary_precision"] == pytest.approx(3 / 4)
    assert scores["binary_recall"] == pytest.approx(3 / 5)
    assert scores["binary_f1"] == pytest.approx(2 / 3)
    assert scores["macro_precision"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert scores["macro_recall"] == pytest.approx((4 / 5 + 3 / 5) / 2)
    assert scores["macro_f1"] == pytest.approx((8 / 11 + 2 / 3) / 2)
    assert scores["weighted_f1"] == pytest.approx((5 * 8 / 11 + 5 * 2 / 3) / 10)
    # By chance 6 * 5 + 4 * 5 of 100 pairs agree: (.7 - .5) / (1 - .5).
    assert scores["kappa"] == pytest.approx(0.4)
    assert scores["mcc"] == pytest.approx((3 * 4 - 1 * 2) / (4 * 5 * 5 * 6) ** 0.5)
    by_label = label_scores(gold, predicted, ["no", "yes"])
    assert by_label["no"] == pytest.approx({"precision": 4 / 6, "recall": 4 / 5, "f1": 8 / 11})
    assert by_label["yes"] == pytest.approx({"precision": 3 / 4, "recall": 3 / 5, "f1": 2 / 3})


def test_average_f_of_germeval_is_not_the_mean_of_the_classes_f1():
    gold, predicted = from_matrix([[8, 0], [4, 4]], ["OTHER", "OFFENSE"])
    scores = score(gold, predicted, ["OTHER", "OFFENSE"])
    precision, recall = (8 / 12 + 1) / 2, (1 + 4 / 8) / 2
    assert scores["germeval_f"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores["germeval_f"] - scores["macro_f1"] > 0.05


def test_published_confusion_matrix_of_germeval_2017():
    labels = ["neutral", "negative", "positive"]
    matrix = [[1513, 143, 25], [345, 416, 19], [72, 13, 20]]
    gold, predicted = from_matrix(matrix, labels)
    scores = score(gold, predicted, labels)
    assert round(scores["micro_f1"], 4) == 0.7595
    assert scores["micro_f1"] == pytest.approx(1949 / 2566)
    assert confusion_matrix(gold, predicted, labels) == tuple(tuple(row) for row in matrix)


def test_average_f_of_germeval_2017s_matrix():
    """Worked out with fractions: precisions 1513/1930, 416/572, 20/64, recalls 1513/1681, 416/780, 20/105."""
    labels = ["neutral", "negative", "positive"]
    gold, predicted = from_matrix([[1513, 143, 25], [345, 416, 19], [72, 13, 20]], labels)
    scores = score(gold, predicted, labels)
    precision = (1513 / 1930 + 416 / 572 + 20 / 64) / 3
    recall = (1513 / 1681 + 416 / 780 + 20 / 105) / 3
    assert scores["macro_precision"] == pytest.approx(precision)
    assert scores["macro_recall"] == pytest.approx(recall)
    assert scores["germeval_f"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores["weighted_f1"] == pytest.approx(
        (1681 * 3026 / 3611 + 780 * 832 / 1352 + 105 * 40 / 169) / 2566
    )


def test_polevals_positive_class():
    """A matrix of 1,000 tweets, 134 of them harmful, as task 6-1 of 2019 counted: F1, precision, recall."""
    gold, predicted = from_matrix([[831, 35], [64, 70]], ["none", "harmful"])
    scores = score(gold, predicted, ["none", "harmful"], "harmful")
    names = ("binary_f1", "binary_precision", "binary_recall", "accuracy")
    assert [round(100 * scores[name], 2) for name in names] == [58.58, 66.67, 52.24, 90.10]


def test_polevals_three_classes():
    """Task 6-2: micro F1, which is accuracy, beside macro F1; the rare classes pull the latter down."""
    gold, predicted = from_matrix([[90, 0, 0], [2, 1, 1], [3, 0, 3]], ["none", "bullying", "hate"])
    scores = score(gold, predicted, ["none", "bullying", "hate"])
    assert scores["micro_f1"] == pytest.approx(0.94)
    assert scores["macro_f1"] == pytest.approx((180 / 185 + 2 / 5 + 6 / 10) / 3)


def test_one_label_alone_is_no_agreement_beyond_chance():
    scores = score(["a", "a"], ["a", "a"], ["a", "b"])
    assert (scores["accuracy"], scores["kappa"], scores["mcc"]) == (1.0, 0.0, 0.0)


def test_label_that_never_occurs_counts_as_zero():
    scores = score(["a", "b"], ["a", "b"], ["a", "b", "c"])
    assert scores["accuracy"] == 1
    assert scores["macro_f1"] == pytest.approx(2 / 3)


def test_nothing_right():
    scores = score(["a", "b"], ["b", "a"], ["a", "b"], "a")
    assert (scores.pop("kappa"), scores.pop("mcc")) == (-1.0, -1.0)
    assert set(scores.values()) == {0.0}


def test_main_score_is_one_of_the_scores():
    gold, predicted = ["a", "b", "b"], ["a", "b", "a"]
    scores = score(gold, predicted, ["a", "b"], "b")
    for metric in METRICS_OF_TASK["single_label"]:
        assert main_score(metric, gold, predicted, ["a", "b"], "b") == scores[metric]


@pytest.mark.parametrize(
    ("gold", "predicted", "labels", "positive", "message"),
    [
        ([], [], ["a", "b"], None, "no rows"),
        (["a"], ["a", "b"], ["a", "b"], None, "1 gold labels but 2"),
        (["c"], ["a"], ["a", "b"], None, "gold label 'c'"),
        (["a"], ["c"], ["a", "b"], None, "predicted label 'c'"),
        (["a"], ["a"], ["a", "a"], None, "listed twice"),
        (["a"], ["a"], ["a", "b"], "x", "positive label 'x'"),
    ],
)
def test_bad_input(gold, predicted, labels, positive, message):
    with pytest.raises(InputError, match=message):
        score(gold, predicted, labels, positive)


def test_main_score_needs_a_positive_label_for_binary_f1():
    with pytest.raises(InputError, match="binary_f1"):
        main_score("binary_f1", ["a"], ["a"], ["a", "b"])


LABELS = ["a", "b", "c"]
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40)


@settings(deadline=None, derandomize=True)
@given(PAIRS, st.randoms(use_true_random=False), st.permutations(LABELS))
def test_order_of_rows_and_labels_does_not_matter(pairs, source, labels):
    gold, predicted = zip(*pairs, strict=True)
    expected = score(gold, predicted, LABELS, "a")
    shuffled = source.sample(pairs, len(pairs))
    gold, predicted = zip(*shuffled, strict=True)
    assert score(gold, predicted, labels, "a") == pytest.approx(expected)


@settings(deadline=None, derandomize=True)
@given(PAIRS)
def test_bounds_and_identities(pairs):
    gold, predicted = zip(*pairs, strict=True)
    scores = score(gold, predicted, LABELS, "a")
    assert all((-1 if name in ("kappa", "mcc") else 0) <= value <= 1 for name, value in scores.items())
    assert {name: scores[name] for name in ("kappa", "mcc")} == pytest.approx(
        {name: value for name, value in score(predicted, gold, LABELS).items() if name in ("kappa", "mcc")}
    )
    assert scores["micro_f1"] == pytest.approx(scores["accuracy"])
    swapped = score(predicted, gold, LABELS, "a")
    assert swapped["macro_f1"] == pytest.approx(scores["macro_f1"])
    assert swapped["macro_precision"] == pytest.approx(scores["macro_recall"])
    matrix = confusion_matrix(gold, predicted, LABELS)
    assert sum(map(sum, matrix)) == len(pairs)
    assert sum(matrix[index][index] for index in range(3)) / len(pairs) == pytest.approx(scores["accuracy"])


@settings(deadline=None, derandomize=True, max_examples=80)
@given(PAIRS)
def test_every_metric_is_scikit_learns(pairs):
    gold, predicted = (list(part) for part in zip(*pairs, strict=True))
    precision, recall, f1, _ = library.precision_recall_fscore_support(
        gold, predicted, labels=LABELS, average=None, zero_division=0
    )
    macro = [
        library.precision_recall_fscore_support(
            gold, predicted, labels=LABELS, average=average, zero_division=0
        )
        for average in ("macro", "micro", "weighted")
    ]
    binary = library.precision_recall_fscore_support(
        gold, predicted, labels=["b"], average="macro", zero_division=0
    )
    alone = len({*gold, *predicted}) == 1
    mean = statistics.harmonic_mean([float(macro[0][0]), float(macro[0][1])])
    assert score(gold, predicted, LABELS, "b") == pytest.approx(
        {
            "accuracy": library.accuracy_score(gold, predicted),
            "macro_f1": macro[0][2],
            "micro_f1": macro[1][2],
            "macro_precision": macro[0][0],
            "macro_recall": macro[0][1],
            "weighted_f1": macro[2][2],
            "germeval_f": mean,
            "kappa": 0.0 if alone else library.cohen_kappa_score(gold, predicted),
            "mcc": 0.0 if alone else library.matthews_corrcoef(gold, predicted),
            "binary_f1": binary[2],
            "binary_precision": binary[0],
            "binary_recall": binary[1],
        },
        abs=1e-12,
    )
    for place, figures in enumerate(label_scores(gold, predicted, LABELS).values()):
        assert figures == pytest.approx(
            {"precision": precision[place], "recall": recall[place], "f1": f1[place]}
        )
    expected = library.confusion_matrix(gold, predicted, labels=LABELS)
    assert confusion_matrix(gold, predicted, LABELS) == tuple(map(tuple, expected.tolist()))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(PAIRS, st.data())
def test_a_sample_is_scored_as_its_documents_alone(pairs, data):
    """Labels that the sample lacks do not count, but for those that no document has."""
    gold, predicted = (list(part) for part in zip(*pairs, strict=True))
    drawn = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=len(pairs), max_size=len(pairs)))
    weights = np.bincount(drawn, minlength=len(pairs))[None].astype(np.float32)
    found = LabelOutcomes.of(gold, predicted, LABELS).resampled(weights)
    of_sample = [gold[place] for place in drawn], [predicted[place] for place in drawn]
    expected = score(*of_sample, LABELS)
    assert found["accuracy"][0] == pytest.approx(expected["accuracy"])
    assert found["kappa"][0] == pytest.approx(expected["kappa"])
    if set(of_sample[0]) == set(gold):
        assert {name: found[name][0] for name in expected} == pytest.approx(expected)


def test_the_score_of_always_the_most_frequent_label():
    gold = ["a"] * 2 + ["b"] * 5 + ["c"] * 3
    expected = score(gold, ["b"] * 10, ["a", "b", "c"], "b")
    found = {name: majority_score(name, [2, 5, 3], 1) for name in expected}
    assert found == pytest.approx(expected)
