"""Stages in several processes: faults, kills and signals end in one line and in nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_for_tests import ENVIRONMENT, RECIPE
from launch_stages import PAUSE, is_alive, ranks_of, slow_pretrain, wait_for
from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.launch import (
    LaunchingRunner,
    _root_cause,
    is_lost_connection,
)
from ulmfit.pipeline.stage import Processes

PROGRAM = """
from pathlib import Path
import typer
from cli_for_tests import ENVIRONMENT, RECIPE, TESTS
from launch_stages import slow_pretrain
from ulmfit.cli.errors import guarded
from ulmfit.pipeline.launch import LaunchingRunner
program = typer.Typer(pretty_exceptions_enable=False)
@program.command()
def build(runs: Path, sampling: float = 0) -> None:
    print(LaunchingRunner(runs).build(slow_pretrain(subword_sampling=sampling)))
guarded(program)
"""


def start(runs: Path, pause: float = 0.0, sampling: float = 0.0) -> subprocess.Popen[str]:
    """Start the training of a language model in two processes."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(runs), f"--sampling={sampling}"],
        env={**ENVIRONMENT, PAUSE: str(pause)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_checkpoint(runs: Path, process: subprocess.Popen[str], step: int = 14) -> list[int]:
    """Wait until the checkpoint of a step is there; return the numbers of the training processes."""
    pattern = f"stages/slow_pretrain/*/scratch/checkpoints/step-{step:09}/state.json"
    wait_for(lambda: list(runs.glob(pattern)) or process.poll() is not None, 900)
    assert process.poll() is None, process.communicate()
    ranks = ranks_of(process.pid)
    assert len(ranks) == 2
    return ranks


def finished_weights(runs: Path, sampling: float = 0.0) -> tuple[str, str]:
    """Run to the end; return the sha256 of the weights and the output."""
    output, errors = start(runs, sampling=sampling).communicate(timeout=300)
    folder = Path((output.strip().splitlines() or ["nothing"])[-1])
    assert folder.is_dir(), errors
    return read_json(folder / "manifest.json")["files"]["model.safetensors"]["sha256"], output


def test_a_killed_rank_ends_the_stage_in_one_line(tmp_path: Path) -> None:
    process = start(tmp_path, pause=0.05)
    first, second = wait_for_checkpoint(tmp_path, process)
    os.kill(second, signal.SIGKILL)
    _, errors = process.communicate(timeout=600)  # the collective's own limit is half an hour
    assert process.returncode == 1
    assert errors.splitlines() == [
        "ulmfit: training process 1 was killed by SIGKILL (too little memory?); "
        "the same command goes on from the last checkpoint"
    ]
    assert not is_alive(first)
    assert not list(tmp_path.glob("stages/slow_pretrain/*/manifest.json"))


def test_an_error_of_one_rank_is_told_as_its_own(tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with pytest.raises(InputError, match=r"^text 7: expected something better"):
        LaunchingRunner(tmp_path).build(slow_pretrain(fault="input"))
    assert handlers == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]


def failure(folder: Path, rank: int, kind: str, message: str, *, lost: bool = False, **more: object) -> None:
    content = {"type": kind, "message": message, "errno": None, "file": None, "lost": lost, "traceback": "T"}
    write_json(folder / f"failure-{rank}.json", {**content, **more})


def test_the_first_cause_is_told_and_not_what_followed_from_it(tmp_path: Path) -> None:
    ended = SimpleNamespace(exitcode=1)
    lost = "Connection closed by peer [127.0.0.1]:4711"
    assert is_lost_connection(RuntimeError(lost)) and not is_lost_connection(RuntimeError("shapes differ"))
    assert "without a word" in str(_root_cause(tmp_path, {0: ended}))
    failure(tmp_path, 0, "RuntimeError", lost, lost=True)
    assert f"({lost})" in str(_root_cause(tmp_path, {0: ended}))
    assert "killed by SIGSEGV" in str(_root_cause(tmp_path, {1: SimpleNamespace(exitcode=-11)}))
    failure(tmp_path, 1, "KeyError", "'no such thing'")
    told = _root_cause(tmp_path, {0: ended})
    assert isinstance(told, StageFailed) and str(told) == "KeyError: 'no such thing' (--debug shows where)"
    assert told.__notes__ == ["T"]
    failure(tmp_path, 1, "OSError", "[Errno 28] No space left on device", errno=28, file="weights.bin")
    full = _root_cause(tmp_path, {0: ended})
    assert isinstance(full, OSError) and (full.errno, full.filename) == (28, "weights.bin")
    failure(tmp_path, 1, "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB")
    assert isinstance(_root_cause(tmp_path, {0: ended}), MemoryError)
    (tmp_path / "failure-1.json").write_text("{")
    assert f"({lost})" in str(_root_cause(tmp_path, {0: ended}))


def test_several_machines_are_started_by_somebody_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nodes 2: start this command on every machine with torchrun"):
        LaunchingRunner(tmp_path).build(tiny_pretrain(gpus=2, nodes=2, device="cpu"))


def test_only_language_models_are_trained_together() -> None:
    wanted = tiny_pretrain(gpus=4, nodes=2).processes()
    assert (wanted.per_machine, wanted.machines, wanted.total, wanted.together) == (4, 2, 8, True)
    assert tiny_pretrain().processes().per_machine == 1
    assert tiny_pretrain().tokens.processes() == Processes()
    assert not tiny_classifier().processes().together


@pytest.mark.soak
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    expected = "batch_size 7 cannot be shared by 2 processes: expected a multiple of 2"
    with pytest.raises(InputError, match=expected):
        LaunchingRunner(tmp_path).build(slow_pretrain(batch_size=7))


@pytest.mark.soak
@pytest.mark.parametrize("sampling", [0.0, 0.2])
def test_killed_with_its_parent_and_resumed_to_the_bit(sampling: float, tmp_path: Path) -> None:
    undisturbed, _ = finished_weights(tmp_path / "undisturbed", sampling)
    process = start(tmp_path / "killed", 0.05, sampling)
    ranks = wait_for_checkpoint(tmp_path / "killed", process, 21)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(map(is_alive, ranks)), 10)
    resumed, output = finished_weights(tmp_path / "killed", sampling)
    assert "going on from phase" in output and "warning" not in output
    assert resumed == undisturbed


