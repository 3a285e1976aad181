"""Training on a GPU: replayed from CUDA graphs and not, stopped and resumed, and as a rank of NCCL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import fastai.callback.schedule  # noqa: F401 (gives Learner its fit_one_cycle)
import numpy
import pytest
import torch
from fastai.callback.core import Callback
from interrupted_training import Disturbance, Training, run, upstream_of

from gpu.comparing import error
from ulmfit.language_model.learner import language_model_learner
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts, LanguageModelSettings
from ulmfit.pipeline.files import read_json
from ulmfit.training.weights import read_weights

NCCL = """
import torch
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.training.distribution import ProcessGroup
torch.manual_seed(0)
model = LanguageModel(30, Architecture(embedding_size=8, hidden_size=12, layers=2), Dropouts(multiplier=0))
model.cuda()
ranks = ProcessGroup(torch.device("cuda", 0))
ids = torch.randint(2, 30, (4, 9), device="cuda")
gradients = []
for called in (model, ranks.wrap(model)):
    model.reset()
    model.zero_grad()
    called(ids).logits.square().mean().backward()
    gradients.append([parameter.grad.clone() for parameter in model.parameters()])
assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(*gradients))
assert ranks.mean(3.0, 1.0) == 3.0 and not ranks.any(False)
print(ranks.describe())
torch.distributed.destroy_process_group()
"""


class Losses(Callback):
    """Keeps the losses of training steps."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def after_batch(self) -> None:
        if self.training:
            self.kept.append(self.learn.loss.detach())


def losses(device: torch.device, kind: str, lines: list[str], **changes) -> tuple[list[float], bool]:
    """Return the losses of two epochs, and whether steps were captured."""
    torch.manual_seed(0)
    architecture = Architecture(kind=kind, embedding_size=24, hidden_size=40, layers=2)
    model = LanguageModel(200, architecture, Dropouts())
    tokens = numpy.random.default_rng(0).integers(2, 200, 6000).astype(numpy.uint16)
    settings = LanguageModelSettings(batch_size=8, bptt=20, device=str(device), gradient_clip=0.2)
    kept = Losses()
    learner = language_model_learner(
        model, tokens, tokens[:900], settings.changed(**changes), callbacks=[kept], log=lines.append
    )
    learner.logger, learner.create_mbar = lambda row: None, False
    learner.fit_one_cycle(2, 5e-3)
    captured = learner.replayed is not None and learner.replayed._captured is not None
    return [float(loss) for loss in kept.kept], captured


@pytest.mark.parametrize("kind", ("lstm", "qrnn"))
@pytest.mark.parametrize(("precision", "limit"), (("fp32", 1e-3), ("bf16", 1e-2)))
@pytest.mark.parametrize("accumulation", (1, 2))
def test_graphs_change_no_loss(device, kind, precision, limit, accumulation):
    lines: list[str] = []
    changes = {"precision": precision, "accumulation": accumulation}
    expected, _ = losses(device, kind, lines, **changes, cuda_graphs=False)
    found, captured = losses(device, kind, lines, **changes, cuda_graphs=True)
    assert lines == []
    assert captured or device.type == "cpu"
    assert found == pytest.approx(expected, rel=limit)


@pytest.mark.parametrize("kind", ("pretrain", "classifier"))
def test_a_stopped_training_goes_on(device, tmp_path: Path, kind: str):
    training = Training(kind, {"device": str(device), "precision": "fp32"})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(training, whole).status == 0
    upstream_of(whole, kind, stopped)
    assert run(training, stopped, Disturbance(20, "after_batch", signal.SIGKILL)).status == -signal.SIGKILL
    ended = run(training, stopped)
    assert ended.status == 0, ended.errors
    assert "going on from phase" in ended.log
    weights, expected = (
        read_weights(training.folder(runs) / "model.safetensors") for runs in (stopped, whole)
    )
    steps = read_json(training.folder(stopped) / "history.json")["steps"]
    assert steps[-1]["step"] == read_json(training.folder(whole) / "history.json")["steps"][-1]["step"]
    # On a GPU sums go in any order; dropout and batches are the same.
    assert all(error(weights[name], expected[name]) < 2e-2 for name in expected if "num_batches" not in name)


def test_a_rank_of_nccl(cuda):
    environment = {**os.environ, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    done = subprocess.run(
        [sys.executable, "-c", NCCL], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "nccl" in done.stdout
