"""The command line: parses, calls, prints.

Exit status: 0 done, 2 wrong input, 130 Ctrl-C, 143 SIGTERM, 1 anything else.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ulmfit.assets import MIRROR_VARIABLE
from ulmfit.errors import InputError, StageFailed

if TYPE_CHECKING:
    from ulmfit.recipe import Recipe

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")
"""What torch says of a GPU's memory and of the machine's."""

app = typer.Typer(
    help="ULMFiT for morphologically rich languages: from a Wikipedia dump to a results table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecipeArgument = Annotated[str, typer.Argument(help="a recipe file, or the name of one that came along")]
PresetOption = Annotated[str | None, typer.Option(help="one of the recipe's presets")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE, may be repeated")]
SeedsOption = Annotated[str | None, typer.Option(help="such as 0,1,2")]
TrainSizesOption = Annotated[
    str | None, typer.Option(help="learning curve over these numbers of training texts: 100,500,all")
]
LabelNoiseOption = Annotated[
    str | None, typer.Option(help="curve over these shares of wrong training labels: 0,0.1,0.3")
]
RunsOption = Annotated[Path, typer.Option(help="folder of all results")]
MirrorOption = Annotated[
    Path | None, typer.Option(envvar=MIRROR_VARIABLE, help="folder that is searched before downloading")
]

LauncherOption = Annotated[str, typer.Option(help="local, or slurm: every stage is a job")]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="KEY=VALUE for the jobs, such as partition=gpu, may be repeated"),
]


def _load(
    recipe: Recipe,
    preset: str | None,
    overrides: list[str] | None,
    seeds: str | None,
    train_sizes: str | None = None,
    label_noise: str | None = None,
) -> Recipe:
    from ulmfit.recipe import validated

    if preset is not None:
        recipe = validated(lambda: recipe.changed(preset=preset), f"--preset {preset}")
    for option, text, read, expected in (
        ("seeds", seeds, int, "numbers with commas, such as 0,1,2"),
        ("train_sizes", train_sizes, _train_size, "numbers with commas, or all, such as 100,500,all"),
        ("label_noise", label_noise, float, "shares with commas, such as 0,0.1,0.3"),
    ):
        if text is not None:
            recipe = _with_list(recipe, option, text, read, expected)
    return recipe.with_overrides(overrides or [])


def _with_list(recipe: Recipe, field: str, text: str, read: Callable[[str], Any], expected: str) -> Recipe:
    """Return a copy whose `field` is the list that an option of the same name gives with commas."""
    from ulmfit.recipe import validated

    option = f"--{field.replace('_', '-')} {text}"
    try:
        values = tuple(read(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option}: expected {expected}") from error
    return validated(lambda: recipe.changed(**{field: values}), option)


def _train_size(text: str) -> int | str:
    return text if text == "all" else int(text)


def _recipe(
    reference: str,
    preset: str | None,
    overrides: list[str] | None,
    seeds: str | None,
    train_sizes: str | None = None,
    label_noise: str | None = None,
) -> Recipe:
    from ulmfit.recipe import load_recipe

    return _load(load_recipe(reference), preset, overrides, seeds, train_sizes, label_noise)


@app.command()
def run(
    recipe: RecipeArgument,
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    until: Annotated[str | None, typer.Option(help="last kind of stage to build")] = None,
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
    launcher: LauncherOption = "local",
    slurm: SlurmOption = None,
) -> None:
    """Build what is missing of a recipe, then its record and report."""
    _run(
        _recipe(recipe, preset, overrides, seeds, train_sizes, label_noise),
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
    from ulmfit import driver
    from ulmfit.slurm import choose_cluster

    folder = driver.run(recipe, runs, mirror, until, choose_cluster(launcher, slurm_options or []))
    if folder is not None:
        _print_results(folder)


def _print_results(folder: Path) -> None:
    from ulmfit.evaluation.record import read_record
    from ulmfit.evaluation.table import text_table
    from ulmfit.results import RECORD, REPORT

    print(f"\n{text_table(read_record(folder / RECORD))}\nreport: {folder / REPORT}")


@app.command()
def plan(
    recipe: RecipeArgument,
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show the stages, their keys, what is done and what would run; runs nothing."""
    from ulmfit import driver

    earlier = driver.earlier_seconds(runs)
    for state in driver.states(_recipe(recipe, preset, overrides, seeds, train_sizes, label_noise), runs):
        if state.state == "done":
            remark = f"done in {state.seconds:.1f} s, {state.bytes / 1e6:.1f} MB"
        elif state.stage in earlier:
            remark = f"would run; the median of such stages here took {earlier[state.stage]:.0f} s"
        else:
            remark = "would run; no such stage has been built here yet"
        print(f"{state.stage:<16} {state.key}  {remark}")


