"""Temperature scaling and calibration errors: known temperatures, bins by hand, the same predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.special import logsumexp, softmax
from sklearn.metrics import log_loss

from ulmfit.classifier.predictions import SingleLabelPredictions, average
from ulmfit.evaluation.calibration import BINS, calibrate, fit_temperature, measure, scaled
from ulmfit.evaluation.row import row_result
from ulmfit.report.sections.calibration import describe_reliability

LABELS = ["a", "b", "c"]


def predictions(probabilities: np.ndarray, gold: np.ndarray) -> SingleLabelPredictions:
    labels = LABELS[: probabilities.shape[1]]
    ids = [str(index) for index in range(len(gold))]
    return SingleLabelPredictions.from_probabilities(
        ids, [labels[code] for code in gold], probabilities, labels
    )


def synthetic(rows: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits too large by `temperature`, and gold labels drawn from the true probabilities."""
    source = np.random.default_rng(seed)
    logits = source.normal(scale=2, size=(rows, 3))
    true = softmax(logits, axis=1)
    gold = (source.random((rows, 1)) > true.cumsum(axis=1)).sum(axis=1)
    return logits * temperature, gold


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_known_temperature_comes_back(temperature):
    valid, test = (
        predictions(softmax(logits, axis=1).astype(np.float32), gold)
        for logits, gold in (synthetic(20_000, temperature, seed) for seed in (0, 1))
    )
    found = calibrate(valid, test)
    assert found.fitted
    assert found.temperature == pytest.approx(temperature, rel=0.04)
    assert found.after.ece < 0.015
    assert found.validation_texts == 20_000
    if temperature != 1.0:
        assert found.before.ece > 3 * found.after.ece
        assert found.before.nll > found.after.nll
        assert found.before.brier > found.after.brier


def test_search_finds_what_trying_everything_finds():
    logits, gold = synthetic(300, 1.7, 2)
    grid = np.exp(np.linspace(math.log(0.05), math.log(20), 4_001))
    logits_a_temperature = logits / grid[:, None, None]
    losses = logsumexp(logits_a_temperature, axis=2).mean(axis=1)
    losses -= logits_a_temperature[:, np.arange(300), gold].mean(axis=1)
    assert losses[1000] == pytest.approx(log_loss(gold, softmax(logits / grid[1000], axis=1)))
    assert fit_temperature(logits, gold) == pytest.approx(grid[int(np.argmin(losses))], rel=0.002)


def test_expected_calibration_error_worked_out_by_hand():
    # Confidences .92, .98 (bins 14 and 15), .62, .64 (bin 10), .5 (bin 8: 7/15 to 8/15).
    confidence = np.array([0.92, 0.98, 0.62, 0.64, 0.5])
    right = np.array([True, True, True, False, False])
    figures = measure(
        np.log(np.column_stack([confidence, 1 - confidence])), (~right).astype(int), np.zeros(5, int)
    )
    assert figures.ece == pytest.approx((abs(1 - 0.92) + abs(1 - 0.98) + abs(1 - 1.26) + abs(0 - 0.5)) / 5)
    assert figures.nll == pytest.approx(-np.log([0.92, 0.98, 0.62, 0.36, 0.5]).mean())
    assert figures.brier == pytest.approx(2 * np.mean([0.08**2, 0.02**2, 0.38**2, 0.64**2, 0.25]))
    assert len(figures.bins) == BINS
    assert {number: part.count for number, part in enumerate(figures.bins) if part.count} == {
        7: 1,
        9: 2,
        13: 1,
        14: 1,
    }
    assert figures.bins[9].confidence == pytest.approx(0.63)
    assert figures.bins[9].accuracy == pytest.approx(0.5)
    assert (figures.bins[0].confidence, figures.bins[0].accuracy) == (None, None)


def test_confidence_of_one_lies_in_the_last_bin():
    figures = measure(np.array([[0.0, -800.0]]), np.array([1]), np.array([0]))
    assert [part.count for part in figures.bins] == [0] * (BINS - 1) + [1]
    assert (figures.ece, figures.nll, figures.brier) == (1.0, 800.0, 2.0)


@settings(deadline=None, derandomize=True)
@given(
    arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32)).filter(lambda p: p.sum(axis=1).all()),
    st.floats(0.05, 20),
)
def test_predictions_never_change(weights, temperature):
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    after = scaled(probabilities, temperature)
    assert np.allclose(after.sum(axis=1), 1)
    best = probabilities.argmax(axis=1)
    assert (after[np.arange(6), best] >= after.max(axis=1)).all()


def test_temperature_of_one_changes_nothing():
    probabilities = softmax(synthetic(50, 1.0, 3)[0], axis=1)
    assert scaled(probabilities, 1.0) == pytest.approx(probabilities)


def test_sure_and_never_wrong_says_nothing_of_the_temperature():
    """Without a wrong text in validation the smaller a temperature the better: it stays at 1."""
    gold = np.array([0, 1, 2, 0])
    valid = predictions(np.eye(3)[gold] * 0.7 + 0.1, gold)
    found = calibrate(valid, valid)
    assert (found.temperature, found.fitted) == (1.0, False)
    assert found.before == found.after


