"""Several processes train as one does: same losses, different dropout, resumed to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from stages_for_tests import tiny_pretrain

from ulmfit.errors import InputError
from ulmfit.files import read_json
from ulmfit.launch import LaunchingRunner
from ulmfit.language_model.settings import Dropouts
from ulmfit.training.distribution import SINGLE, current_distribution
from ulmfit.training.ranks import TIMEOUT_VARIABLE, is_first_rank, is_rank, timeout_seconds
from ulmfit.training.settings import Phase, TrainingSettings

NO_DROPOUT = Dropouts(multiplier=0)
PLAIN = {"device": "cpu", "precision": "fp32", "engine": "plain"}

COLLECTIVES = """
import json, sys, torch
from ulmfit.training.distribution import current_distribution, leave_group
from ulmfit.training.settings import TrainingSettings
us = current_distribution(TrainingSettings(device="cpu"))
own = {"x": torch.full((us.rank + 1,), float(us.rank)), "half": torch.ones(3, dtype=torch.bfloat16) * us.rank}
gathered = us.gather(own)
back = us.scatter(gathered)
torch.manual_seed(7)
us.separate_random_numbers()
model = torch.nn.Linear(2, 2)
model.bias.requires_grad_(False)
wrapped = us.wrap(model)
wrapped(torch.ones(1, 2) * us.rank).sum().backward()
answers = {
    "rank": us.rank, "world": us.world, "seed": torch.initial_seed(), "any": us.any(us.rank == 1),
    "none": us.any(False), "mean": us.mean(us.rank, us.rank + 1), "no_weight": us.mean(1.0, 0) != us.mean(1.0, 0),
    "skip_empty": us.mean(float("nan") if us.rank else 3.0, 0 if us.rank else 2), "sum": us.sum(2.5),
    "told": us.broadcast({"from": us.rank, "é": [1]}),
    "gathered": [{name: tensor.tolist() for name, tensor in part.items()} for part in gathered],
    "same": all(torch.equal(own[name], back[name]) for name in own),
    "weights": model.weight.tolist(), "gradient": model.weight.grad.tolist(), "described": us.describe(),
}
us.finish()
leave_group()
print(json.dumps(answers))
"""


def rank_variables(rank: int, world: int, port: int) -> dict[str, str]:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    return {**os.environ, **{name: str(value) for name, value in {**names, **meeting}.items()}}


@pytest.fixture(scope="module")
def answers(free_port: int) -> list[dict[str, Any]]:
    """What two processes say that have called everything."""
    command = [sys.executable, "-c", COLLECTIVES]
    started = [
        subprocess.Popen(
            command, env=rank_variables(rank, 2, free_port), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for rank in (0, 1)
    ]
    ended = [process.communicate(timeout=100) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    import json

    return [json.loads(output) for output, _ in ended]
