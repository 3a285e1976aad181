"""The command line: parses, calls, prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ulmfit.cli import models
from ulmfit.cli.errors import guarded
from ulmfit.cli.options import (
    LabelNoiseOption,
    LanguageModelOption,
    LauncherOption,
    MirrorOption,
    PresetOption,
    RecipeArgument,
    RunsOption,
    SeedsOption,
    SetOption,
    SlurmOption,
    TrainSizesOption,
    VerifyRunsOption,
    chosen_recipe,
)
from ulmfit.pipeline.child_processes import import_safely
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import is_whole_number
from ulmfit.pipeline.printing import printable, show
from ulmfit.training.openmp import wait_briefly

if TYPE_CHECKING:
    from ulmfit.experiments.recipe import Recipe

app = typer.Typer(
    help="ULMFiT for morphologically rich languages: from a Wikipedia dump to a results table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    recipe: RecipeArgument,
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    language_model: LanguageModelOption = None,
    until: Annotated[str | None, typer.Option(help="last kind of stage to build")] = None,
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
    launcher: LauncherOption = "local",
    slurm: SlurmOption = None,
) -> None:
    """Build what is missing of a recipe, then its record and report."""
    _run(
        chosen_recipe(recipe, preset, overrides, seeds, train_sizes, label_noise, language_model),
        runs,
        mirror,
        until,
        launcher,
        slurm,
    )


def _run(
    recipe: Recipe,
    runs: Path,
    mirror: Path | None,
    until: str | None,
    launcher: str,
    slurm_options: list[str] | None,
) -> None:
    from ulmfit.experiments import driver
    from ulmfit.pipeline.slurm import choose_cluster

    folder = driver.run(recipe, runs, mirror, until, choose_cluster(launcher, slurm_options or []))
    if folder is not None:
        _print_results(folder)


def _print_results(folder: Path) -> None:
    from ulmfit.evaluation.record import read_record
    from ulmfit.experiments.results import RECORD, REPORT
    from ulmfit.report.text_table import terminal_width, text_table

    show(f"\n{text_table(read_record(folder / RECORD), terminal_width())}\nreport: {folder / REPORT}")


@app.command()
def plan(
    recipe: RecipeArgument,
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    language_model: LanguageModelOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show the stages, their keys, what is done and what would run; runs nothing."""
    from ulmfit.experiments import driver

    chosen = chosen_recipe(recipe, preset, overrides, seeds, train_sizes, label_noise, language_model)
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


