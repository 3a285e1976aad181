"""Trainings that are killed or stopped anywhere end, after the same command, with the same files to the bit."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from interrupted_training import Disturbance, Training, checkpoints, result, run, upstream_of

from ulmfit.files import read_json, write_json
from ulmfit.stage import MANIFEST

ALL_ON = {"accumulation": 2, "average_decay": 0.9, "gradient_clip": 0.3}
FAST = Training("pretrain", {"engine": "auto", "precision": "fp32", **ALL_ON})
PLAIN_BF16 = Training("pretrain", {"engine": "plain", "precision": "bf16", "select": "best"})
CLASSIFIER = Training("classifier", {"subword_sampling": 0.2})
QUICK = [FAST, PLAIN_BF16, CLASSIFIER]
SLOW = [
    *QUICK,
    *(
        Training("pretrain", {"engine": engine, "precision": precision, **ALL_ON}, {"kind": kind})
        for engine in ("auto", "plain")
        for precision in ("fp32", "bf16")
        for kind in ("lstm", "qrnn")
    ),
    Training("pretrain", {"subword_sampling": 0.2, "early_stopping": 1, **ALL_ON}),
    Training("classifier", {"precision": "bf16", "select": "best", **ALL_ON}),
]
EVENTS = ("before_batch", "after_pred", "after_loss", "before_step", "after_step", "after_batch", "write")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory):
    """Return the runs folder of a training that nobody disturbed; every training is run once."""
    finished: dict[str, Path] = {}

    def folder(training: Training) -> Path:
        if repr(training) not in finished:
            runs = tmp_path_factory.mktemp("undisturbed")
            ended = run(training, runs)
            assert ended.status == 0, ended.errors
            finished[repr(training)] = runs
        return finished[repr(training)]

    return folder


def steps_of(training: Training, runs: Path) -> int:
    return read_json(training.folder(runs) / "history.json")["steps"][-1]["step"]


def killed_again_and_again(training: Training, finished: Path, runs: Path, times: int, seed: int) -> None:
    """Kill -9 at `times` random steps, at a random moment of the step, then let it finish; compare all files."""
    chance = random.Random(seed)
    upstream_of(finished, training.kind, runs)
    steps = steps_of(training, finished)
    for step in sorted(chance.sample(range(8, steps - 7), times)):
        ended = run(training, runs, Disturbance(step, chance.choice(EVENTS)))
        assert ended.status == -signal.SIGKILL, (step, ended.log, ended.errors)
    ended = run(training, runs)
    assert ended.status == 0, ended.errors
    assert "going on from phase" in ended.log
    assert "warning" not in ended.log
    assert result(training, runs) == result(training, finished)


@pytest.mark.parametrize("training", QUICK, ids=["fast", "plain bf16", "classifier"])
def test_a_killed_training_ends_with_the_same_files(training: Training, undisturbed, tmp_path: Path) -> None:
    killed_again_and_again(training, undisturbed(training), tmp_path / "killed", 2, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("training", SLOW, ids=repr)
def test_a_training_killed_20_times_ends_with_the_same_files(
    training: Training, undisturbed, tmp_path: Path
) -> None:
    killed_again_and_again(training, undisturbed(training), tmp_path / "killed", 20, seed=2)
