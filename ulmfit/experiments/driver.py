"""Runs a recipe's stages and tells how they stand; what `ulmfit run`, `plan`, `status` and `clean` call."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ulmfit.experiments.pinning import pinned, unpinned
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.recipe_index import needs
from ulmfit.experiments.recipe_settings import OPTION_NAMES
from ulmfit.experiments.results import FINGERPRINT, is_recorded, recorded_stages, write_results
from ulmfit.pipeline import launch, slurm
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.estimates import estimated_seconds
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.manifest import MANIFEST, stages_in_list
from ulmfit.pipeline.progress import say
from ulmfit.pipeline.ranks import is_first_rank, is_rank
from ulmfit.pipeline.runner import Runner, is_locked, lock_path
from ulmfit.pipeline.slurm import Cluster
from ulmfit.pipeline.stage import FAILURE, LOG, Stage
from ulmfit.training.precision import gpu_generations

STAGE_LIST = "stages.json"
"""In a recipe's folder: the stages that its latest run asked for, which `clean` leaves alone."""


@dataclass(frozen=True)
class StageState:
    """How one stage of a recipe stands."""

    title: str
    key: str
    state: Literal["done", "running", "failed", "altered", "missing"]
    seconds: float | None
    bytes: int
    last_line: str
    estimate: float | None = None
    """Seconds that stages like it took; None: there are none."""


def run(
    recipe: Recipe,
    runs: Path,
    mirror: Path | None = None,
    until: str | None = None,
    cluster: Cluster | None = None,
) -> Path | None:
    """Build what is missing of a recipe and write its record and report; return the folder of both.

    `until` is the name of the last kind of stage to build; then there is no record, and None is returned, as
    in those processes under torchrun that are not the first. On a `cluster` every stage is a job.
    """
    if not is_rank():
        runner = launch.LaunchingRunner(runs, mirror)
        return _run(pinned(recipe, recipe.file, runner), runner, until, cluster)
    if cluster is not None:
        raise InputError("--launcher slurm starts the processes itself: run it without torchrun")
    if what := unpinned(recipe):
        raise InputError(f"{what[0]} is not pinned yet: run the recipe once without torchrun, which notes it")
    if not is_first_rank():
        launch.follow(recipe.stages().all(), runs, mirror)
        return None
    first = launch.FirstRunner(runs, mirror)
    folder = _run(recipe, first, until, None)
    first.finish()
    return folder


def _run(recipe: Recipe, runner: Runner, until: str | None, cluster: Cluster | None) -> Path | None:
    runs, experiment = runner.runs, recipe.stages()
    stages = runner.order(*experiment.all())
    wanted = stages if until is None else _up_to(runner, stages, until)
    if cluster is None:
        check_devices(wanted, runner)
    check_files(wanted, runner)
    folder = runs / recipe.run_name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STAGE_LIST, [[stage.stage_name, runner.keys.key(stage)] for stage in stages])
    _check_labels(experiment, runner, wanted)
    if recipe.options:
        names = ", ".join(OPTION_NAMES[name] for name in recipe.options)
        say(f"{recipe.run_name}: what {names} changed has a folder of its own, beside the recipe's")
    if cluster is not None:
        slurm.build(wanted, runner, cluster)
    for number, stage in enumerate(wanted, start=1):
        runner.ensure(stage, f"stage {number} of {len(wanted)}")
    if until is not None:
        say(f"{recipe.run_name}: done up to {until}")
        return None
    if is_recorded(experiment.recipe, runner, stages, folder):
        say(f"{recipe.run_name}: nothing to do, all {len(stages)} stages are done")
    else:
        write_results(experiment, runner, folder)
    return folder


def check_devices(wanted: list[Stage], runner: Runner) -> None:
    """Refuse a GPU that is not here before anything is built; say where a stage was finished without it.

    A device is no part of what a stage is: what is finished stays so, whatever it was computed on.
    """
    unchanged = []
    for stage in wanted:
        device = getattr(getattr(stage, "settings", None), "device", "auto")
        if not device.startswith("cuda"):
            continue
        if runner.is_done(stage):
            manifest = runner.manifest(stage)
            on_cpu = manifest is not None and manifest.get("machine", {}).get("device") == "cpu"
            unchanged += [stage.stage_name] if on_cpu else []
        elif not gpu_generations():
            from ulmfit.training.distribution import choose_device

            choose_device(device)
    if unchanged:
        names = ", ".join(dict.fromkeys(unchanged))
        say(f"device cuda changes nothing for {len(unchanged)} stages that a CPU has finished: {names}")


def check_files(wanted: list[Stage], runner: Runner) -> None:
    """Refuse input files of a wrong kind, before hours are spent on what comes before them."""
    for stage in wanted:
        if not runner.is_done(stage):
            stage.check_files()


