"""Stages as jobs: submitted once, found again, put in the queue again; with submitit's local executor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from launch_stages import PAUSE, slow_pretrain, wait_for
from stages_for_tests import InventedCorpus, tiny_classifier, tiny_pretrain

from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.slurm import Cluster, build, choose_cluster, parse_options
from ulmfit.pipeline.stage import Stage

pytest.importorskip("submitit")
TESTS = Path(__file__).parents[1]
LOCAL = Cluster(name="local")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What jobs need to find the stages of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_options_are_checked_for_form() -> None:
    options = ["partition=gpu", "timeout_min=600", "constraint=a100|h100", "gpus_per_node=1"]
    assert parse_options(options) == {
        "partition": "gpu",
        "timeout_min": 600,
        "constraint": "a100|h100",
        "gpus_per_node": 1,
    }
    for wrong in ("partition", "partition=", "=gpu", "Partition=gpu", "a b=1", "partition= gpu"):
        with pytest.raises(InputError, match="expected KEY=VALUE"):
            parse_options([wrong])
    for wrong in ("timeout_min=long", "timeout_min=0", "mem_gb=-1", "timeout_min=²"):
        with pytest.raises(InputError, match="expected a whole number above 0"):
            parse_options([wrong])
    with pytest.raises(InputError, match=r"set it for a stage, such as --set pretrain\.nodes=2"):
        parse_options(["nodes=2"])
    with pytest.raises(InputError, match="qos was given before, as low"):
        parse_options(["qos=low", "qos=high"])


def test_launchers_are_local_and_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_cluster("local", []) is None
    assert choose_cluster("slurm", ["qos=low"]) == Cluster({"qos": "low"})
    with pytest.raises(InputError, match="--launcher k8s: expected local or slurm"):
        choose_cluster("k8s", [])
    with pytest.raises(InputError, match="only together with --launcher slurm"):
        choose_cluster("local", ["qos=low"])
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'ulmfit\[slurm\]'"):
        choose_cluster("slurm", [])


def test_a_job_asks_for_what_its_stage_needs() -> None:
    cluster = Cluster({"partition": "gpu", "timeout_min": 60, "gpus_per_node": 1})
    together = cluster.parameters(tiny_pretrain(gpus=4, nodes=2))
    assert together == {
        "timeout_min": 60,
        "slurm_partition": "gpu",
        "gpus_per_node": 4,
        "name": "ulmfit-pretrain",
        "nodes": 2,
        "tasks_per_node": 4,
    }
    assert cluster.parameters(tiny_classifier(gpus=4))["tasks_per_node"] == 1
    assert cluster.parameters(tiny_classifier())["gpus_per_node"] == 1
    assert "gpus_per_node" not in cluster.parameters(InventedCorpus())
    assert Cluster().parameters(tiny_pretrain(gpus=1))["gpus_per_node"] == 1
    assert "gpus_per_node" not in Cluster().parameters(tiny_pretrain())
    assert "gpus_per_node" not in Cluster().parameters(tiny_pretrain(gpus=2, device="cpu"))


def test_slurm_and_its_parameters_have_to_be_there(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    with pytest.raises(InputError, match=r"^--launcher slurm: .*srun"):
        build([InventedCorpus()], runner, Cluster())
    with pytest.raises(InputError, match=r"^--slurm: Unknown argument 'colour'"):
        build([InventedCorpus()], runner, Cluster({"colour": "red"}, name="local"))


def test_stages_are_built_by_jobs_in_their_order(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runner = Runner(tmp_path)
    stages = runner.order(tiny_pretrain().tokens)
    build(stages, runner, LOCAL)
    assert all(runner.is_done(stage) for stage in stages)
    notes = sorted(path.name.split("-")[0] for path in (tmp_path / "jobs").glob("*.json"))
    assert notes == ["invented_corpus", "tokenizer", "tokens"]
    note = read_json(next((tmp_path / "jobs").glob("tokens-*.json")))
    logs = list(Path(note["folder"]).glob("*_log.out"))
    assert note["tasks"] == [0] and "unigram, 80): done in" in logs[0].read_text()
    output = capfd.readouterr().out
    assert output.index("invented_corpus: done by job") < output.index("tokenizer (unigram, 80): job")
    build(stages, runner, LOCAL)
    assert "job" not in capfd.readouterr().out


def test_a_failed_job_is_told_with_its_log_and_submitted_again(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    stage: Stage = InventedCorpus(documents=10, words=-1)
    runner.folder(stage).parent.mkdir(parents=True)
    runner.folder(stage).write_text("in the way")
    with pytest.raises(
        StageFailed, match=r"invented_corpus: job \d+ ended without a result .*_log\.err"
    ) as told:
        build([stage], runner, LOCAL)
    assert "submits it again" in str(told.value)
    runner.folder(stage).unlink()
    build([stage], runner, LOCAL)
    assert runner.is_done(stage)


PROGRAM = """
import sys
from pathlib import Path
from launch_stages import slow_pretrain
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.slurm import Cluster, build
runner = Runner(Path(sys.argv[1]))
build(runner.order(slow_pretrain(gpus=int(sys.argv[2]))), runner, Cluster(name="local"))
"""


def submit(runs: Path, gpus: int, pause: object) -> subprocess.Popen[str]:
    """Start a command that submits jobs and waits for them."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(runs), str(gpus)],
        env={**os.environ, PAUSE: str(pause)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def controller(runs: Path) -> int:
    """Return the number of the process that controls the training's job."""
    return int(read_json(next(runs.glob("jobs/slow_pretrain-*.json")))["job"])


def checkpoints(runs: Path) -> list[Path]:
    return list(runs.glob("stages/slow_pretrain/*/scratch/checkpoints/step-*/state.json"))


@pytest.mark.soak
def test_a_running_job_is_found_again_and_not_submitted_twice(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    first = submit(tmp_path, 0, gate)
    wait_for(lambda: checkpoints(tmp_path))
    job = controller(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()  # its output does not end: the job, which goes on, has inherited the pipes
    second = submit(tmp_path, 0, gate)
    assert second.stdout is not None
    assert second.stdout.readline().startswith(f"slow_pretrain (forward): job {job} is building")
    gate.unlink()
    output, errors = second.communicate(timeout=300)
    assert f"done by job {job}" in output, errors
    # The local executor makes a folder of the pattern's own name as well.
    folders = [path for path in tmp_path.glob("jobs/slow_pretrain-*/*") if path.name != "%j"]
    assert len(folders) == 1
    assert Runner(tmp_path).is_done(slow_pretrain(gpus=0))


@pytest.mark.soak
@pytest.mark.parametrize("gpus", [0, 2])
def test_a_preempted_job_goes_on_from_its_checkpoint(gpus: int, tmp_path: Path) -> None:
    """Slurm sends SIGTERM and then SIGUSR2; submitit puts the job in the queue again."""
    process = submit(tmp_path, gpus, 0.05)
    wait_for(lambda: checkpoints(tmp_path))
    tasks = Path(f"/proc/{controller(tmp_path)}/task/{controller(tmp_path)}/children").read_text().split()
    assert len(tasks) == max(1, gpus)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        for task in tasks:
            os.kill(int(task), number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    folder = Runner(tmp_path).folder(slow_pretrain(gpus=gpus))
    log = (folder / "log.txt").read_text()
    assert "is written" in log and "going on from phase" in log
    undisturbed = Runner(tmp_path / "undisturbed")
    build(undisturbed.order(slow_pretrain(gpus=gpus)), undisturbed, LOCAL)
    weights = [
        read_json(f / "manifest.json")["files"]["model.safetensors"]["sha256"]
        for f in (folder, undisturbed.folder(slow_pretrain(gpus=gpus)))
    ]
    assert weights[0] == weights[1]