@app.command()
def status(
    recipe: RecipeArgument,
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    language_model: LanguageModelOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show which stages are done, running, failed or missing, with the last line of their logs."""
    from ulmfit.experiments import driver

    states = driver.states(
        chosen_recipe(recipe, preset, overrides, seeds, train_sizes, label_noise, language_model), runs
    )
    width = max(len(state.title) for state in states)
    for state in states:
        seconds = "" if state.seconds is None else f"{state.seconds:.1f} s"
        last = printable(state.last_line)
        show(f"{state.title:<{width}} {state.key}  {state.state:<8} {seconds:>10}  {last}")


@app.command()
def report(
    recipes: Annotated[list[str], typer.Argument(help="recipe files, or names of those that came along")],
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    language_model: LanguageModelOption = None,
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
    chosen = [
        chosen_recipe(recipe, preset, overrides, seeds, train_sizes, label_noise, language_model)
        for recipe in recipes
    ]
    for one in chosen:
        folder = runs / one.run_name
        results.rewrite(one, FinishedRunner(runs), folder, errors)
        _print_results(folder)
        if publish is not None:
            for path in pages.publish(one, FinishedRunner(runs), folder, publish):
                show(f"wrote {path}")
    if len(chosen) > 1:
        _print_leaderboard([runs / one.run_name / results.RECORD for one in chosen], runs)


def _print_leaderboard(records: list[Path], folder: Path) -> None:
    from ulmfit.experiments import publish as pages

    show(f"\n{pages.write_leaderboard(records, folder)}\nleaderboard: {folder / pages.BOARD_PAGE}")


@app.command("find-rate")
def find_rate(
    recipe: RecipeArgument,
    stage: Annotated[str, typer.Option(help="pretrain or finetune")] = "pretrain",
    preset: PresetOption = None,
    overrides: SetOption = None,
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
) -> None:
    """Search a learning rate for a recipe's language model; writes rates.json and rates.svg."""
    from ulmfit.experiments import find_rate as rates

    found, plot = rates.find_rate(chosen_recipe(recipe, preset, overrides, None), stage, runs, mirror)
    show(f"suggested learning rate: {found.valley:.2g} (valley), {found.steep:.2g} (steepest)")
    show(f"to use it: --set {stage}.phases.0.learning_rate={found.valley:.2g}\nplot: {plot}")


@app.command()
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


@app.command()
def extract(
    dump: Annotated[
        Path, typer.Argument(help="a pages-articles dump: .xml, or with .bz2, .xz, .gz or .zst behind it")
    ],
    out: Annotated[Path, typer.Argument(help="folder for documents.parquet and account.json")],
    language: Annotated[str | None, typer.Option(help="language code; default: what the dump says")] = None,
    engine: Annotated[str, typer.Option(help="fast, or wikiextractor, which expands templates")] = ("fast"),
    headings: Annotated[bool, typer.Option(help="keep the headings of sections")] = True,
    workers: Annotated[int, typer.Option(min=0, help="processes; 0: one a core")] = 0,
) -> None:
    """Turn a dump into documents.parquet and account.json, without a recipe."""
    from ulmfit.corpus.extract import extract as extract_dump
    from ulmfit.pipeline.progress import say

    extract_dump(dump, out, language=language, engine=engine, headings=headings, workers=workers, log=say)


@app.command("import")
def import_(
    weights: Annotated[Path, typer.Argument(help="a language model's .pth or .safetensors file")],
    vocabulary: Annotated[Path, typer.Argument(help="its itos.pkl, or .json, .model, .vocab")],
    out: Annotated[Path, typer.Argument(help="new folder for model.safetensors and its descriptions")],
    direction: Annotated[str, typer.Option(help="the way it reads: forward or backward")] = "forward",
    description: Annotated[
        Path | None, typer.Option(help="the model.json that came with it, which has to agree")
    ] = None,
    backward_order: Annotated[
        str,
        typer.Option(
            help="how it read a text a b c backward; bos-first: bos c b a; bos-last: c b a bos, as fastai "
            "v1; eos-first: eos c b a bos, as n-waves"
        ),
    ] = "bos-first",
    tokenizer: Annotated[
        Path | None, typer.Option(help="folder of the tokenizer that will be used, to be tried on --text")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="a text file: which frequent pieces does the tokenizer never write?")
    ] = None,
) -> None:
    """Convert a language model of fastai or MultiFiT to our layout; runs no code from its files."""
    from ulmfit.language_model.imported import import_into_new_folder
    from ulmfit.pipeline.progress import say

    import_into_new_folder(
        weights, vocabulary, out, direction, description, say, backward_order, tokenizer, text
    )


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="extract, encode, loader, lm or classifier")],
    dump: Annotated[Path | None, typer.Argument(help="extract: a dump; default: a generated one")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="extract: compare texts, not speed, on the dumps in this folder")
    ] = None,
    documents: Annotated[
        Path | None, typer.Option(help="encode: a documents.parquet; default: a generated one")
    ] = None,
    megabytes: Annotated[int | None, typer.Option(min=1, help="size of the generated input")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="how often each program runs")] = 3,
    model: Annotated[
        str | None, typer.Option(help="lm, classifier: full, small, quick or all; lm: qrnn")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="lm, classifier: measured steps of a process")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object a case")] = False,
) -> None:
    """Measure this project beside the stock library, in one run, in alternating processes."""
    from ulmfit.bench.run import Options
    from ulmfit.bench.run import bench as run_bench

    options = Options(dump, reference, documents, megabytes, repetitions, model, steps)
    report = run_bench(name, options, lambda line: show(line, sys.stderr))
    for case in report.cases if as_json else ():
        show(json.dumps(case, ensure_ascii=False, allow_nan=False))
    if not as_json:
        show(report.table)


@app.command()
def leaderboard(
    records: Annotated[list[Path], typer.Argument(help="record.json files")],
    out: Annotated[Path, typer.Option(help="folder for leaderboard.md and leaderboard.html")] = Path("runs"),
) -> None:
    """Compare several records in one table: a line a model, a column a task."""
    _print_leaderboard(records, out)


@app.command()
def pages(
    checkout: Annotated[Path, typer.Argument(help="folder with README.md, recipes/, benchmarks/")] = Path(
        "."
    ),
) -> None:
    """Renew all tables in the pages of a checkout from its committed records."""
    from ulmfit.experiments.publish import renew_pages

    for path in renew_pages(checkout):
        show(f"wrote {path}")


@app.command()
def verify(
    record: Annotated[Path, typer.Argument(help="a record.json, such as one under recipes/")],
    runs: VerifyRunsOption = None,
    mirror: MirrorOption = None,
    recipe: Annotated[
        str | None, typer.Option(help="the recipe's file, where it is not found by the record's name")
    ] = None,
) -> None:
    """Run what a record names again and compare every figure; exit status 1 when one is outside."""
    from ulmfit.experiments.verify import verify as verify_record

    verify_record(record, runs, mirror, recipe)


@app.command()
def explain(
    recipe: RecipeArgument,
    document: Annotated[str, typer.Option(help="id of a text of the test split")],
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    language_model: LanguageModelOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show what each word of a text did for the label that the finished classifiers predict."""
    from ulmfit.experiments import explain as error_report
    from ulmfit.pipeline.runner import FinishedRunner

    chosen = chosen_recipe(recipe, preset, overrides, seeds, language_model=language_model)
    show("\n".join(error_report.explain_document(chosen, FinishedRunner(runs), document)))


for command in (models.bundle, models.predict, models.evaluate):
    app.command()(command)


def main() -> NoReturn:
    """Run the command line."""
    wait_briefly()
    import_safely()
    guarded(app)
