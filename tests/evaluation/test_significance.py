"""Tests of differences: against exact enumeration and scipy, under the null hypothesis, and their words."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from evaluation.samples import made_up_predictions
from ulmfit.classifier.outcomes import LabelOutcomes
from ulmfit.evaluation.row import compare_rows, reference_row, scored_row
from ulmfit.evaluation.significance import holm, paired_bootstrap_p, permutation_p, seed_margin
from ulmfit.pipeline.errors import InputError


def labels(gold, predicted) -> LabelOutcomes:
    return LabelOutcomes(np.array(gold), np.array(predicted), 3)


def right_or_wrong(right) -> LabelOutcomes:
    """A run that is right where `right` says so."""
    return labels(np.zeros(len(right), dtype=int), 1 - np.asarray(right, dtype=int))


GOLD = [0, 0, 1, 1, 2, 2, 0, 1]
FIRST = [[0, 0, 1, 1, 2, 0, 0, 1], [0, 1, 1, 1, 2, 2, 0, 1]]
SECOND = [[0, 2, 1, 0, 2, 0, 1, 1], [0, 0, 0, 1, 2, 1, 0, 0]]


def macro_f1(runs: list[list[int]]) -> float:
    scores = [f1_score(GOLD, run, average="macro", labels=[0, 1, 2], zero_division=0) for run in runs]
    return float(np.mean(scores))


def test_exact_on_a_tiny_case():
    """All 256 ways to swap both seeds' outputs of documents, each scored by scikit-learn; then 60 of them."""
    observed = abs(macro_f1(FIRST) - macro_f1(SECOND))
    reached = 0
    for swaps in itertools.product([False, True], repeat=8):
        pairs = [
            [(b, a) if swap else (a, b) for a, b, swap in zip(one, other, swaps, strict=True)]
            for one, other in zip(FIRST, SECOND, strict=True)
        ]
        first, second = ([[pair[side] for pair in run] for run in pairs] for side in (0, 1))
        reached += abs(macro_f1(first) - macro_f1(second)) >= observed - 1e-12
    runs = [[labels(GOLD, run) for run in row] for row in (FIRST, SECOND)]
    assert permutation_p(*runs, "macro_f1") == pytest.approx(reached / 256)
    sampled = permutation_p(*runs, "macro_f1", permutations=60)
    assert sampled == pytest.approx(reached / 256, abs=0.1)
    assert sampled * 61 == pytest.approx(round(sampled * 61))


def test_agrees_with_scipy():
    source = np.random.default_rng(0)
    first, second = source.random(120) < 0.75, source.random(120) < 0.68
    ours = permutation_p([right_or_wrong(first)], [right_or_wrong(second)], "accuracy")
    theirs = scipy.stats.permutation_test(
        (first.astype(float), second.astype(float)),
        lambda a, b: np.mean(a) - np.mean(b),
        permutation_type="samples",
        n_resamples=10_000,
        rng=1,
    )
    assert ours == pytest.approx(theirs.pvalue, abs=0.02)


def test_accuracy_of_single_runs_is_mcnemars_exact_test():
    """9 documents only the first gets right, 2 only the second: a binomial test, by hand."""
    first, second = [1] * 9 + [0] * 2 + [1] * 30, [0] * 9 + [1] * 2 + [1] * 30
    p = permutation_p([right_or_wrong(first)], [right_or_wrong(second)], "accuracy")
    assert p == pytest.approx(2 * sum(math.comb(11, k) for k in range(3)) / 2**11)


def test_same_outputs_are_no_difference():
    run = [right_or_wrong([1, 0, 1])]
    assert permutation_p(run, run, "accuracy") == 1.0
    assert paired_bootstrap_p(np.zeros(1000)) == 1.0


def test_no_p_value_is_zero():
    first, second = [right_or_wrong([1] * 200)], [right_or_wrong([0] * 200)]
    assert permutation_p(first, second, "accuracy", permutations=999) == 1 / 1000
    assert paired_bootstrap_p(np.full(999, 0.3)) == 2 / 1000


def test_which_row_is_first_does_not_matter():
    first = [right_or_wrong(np.random.default_rng(seed).random(80) < 0.7) for seed in range(3)]
    second = [right_or_wrong(np.random.default_rng(9).random(80) < 0.6)]
    assert permutation_p(first, second, "accuracy") == permutation_p(second, first, "accuracy")
    assert permutation_p(first, second, "accuracy") == permutation_p(first[::-1], second, "accuracy")


def null_p_values(trials: int, documents: int) -> tuple[list[float], list[float]]:
    """Two rows of two seeds from one distribution: half of what is right depends on the document."""
    source = np.random.default_rng(11)
    permutation, bootstrapped = [], []
    for _ in range(trials):
        easy = source.random(documents)
        rows = [
            [right_or_wrong((easy + source.random(documents)) / 2 < 0.55) for _ in range(2)] for _ in range(2)
        ]
        permutation.append(permutation_p(*rows, "accuracy", permutations=199))
        weights = source.multinomial(documents, np.full(documents, 1 / documents), size=199)
        gains = [
            one.resampled(weights)["accuracy"] - other.resampled(weights)["accuracy"]
            for one, other in zip(*rows, strict=True)
        ]
        bootstrapped.append(paired_bootstrap_p(np.mean(gains, axis=0)))
    return permutation, bootstrapped


