"""Runs a recipe's stages and tells their state, for `ulmfit run`, `plan`, `status` and `clean`."""

from __future__ import annotations

import contextlib
import functools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ulmfit.experiments.forecast import Forecast, Forecasts, slow_advice, total
from ulmfit.experiments.pinning import pinned, unpinned
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.recipe_index import needs
from ulmfit.experiments.recipe_settings import OPTION_NAMES
from ulmfit.experiments.results import FINGERPRINT, is_recorded, recorded_stages, write_results
from ulmfit.experiments.run_folder import STAGE_LIST, write_run
from ulmfit.pipeline import launch, slurm
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.load import busy_advice
from ulmfit.pipeline.manifest import MANIFEST, stages_in_list
from ulmfit.pipeline.progress import Heartbeat, duration, say
from ulmfit.pipeline.ranks import is_first_rank, is_rank
from ulmfit.pipeline.rates import Rates
from ulmfit.pipeline.runner import Runner, is_locked, lock_path, was_stopped
from ulmfit.pipeline.slurm import Cluster
from ulmfit.pipeline.stage import FAILURE, LOG, SCRATCH, Stage
from ulmfit.training.checkpoint_share import CHECKPOINTS, share_done
from ulmfit.training.precision import gpu_generations

SAY_LEFT_EVERY = 60.0
"""Seconds between two lines of a run that say how long the rest of it will take."""
State = Literal["done", "running", "stopped", "failed", "altered", "missing"]


@dataclass(frozen=True)
class StageState:
    """The state of one stage of a recipe."""

    title: str
    key: str
    state: State
    seconds: float | None
    bytes: int
    last_line: str
    forecast: Forecast | None = None
    """What building it will cost; None: it is done, or nobody asked."""
    share: float | None = None
    """Of a training that was begun: what its last checkpoint has done of it, 0 to 1; None: not known."""


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


@dataclass(frozen=True)
class _Prepared:
    """A recipe whose files and devices were checked, and whose folder says what it asks for."""

    recipe: Recipe
    experiment: Experiment
    stages: list[Stage]
    wanted: list[Stage]
    folder: Path


def _run(recipe: Recipe, runner: Runner, until: str | None, cluster: Cluster | None) -> Path | None:
    prepared = _prepare(recipe, runner, until, cluster)
    if cluster is not None:
        slurm.build(prepared.wanted, runner, cluster)
    return _finish(prepared, runner, until)


def _prepare(recipe: Recipe, runner: Runner, until: str | None, cluster: Cluster | None) -> _Prepared:
    experiment = recipe.stages()
    stages = runner.order(*experiment.all())
    wanted = stages if until is None else _up_to(runner, stages, until)
    if cluster is None:
        check_devices(wanted, runner)
    check_files(wanted, runner)
    folder = runner.runs / recipe.run_name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STAGE_LIST, [[stage.stage_name, runner.keys.key(stage)] for stage in stages])
    write_run(recipe, folder)
    _check_labels(experiment, runner, wanted)
    if recipe.options:
        names = ", ".join(OPTION_NAMES[name] for name in recipe.options)
        say(f"{recipe.run_name}: what {names} changed has a folder of its own, beside the recipe's")
    return _Prepared(recipe, experiment, stages, wanted, folder)


def _finish(prepared: _Prepared, runner: Runner, until: str | None) -> Path | None:
    """Build here what is missing, then write record and report; return their folder, None with `until`."""
    name, folder, count = prepared.recipe.run_name, prepared.folder, len(prepared.wanted)
    said = time.monotonic()
    trains = any(one.processes().device is not None and not runner.is_done(one) for one in prepared.wanted)
    if trains and (advice := busy_advice()):
        say(f"{name}: {advice}")
    for number, stage in enumerate(prepared.wanted, start=1):
        built = runner.ensure(stage, f"stage {number} of {count}")
        if built and (advice := slow_advice(stage, runner, Rates())):
            say(f"{stage.title}: {advice}")
        if built and number < count and time.monotonic() - said > SAY_LEFT_EVERY:
            said = time.monotonic()
            say(f"{name}: {time_left(states_of(prepared.wanted, runner, prepared.recipe.language))}")
    if until is not None:
        say(f"{name}: done up to {until}")
        return None
    if is_recorded(prepared.experiment.recipe, runner, prepared.stages, folder):
        say(f"{name}: nothing to do, all {len(prepared.stages)} stages are done")
    else:
        with Heartbeat(f"{name}: record and report"):
            write_results(prepared.experiment, runner, folder)
    return folder


