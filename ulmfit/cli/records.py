"""What a run leaves: `report`, `leaderboard`, `pages`, `verify`, `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.options import (
    Changes,
    MirrorOption,
    RecipeArgument,
    RunsOption,
    VerifyRunsOption,
    bundle_file,
    with_changes,
)
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.printing import show


@with_changes()
def report(
    recipes: Annotated[
        list[str], typer.Argument(help="recipe files, names of those of the package, or runs' folders")
    ],
    changes: Changes,
    runs: RunsOption = Path("runs"),
    publish: Annotated[
        Path | None, typer.Option(help="folder recipes/LANGUAGE: copy record and logs there, renew its table")
    ] = None,
    errors: Annotated[int, typer.Option(min=0, help="most confident errors that the page shows")] = 20,
) -> None:
    """Write a recipe's table and page again from its finished stages; of several, a leaderboard as well."""
    from ulmfit.experiments import publish as pages
    from ulmfit.experiments import results
    from ulmfit.pipeline.runner import FinishedRunner

    if publish is not None and len(recipes) > 1:
        raise InputError(
            f"--publish {publish}: expected one recipe, not {len(recipes)}; publish each by itself"
        )
    chosen = [changes.chosen(recipe, runs) for recipe in recipes]
    for one, root in chosen:
        folder = root / one.run_name
        results.rewrite(one, FinishedRunner(root), folder, errors)
        print_results(folder)
        if publish is not None:
            for path in pages.publish(one, FinishedRunner(root), folder, publish):
                show(f"wrote {path}")
    if len(chosen) > 1:
        print_leaderboard([root / one.run_name / results.RECORD for one, root in chosen], runs)


def print_results(folder: Path) -> None:
    """Print the table of a run's folder, and where its report is."""
    from ulmfit.evaluation.record import read_record
    from ulmfit.experiments.results import RECORD, REPORT
    from ulmfit.report.text_table import terminal_width, text_table

    show(f"\n{text_table(read_record(folder / RECORD), terminal_width())}\nreport: {folder / REPORT}")


def leaderboard(
    records: Annotated[list[Path], typer.Argument(help="record.json files, or runs' folders")],
    out: Annotated[Path, typer.Option(help="folder for leaderboard.md and leaderboard.html")] = Path("runs"),
) -> None:
    """Compare several records in one table: one row per model, one column per task."""
    print_leaderboard([record_file(record) for record in records], out)


def print_leaderboard(records: list[Path], folder: Path) -> None:
    """Write the leaderboard of some records into a folder, and print it."""
    from ulmfit.experiments import publish as pages

    show(f"\n{pages.write_leaderboard(records, folder)}\nleaderboard: {folder / pages.BOARD_PAGE}")


def pages(
    checkout: Annotated[Path, typer.Argument(help="folder with README.md, recipes/, benchmarks/")] = Path(
        "."
    ),
) -> None:
    """Renew all tables in the pages of a checkout from its committed records."""
    from ulmfit.experiments.publish import renew_pages

    for path in renew_pages(checkout):
        show(f"wrote {path}")


def verify(
    record: Annotated[
        Path, typer.Argument(help="a record.json, such as one under recipes/, or a run's folder")
    ],
    runs: VerifyRunsOption = None,
    mirror: MirrorOption = None,
    recipe: Annotated[
        str | None, typer.Option(help="the recipe's file, if it is not found by the record's name")
    ] = None,
    language_model: Annotated[
        Path | None, typer.Option(help="the bundle that the run began with, if it did")
    ] = None,
) -> None:
    """Run what a record names again and compare every figure; exit status 1 when one is outside."""
    from ulmfit.experiments.verify import verify as verify_record

    model = None if language_model is None else bundle_file(language_model)
    verify_record(record_file(record), runs, mirror, recipe, model)


def record_file(path: Path) -> Path:
    """Return the record of a run's folder; another path is a record's own."""
    from ulmfit.experiments.results import RECORD

    return path / RECORD if path.is_dir() else path


@with_changes("preset", "overrides", "seeds", "language_model")
def explain(
    recipe: RecipeArgument,
    document: Annotated[str, typer.Option(help="id of a text of the test split")],
    changes: Changes,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show what each word of a text did for the label that the finished classifiers predict."""
    from ulmfit.experiments import explain as error_report
    from ulmfit.pipeline.runner import FinishedRunner

    chosen, runs = changes.chosen(recipe, runs)
    show("\n".join(error_report.explain_document(chosen, FinishedRunner(runs), document)))
