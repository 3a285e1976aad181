"""Many samples scored at once have the scores of their documents alone: several labels, and numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from evaluation.samples import made_up_predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from ulmfit.classifier.metrics import scores
from ulmfit.classifier.multi_label import names_of
from ulmfit.classifier.outcomes import (
    LabelOutcomes,
    MultiLabelOutcomes,
    NumberOutcomes,
    average_precisions,
    spearman_correlations,
)
from ulmfit.classifier.predictions import MultiLabelPredictions, RegressionPredictions, average_splits
from ulmfit.evaluation.bootstrap import document_weights
from ulmfit.evaluation.row import compare_rows, scored_row
from ulmfit.evaluation.significance import permutation_p
from ulmfit.pipeline.errors import InputError

LABELS = ["a", "b", "c"]
ROWS = 30


def several_labels(seed: int, noise: float = 0.5, drawn: np.ndarray | None = None) -> MultiLabelPredictions:
    """Made-up predictions, or those of drawn documents; probabilities in steps, so that some are equal."""
    gold = np.random.default_rng(0).random((ROWS, 3)) < [0.5, 0.3, 0.2]
    source = np.random.default_rng(seed)
    probabilities = np.round((1 - noise) * gold + noise * source.random((ROWS, 3)), 1)
    drawn = np.arange(ROWS) if drawn is None else drawn
    ids = [str(index) for index in range(len(drawn))]
    names = names_of(gold[drawn], LABELS)
    return MultiLabelPredictions.from_probabilities(ids, names, probabilities[drawn], LABELS, [0.5, 0.4, 0.6])


def numbers(seed: int, noise: float = 0.5, drawn: np.ndarray | None = None) -> RegressionPredictions:
    """Made-up numbers, some of them equal."""
    gold = np.round(np.random.default_rng(0).normal(3, 2, ROWS), 1)
    predicted = np.round(gold + noise * np.random.default_rng(seed).normal(0, 2, ROWS))
    drawn = np.arange(ROWS) if drawn is None else drawn
    ids = [str(index) for index in range(len(drawn))]
    return RegressionPredictions(ids, gold[drawn].tolist(), predicted[drawn].tolist())


MAKERS = pytest.mark.parametrize("make", [several_labels, numbers], ids=lambda make: make.__name__)


@MAKERS
def test_every_resample_has_the_scores_of_its_documents(make):
    (weights,) = document_weights(ROWS, 25, seed=1)
    fast = make(3).outcomes().resampled(weights)
    for index, row in enumerate(weights):
        expected = scores(make(3, drawn=np.repeat(np.arange(ROWS), row.astype(int))))
        assert {name: values[index] for name, values in fast.items()} == pytest.approx(expected, abs=1e-10)


@MAKERS
def test_swapped_outputs_have_the_scores_of_the_mixture(make):
    """Outputs of the other run for the second half of the documents."""
    first, second = make(3), make(4)
    swaps = np.array([np.arange(ROWS) >= ROWS, np.arange(ROWS) >= ROWS // 2, np.arange(ROWS) >= 0])
    half = ROWS // 2
    if isinstance(first, RegressionPredictions):
        mixed = RegressionPredictions(first.ids, first.gold, first.predicted[:half] + second.predicted[half:])
    else:
        mixed = MultiLabelPredictions.from_probabilities(
            first.ids,
            first.gold,
            np.concatenate([first.probabilities[:half], second.probabilities[half:]]),
            LABELS,
            first.thresholds,
        )
    expected = [scores(one) for one in (first, mixed, second)]
    one, other = first.outcomes(), second.outcomes()
    for metric in expected[0]:
        found = one.swapped(other, swaps, metric)
        assert list(found) == pytest.approx([each[metric] for each in expected], abs=1e-10)


def test_single_labels_are_swapped_whole():
    first, second = made_up_predictions(0.8, 0), made_up_predictions(0.5, 1)
    one, other = first.outcomes(), second.outcomes()
    swaps = np.array([[False] * 200, [True] * 200])
    for metric, value in scores(first).items():
        assert one.swapped(other, swaps, metric)[0] == pytest.approx(value)
        assert one.swapped(other, swaps, metric)[1] == pytest.approx(scores(second)[metric])


@MAKERS
def test_rows_of_other_tasks_have_intervals_and_are_compared(make):
    rows = [
        scored_row(name, [(seed, make(10 * seed + 1, noise)) for seed in range(2)], resamples=300)
        for name, noise in (("good", 0.55), ("poor", 0.95))
    ]
    for row in rows:
        assert (row.result.confusion, row.result.label_metrics, row.result.calibration) == ((), {}, ())
        for metric in row.result.metrics.values():
            assert metric.interval[0] <= metric.mean <= metric.interval[1]
    metric = "micro_f1" if make is several_labels else "spearman"
    (comparison,) = compare_rows(rows, metric, permutations=199)
    assert comparison.reference == "good"
    assert comparison.interval[1] < 0
    assert comparison.p_permutation <= 0.02


@MAKERS
def test_ensembles_of_other_tasks(make):
    runs = [(seed, make(seed)) for seed in (5, 6)]
    row = scored_row("both", runs, valid_runs=runs, average_seeds=True, resamples=50).result
    _, expected = average_splits([run for _, run in runs], [run for _, run in runs])
    assert {name: metric.values for name, metric in row.metrics.items()} == {
        name: (pytest.approx(value),) for name, value in scores(expected).items()
    }
    assert (row.seeds, row.runs) == ((5, 6), 1)


def test_thresholds_are_never_tuned_on_the_test_split():
    runs = [(seed, several_labels(seed)) for seed in (5, 6)]
    with pytest.raises(InputError, match="needs predictions on validation"):
        scored_row("both", runs, average_seeds=True)


def test_number_of_permutations_follows_the_metric():
    runs = [[numbers(seed, noise).outcomes()] for seed, noise in ((1, 0.1), (2, 3.0))]
    assert permutation_p(*runs, "pearson") == 1 / 10_001
    assert permutation_p(*runs, "spearman") == 1 / 1_001


@pytest.mark.parametrize(("metric", "rescaled"), [("pearson", lambda x: 100 * x - 95), ("spearman", np.exp)])
def test_p_of_a_correlation_does_not_depend_on_a_rows_scale(metric, rescaled):
    """Mixed as they are, the second row's numbers would outweigh the first's."""
    first, second = ([numbers(seed, noise).outcomes()] for seed, noise in ((1, 0.5), (2, 0.6)))
    wide = [replace(second[0], predicted=rescaled(second[0].predicted))]
    p = permutation_p(first, second, metric, permutations=499)
    assert 0.002 < p < 0.9
    assert permutation_p(first, wide, metric, permutations=499) == p
    constant = [replace(second[0], predicted=np.full(ROWS, 0.1))]
    assert permutation_p(first, constant, metric, permutations=499) == 1 / 500
    assert permutation_p(constant, constant, metric) == 1


def test_errors_of_numbers_depend_on_their_scale():
    first = [numbers(1, 0.5).outcomes()]
    shifted = [replace(first[0], predicted=first[0].predicted + 1)]
    assert permutation_p(first, shifted, "mae", permutations=499) == 1 / 500
    assert permutation_p(first, shifted, "pearson", permutations=499) == 1


ORDINARY = st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=12)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(ORDINARY)
def test_orders_with_many_equal_values(rows):
    gold, values, counts = (np.array(part) for part in zip(*rows, strict=True))
    drawn = np.repeat(np.arange(len(rows)), counts)
    weights = counts[None].astype(np.float32)
    if gold[drawn].any():
        expected = average_precision_score(gold[drawn], values[drawn])
        assert average_precisions(gold, values, weights)[0] == pytest.approx(expected)
    else:
        assert average_precisions(gold, values, weights)[0] == 0
    other = values[::-1] * gold
    if len(set(values[drawn])) > 1 and len(set(other[drawn])) > 1:
        expected = scipy.stats.spearmanr(values[drawn], other[drawn]).statistic
        assert spearman_correlations(values, other, weights)[0] == pytest.approx(expected, abs=1e-12)
    else:
        assert spearman_correlations(values, other, weights)[0] == 0


def test_samples_of_equal_numbers_are_no_correlation():
    outcomes = NumberOutcomes(np.array([0.1, 0.1, 0.7]), np.array([0.3, 0.3, 0.9]))
    weights = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]], dtype=np.float32)
    found = outcomes.resampled(weights)
    for metric in ("pearson", "spearman", "r2"):
        assert list(found[metric]) == [0.0, 0.0]
    assert list(found["mae"]) == pytest.approx([0.2, 0.2])


def test_texts_without_labels_count_as_right_where_none_is_predicted():
    nothing = np.zeros((2, 2), dtype=bool)
    outcomes = MultiLabelOutcomes(nothing, nothing, np.zeros((2, 2)))
    found = outcomes.resampled(np.ones((1, 2), dtype=np.float32))
    assert {name: float(values[0]) for name, values in found.items()} == {
        "macro_f1": 0.0,
        "micro_f1": 0.0,
        "samples_f1": 1.0,
        "subset_accuracy": 1.0,
        "hamming_loss": 0.0,
        "average_precision": 0.0,
    }


def test_outcomes_of_names():
    outcomes = LabelOutcomes.of(["b", "a"], ["b", "b"], ["a", "b"], "b")
    assert (list(outcomes.gold), list(outcomes.predicted), outcomes.positive) == ([1, 0], [1, 1], 1)
    assert outcomes.documents == 2