def run_all(
    recipes: Sequence[Recipe],
    runs: Path,
    mirror: Path | None = None,
    until: str | None = None,
    cluster: Cluster | None = None,
) -> tuple[list[Path], list[str]]:
    """Run several recipes; return the folders of those that are done, and what failed, in words.

    All stages are planned before anything is built; what recipes share is built once. Here they are worked
    off one after another, and one that fails does not stop the others. On a `cluster` whatever is ready is
    submitted together, of all recipes.
    """
    if is_rank():
        raise InputError("torchrun starts the processes of one recipe: name one, or leave torchrun out")
    runner = launch.LaunchingRunner(runs, mirror)
    chosen = [pinned(recipe, recipe.file, runner) for recipe in recipes]
    if twice := [one.run_name for one in chosen if [o.run_name for o in chosen].count(one.run_name) > 1]:
        raise InputError(f"{twice[0]} is named twice: name each recipe once")
    for recipe in chosen:
        recipe.stages()
    folders: list[Path] = []
    failures: list[str] = []
    prepared: list[_Prepared] = []

    def attempt(recipe: Recipe, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # whatever it is, the other recipes go on
            reason = str(error).partition("\n")[0]
            kind = "" if isinstance(error, InputError | StageFailed) else f"{type(error).__name__}: "
            failures.append(f"{recipe.run_name}: {kind}{reason}")
            say(f"{recipe.run_name} failed, the others go on: {kind}{reason}")

    def prepare(recipe: Recipe) -> None:
        prepared.append(_prepare(recipe, runner, until, cluster))

    def finish(one: _Prepared) -> None:
        missing = [stage for stage in one.wanted if not runner.is_done(stage)] if cluster else []
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise StageFailed(f"no result of {missing[0].title}{more}")
        folder = _finish(one, runner, until)
        folders.extend([folder] if folder else [])

    for recipe in chosen:
        attempt(recipe, functools.partial(prepare, recipe))
    if cluster is not None:
        slurm.build_all(runner.order(*(stage for one in prepared for stage in one.wanted)), runner, cluster)
    for one in prepared:
        attempt(one.recipe, functools.partial(finish, one))
    return folders, failures


def check_devices(wanted: list[Stage], runner: Runner) -> None:
    """Refuse a GPU that is not here before anything is built; say where a stage was finished without it.

    The device is not part of a stage's key: what is finished stays finished, whatever it was computed on.
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
    """Refuse input files of a wrong kind now, not after hours of earlier stages."""
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
    recipe: Recipe,
    runs: Path,
    mirror: Path | None = None,
    *,
    checked: bool = False,
    measure: bool = False,
) -> list[StageState]:
    """Return the state of every stage of a recipe, upstream first; builds nothing.

    `checked` refuses input files that a run would refuse at its start, and says what a recipe needs that
    nobody can simply download. `measure` takes some seconds for rates of this machine that are not known yet.
    """
    runner = Runner(runs, mirror)
    stages = runner.order(*recipe.stages().all())
    if checked:
        for need in needs(recipe):
            say(f"{recipe.name} needs {need}")
        check_files(stages, runner)
    return states_of(stages, runner, recipe.language, measure=measure)


def time_left(states: Sequence[StageState]) -> str:
    """Return how long the rest of a run will take, as far as it is known; empty: it is done."""
    missing = [state for state in states if state.forecast is not None]
    if not missing:
        return ""
    whole = total(state.forecast for state in missing if state.forecast is not None)
    begun = sum((state.share or 0) * ((state.forecast and state.forecast.seconds) or 0) for state in missing)
    seconds = duration((whole.seconds or 0) - begun)
    known = f"at least about {seconds}, {whole.basis}" if whole.basis else f"about {seconds}"
    return f"{len(missing)} of {len(states)} stages are left: {known}"


def states_of(
    stages: list[Stage], runner: Runner, language: str, *, measure: bool = False
) -> list[StageState]:
    """Return how these stages stand; their texts are in `language`."""
    faults = [runner.fault(stage) for stage in stages]
    missing = [stage for stage, fault in zip(stages, faults, strict=True) if fault is not None]
    forecasts = Forecasts(missing, runner, language, Rates(), measure=measure) if missing else None
    return [
        _state(runner, stage, fault, forecasts.of(stage) if forecasts and fault is not None else None)
        for stage, fault in zip(stages, faults, strict=True)
    ]


def _state(runner: Runner, stage: Stage, fault: str | None, forecast: Forecast | None) -> StageState:
    folder = runner.folder(stage)
    manifest = runner.manifest(stage) if fault is None else None
    state: State = "missing"
    if manifest:
        state = "done"
    elif folder.exists() and is_locked(folder):
        state = "running"
    elif fault:
        state = "altered"
    elif (folder / FAILURE).exists():
        state = "stopped" if was_stopped(folder) else "failed"
    elif (folder / LOG).exists():
        state = "stopped"  # killed: nothing was left to say so
    return StageState(
        title=stage.title,
        key=folder.name,
        state=state,
        seconds=manifest["seconds"] if manifest else None,
        bytes=folder_bytes(folder),
        last_line=fault if fault and state == "altered" else _last_line(folder / LOG),
        forecast=forecast,
        share=None if manifest else share_done(folder / SCRATCH / CHECKPOINTS),
    )


def folder_bytes(folder: Path) -> int:
    """Return the bytes of a folder. Files that vanish meanwhile (of a running stage) are left out."""
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
    """Return stage folders that nothing under `runs` needs, unchanged for some days, and their bytes.

    Kept are the stages of a recipe's latest run, those that its record was made from, and symbolic links to
    folders elsewhere.
    """
    named = {pair for path in _found(runs, STAGE_LIST) for pair in listed_stages(path)}
    named |= {pair for path in _found(runs, FINGERPRINT) for pair in recorded_stages(path)}
    oldest = time.time() - older_than_days * 86_400
    return [
        (folder, folder_bytes(folder))
        for folder in sorted((runs / "stages").glob("*/*"))
        if (folder.parent.name, folder.name) not in named
        and is_own_folder(folder)
        and _last_change(folder) <= oldest
    ]


def linked(runs: Path) -> list[Path]:
    """Return links in the place of stage folders: `clean` keeps them."""
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