@app.command()
def status(
    recipe: RecipeArgument,
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show which stages are done, running, failed or missing, with the last line of their logs."""
    from ulmfit import driver

    for state in driver.states(_recipe(recipe, preset, overrides, seeds, train_sizes, label_noise), runs):
        seconds = "" if state.seconds is None else f"{state.seconds:.1f} s"
        print(f"{state.stage:<16} {state.key}  {state.state:<8} {seconds:>10}  {state.last_line}")


@app.command()
def report(
    recipe: RecipeArgument,
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    train_sizes: TrainSizesOption = None,
    label_noise: LabelNoiseOption = None,
    runs: RunsOption = Path("runs"),
    publish: Annotated[
        Path | None, typer.Option(help="folder recipes/LANGUAGE: copy record and logs there, renew its table")
    ] = None,
    errors: Annotated[int, typer.Option(min=0, help="most confident errors that the page shows")] = 20,
) -> None:
    """Write a recipe's Markdown table and HTML page again from its finished stages."""
    from ulmfit import results
    from ulmfit.runner import Runner

    chosen = _recipe(recipe, preset, overrides, seeds, train_sizes, label_noise)
    folder = runs / chosen.run_name
    results.rewrite(chosen, Runner(runs), folder, errors)
    _print_results(folder)
    if publish is not None:
        for path in results.publish(chosen, Runner(runs), folder, publish):
            print(f"wrote {path}")


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
    from ulmfit import rates

    found, plot = rates.find_rate(_recipe(recipe, preset, overrides, None), stage, runs, mirror)
    print(f"suggested learning rate: {found.valley:.2g} (valley), {found.steep:.2g} (steepest)")
    print(f"to use it: --set {stage}.phases.0.learning_rate={found.valley:.2g}\nplot: {plot}")


@app.command()
def clean(
    older: Annotated[str, typer.Option(help="unchanged for this many days, such as 30d")] = "0d",
    runs: RunsOption = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False,
) -> None:
    """List, then remove, stage folders that no recipe's list names."""
    from ulmfit import driver

    if not older.removesuffix("d").isdigit():
        raise InputError(f"--older {older}: expected a number of days, such as 30d")
    folders = driver.unused(runs, float(older.removesuffix("d")))
    for folder, size in folders:
        print(f"{size / 1e6:10.1f} MB  {folder}")
    if not folders:
        print("nothing to remove")
    elif yes or typer.confirm(f"remove these {len(folders)} folders?"):
        for folder in driver.remove([folder for folder, _ in folders]):
            print(f"{folder} is being built; it was left alone")


@app.command()
def extract(
    dump: Annotated[Path, typer.Argument(help="a pages-articles dump, .xml.bz2 or .xml")],
    out: Annotated[Path, typer.Argument(help="folder for documents.parquet and account.json")],
    language: Annotated[str | None, typer.Option(help="language code; default: what the dump says")] = None,
    engine: Annotated[str, typer.Option(help="wikiextractor, which expands templates, or fast")] = (
        "wikiextractor"
    ),
    headings: Annotated[bool, typer.Option(help="keep the headings of sections")] = True,
    workers: Annotated[int, typer.Option(min=0, help="processes; 0: one a core")] = 0,
) -> None:
    """Turn a dump into documents.parquet and account.json, without a recipe."""
    from ulmfit.corpus.extract import extract as extract_dump
    from ulmfit.progress import say

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
) -> None:
    """Convert a language model of fastai or MultiFiT to our layout; runs no code from its files."""
    from ulmfit.language_model.imported import import_into_new_folder
    from ulmfit.progress import say

    import_into_new_folder(weights, vocabulary, out, direction, description, say)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="extract, encode, loader, lm or precision")],
    dump: Annotated[Path | None, typer.Argument(help="extract: a dump; default: a generated one")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="extract: compare texts, not speed, on the dumps in this folder")
    ] = None,
    documents: Annotated[
        Path | None, typer.Option(help="encode: a documents.parquet; default: a generated one")
    ] = None,
    megabytes: Annotated[int | None, typer.Option(min=1, help="size of the generated input")] = None,
    repetitions: Annotated[
        int, typer.Option(min=1, help="how often each program runs; precision: how many seeds")
    ] = 3,
    recipe: Annotated[
        str | None, typer.Option(help="precision: a recipe, whose language model is trained")
    ] = None,
    preset: PresetOption = None,
    overrides: SetOption = None,
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
    model: Annotated[str | None, typer.Option(help="lm: full, small, qrnn, quick or all")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="lm: measured steps of a process")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object a case")] = False,
) -> None:
    """Measure this project beside the stock library, in one run, in alternating processes."""
    from ulmfit.bench.run import Options
    from ulmfit.bench.run import bench as run_bench

    if recipe is None and (preset or overrides):
        raise InputError("--preset and --set belong to a recipe: give --recipe as well, or leave them out")
    chosen = None if recipe is None else _recipe(recipe, preset, overrides, None)
    options = Options(dump, reference, documents, megabytes, repetitions, chosen, runs, mirror, model, steps)
    report = run_bench(name, options, lambda line: print(line, file=sys.stderr, flush=True))
    for case in report.cases if as_json else ():
        print(json.dumps(case, ensure_ascii=False, allow_nan=False))
    if not as_json:
        print(report.table)


