"""Schedules by hand-computed points, and what the optimizer really used."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.files import read_json
from ulmfit.runner import Runner
from ulmfit.training.schedules import phase_schedules, slanted_triangular, warmed_cosine
from ulmfit.training.settings import Phase


def test_slanted_triangular_follows_equation_3() -> None:
    rate = slanted_triangular(numpy.array([0.01]), 0.1)
    assert rate(0.0) == pytest.approx(0.01 / 32)
    assert rate(0.05) == pytest.approx(0.01 * (1 + 0.5 * 31) / 32)
    assert rate(0.1) == pytest.approx(0.01)
    assert rate(0.55) == pytest.approx(0.01 * (1 + 0.5 * 31) / 32)
    assert rate(1.0) == pytest.approx(0.01 / 32)


def test_one_cycle_begins_peaks_and_ends_where_fastai_says() -> None:
    schedules = phase_schedules(Phase(learning_rate=2.6, warm_up=0.25), 2)
    numpy.testing.assert_allclose(schedules["lr"](0.0), [1 / 25, 2.6 / 25])
    numpy.testing.assert_allclose(schedules["lr"](0.25), [1, 2.6])
    numpy.testing.assert_allclose(schedules["lr"](1.0), [1e-5, 2.6e-5])
    assert schedules["mom"](0.25) == pytest.approx(0.85)


def test_cosine_rises_in_a_line_and_falls_along_half_a_cosine_to_the_floor() -> None:
    rate = warmed_cosine(numpy.array([1.0, 0.5]), 0.2, 0.1)
    numpy.testing.assert_allclose(rate(0.0), [0.1, 0.05])
    numpy.testing.assert_allclose(rate(0.1), [0.55, 0.275])
    numpy.testing.assert_allclose(rate(0.2), [1.0, 0.5])
    numpy.testing.assert_allclose(rate(0.6), [0.55, 0.275])
    numpy.testing.assert_allclose(rate(0.4), numpy.array([1.0, 0.5]) * (0.1 + 0.9 * (1 + 0.5**0.5) / 2))
    numpy.testing.assert_allclose(rate(1.0000001), [0.1, 0.05])
    phase = Phase(schedule="cosine", warm_up=0.2, floor=0.1, learning_rate=1.0, discriminative=2)
    numpy.testing.assert_allclose(phase_schedules(phase, 2)["lr"](0.6), [0.275, 0.55])


def test_history_holds_the_rates_of_every_group_and_frozen_groups_do_not_move(tmp_path: Path) -> None:
    history = read_json(Runner(tmp_path).build(tiny_classifier()) / "history.json")
    steps = history["steps"]
    assert {step["phase"] for step in steps} == {0, 1}
    for step in steps:
        rates = step["learning_rates"]
        if step["phase"] == 0:
            assert rates[:-1] == [None, None, None], "frozen groups have no rate"
        else:
            assert rates[-1] == pytest.approx(2.6 * rates[-2]) == pytest.approx(2.6**3 * rates[0])
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert max(step["learning_rates"][-1] for step in steps) == pytest.approx(1e-2, rel=0.05)


def test_golden_losses_of_a_tiny_language_model(tmp_path: Path) -> None:
    """These numbers change only when what is computed changes; then `stage_version` has to change too."""
    folder = Runner(tmp_path).build(tiny_pretrain(precision="fp32"))
    epochs = read_json(folder / "history.json")["epochs"]
    metrics = read_json(folder / "metrics.json")
    assert [epoch["valid_loss"] for epoch in epochs] == pytest.approx(GOLDEN_VALID_LOSSES, rel=1e-4)
    assert metrics["test"]["loss"] == pytest.approx(GOLDEN_TEST_LOSS, rel=1e-4)


GOLDEN_VALID_LOSSES = [3.6390979845, 3.5278394888]
GOLDEN_TEST_LOSS = 3.5400013275


def test_a_phase_that_stops_early_is_noted_and_the_next_one_runs(tmp_path: Path) -> None:
    standstill = Phase(epochs=4, learning_rate=1e-30)
    stage = tiny_pretrain(phases=(standstill, Phase(epochs=1, learning_rate=1e-2)), early_stopping=2)
    folder = Runner(tmp_path).build(stage)
    history = read_json(folder / "history.json")
    assert [epoch["phase"] for epoch in history["epochs"]] == [0, 0, 0, 1]
    assert history["ended_early"] == [{"phase": 0, "epochs": 3, "of_epochs": 4}]
    assert "before the end of its schedule" in (folder / "log.txt").read_text()


def test_a_manifest_tells_peak_memory_and_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from ulmfit.training.guard import Guard

    plain = Guard.step

    def spoiled(self: Guard, optimizer: object, batches: int) -> None:
        if self.step_number in (5, 6):
            next(self.model.parameters()).grad.fill_(torch.nan)
        plain(self, optimizer, batches)

    monkeypatch.setattr(Guard, "step", spoiled)
    folder = Runner(tmp_path).build(tiny_pretrain())
    manifest = read_json(folder / "manifest.json")
    assert manifest["measures"]["peak_memory_bytes"] > 50e6
    assert manifest["measures"]["skipped_updates"] == 2
    assert read_json(folder / "history.json")["skipped_steps"] == [5, 6]
    assert manifest["warnings"] == ["2 updates with infinite or undefined gradients were left out"]


def test_no_two_epochs_of_a_run_see_the_same_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ulmfit.classifier.loader import DocumentLoader

    orders: dict[int, tuple[int, ...]] = {}
    plain = DocumentLoader.order

    def remembered(self: DocumentLoader, epoch: int) -> list[numpy.ndarray]:
        order = plain(self, epoch)
        if self.shuffled:
            orders[epoch] = tuple(numpy.concatenate(order).tolist())
        return order

    monkeypatch.setattr(DocumentLoader, "order", remembered)
    phases = tuple(Phase(epochs=epochs, learning_rate=1e-2) for epochs in (1, 2, 1))
    Runner(tmp_path).build(tiny_classifier(phases=phases))
    assert len(orders) == len(set(orders.values())) == 4