@pytest.mark.soak
def test_sigterm_writes_a_checkpoint_on_all_ranks(tmp_path: Path) -> None:
    undisturbed, _ = finished_weights(tmp_path / "undisturbed")
    process = start(tmp_path / "stopped", 0.05)
    ranks = wait_for_checkpoint(tmp_path / "stopped", process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 143, errors
    assert "is written" in output
    assert errors.splitlines()[-1] == "ulmfit: stopped; the same command goes on from the last checkpoint"
    assert not any(map(is_alive, ranks))
    resumed, output = finished_weights(tmp_path / "stopped")
    assert resumed == undisturbed


def torchrun(runs: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tiny recipe under torchrun, as a user does."""
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["-m", "ulmfit", "run", str(RECIPE), "--preset=forward", "--runs", str(runs)]
    return subprocess.run(
        [*program, *command, "--set=pretrain.device=cpu", "--set=finetune.device=cpu", *options],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.soak
def test_a_whole_recipe_under_torchrun(tmp_path: Path) -> None:
    done = torchrun(tmp_path, "--seeds=0")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum("tokenizer (unigram, 80): started" in line for line in lines) == 1
    assert sum(line.startswith("report: ") for line in lines) == 1
    machines = {
        path.parent.parent.name: read_json(path)["machine"].get("processes")
        for path in tmp_path.glob("stages/*/*/manifest.json")
    }
    assert (machines["pretrain"], machines["finetune"], machines["classifier"]) == (2, 2, 1)
    assert list((tmp_path / "test").glob("tiny-forward-changed-*/record.json"))
    again = torchrun(tmp_path, "--seeds=0")
    assert again.returncode == 0 and "nothing to do" in again.stdout


@pytest.mark.soak
def test_wrong_input_under_torchrun_ends_all(tmp_path: Path) -> None:
    done = torchrun(tmp_path, "--until=pretrain", "--set=pretrain.batch_size=7")
    assert done.returncode != 0
    assert "ulmfit: batch_size 7 cannot be shared by 2 processes" in done.stderr
