"""A recipe's run: `run`, `plan`, `status`, `clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.options import (
    Changes,
    LauncherOption,
    MirrorOption,
    RecipeArgument,
    RunsOption,
    SlurmOption,
    with_changes,
)
from ulmfit.cli.records import print_results
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import is_whole_number
from ulmfit.pipeline.printing import printable, show


@with_changes()
def run(
    recipe: RecipeArgument,
    changes: Changes,
    until: Annotated[str | None, typer.Option(help="last kind of stage to build")] = None,
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
    launcher: LauncherOption = "local",
    slurm: SlurmOption = None,
) -> None:
    """Build what is missing of a recipe, then its record and report."""
    from ulmfit.experiments import driver
    from ulmfit.pipeline.slurm import choose_cluster

    chosen = changes.recipe(recipe)
    folder = driver.run(chosen, runs, mirror, until, choose_cluster(launcher, slurm or []))
    if folder is not None:
        print_results(folder)


@with_changes()
def plan(
    recipe: RecipeArgument,
    changes: Changes,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show the stages, their keys, what is done and what would run; runs nothing."""
    from ulmfit.experiments import driver

    chosen = changes.recipe(recipe)
    states = driver.states(chosen, runs, checked=True)
    width = max(len(state.title) for state in states)
    for state in states:
        if state.state == "done":
            remark = f"done in {state.seconds:.1f} s, {state.bytes / 1e6:.1f} MB"
        else:
            again = f" again, {state.last_line}" if state.state == "altered" else ""
            like = "" if state.estimate is None else f"; stages like it took {state.estimate:.1f} s here"
            remark = f"would run{again}{like}"
        show(f"{state.title:<{width}} {state.key}  {remark}")


@with_changes()
def status(
    recipe: RecipeArgument,
    changes: Changes,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show which stages are done, running, failed or missing, with the last line of their logs."""
    from ulmfit.experiments import driver

    states = driver.states(changes.recipe(recipe), runs)
    width = max(len(state.title) for state in states)
    for state in states:
        seconds = "" if state.seconds is None else f"{state.seconds:.1f} s"
        last = printable(state.last_line)
        show(f"{state.title:<{width}} {state.key}  {state.state:<8} {seconds:>10}  {last}")


def clean(
    older: Annotated[str, typer.Option(help="unchanged for this many days, such as 30d")] = "0d",
    runs: RunsOption = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False,
) -> None:
    """List, then remove, stage folders that no recipe's latest run or record is made from."""
    from ulmfit.experiments import driver

    if not is_whole_number(older.removesuffix("d")):
        raise InputError(f"--older {older}: expected a number of days, such as 30d")
    folders = driver.unused(runs, float(older.removesuffix("d")))
    for folder in driver.linked(runs):
        show(f"{folder} is a link or lies below one; it is left alone")
    for folder, size in folders:
        show(f"{size / 1e6:10.1f} MB  {folder}")
    if not folders:
        show("nothing to remove")
    elif yes or typer.confirm(f"remove these {len(folders)} folders?"):
        for folder in driver.remove([folder for folder, _ in folders]):
            show(f"{folder} is being built; it was left alone")
