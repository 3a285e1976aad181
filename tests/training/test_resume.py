"""Trainings that are killed or stopped anywhere end with the same files to the bit, by the same command."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from interrupted_training import Disturbance, Training, checkpoints, result, run, upstream_of

from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.stage import MANIFEST

ALL_ON = {"accumulation": 2, "average_decay": 0.9, "gradient_clip": 0.3}
FAST = Training("pretrain", {"engine": "auto", "precision": "fp32", "reset_state_every": 3, **ALL_ON})
PLAIN_BF16 = Training(
    "pretrain", {"engine": "plain", "precision": "bf16", "select": "best", "bptt_jitter": "scaled"}
)
BY_ACCURACY = {"select": "best", "select_metric": "accuracy"}
LAST_TOKENS = {"reads": "last", "maximum_tokens": 20}
REGULARIZED = {"ar": 2.0, "tar": 1.0, "gradient_window": 8}
CLASSIFIER = Training("classifier", {"subword_sampling": 0.2, **BY_ACCURACY, **REGULARIZED})
QUICK = [FAST, PLAIN_BF16, CLASSIFIER]
SLOW = [
    *QUICK,
    *(
        Training("pretrain", {"engine": engine, "precision": precision, **ALL_ON}, {"kind": kind})
        for engine in ("auto", "plain")
        for precision in ("fp32", "bf16")
        for kind in ("lstm", "qrnn")
    ),
    Training("pretrain", {"sampled_softmax": 40, "batch_size": 2, "bptt": 16, "bptt_jitter": "unscaled"}),
    Training("pretrain", {"subword_sampling": 0.2, "early_stopping": 1, **ALL_ON}),
    Training("classifier", {"precision": "bf16", "select": "best", **ALL_ON}),
    Training("classifier", {"batch_size": 4, "early_stopping": 1, **LAST_TOKENS, **BY_ACCURACY}),
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
    """Kill -9 at `times` random steps, at a random moment of each; let it finish; compare all files."""
    chance = random.Random(seed)
    upstream_of(finished, training.kind, runs)
    steps = steps_of(training, finished)
    for step in sorted(chance.sample(range(8, steps), times)):
        # After the last checkpoint nothing is written any more.
        events = EVENTS if step < steps - 7 else EVENTS[:-1]
        ended = run(training, runs, Disturbance(step, chance.choice(events)))
        assert ended.status == -signal.SIGKILL, (step, ended.log, ended.errors)
    ended = run(training, runs)
    assert ended.status == 0, ended.errors
    assert "going on from phase" in ended.log
    warnings = [line for line in ended.log.splitlines() if "warning" in line]
    assert all("texts are longer than" in line for line in warnings), warnings
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


def stopped_once(
    training: Training, finished: Path, runs: Path, disturbance: Disturbance, at_step: int | None = None
) -> None:
    """Stop with a signal; the checkpoint is the running step's, and the same command goes on from it."""
    upstream_of(finished, training.kind, runs)
    ended = run(training, runs, disturbance)
    assert ended.status == 128 + disturbance.number, ended.errors
    assert ended.errors.strip() == "ulmfit: stopped; the same command goes on from the last checkpoint"
    newest = checkpoints(training, runs)[-1]
    if at_step is not None:
        assert newest.name == f"step-{at_step:09}"
    assert f"the checkpoint of step {int(newest.name[5:])} is written" in ended.log
    assert not list(training.folder(runs).glob("scratch/checkpoints/.*")), "a write was left unfinished"
    ended = run(training, runs)
    assert ended.status == 0, ended.errors
    assert result(training, runs) == result(training, finished)


RARE = {"checkpoint_steps": 0, "checkpoint_minutes": 60}


def test_a_signal_lets_the_step_end_and_writes_its_checkpoint(undisturbed, tmp_path: Path) -> None:
    training = Training(FAST.kind, {**FAST.settings, **RARE})
    disturbance = Disturbance(9, "after_backward", signal.SIGTERM)
    stopped_once(training, undisturbed(FAST), tmp_path / "runs", disturbance, at_step=10)


def test_a_signal_in_validation_loses_the_validation_alone(undisturbed, tmp_path: Path) -> None:
    training = Training(FAST.kind, {**FAST.settings, **RARE})
    finished = undisturbed(FAST)
    epoch = steps_of(FAST, finished) // 2
    disturbance = Disturbance(epoch, "before_validate", signal.SIGINT)
    stopped_once(training, finished, tmp_path / "runs", disturbance, at_step=epoch)


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("training", SLOW, ids=repr)
def test_a_training_stopped_at_random_moments(
    training: Training, number: signal.Signals, undisturbed, tmp_path: Path
) -> None:
    finished, chance = undisturbed(training), random.Random(number)
    for attempt in range(5):
        step = chance.randrange(8, steps_of(training, finished) - 7)
        disturbance = Disturbance(step, chance.choice(EVENTS[:-1]), number)
        stopped_once(training, finished, tmp_path / str(attempt), disturbance)


def test_a_second_signal_does_not_wait_for_the_checkpoint(undisturbed, tmp_path: Path) -> None:
    finished, runs = undisturbed(FAST), tmp_path / "runs"
    upstream_of(finished, FAST.kind, runs)
    ended = run(FAST, runs, Disturbance(9, "after_backward", signal.SIGTERM, again=True))
    assert ended.status == 128 + signal.SIGTERM
    assert [path.name for path in checkpoints(FAST, runs)] == ["step-000000007"]
    ended = run(FAST, runs)
    assert ended.status == 0, ended.errors
    assert result(FAST, runs) == result(FAST, finished)


def test_a_damaged_checkpoint_is_skipped(undisturbed, tmp_path: Path) -> None:
    finished, runs = undisturbed(FAST), tmp_path / "runs"
    upstream_of(finished, FAST.kind, runs)
    run(FAST, runs, Disturbance(22, after_writes=True))
    _, newest = checkpoints(FAST, runs)
    state = (newest / "state.json").read_text()
    (newest / "state.json").write_text(state.replace('"train_iter": ', '"train_iter": 1'))
    ended = run(FAST, runs, Disturbance(23, after_writes=True))
    assert f"{newest.name} is damaged" in ended.log
    assert newest in checkpoints(FAST, runs), "it was written again"
    content = bytearray((newest / "tensors.safetensors").read_bytes())
    content[-5] ^= 0xFF
    (newest / "tensors.safetensors").write_bytes(content)
    ended = run(FAST, runs)
    assert f"{newest.name} is damaged" in ended.log
    assert ended.status == 0, ended.errors
    assert result(FAST, runs) == result(FAST, finished)


def test_going_on_under_other_conditions_is_said_and_recorded(undisturbed, tmp_path: Path) -> None:
    finished, runs = undisturbed(FAST), tmp_path / "runs"
    upstream_of(finished, FAST.kind, runs)
    run(FAST, runs, Disturbance(16, after_writes=True))
    elsewhere = Training(FAST.kind, FAST.settings, threads=2)
    run(elsewhere, runs, Disturbance(40, after_writes=True))
    ended = run(elsewhere, runs)
    assert ended.status == 0, ended.errors
    manifest = read_json(FAST.folder(runs) / MANIFEST)
    assert manifest["machine"]["threads"] == 2
    assert [machine["threads"] for machine in manifest["machine"]["earlier"]] == [1]
    assert "earlier" not in read_json(FAST.folder(finished) / MANIFEST)["machine"]
    log = (FAST.folder(runs) / "log.txt").read_text()
    assert log.count("warning: training goes on with threads 2 (was 1)") == 1
