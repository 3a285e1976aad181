"""How a recipe stands and what is left of it: `plan`, `status`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ulmfit.cli.options import Changes, MirrorOption, RecipeArgument, RunsOption, with_changes
from ulmfit.pipeline.load import busy_advice
from ulmfit.pipeline.printing import printable, show
from ulmfit.pipeline.progress import duration

if TYPE_CHECKING:
    from ulmfit.experiments.driver import StageState
    from ulmfit.experiments.forecast import Forecast


@with_changes()
def plan(
    recipe: RecipeArgument,
    changes: Changes,
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="measure nothing: rates that are not known yet are guessed")
    ] = False,
) -> None:
    """Show time, memory and disk of each stage; builds nothing. Measures this machine once, for seconds."""
    from ulmfit.experiments import driver

    chosen, runs = changes.chosen(recipe, runs)
    states = driver.states(chosen, runs, mirror, checked=True, measure=not quick)
    lines = [("stage", "key", "state", "time", "memory", "disk", "from")]
    for state in states:
        time, memory, disk, basis = _done(state) if state.forecast is None else _costs(state.forecast)
        lines.append((state.title, state.key, state.state, time, memory, disk, basis))
    _print(lines)
    show(_total(states, runs))
    if any(state.forecast for state in states) and (advice := busy_advice()):
        show(f"these times are for a free machine: {advice}")


@with_changes()
def status(
    recipe: RecipeArgument,
    changes: Changes,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show which stages are done, running, stopped, failed or missing, and how long the rest will take."""
    from ulmfit.experiments import driver

    chosen, runs = changes.chosen(recipe, runs)
    states = driver.states(chosen, runs)
    lines = []
    for state in states:
        seconds = "" if state.seconds is None else duration(state.seconds)
        last = printable(state.last_line)
        if state.state == "stopped":
            last = "; ".join(filter(None, ["the same command goes on", last]))
        lines.append((state.title, state.key, state_in_words(state), seconds, last))
    _print(lines)
    if left := driver.time_left(states):
        show(left)


def state_in_words(state: StageState) -> str:
    """Return how a stage stands, with the share of a training that its last checkpoint has done."""
    if state.state == "done" or state.share is None:
        return state.state
    return f"{state.state} at {100 * state.share:.0f} %"


def _done(state: StageState) -> tuple[str, str, str, str]:
    return duration(state.seconds or 0), "", _size(state.bytes), ""


def _costs(forecast: Forecast) -> tuple[str, str, str, str]:
    time = "?" if forecast.seconds is None else f"~{duration(forecast.seconds)}"
    return time, _size(forecast.memory, "~"), _size(forecast.disk, "~"), forecast.basis


def _size(size: float | None, mark: str = "") -> str:
    """Return bytes in words; `mark` stands before an estimate."""
    if size is None:
        return "?"
    return f"{mark}{size / 1e9:.1f} GB" if size >= 1e9 else f"{mark}{size / 1e6:.1f} MB"


def _total(states: Sequence[StageState], runs: Path) -> str:
    """Return the last line of a plan: what is left as a whole."""
    from ulmfit.experiments.forecast import total

    missing = [state.forecast for state in states if state.forecast is not None]
    size = _size(sum(state.bytes for state in states if state.forecast is None))
    done = f"{len(states) - len(missing)} of {len(states)} stages are done ({size})"
    if not missing:
        return f"total: {done}; nothing would run"
    whole = total(missing)
    least = "at least " if whole.basis else ""
    there = next(folder for folder in (runs.resolve(), *runs.resolve().parents) if folder.exists())
    free = _size(shutil.disk_usage(there).free)
    unknown = f" ({whole.basis})" if whole.basis else ""
    return (
        f"total: {done}; {len(missing)} would run: {least}~{duration(whole.seconds or 0)}{unknown}, "
        f"{_size(whole.memory, '~')} memory, {least}{_size(whole.disk, '~')} disk of {free} free"
    )


def _print(lines: Sequence[tuple[str, ...]]) -> None:
    """Print lines as a table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)]
        show("  ".join(cells).rstrip())
