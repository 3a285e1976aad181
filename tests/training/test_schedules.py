"""Schedules by hand-computed points, and what the optimizer really used."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.classifier.schedules import all_at_once
from ulmfit.language_model.stages import FineTune
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.training.schedules import layer_rates, phase_schedules, slanted_triangular, warmed_cosine
from ulmfit.training.settings import Phase


def test_slanted_triangular_follows_equation_3() -> None:
    rate = slanted_triangular(numpy.array([0.01]), 0.1, 32)
    assert rate(0.0) == pytest.approx(0.01 / 32)
    assert rate(0.05) == pytest.approx(0.01 * (1 + 0.5 * 31) / 32)
    assert rate(0.1) == pytest.approx(0.01)
    assert rate(0.55) == pytest.approx(0.01 * (1 + 0.5 * 31) / 32)
    assert rate(1.0) == pytest.approx(0.01 / 32)


@pytest.mark.parametrize(("cut_frac", "ratio"), [(1 / 10, 32), (1 / 3, 8), (1 / 8, 8)])
def test_cut_and_ratio_of_a_phase_are_those_of_equation_3(cut_frac: float, ratio: float) -> None:
    """The equation as the paper writes it, over T steps: t / cut rising, then falling until T."""
    steps = 240
    phase = Phase(schedule="stlr", learning_rate=0.01, warm_up=cut_frac, ratio=ratio, discriminative=2.6)
    rate = phase_schedules(phase, 2)["lr"]
    cut = steps * cut_frac
    for t in range(steps + 1):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        expected = 0.01 * (1 + p * (ratio - 1)) / ratio
        numpy.testing.assert_allclose(rate(t / steps), [expected / 2.6, expected], rtol=1e-9)


def test_rates_per_layer_group_are_factors_of_the_phases_rate() -> None:
    phase = Phase(learning_rate=6e-3, group_rates=(1 / 6, 1 / 3, 1, 1 / 2), discriminative=2.6)
    numpy.testing.assert_allclose(layer_rates(phase, 4), [1e-3, 2e-3, 6e-3, 3e-3])
    numpy.testing.assert_allclose(phase_schedules(phase, 4)["lr"](0.25), [1e-3, 2e-3, 6e-3, 3e-3])


def test_another_number_of_rates_than_layer_groups_is_refused_before_anything_runs() -> None:
    five = (Phase(group_rates=(1 / 6, 1 / 3, 1, 1, 1)),)
    plain = tiny_pretrain()
    for make in (
        lambda: tiny_pretrain(phases=five),
        lambda: FineTune(pretrained=plain, tokens=plain.tokens, settings={"phases": five}),
        lambda: tiny_classifier(phases=five),
        lambda: layer_rates(five[0], 4),
    ):
        with pytest.raises(
            InputError, match=r"group_rates has 5 factors and the model \d layer groups"
        ) as error:
            make()
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="group_rates and lowest_rate exclude each other"):
        Phase(group_rates=(1.0,), lowest_rate=1e-3)
    tiny_pretrain(phases=(Phase(group_rates=(1 / 3, 1, 1)),))
    tiny_classifier(phases=(Phase(group_rates=(1 / 6, 1 / 3, 1, 1)),))


def test_what_begins_from_scratch_has_one_rate_everywhere() -> None:
    (phase,) = all_at_once((Phase(group_rates=(1 / 3, 1), learning_rate=6e-3),))
    numpy.testing.assert_allclose(layer_rates(phase, 4), [6e-3] * 4)


def test_new_fields_at_their_defaults_change_no_key(tmp_path: Path) -> None:
    keys = Runner(tmp_path).keys
    plain = tiny_pretrain()
    (first,) = plain.settings.phases
    same = (first.changed(ratio=32.0, group_rates=()),)
    assert keys.key(plain) == keys.key(tiny_pretrain(phases=same, weight_decay_kind="decoupled"))
    others = [
        tiny_pretrain(phases=(first.changed(ratio=8.0),)),
        tiny_pretrain(phases=(first.changed(group_rates=(1, 1, 1)),)),
        tiny_pretrain(weight_decay_kind="l2"),
    ]
    assert len({keys.key(stage) for stage in [plain, *others]}) == 4


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
