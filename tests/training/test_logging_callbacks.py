"""fastai's callbacks for TensorBoard and Weights & Biases, with stand-ins for those libraries."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from stages_for_tests import tiny_pretrain
from training.learners_for_tests import small_learner

from ulmfit.language_model.fit import pretrain
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work


class Writer:
    """Stands in for torch.utils.tensorboard.SummaryWriter."""

    def __init__(self, log_dir: str) -> None:
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.is_closed = False
        Writer.last = self

    last: Any = None

    def add_scalar(self, name: str, value: Any, step: int) -> None:
        """Keep a number."""
        self.scalars.setdefault(name, []).append((step, float(value)))

    def close(self) -> None:
        """Note that it was called."""
        self.is_closed = True


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return fastai's module, imported with a stand-in for the library."""
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    library = ModuleType("torch.utils.tensorboard")
    library.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", library)
    yield importlib.import_module("fastai.callback.tensorboard")
    sys.modules.pop("fastai.callback.tensorboard", None)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a stand-in for the library, which keeps what is logged."""
    library: Any = ModuleType("wandb")
    library.run = SimpleNamespace(step=0, summary={})
    library.logged, library.configuration = [], {}
    library.config = SimpleNamespace(update=lambda content, **_: library.configuration.update(content))
    library.log = lambda content, step=None: library.logged.append((step, content))
    monkeypatch.setitem(sys.modules, "wandb", library)
    yield library
    sys.modules.pop("fastai.callback.wandb", None)


def test_tensorboard_gets_every_step_and_epoch_without_logits(tensorboard: Any, tmp_path: Path) -> None:
    callback = tensorboard.TensorBoardCallback(tmp_path, trace_model=False, log_preds=False)
    said: list[str] = []
    small_learner(callbacks=[callback], said=said).fit_one_cycle(2, 1e-2)
    scalars = Writer.last.scalars
    assert Writer.last.is_closed
    assert {step for step, _ in scalars["train_loss"]} == set(range(1, 29))
    assert len(scalars["valid_loss"]) == 2
    assert {step for step, _ in scalars["lr_2"]} == set(range(1, 29)), "one rate for every layer group"
    assert said == []


def test_weights_and_biases_gets_every_step_and_epoch(wandb: Any) -> None:
    module = importlib.import_module("fastai.callback.wandb")
    said: list[str] = []
    learner = small_learner(callbacks=[module.WandbCallback(log_preds=False)], said=said)
    learner.fit_one_cycle(2, 1e-2)
    steps = [content for _, content in wandb.logged if "train_loss" in content]
    epochs = [content for _, content in wandb.logged if "valid_loss" in content]
    assert len(steps) == 28 and len(epochs) == 2
    assert float(steps[-1]["raw_loss"]) == pytest.approx(float(learner.recorder.losses[-1]), rel=0.2)
    assert said == []
    assert wandb.configuration["batch_size"] == 4
    assert wandb.configuration["dropouts.hidden"] == 0.15
    assert wandb.configuration["precision"] == "fp32"


def test_callbacks_are_handed_to_a_stage(tensorboard: Any, tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    stage = tiny_pretrain(precision="fp32")
    runner.build(stage.tokens)
    folder = runner.folder(stage)
    folder.mkdir(parents=True)
    callback = tensorboard.TensorBoardCallback(tmp_path, trace_model=False, log_preds=False)
    pretrain(stage, Work(runner, stage, folder), [callback])
    assert len(Writer.last.scalars["valid_loss"]) == 2
    assert (folder / "model.safetensors").exists()
