"""What lies under the folder of all results: `ulmfit runs`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ulmfit.experiments.driver import folder_bytes, is_own_folder, listed_stages
from ulmfit.experiments.results import RECORD
from ulmfit.experiments.run_folder import STAGE_LIST, read_run
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.manifest import MANIFEST
from ulmfit.pipeline.runner import is_locked, was_stopped
from ulmfit.pipeline.stage import FAILURE


@dataclass(frozen=True)
class ListedRun:
    """One run, as `ulmfit runs` shows it."""

    folder: str
    recipe: str
    """Name of the recipe; empty: unknown."""
    preset: str
    seeds: tuple[int, ...]
    """Seeds of fine-tuning and classifier; (): unknown."""
    trial: bool
    state: str
    """done, running, stopped, failed, partial: not all was asked for, or damaged: cannot be read."""
    stages: int
    stages_done: int
    when: str
    """When the record was written, else when the run was last begun."""
    bytes: int
    """Of its stages, those that it shares with other runs too."""
    result: str
    """Main figure of the record, or why that or the run cannot be read; empty: there is none."""
    command: str
    """The command that made it and goes on with it; empty: unknown."""


def list_runs(runs: Path) -> list[ListedRun]:
    """Return all runs below a folder, the newest first; InputError where the folder is not there."""
    if not runs.is_dir():
        raise InputError(f"--runs {runs}: there is no such folder: expected the folder of all results")
    found = [_listed_or_damaged(runs, path.parent) for path in _lists(runs)]
    return sorted(found, key=lambda run: run.when, reverse=True)


def _lists(runs: Path) -> Iterator[Path]:
    """Yield the lists of stages in the folders of runs."""
    for folder in sorted(runs.iterdir()):
        if folder.name not in ("stages", "assets", "locks", "jobs") and is_own_folder(folder):
            yield from sorted(folder.rglob(STAGE_LIST))


def _listed_or_damaged(runs: Path, folder: Path) -> ListedRun:
    """Return a run; one whose files cannot be read hides no other."""
    try:
        return _listed(runs, folder)
    except (InputError, OSError, TypeError, ValueError) as error:
        return ListedRun(
            folder=str(folder),
            recipe="",
            preset="",
            seeds=(),
            trial=False,
            state="damaged",
            stages=0,
            stages_done=0,
            when=_shown_time(folder.stat().st_mtime),
            bytes=0,
            result=str(InputError(str(error))),
            command="",
        )


def _shown_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _listed(runs: Path, folder: Path) -> ListedRun:
    made = read_run(folder)
    stages = [runs / "stages" / name / key for name, key in listed_stages(folder / STAGE_LIST)]
    done = [stage for stage in stages if (stage / MANIFEST).exists()]
    record = folder / RECORD
    newest = max(path.stat().st_mtime for path in (record, folder / STAGE_LIST) if path.exists())
    recipe, preset, seeds, result, command = _of_record(record)
    if made is not None:
        preset, command = made.preset, made.command
        recipe = recipe or (made.recipe.stem if made.recipe else "")
        seeds = tuple(made.options.get("seeds", seeds))
    return ListedRun(
        folder=str(folder),
        recipe=recipe,
        preset=preset,
        seeds=seeds,
        trial=made is not None and made.trial,
        state=_state(stages, len(done), record.exists()),
        stages=len(stages),
        stages_done=len(done),
        when=_shown_time(newest),
        bytes=sum(map(folder_bytes, stages)),
        result=result,
        command=command,
    )


def _state(stages: list[Path], done: int, has_record: bool) -> str:
    missing = [stage for stage in stages if not (stage / MANIFEST).exists()]
    if any(stage.exists() and is_locked(stage) for stage in missing):
        return "running"
    if not missing:
        return "done" if has_record else "partial"
    if any((stage / FAILURE).exists() and not was_stopped(stage) for stage in missing):
        return "failed"
    return "stopped" if any(stage.exists() for stage in missing) else "partial"


def _of_record(path: Path) -> tuple[str, str, tuple[int, ...], str, str]:
    """Return recipe, preset, seeds, main figure and command of a record; empty where there is none."""
    from ulmfit.evaluation.metric_text import METRIC_TITLES, shown_number, shown_values
    from ulmfit.evaluation.record import read_record
    from ulmfit.evaluation.row import reference_row

    if not path.exists():
        return "", "", (), "", ""
    try:
        record = read_record(path)
    except InputError as error:
        return "", "", (), str(error), ""
    row, result = reference_row(record.rows), ""
    if row is not None and record.dataset is not None:
        metric = record.dataset.metric
        result = f"{METRIC_TITLES[metric]} {shown_values(metric, row.metrics[metric])} ({row.name})"
    elif record.language_models:
        model = record.language_models[-1]
        perplexity = shown_number("word_perplexity", model.word_perplexity or float("nan"))
        result = f"word perplexity {perplexity} ({model.name}, {model.direction}, {model.split})"
    return record.recipe, record.preset, record.seeds, result, record.command