@pytest.mark.parametrize(
    ("probabilities", "gold"),
    [
        (np.full((4, 3), 1 / 3), [0, 1, 2, 0]),
        (np.eye(3), [1, 2, 0]),
        (np.eye(3), [0, 1, 2]),
        (np.array([[0.6, 0.4]]), [0]),
        (np.array([[0.6, 0.4]]), [1]),
    ],
)
def test_validation_that_says_nothing(probabilities, gold):
    found = calibrate(*[predictions(probabilities, np.array(gold))] * 2)
    assert (found.temperature, found.fitted) == (1.0, False)


GOLD = [0, 1, 2, 0]
FAULTLESS, CHANCE = (np.eye(3)[codes] * 0.7 + 0.1 for codes in (GOLD, [1, 2, 0, 1]))
SURE = np.array([[0.9, 0.05, 0.05]] * 100)


@pytest.mark.parametrize(
    ("runs", "gold", "temperature", "remark"),
    [
        ([CHANCE], GOLD, "1 (not fitted)", "no better than chance: no temperature fits"),
        ([CHANCE, FAULTLESS], GOLD, "1 (not fitted)", "nothing in validation is wrong in 1 of 2 runs"),
        ([CHANCE, FAULTLESS], GOLD, "1 (not fitted)", "no better than chance in 1 of 2 runs"),
        ([SURE], [0] * 35 + [1] * 33 + [2] * 32, "39.0", "hardly better than chance: scaled, "),
    ],
)
def test_the_page_says_why_a_temperature_is_no_use(record, runs, gold, temperature, remark):
    found = shown(record, runs, gold)
    assert found.temperature.startswith(temperature)
    assert any(note.startswith(remark) for note in found.notes)


def test_the_page_has_no_remark_on_a_sound_temperature(record):
    assert shown(record, [SURE], [0] * 85 + [1] * 15).notes == ["fitted on 100 validation texts"]


def shown(record, runs, gold):
    """What the page says of a row with these probabilities on both splits."""
    splits = [(seed, predictions(one, np.array(gold))) for seed, one in enumerate(runs)]
    row = row_result("one", splits, valid_runs=splits, resamples=10)
    return describe_reliability(record.changed(rows=[row], comparisons=()))[0]


def test_one_wrong_text_among_sure_ones_is_enough():
    probabilities = np.array([[0.99, 0.01]] * 5, dtype=np.float32)
    found = calibrate(*[predictions(probabilities, np.array([0, 0, 0, 0, 1]))] * 2)
    # The best probability is 4/5: log 99 / log 4.
    assert found.temperature == pytest.approx(math.log(99) / math.log(4), rel=1e-4)
    assert found.after.ece == pytest.approx(0, abs=1e-4)


def test_probability_of_zero_for_what_was_right():
    probabilities = np.array([[1.0, 0.0]] + [[0.9, 0.1]] * 60, dtype=np.float32)
    found = calibrate(*[predictions(probabilities, np.array([1] + [0] * 60))] * 2)
    assert found.fitted
    assert math.isfinite(found.before.nll)
    assert found.after.nll < found.before.nll


def test_rows_are_calibrated_run_by_run_and_ensembles_as_one():
    runs, valid_runs = (
        [
            (seed, predictions(softmax(logits, axis=1).astype(np.float32), gold))
            for seed, (logits, _) in enumerate(synthetic(300, 3.0, seed) for seed in (first, first + 1))
        ]
        for first, gold in ((10, synthetic(300, 3.0, 10)[1]), (20, synthetic(300, 3.0, 20)[1]))
    )
    single = row_result("one", runs, valid_runs=valid_runs, resamples=50)
    assert single.calibration == tuple(
        calibrate(valid, test) for (_, valid), (_, test) in zip(valid_runs, runs, strict=True)
    )
    assert row_result("one", runs, resamples=50).calibration == ()
    ensemble = row_result(
        "both", runs, valid_runs=valid_runs, kind="ensemble", average_seeds=True, resamples=50
    )
    averaged = [average([run for _, run in some]) for some in (valid_runs, runs)]
    assert ensemble.calibration == (calibrate(*averaged),)
    assert (ensemble.seeds, ensemble.runs) == ((0, 1), 1)
    metric = ensemble.metrics["accuracy"]
    hits = [g == p for g, p in zip(averaged[1].gold, averaged[1].predicted, strict=True)]
    assert (metric.values, metric.sd) == ((pytest.approx(np.mean(hits)),), None)
    assert metric.interval[0] < metric.mean < metric.interval[1]
    assert len(ensemble.confusion) == 1
    assert ensemble.label_metrics["a"]["f1"].interval is not None


def test_texts_before_and_after_are_the_same():
    logits, gold = synthetic(10, 1.0, 4)
    valid = predictions(softmax(logits, axis=1), gold)
    found = calibrate(valid, valid)
    with pytest.raises(ValidationError, match="10 texts before and 9 after"):
        found.changed(after=measure(logits[:9], gold[:9], gold[:9]))
