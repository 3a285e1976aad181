"""Several processes train as one does; what they tell each other."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from launch_stages import TOGETHER
from safetensors.torch import load_file
from stages_for_tests import tiny_pretrain

from ulmfit.language_model.settings import Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.launch import LaunchingRunner
from ulmfit.pipeline.ranks import TIMEOUT_VARIABLE, is_first_rank, is_rank, timeout_seconds
from ulmfit.training.distribution import SINGLE, current_distribution
from ulmfit.training.settings import Phase, TrainingSettings

COLLECTIVES = """
import contextlib, json, pathlib, torch
from ulmfit.pipeline.processes import leave_group
from ulmfit.training.distribution import current_distribution
from ulmfit.training.settings import TrainingSettings
us = current_distribution(TrainingSettings(device="cpu"))
own = {"x": torch.full((us.rank + 1,), float(us.rank)), "half": torch.ones(3, dtype=torch.bfloat16) * us.rank}
gathered = us.gather(own)
torch.manual_seed(7)
model = torch.nn.Linear(2, 2)
us.separate_random_numbers()
model.bias.requires_grad_(False)
wrapped = us.wrap(model)
wrapped(torch.ones(1, 2) * us.rank).sum().backward()
us.barrier()
answers = {
    "rank": us.rank,
    "main": us.is_main,
    "world": us.world,
    "seed": torch.initial_seed(),
    "any": [us.any(us.rank == 1), us.any(False)],
    "mean": us.mean(us.rank, us.rank + 1),
    "mean_without_rank_1": us.mean(float("nan") if us.rank else 3.0, 0 if us.rank else 2),
    "sum": us.sum(2.5),
    "told": us.broadcast({"from": us.rank, "é": [1]}),
    "gathered": [{name: tensor.tolist() for name, tensor in part.items()} for part in gathered],
    "weights": model.weight.tolist(),
    "gradient": model.weight.grad.tolist(),
}
us.finish()
del wrapped
leave_group()
threads = []
for path in pathlib.Path("/proc/self/task").glob("*/comm"):
    with contextlib.suppress(OSError):
        threads.append(path.read_text())
answers["left behind"] = [name for name in threads if "gloo" in name]
print(json.dumps(answers))
"""


def start_ranks(program: str, count: int, **variables: str) -> list[subprocess.Popen[str]]:
    """Start processes with the variables that torchrun gives them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    started = []
    for rank in range(count):
        given = {**shared, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": 1, **variables}
        environment = {**os.environ, **{name: str(value) for name, value in given.items()}}
        command = [sys.executable, "-c", program]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))
    return started


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    """What two processes that have called everything say."""
    started = start_ranks(COLLECTIVES, 2)
    ended = [process.communicate(timeout=400) for process in started]
    assert [process.returncode for process in started] == [0, 0], [errors for _, errors in ended]
    return [json.loads(output) for output, _ in ended]


def test_ranks_know_each_other(answers: list[dict[str, Any]]) -> None:
    assert [answer["rank"] for answer in answers] == [0, 1]
    assert [answer["main"] for answer in answers] == [True, False]
    for answer in answers:
        assert answer["world"] == 2
        assert answer["any"] == [True, False]
        assert answer["mean"] == pytest.approx(2 / 3)
        assert answer["mean_without_rank_1"] == 3.0
        assert answer["sum"] == 5.0
        assert answer["told"] == {"from": 0, "é": [1]}


def test_tensors_reach_rank_0(answers: list[dict[str, Any]]) -> None:
    first = {"x": [0.0], "half": [0.0] * 3}
    second = {"x": [1.0, 1.0], "half": [1.0] * 3}
    assert [answer["gathered"] for answer in answers] == [[first, second], []]


def test_weights_are_equal_random_numbers_differ_gradients_are_means(answers: list[dict[str, Any]]) -> None:
    assert [answer["seed"] for answer in answers] == [7, 8]
    assert answers[0]["weights"] == answers[1]["weights"]
    assert answers[0]["gradient"] == answers[1]["gradient"] == [[0.5, 0.5], [0.5, 0.5]]


def test_no_thread_of_the_group_is_left_when_python_ends(answers: list[dict[str, Any]]) -> None:
    """One that frees a tensor then would abort the process, now and then."""
    assert [answer["left behind"] for answer in answers] == [[], []]


def test_a_single_process_needs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    single = current_distribution(TrainingSettings(device="cpu"))
    assert (single.rank, single.world, single.is_main, is_rank(), is_first_rank()) == (
        0,
        1,
        True,
        False,
        True,
    )
    tensors = {"x": torch.ones(2)}
    assert single.gather(tensors) == [tensors]
    assert single.mean(3.0, 2) == 3.0 and single.any(True) and not single.any(False)
    model = torch.nn.Linear(1, 1)
    assert single.wrap(model) is model
    state = torch.get_rng_state()
    single.separate_random_numbers()
    assert torch.equal(state, torch.get_rng_state())
    single.check_batch_size(7)
    assert SINGLE.broadcast([1]) == [1]


def test_unknown_devices_and_timeouts_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(InputError, match="device 'gpu': expected auto, cpu, cuda or cuda:N"):
        current_distribution(TrainingSettings(device="gpu"))
    monkeypatch.setenv(TIMEOUT_VARIABLE, "soon")
    with pytest.raises(InputError, match="ULMFIT_RANK_TIMEOUT=soon: expected a number of seconds"):
        timeout_seconds()
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2.5")
    assert timeout_seconds() == 2.5


@pytest.mark.soak
def test_a_rank_that_hangs_is_given_up() -> None:
    program = """
import time
from ulmfit.training.distribution import current_distribution
from ulmfit.training.settings import TrainingSettings
us = current_distribution(TrainingSettings(device="cpu"))
us.barrier()
if us.rank == 1:
    time.sleep(300)
us.barrier()
"""
    waiting, hanging = start_ranks(program, 2, **{TIMEOUT_VARIABLE: "10"})
    _, errors = waiting.communicate(timeout=200)
    hanging.kill()
    hanging.communicate()
    assert waiting.returncode == 1 and "Timed out" in errors


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    changes = {
        **TOGETHER,
        "dropouts": Dropouts(multiplier=0),
        "gradient_clip": 0.5,
        "phases": (Phase(epochs=1, trainable_groups=1, learning_rate=1e-2), Phase(learning_rate=1e-2)),
    }
    results = []
    for processes in (0, 2):
        runner = LaunchingRunner(tmp_path / str(processes))
        folder = runner.build(tiny_pretrain(**{**changes, "gpus": processes}))
        weights = load_file(folder / "model.safetensors")
        results.append((read_json(folder / "history.json"), weights, read_json(folder / "manifest.json")))
    (history, weights, _), (their_history, their_weights, manifest) = results
    assert (manifest["machine"]["processes"], manifest["machine"]["backend"]) == (2, "gloo")
    assert len(history["epochs"]) == 2
    for epoch, theirs in zip(history["epochs"], their_history["epochs"], strict=True):
        assert theirs["valid_loss"] == pytest.approx(epoch["valid_loss"], abs=1e-5)
    for step, theirs in zip(history["steps"], their_history["steps"], strict=True):
        assert theirs["learning_rates"] == step["learning_rates"]
    for name, tensor in weights.items():
        torch.testing.assert_close(their_weights[name], tensor, rtol=0, atol=1e-4)
