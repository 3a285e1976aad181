"""Several recipes at once: planned together, shared, gone on with after one failed, one leaderboard."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import fake_slurm
import pytest
from cli_for_tests import RECIPE, TESTS, ulmfit
from launch_stages import PAUSE, slow_pretrain
from stages_for_tests import InventedCorpus, InventedDataset

from ulmfit.cli.options import Changes
from ulmfit.datasets.sample import SampledDataset
from ulmfit.experiments import driver
from ulmfit.experiments.recipe import load_recipe, load_recipes
from ulmfit.experiments.run_list import list_runs
from ulmfit.pipeline import slurm
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.slurm import Cluster, build, build_all

pytest.importorskip("submitit")

QUICK = ("--preset", "forward", "--seeds", "0", "--set", "comparisons=[]", "--set", "classifier.phases=[{}]")
BROKEN = "corpus=InventedCorpus(documents=10, words=-1)"


def recipes(folder: Path, *names: str, broken: str = "") -> Path:
    """Write recipes like the tests' own into a folder; the `broken` one fails in its corpus."""
    folder.mkdir()
    text = RECIPE.read_text("utf-8")
    for name in (*names, *([broken] if broken else [])):
        own = text.replace('"test/tiny"', f'"test/{name}"')
        own = own.replace("corpus=InventedCorpus()", BROKEN) if name == broken else own
        (folder / f"{name}.py").write_text(own, encoding="utf-8")
    (folder / "shared.py").write_text("VALUE = 1\n")
    return folder


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm that runs the jobs here; returns the folder of their states."""
    for name, value in fake_slurm.install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(slurm, "SHARED_SECONDS", 0)
    return tmp_path / "slurm"


def test_seeds_may_be_ranges() -> None:
    recipe = load_recipe(str(RECIPE))
    assert Changes(seeds="0-4").of(recipe).seeds == (0, 1, 2, 3, 4)
    assert Changes(seeds="7, 0-2").of(recipe).seeds == (7, 0, 1, 2)
    assert Changes(seeds="3-3").of(recipe).seeds == (3,)
    for wrong in ("4-0", "0-", "-1", "a-b", "0-99999999", "0-2-4"):
        with pytest.raises(InputError, match="expected numbers with commas or ranges, such as 0,1,2 or 0-4"):
            Changes(seeds=wrong).of(recipe)


def test_a_folder_means_all_recipes_in_it(tmp_path: Path) -> None:
    folder = recipes(tmp_path / "mine", "b", "a")
    assert [recipe.name for recipe in load_recipes(str(folder))] == ["test/a", "test/b"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="has no recipe in it"):
        load_recipes(str(tmp_path / "none"))


def test_recipes_share_stages_and_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    folder, runs = recipes(tmp_path / "mine", "a", "z", broken="m"), tmp_path / "runs"
    chosen = [Changes(preset="forward", seeds="0").of(one) for one in load_recipes(str(folder))]
    assert driver.run_all(chosen, runs, None, "tokens")[1][0].startswith("test/m-forward-changed-")
    assert len(list(runs.glob("stages/tokenizer/*/manifest.json"))) == 1, "what two need is built once"
    states = {Path(run.folder).name[:9]: run.state for run in list_runs(runs)}
    assert states == {"a-forward": "partial", "m-forward": "failed", "z-forward": "partial"}
    with pytest.raises(InputError, match=r"test/a-forward-changed-.* is named twice"):
        driver.run_all([*chosen, chosen[0]], runs)


@pytest.mark.soak
def test_several_recipes_end_with_a_leaderboard_and_an_exit_status(tmp_path: Path) -> None:
    folder, runs = recipes(tmp_path / "mine", "a", "z", broken="m"), tmp_path / "runs"
    status, output, errors = ulmfit("run", folder, "--runs", runs, *QUICK)
    assert status == 1 and "1 of 3 recipes failed: test/m-forward-changed-" in errors
    assert " failed, the others go on: " in output
    assert output.count("classifier (forward, seed 0): started") == 1
    assert "leaderboard: " in output and "test/a" in output and "test/z" in output
    assert len(list(runs.glob("test/*/record.json"))) == 2


def test_jobs_that_are_ready_together_are_one_array(cluster: Path, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    stages = [InventedCorpus(documents=n) for n in (10, 11)]
    bad = InventedCorpus(documents=12)
    runner.folder(bad).parent.mkdir(parents=True)
    runner.folder(bad).write_text("in the way")
    failures = build_all([*stages, bad], runner, Cluster())
    assert len(failures) == 1 and "invented_corpus: job 1_2 ended without a result" in failures[0]
    assert all(runner.is_done(stage) for stage in stages)
    scripts = sorted(cluster.glob("*.sh"))
    assert len(scripts) == 1 and "--array=0-2%3" in scripts[0].read_text()
    notes = [read_json(path) for path in (tmp_path / "runs" / "jobs").glob("*.json")]
    assert sorted(note["job"] for note in notes) == ["1_0", "1_1", "1_2"]
    assert all(list(Path(note["folder"]).glob("*_log.out")) for note in notes)
    # Again: what failed alone is submitted again, as a job of its own.
    assert len(build_all([*stages, bad], runner, Cluster())) == 1
    assert len(list(cluster.glob("*.sh"))) == 2


def test_a_job_that_the_cluster_refuses_takes_only_its_own_with_it(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(fake_slurm.REFUSED, "ulmfit-invented_dataset")
    runner = Runner(tmp_path / "runs")
    corpora = [InventedCorpus(documents=n) for n in (10, 11)]
    dataset = InventedDataset()
    below = SampledDataset(dataset=dataset)
    failures = build_all([dataset, below, *corpora], runner, Cluster())
    assert len(failures) == 1
    assert failures[0].startswith("invented_dataset: the cluster refused the job: ")
    assert "this job is not allowed" in failures[0]
    assert all(runner.is_done(stage) for stage in corpora) and not runner.is_done(dataset)
    with pytest.raises(StageFailed, match="the cluster refused the job"):
        build([dataset], runner, Cluster())
    monkeypatch.delenv(fake_slurm.REFUSED)
    build([dataset, below], runner, Cluster())
    assert runner.is_done(below)


def test_a_grid_is_planned_once_and_what_fails_takes_only_its_own_with_it(
    tmp_path: Path, cluster: Path
) -> None:
    folder, runs = recipes(tmp_path / "mine", "a", "z", broken="m"), tmp_path / "runs"
    chosen = [Changes(preset="forward", seeds="0").of(one) for one in load_recipes(str(folder))]
    folders, failures = driver.run_all(chosen, runs, None, "tokenizer", Cluster())
    assert folders == [] and len(failures) == 1 and failures[0].startswith("test/m-forward")
    assert len(list(runs.glob("stages/tokenizer/*/manifest.json"))) == 1
    scripts = [path.read_text() for path in sorted(cluster.glob("*.sh"))]
    assert "--array=0-1" in scripts[0], "the corpora of all recipes are submitted together"


@pytest.mark.soak
def test_a_grid_on_a_cluster_ends_with_one_leaderboard(tmp_path: Path, cluster: Path) -> None:
    folder, runs = recipes(tmp_path / "mine", "a", "z"), tmp_path / "runs"
    options = ("--preset", "forward", "--set", "classifier.phases=[{}]", "--set", "comparisons=[]")
    status, output, errors = ulmfit(
        "run", folder, "--runs", runs, "--seeds", "0-1", *options, "--launcher", "slurm"
    )
    assert status == 0, errors
    assert "leaderboard: " in output
    assert len(list(runs.glob("test/*/record.json"))) == 2
    arrays = [path for path in cluster.glob("*.sh") if "--array" in path.read_text()]
    assert arrays, "seeds are trained side by side"


@pytest.mark.soak
def test_a_preempted_job_of_an_array_goes_on_from_its_checkpoint(
    tmp_path: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PAUSE, "0.05")
    runner = Runner(tmp_path / "runs")
    stages = [slow_pretrain(gpus=0, seed=seed) for seed in (0, 1)]
    for stage in runner.order(*(stage.tokens for stage in stages)):
        runner.ensure(stage)
    import threading

    ended: list[list[str]] = []
    waiting = threading.Thread(target=lambda: ended.append(build_all(stages, runner, Cluster())))
    waiting.start()
    deadline = time.monotonic() + 600
    pattern = "stages/slow_pretrain/*/scratch/checkpoints/step-*/state.json"
    while not list((tmp_path / "runs").glob(pattern)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for task in tasks_of(cluster):
        for number in (signal.SIGTERM, signal.SIGUSR2):
            os.kill(task, number)
    waiting.join(timeout=600)
    assert ended == [[]]
    logs = [(runner.folder(stage) / "log.txt").read_text() for stage in stages]
    assert any("going on from phase" in log for log in logs)


def tasks_of(cluster: Path) -> list[int]:
    """Return the numbers of the processes that run the functions of this cluster's jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        is_task = b"submitit.core._submit" in command and b"srun" not in command
        if is_task and str(cluster).encode() in environment:
            found.append(int(process.name))
    return found