def run_recipe_as_program(recipe: Recipe) -> NoReturn:
    """Run a recipe file as a program, with the options of `ulmfit run`."""
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @program.command(help=f"Run {recipe.name}: {recipe.title}.")
    def command(
        preset: PresetOption = None,
        overrides: SetOption = None,
        seeds: SeedsOption = None,
        train_sizes: TrainSizesOption = None,
        label_noise: LabelNoiseOption = None,
        until: Annotated[str | None, typer.Option(help="last kind of stage to build")] = None,
        runs: RunsOption = Path("runs"),
        mirror: MirrorOption = None,
        launcher: LauncherOption = "local",
        slurm: SlurmOption = None,
    ) -> None:
        _run(
            _load(recipe, preset, overrides, seeds, train_sizes, label_noise),
            runs,
            mirror,
            until,
            launcher,
            slurm,
        )

    guarded(program)


def main() -> NoReturn:
    """Run the command line."""
    guarded(app)


def guarded(program: typer.Typer) -> NoReturn:
    """Run `program`; every error is one line and an exit status, `--debug` anywhere shows its traceback."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        program(arguments)
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"ulmfit: {describe(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)
    sys.exit(0)


def describe(error: BaseException) -> str:
    """Return an error on one line, with what to do where that is known."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = f" ({error.filename})" if error.filename else ""
        return f"the disk is full{place}: free some space and run the same command again"
    # fastai puts a line of its own before the message of an error in a callback.
    lines = [line.strip() for line in str(error).splitlines() if "Exception occured in `" not in line] or [""]
    if isinstance(error, (InputError, StageFailed)):
        return lines[0]
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
        return f"out of memory: try a smaller batch_size ({lines[0]})"
    return f"{type(error).__name__}: {lines[0]} (--debug shows where)"


def _stop(signal_number: int, frame: object) -> NoReturn:
    print("\nulmfit: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
    sys.exit(128 + signal_number)


@app.command()
def explain(
    recipe: RecipeArgument,
    document: Annotated[str, typer.Option(help="id of a text of the test split")],
    preset: PresetOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show what each word of a text did for the label that the finished classifiers predict."""
    from ulmfit import error_report
    from ulmfit.runner import Runner

    chosen = _recipe(recipe, preset, overrides, seeds)
    print("\n".join(error_report.explain_document(chosen, Runner(runs), document)))


if __name__ == "__main__":
    main()