@pytest.mark.parametrize(
    ("trials", "documents"), [(200, 100), pytest.param(2_000, 1_000, marks=pytest.mark.soak)]
)
def test_p_is_uniform_where_nothing_differs(trials, documents):
    """A difference of half a document more or less moves p: by up to 0.05 of 100 documents, 0.02 of 1,000."""
    for values in null_p_values(trials, documents):
        for level in (0.05, 0.25, 0.5, 0.75):
            error = 3.5 * math.sqrt(level * (1 - level) / trials) + 0.02
            assert np.mean(np.array(values) <= level) == pytest.approx(level, abs=error)


def test_real_differences_are_found():
    source = np.random.default_rng(1)
    first, second = ([right_or_wrong(source.random(400) < share) for _ in range(2)] for share in (0.85, 0.7))
    assert permutation_p(first, second, "accuracy", 999) < 0.01


def test_bootstrap_p_agrees_with_the_interval():
    differences = np.concatenate([np.full(30, -0.1), np.full(1_970, 0.1)])
    assert paired_bootstrap_p(differences) == pytest.approx(2 * 31 / 2001)
    assert np.quantile(differences, 0.025) == 0.1
    assert np.quantile(np.concatenate([np.full(60, -0.1), np.full(1_940, 0.1)]), 0.025) == -0.1


def test_holm_worked_out_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0.001, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(values):
    adjusted = holm(values)
    for index, value in enumerate(values):
        assert value <= adjusted[index] <= min(1.0, len(values) * value) + 1e-12
        assert all(adjusted[index] <= adjusted[other] for other, high in enumerate(values) if high >= value)


def test_seed_margin_is_welchs():
    first, second = [0.81, 0.84, 0.80], [0.79, 0.80, 0.78, 0.81]
    interval = scipy.stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert seed_margin(first, second) == pytest.approx((interval.high - interval.low) / 2)
    # One deterministic value: Student's interval of the other row's mean, t(2) = 4.3027.
    assert seed_margin(first, [0.7]) == pytest.approx(4.302653 * np.std(first, ddof=1) / math.sqrt(3))
    assert seed_margin([0.5, 0.5], [0.4]) == 0.0


def row(name, accuracy, seeds=3, **options):
    runs = [(seed, made_up_predictions(accuracy, seed)) for seed in range(seeds)]
    return scored_row(name, runs, resamples=200, **options)


def test_every_row_is_held_against_the_reference():
    rows = [
        row("forward", 0.85),
        row("both", 0.9, kind="ensemble"),
        row("scratch", 0.5),
        row("floor", 0.7, seeds=1, kind="baseline"),
        row("one run", 0.88, seeds=1, kind="comparison"),
    ]
    comparisons = compare_rows(rows, "macro_f1", permutations=499)
    assert [(part.row, part.reference) for part in comparisons] == [
        (name, "both") for name in ("forward", "scratch", "floor", "one run")
    ]
    for part in comparisons:
        mean = next(r.result.metrics["macro_f1"].mean for r in rows if r.result.name == part.row)
        assert part.difference == pytest.approx(mean - rows[1].result.metrics["macro_f1"].mean)
        assert part.interval[0] <= part.difference <= part.interval[1]
        assert part.p_adjusted >= part.p_permutation
        assert (part.p_bootstrap < 0.05) == (not part.interval[0] <= 0 <= part.interval[1])
    scratch, floor, single = comparisons[1:]
    assert scratch.p_permutation == 1 / 500
    assert scratch.within_seed_noise is False
    assert floor.seed_margin is not None
    assert single.within_seed_noise is None
    assert compare_rows(rows, "macro_f1", permutations=499) == comparisons


def test_seeds_close_to_each_other_are_noise():
    rows = [row("one", 0.80), row("two", 0.81)]
    assert compare_rows(rows, "accuracy", permutations=99)[0].within_seed_noise is True


def test_reference_row():
    one, both = row("one", 0.8), row("both", 0.8, kind="ensemble")
    averaged = row("all", 0.8, kind="ensemble", average_seeds=True)
    floor = row("floor", 0.7, kind="baseline")
    named = [part.result for part in (floor, averaged, one, both)]
    assert reference_row(named).name == "both"
    assert reference_row(named[:3]).name == "one"
    assert reference_row(named[:1]).name == "floor"
    mixture = row("with floor", 0.9, kind="mixture")
    assert reference_row([mixture.result, *named[:3]]).name == "one"
    assert reference_row([]) is None
    assert compare_rows([], "accuracy") == ()
    assert compare_rows([one], "accuracy") == ()


def test_bad_input():
    one, other = row("one", 0.8), row("other", 0.7)
    with pytest.raises(InputError, match="two rows are called 'one'"):
        compare_rows([one, one], "accuracy")
    with pytest.raises(InputError, match="no row is called 'third'; expected one of one, other"):
        compare_rows([one, other], "accuracy", reference="third")
    short = scored_row("short", [(0, made_up_predictions(0.7, 0, rows=50))])
    with pytest.raises(InputError, match="'short' and row 'one' were scored on different documents"):
        compare_rows([one, short], "accuracy")