def _check_labels(experiment: Experiment, runner: Runner, wanted: list[Stage]) -> None:
    """Build the data set first and refuse settings that name other labels, before hours of training."""
    dataset, settings = experiment.recipe.dataset, experiment.recipe.settings.classifier
    if dataset is None or dataset not in wanted or not isinstance(settings.class_weights, dict):
        return
    for stage in runner.order(dataset):
        runner.ensure(stage)
    settings.check_labels(read_json(runner.verified(dataset) / "dataset.json")["labels"])


def _up_to(runner: Runner, stages: list[Stage], until: str) -> list[Stage]:
    """Return the stages of the kind `until` and all that they need."""
    last = [stage for stage in stages if stage.stage_name == until]
    if not last:
        names = ", ".join(dict.fromkeys(stage.stage_name for stage in stages))
        raise InputError(f"--until {until}: the recipe has no such stage; it has {names}")
    return runner.order(*last)


def states(
    recipe: Recipe, runs: Path, mirror: Path | None = None, *, checked: bool = False
) -> list[StageState]:
    """Return how every stage of a recipe stands, upstream first; builds nothing.

    `checked` refuses input files that a run would refuse at its start, and says what a recipe needs that
    nobody can simply download.
    """
    runner = Runner(runs, mirror)
    stages = runner.order(*recipe.stages().all())
    if checked:
        for need in needs(recipe):
            say(f"{recipe.name} needs {need}")
        check_files(stages, runner)
    estimates = estimated_seconds(stages, runner)
    return [
        _state(runner, stage, estimates.get((stage.stage_name, runner.keys.key(stage)))) for stage in stages
    ]


def _state(runner: Runner, stage: Stage, estimate: float | None) -> StageState:
    folder = runner.folder(stage)
    fault = runner.fault(stage)
    manifest = runner.manifest(stage) if fault is None else None
    state: Literal["done", "running", "failed", "altered", "missing"] = "missing"
    if manifest:
        state = "done"
    elif folder.exists() and is_locked(folder):
        state = "running"
    elif fault:
        state = "altered"
    elif (folder / FAILURE).exists():
        state = "failed"
    return StageState(
        title=stage.title,
        key=folder.name,
        state=state,
        seconds=manifest["seconds"] if manifest else None,
        bytes=_size(folder),
        last_line=fault if fault and state == "altered" else _last_line(folder / LOG),
        estimate=estimate,
    )


def _size(folder: Path) -> int:
    """Return the bytes of a folder, without files that vanish meanwhile, as those of a running stage do."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def unused(runs: Path, older_than_days: float) -> list[tuple[Path, int]]:
    """Return stage folders unchanged for some days, with their bytes, that nothing under `runs` is made from.

    Left alone is what the latest run of a recipe asked for, what its record was made from, and what is no
    folder here but a symbolic link to one elsewhere.
    """
    named = {pair for path in _found(runs, STAGE_LIST) for pair in listed_stages(path)}
    named |= {pair for path in _found(runs, FINGERPRINT) for pair in recorded_stages(path)}
    oldest = time.time() - older_than_days * 86_400
    return [
        (folder, _size(folder))
        for folder in sorted((runs / "stages").glob("*/*"))
        if (folder.parent.name, folder.name) not in named
        and is_own_folder(folder)
        and _last_change(folder) <= oldest
    ]


def linked(runs: Path) -> list[Path]:
    """Return what stands in place of a stage folder and leads elsewhere: `clean` leaves it alone."""
    found = sorted((runs / "stages").glob("*/*"))
    return [path for path in found if path.is_dir() and not is_own_folder(path)]


def is_own_folder(folder: Path) -> bool:
    """Return whether a stage folder lies where its name says: neither it nor the folder above is a link."""
    return folder.is_dir() and not folder.is_symlink() and not folder.parent.is_symlink()


def listed_stages(path: Path) -> list[tuple[str, str]]:
    """Return name and key of the stages in a recipe's list; InputError when it is damaged."""
    try:
        return stages_in_list(read_json(path))
    except ValueError as error:
        raise InputError(
            f"{path}: expected the list of a recipe's stages: run the recipe again, or remove the file if "
            f"its stages may be removed too"
        ) from error


def _last_change(folder: Path) -> float:
    log = folder / LOG
    return max(path.stat().st_mtime for path in (folder, log) if path.exists())


def _found(runs: Path, name: str) -> Iterator[Path]:
    """Yield the files of that name in the folders of recipes."""
    reserved = {runs / "stages", runs / "assets", runs / "locks"}
    for path in sorted(runs.rglob(name)):
        if not reserved & set(path.parents):
            yield path


def remove(folders: list[Path]) -> list[Path]:
    """Remove stage folders, except links, and those that are being built, which are returned.

    The manifest goes first, so that a killed removal leaves no half of a finished stage.
    """
    from filelock import FileLock, Timeout

    busy = []
    for folder in folders:
        lock = FileLock(lock_path(folder))
        try:
            with lock.acquire(timeout=0):
                if is_own_folder(folder):  # what was listed may have become a link since
                    (folder / MANIFEST).unlink(missing_ok=True)
                    shutil.rmtree(folder)
        except Timeout:
            busy.append(folder)
    return busy
