"""The learning rates in a classifier's history, and in its chart, are those that the optimizer used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.callback.core import Callback
from stages_for_tests import tiny_classifier

from ulmfit.classifier.fit import build
from ulmfit.classifier.model import layer_groups
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work
from ulmfit.report.section import History
from ulmfit.report.sections.training_curves import draw
from ulmfit.training import history as histories
from ulmfit.training.settings import Phase

GROUPS = 4
"""Embedding, two layers, head."""
PHASES = (
    Phase(epochs=1, trainable_groups=1, learning_rate=1e-2),
    Phase(epochs=1, trainable_groups=2, learning_rate=8e-3, discriminative=2.6, schedule="stlr"),
    Phase(epochs=2, learning_rate=4e-3, discriminative=2.6),
)


class WatchSteps(Callback):
    """Looks at torch's own optimizer in every step: the rate of each group, and whether its weights moved."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.moved: list[list[bool]] = []

    def before_step(self) -> None:
        self.rates.append([group["lr"] for group in self.learn.opt.opt.param_groups])
        self.before = [[p.detach().clone() for p in group] for group in layer_groups(self.learn.model)]

    def after_step(self) -> None:
        groups = zip(self.before, layer_groups(self.learn.model), strict=True)
        self.moved.append(
            [any(not torch.equal(*pair) for pair in zip(*group, strict=True)) for group in groups]
        )


def trained(tmp_path: Path, phases: tuple[Phase, ...] = PHASES) -> tuple[dict[str, Any], WatchSteps]:
    """Train through the stage's own build, watched; return its history."""
    stage: TrainClassifier = tiny_classifier(phases=phases).changed(language_model=None)
    runner = Runner(tmp_path / "runs")
    for upstream in stage.upstream():
        runner.build(upstream)
    folder = tmp_path / "watched"
    folder.mkdir()
    watch = WatchSteps()
    build(stage, Work(runner, stage, folder), [watch])
    return read_json(folder / "history.json"), watch


def test_history_has_the_rates_that_moved_the_weights(tmp_path: Path) -> None:
    history, watch = trained(tmp_path)
    steps = history["steps"]
    assert [step["step"] for step in steps] == list(range(1, len(watch.rates) + 1))
    assert {step["phase"] for step in steps} == {0, 1, 2}
    for step, rates, moved in zip(steps, watch.rates, watch.moved, strict=True):
        written = step["learning_rates"]
        assert [rate is not None for rate in written] == moved
        assert [rate for rate in written if rate is not None] == [
            rate for rate, on in zip(rates, moved, strict=True) if on
        ]
    trained_groups = {step["phase"]: sum(r is not None for r in step["learning_rates"]) for step in steps}
    assert trained_groups == {0: 1, 1: 2, 2: GROUPS}
    last = [step["learning_rates"] for step in steps if step["phase"] == 2]
    lower, upper = max(last, key=lambda rates: rates[0])[-2:]
    assert upper / lower == pytest.approx(2.6)


def test_chart_leaves_frozen_groups_out(tmp_path: Path) -> None:
    history, _ = trained(tmp_path)
    figure = draw(History("classifier", history)).rates
    names = [name for name, _ in figure.legend]
    assert names[0] == "layer group 4 (head)"
    assert "layer group 3" in names
    assert names[-1] == "a new phase begins"
    paths = dict(re.findall(r'class="line (\S+)" d="([^"]*)"', figure.chart))
    starts = {
        name: min(float(x) for x in re.findall(r"[ML]([\d.]+) ", paths[style]))
        for name, style in figure.legend
        if style in paths
    }
    dividers = sorted(float(x) for x in re.findall(r'class="divider" x1="([\d.]+)"', figure.chart))
    assert starts["layer group 4 (head)"] < dividers[0]
    assert dividers[0] < starts["layer group 3"] < dividers[1]
    lowest = next(name for name in starts if "lowest" in name)
    assert dividers[1] < starts[lowest]


def test_thinning_hides_no_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "HISTORY_POINTS", 2)
    history, watch = trained(tmp_path)
    steps = history["steps"]
    assert len(steps) < len(watch.rates) / 2
    assert [step["phase"] for step in steps] == sorted(step["phase"] for step in steps)
    ends = {phase: [s["step"] for s in steps if s["phase"] == phase] for phase in (0, 1, 2)}
    per_epoch = len(watch.rates) // 4
    assert ends[0][0] == 1
    assert ends[0][-1] == per_epoch
    assert (ends[1][0], ends[1][-1]) == (per_epoch + 1, 2 * per_epoch)
    assert (ends[2][0], ends[2][-1]) == (2 * per_epoch + 1, 4 * per_epoch)
    dividers = re.findall(r'class="divider"', draw(History("classifier", history)).rates.chart)
    assert len(dividers) == 2
