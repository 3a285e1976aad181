"""kill -9 in the middle of an epoch, then the same command: the weights are those of an undisturbed run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ulmfit.files import read_json

PROGRAM = """
import sys
from pathlib import Path
import torch
from stages_for_tests import tiny_classifier, tiny_pretrain
from ulmfit.runner import Runner
torch.set_num_threads(1)
kind, runs, pause, sampling = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
if pause:
    import time
    from ulmfit.training.callbacks import History
    plain = History.after_batch
    def slowly(self):
        plain(self)
        time.sleep(pause)
    History.after_batch = slowly
stage = {"pretrain": tiny_pretrain, "classifier": tiny_classifier}[kind]
stage = stage(checkpoint_steps=7, subword_sampling=sampling)
print(Runner(runs).build(stage))
"""
TESTS = Path(__file__).parents[1]


def start(kind: str, runs: Path, pause: float = 0.0, sampling: float = 0.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind, str(runs), str(pause), str(sampling)],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished_weights(kind: str, runs: Path, sampling: float = 0.0) -> tuple[str, str]:
    """Run to the end; return the sha256 of the weights and the log."""
    output, errors = start(kind, runs, sampling=sampling).communicate(timeout=120)
    folder = Path(output.strip().splitlines()[-1])
    assert folder.is_dir(), errors
    return read_json(folder / "manifest.json")["files"]["model.safetensors"]["sha256"], output


def kill_after_checkpoint(kind: str, runs: Path, step: int, sampling: float = 0.0) -> None:
    """Start, wait for the checkpoint of `step` and a few steps more, then kill -9."""
    process = start(kind, runs, 0.02, sampling)
    deadline = time.monotonic() + 90
    while not list(runs.glob(f"stages/{kind}/*/scratch/checkpoints/step-{step:09}/state.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize(
    ("kind", "step", "sampling"),
    [("pretrain", 63, 0.0), ("classifier", 14, 0.0), ("pretrain", 126, 0.2), ("classifier", 21, 0.2)],
)
def test_killed_training_ends_with_the_same_weights(
    kind: str, step: int, sampling: float, tmp_path: Path
) -> None:
    undisturbed, _ = finished_weights(kind, tmp_path / "undisturbed", sampling)
    kill_after_checkpoint(kind, tmp_path / "killed", step, sampling)
    assert not list((tmp_path / "killed").glob(f"stages/{kind}/*/manifest.json"))
    resumed, log = finished_weights(kind, tmp_path / "killed", sampling)
    assert "going on from phase" in log
    assert resumed == undisturbed


@pytest.mark.soak
@pytest.mark.parametrize("sampling", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["pretrain", "classifier"])
def test_killed_many_times(kind: str, sampling: float, tmp_path: Path) -> None:
    undisturbed, _ = finished_weights(kind, tmp_path / "undisturbed", sampling)
    for step in (7, 14, 21, 28):
        kill_after_checkpoint(kind, tmp_path / "killed", step, sampling)
    resumed, _ = finished_weights(kind, tmp_path / "killed", sampling)
    assert resumed == undisturbed


def test_damaged_checkpoint_is_skipped(tmp_path: Path) -> None:
    undisturbed, _ = finished_weights("pretrain", tmp_path / "undisturbed")
    runs = tmp_path / "killed"
    kill_after_checkpoint("pretrain", runs, 28)
    newest = max(runs.glob("stages/pretrain/*/scratch/checkpoints/step-*"))
    content = bytearray((newest / "tensors.safetensors").read_bytes())
    content[-5] ^= 0xFF
    (newest / "tensors.safetensors").write_bytes(content)
    resumed, log = finished_weights("pretrain", runs)
    assert f"{newest.name} is damaged" in log
    assert resumed == undisturbed
