"""Accumulated, clipped and left out updates of two processes equal those of one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

PROGRAM = """
import os, sys, torch
from fastai.callback.core import Callback
from safetensors.torch import save_file
from training.learners_for_tests import BPTT, Batches, settings, small_model, tokens
from ulmfit.language_model.loader import StreamLoader
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import layer_groups
from ulmfit.pipeline.processes import leave_group
from ulmfit.training.distribution import current_distribution
from ulmfit.training.learner import make_learner

class Poison(Callback):
    run_valid = False
    def after_loss(self):
        # The last rank's loss of one batch is infinite; the others' are not.
        if self.learn.train_iter == 3 and us.rank == us.world - 1:
            self.learn.loss_grad = self.learn.loss_grad * torch.inf

given = settings(accumulation=2, gradient_clip=0.05, average_decay=0.5)
us = current_distribution(given)
model, loss = small_model(), LanguageModelLoss()
load = lambda shifted, count, seed: StreamLoader(
    tokens(count, seed), 4, BPTT, shifted=shifted, rank=us.rank, ranks=us.world)
learner = make_learner(
    model, load(True, 400, 0), load(False, 120, 1), loss, layer_groups, given,
    callbacks=[Poison()], fused=StreamLoss(model, loss, 2.0, 1.0), log=lambda line: None)
learner.logger, learner.create_mbar = lambda row: None, False
learner.model = us.wrap(model)
learner.fit(1, 1e-2)
assert learner.guard.bad_steps == [4], learner.guard.bad_steps
if us.is_main:
    weights = dict(model.named_parameters())
    averages = {"average." + name: tensor for name, tensor in learner.average.weights().items()}
    weights = {name: weight.detach().clone() for name, weight in {**weights, **averages}.items()}
    save_file(weights, sys.argv[1])
us.finish()
learner.model = model
leave_group()
"""


def result_here(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Train in this process alone; return weights and their average."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(sys, "argv", ["program", str(path)])
    exec(PROGRAM, {"__name__": "program"})
    return load_file(path)


def result_of(processes: int, path: Path) -> dict[str, torch.Tensor]:
    """Train in so many processes; return weights and their average."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        variables = {
            "OMP_NUM_THREADS": 1,
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": processes,
            "LOCAL_WORLD_SIZE": processes,
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": port,
        }
        environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        command = [sys.executable, "-c", PROGRAM, str(path)]
        folder = Path(__file__).parents[1]
        started.append(
            subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)
        )
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, errors
    return load_file(path)


def test_two_processes_make_the_updates_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = result_here(tmp_path / "one.safetensors", monkeypatch)
    together = result_of(2, tmp_path / "two.safetensors")
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
