"""Bootstrap intervals: the draws, each metric of each resample against scikit-learn, known intervals."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from evaluation.samples import LABELS, made_up_predictions
from ulmfit.classifier.metrics import label_scores, score
from ulmfit.classifier.outcomes import LabelOutcomes, MultiLabelOutcomes
from ulmfit.evaluation import bootstrap
from ulmfit.evaluation.bootstrap import SEED, document_weights, percentile_interval, resampled_means


def outcomes_of(predictions, positive_label=None) -> LabelOutcomes:
    return LabelOutcomes.of(predictions.gold, predictions.predicted, predictions.labels, positive_label)


def intervals(runs, resamples: int, seed: int = SEED):
    return bootstrap.intervals(resampled_means(runs, resamples, seed))


def all_weights(documents: int, resamples: int, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(document_weights(documents, resamples, seed)))


def test_draws_are_as_many_documents_as_there_are_and_repeat():
    weights = all_weights(50, 300)
    assert weights.shape == (300, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert (weights == all_weights(50, 300)).all()
    assert (weights != all_weights(50, 300, seed=1)).any()
    # A document's number of draws is binomial: mean 1, variance 1 - 1/50.
    assert weights.var() == pytest.approx(0.98, abs=0.03)


def test_draws_are_the_same_in_blocks(monkeypatch):
    whole = all_weights(40, 30)
    monkeypatch.setattr(bootstrap, "_CELLS", 40 * 7)
    blocks = list(document_weights(40, 30, 0))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 2]
    assert (np.concatenate(blocks) == whole).all()


def test_every_metric_of_every_resample_is_scikit_learns():
    runs = [made_up_predictions(0.6, seed, rows=40) for seed in range(2)]
    means = resampled_means([outcomes_of(run, "neutral") for run in runs], resamples=12, seed=3)
    for index, weights in enumerate(all_weights(40, 12, seed=3)):
        drawn = np.repeat(np.arange(40), weights.astype(int))
        samples = [([run.gold[i] for i in drawn], [run.predicted[i] for i in drawn]) for run in runs]
        scores = [score(gold, predicted, LABELS, "neutral") for gold, predicted in samples]
        for name in scores[0]:
            assert means[name][index] == pytest.approx(np.mean([one[name] for one in scores]), abs=1e-12)
        by_label = [label_scores(gold, predicted, LABELS) for gold, predicted in samples]
        for number, label in enumerate(LABELS):
            for name in ("precision", "recall", "f1"):
                expected = np.mean([one[label][name] for one in by_label])
                assert means[f"label_{name}"][index, number] == pytest.approx(expected, abs=1e-12)


def test_interval_of_accuracy_is_that_of_the_binomial():
    """Resampling right and wrong documents is drawing from a binomial distribution."""
    gold, predicted = ["a"] * 400, ["a"] * 320 + ["b"] * 80
    low, high = intervals([LabelOutcomes.of(gold, predicted, ["a", "b"])], resamples=20_000)["accuracy"]
    expected = scipy.stats.binom(400, 0.8).ppf([0.025, 0.975]) / 400
    assert [low, high] == pytest.approx(list(expected), abs=0.004)


def test_interval_agrees_with_scipys():
    right = np.array([1.0] * 130 + [0.0] * 70)
    ours = intervals(
        [LabelOutcomes.of(["a"] * 200, ["a" if hit else "b" for hit in right], ["a", "b"])], 10_000
    )["accuracy"]
    theirs = scipy.stats.bootstrap((right,), np.mean, method="percentile", n_resamples=10_000, rng=1)
    assert list(ours) == pytest.approx(list(theirs.confidence_interval), abs=0.006)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    source = np.random.default_rng(5)
    covered = 0
    for trial in range(300):
        predicted = np.where(source.random(200) < 0.7, 0, 1)
        outcomes = LabelOutcomes(np.zeros(200, dtype=int), predicted, 2)
        low, high = intervals([outcomes], resamples=300, seed=trial)["accuracy"]
        covered += low <= 0.7 <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_runs_of_several_seeds_are_averaged_on_the_same_documents():
    """Two runs of which one is right where the other is wrong: their mean accuracy never moves."""
    gold = np.zeros(60, dtype=int)
    first = np.arange(60) % 2
    runs = [LabelOutcomes(gold, first, 2), LabelOutcomes(gold, 1 - first, 2)]
    assert list(intervals(runs, 500)["accuracy"]) == [0.5, 0.5]


def test_percentiles():
    assert list(percentile_interval(np.arange(1001.0))) == pytest.approx([25.0, 975.0])


def test_one_document_and_labels_that_never_occur():
    bounds = intervals([LabelOutcomes.of(["a"], ["b"], ["a", "b", "c"])], 50)
    assert {tuple(np.ravel(values)) for name, values in bounds.items() if "label" not in name} == {(0.0, 0.0)}
    assert not np.isnan(bounds["label_f1"]).any()


def test_a_rare_label_does_not_pull_down_a_row_without_an_error():
    """37 % of the resamples lack the only text of a label: they say nothing of it."""
    gold = ["a"] * 20 + ["b"] * 20 + ["c"]
    outcomes = LabelOutcomes.of(gold, gold, ["a", "b", "c"], positive_label="c")
    bounds = intervals([outcomes], 400)
    for metric in ("macro_f1", "macro_recall", "macro_precision", "germeval_f", "binary_f1"):
        assert bounds[metric].tolist() == [1.0, 1.0], metric
    assert bounds["label_f1"][:, 2].tolist() == [1.0, 1.0]


def test_a_rare_label_that_is_missed_counts_wherever_it_is_drawn():
    gold = ["a"] * 20 + ["b"] * 20 + ["c"]
    outcomes = LabelOutcomes.of(gold, ["a"] * 20 + ["b"] * 20 + ["a"], ["a", "b", "c"])
    weights = np.ones((2, 41))
    weights[1, -1] = 0
    scores = outcomes.resampled(weights)
    assert scores["macro_recall"] == pytest.approx([2 / 3, 1.0])
    assert np.isnan(scores["label_recall"][1, 2]) and scores["label_recall"][0, 2] == 0


def test_a_label_that_the_whole_split_lacks_counts_as_0_as_in_the_score():
    gold, predicted, labels = ["a"] * 5 + ["b"] * 5, ["a"] * 4 + ["c"] + ["b"] * 5, ["a", "b", "c"]
    whole = LabelOutcomes.of(gold, predicted, labels).resampled(np.ones((1, 10)))
    assert whole["macro_recall"] == pytest.approx([score(gold, predicted, labels)["macro_recall"]])
    assert whole["macro_recall"] == pytest.approx([0.6]), "balanced accuracy is 0.9"


def test_rare_labels_of_several_labels_a_text_do_not_either():
    gold = np.array([[True, False]] * 20 + [[True, True]])
    outcomes = MultiLabelOutcomes(gold, gold, gold.astype(float))
    bounds = intervals([outcomes], 400)
    assert bounds["macro_f1"].tolist() == bounds["average_precision"].tolist() == [1.0, 1.0]
