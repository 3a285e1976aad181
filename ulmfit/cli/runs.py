"""A recipe's run: `run`, `plan`, `status`, `clean`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.options import (
    Changes,
    LauncherOption,
    MirrorOption,
    RunsOption,
    SlurmOption,
    with_changes,
)
from ulmfit.cli.records import print_leaderboard, print_results
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import is_whole_number
from ulmfit.pipeline.printing import show


@with_changes()
def run(
    recipes: Annotated[
        list[str],
        typer.Argument(help="recipe files, names of those of the package, folders of recipes, or of a run"),
    ],
    changes: Changes,
    until: Annotated[str | None, typer.Option(help="last kind of stage to build")] = None,
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
    launcher: LauncherOption = "local",
    slurm: SlurmOption = None,
) -> None:
    """Build what is missing of a recipe, then its record and report; of several, a leaderboard as well."""
    from ulmfit.experiments import driver
    from ulmfit.experiments.run_folder import RECORD
    from ulmfit.pipeline.slurm import choose_cluster

    cluster = choose_cluster(launcher, slurm or [])
    chosen, runs = changes.all_chosen(recipes, runs)
    if len(chosen) == 1:
        folder = driver.run(chosen[0], runs, mirror, until, cluster)
        if folder is not None:
            print_results(folder)
        return
    folders, failures = driver.run_all(chosen, runs, mirror, until, cluster)
    if folders:
        print_leaderboard([folder / RECORD for folder in folders], runs)
    if failures:
        raise StageFailed(f"{len(failures)} of {len(chosen)} recipes failed: {'; '.join(failures)}")


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


def runs_(
    runs: RunsOption = Path("runs"),
    json_: Annotated[bool, typer.Option("--json", help="a JSON list for other programs")] = False,
) -> None:
    """List the runs of a folder: state, size, result, and the command that goes on with each."""
    import json

    from ulmfit.experiments.run_list import list_runs
    from ulmfit.pipeline.printing import show_data

    found = list_runs(runs)
    if json_:
        listed = [dataclasses.asdict(run) for run in found]
        show_data(json.dumps(listed, ensure_ascii=False, indent=1) + "\n")
        return
    for run in found:
        if run.state == "damaged":
            show(f"{run.folder}  damaged, {run.when}\n    {run.result}")
            continue
        stages = "" if run.state == "done" else f", {run.stages_done} of {run.stages} stages"
        trial = "trial; " if run.trial else ""
        show(f"{run.folder}  {run.state}{stages}, {run.when}, {run.bytes / 1e6:,.1f} MB")
        if run.result:
            show(f"    {trial}{run.result}")
        show(f"    {run.command or 'an earlier version made it: its command is not known'}")
    if not found:
        show(f"no runs below {runs}")
