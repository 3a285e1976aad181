"""Metrics against numbers worked out by hand, and what has to hold for any predictions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.errors import InputError
from ulmfit.evaluation.metrics import MAIN_METRICS, confusion_matrix, main_score, score


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


def test_label_that_never_occurs_counts_as_zero():
    scores = score(["a", "b"], ["a", "b"], ["a", "b", "c"])
    assert scores["accuracy"] == 1
    assert scores["macro_f1"] == pytest.approx(2 / 3)


def test_nothing_right():
    assert set(score(["a", "b"], ["b", "a"], ["a", "b"], "a").values()) == {0.0}


def test_main_score_is_one_of_the_scores():
    gold, predicted = ["a", "b", "b"], ["a", "b", "a"]
    scores = score(gold, predicted, ["a", "b"], "b")
    for metric in MAIN_METRICS:
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
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores["micro_f1"] == pytest.approx(scores["accuracy"])
    swapped = score(predicted, gold, LABELS, "a")
    assert swapped["macro_f1"] == pytest.approx(scores["macro_f1"])
    assert swapped["macro_precision"] == pytest.approx(scores["macro_recall"])
    matrix = confusion_matrix(gold, predicted, LABELS)
    assert sum(map(sum, matrix)) == len(pairs)
    assert sum(matrix[index][index] for index in range(3)) / len(pairs) == pytest.approx(scores["accuracy"])
