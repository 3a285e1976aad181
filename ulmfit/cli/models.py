"""Commands for trained models: write a bundle, predict with it, measure it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ulmfit.cli.options import Changes, RecipeArgument, RunsOption, with_changes
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path
from ulmfit.pipeline.printing import show, show_data
from ulmfit.pipeline.progress import Progress

if TYPE_CHECKING:
    from ulmfit.bundle.inputs import Row

BundleArgument = Annotated[
    Path, typer.Argument(help="a folder that ulmfit bundle wrote, or hf:OWNER/NAME@REVISION")
]
TextColumnOption = Annotated[
    list[str] | None,
    typer.Option(help="column of the texts, may be repeated; default: those that the model was trained on"),
]
DeviceOption = Annotated[str, typer.Option(help="auto: a GPU where there is one; cpu, cuda, cuda:1")]
PrecisionOption = Annotated[
    str, typer.Option(help="of computing: run (as the results table was made), fp32, bf16 or auto")
]
FORMS = ("lines", "csv", "jsonl")
MOST_LISTED = 20


@with_changes("preset", "overrides", "seeds", "language_model")
def bundle(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Argument(help="folder of the bundle, new or an earlier bundle")],
    changes: Changes,
    row: Annotated[
        str | None, typer.Option(help="row of the results table; default: all directions and seeds")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="one seed of the row; default: all, averaged")] = None,
    kind: Annotated[
        str | None, typer.Option(help="classifier or language_model; default: what the recipe ends with")
    ] = None,
    precision: Annotated[str, typer.Option(help="of the stored weights: fp16 or fp32")] = "fp16",
    runs: RunsOption = Path("runs"),
) -> None:
    """Write a finished recipe's classifier (or language model) as one folder to use and to share."""
    from ulmfit.bundle.save import write_bundle
    from ulmfit.pipeline.runner import FinishedRunner

    if kind not in (None, "classifier", "language_model"):
        raise InputError(f"--kind {kind}: expected classifier or language_model")
    if precision not in ("fp16", "fp32"):
        raise InputError(f"--precision {precision}: expected fp16 or fp32")
    chosen, runs = changes.chosen(recipe, runs)
    description = write_bundle(
        chosen,
        FinishedRunner(runs),
        out,
        kind=kind,  # type: ignore[arg-type]
        row=row,
        seed=seed,
        weights=precision,  # type: ignore[arg-type]
        log=show,
    )
    models = f"{len(description.members)} model{'s' if len(description.members) > 1 else ''}"
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    show(f"{out}: {description.row or 'language model'}, {models}, {size / 1e6:.1f} MB")
    if description.kind == "classifier":
        show(f"to use it: echo 'some text' | ulmfit predict {out}")
    else:
        show(f"to use it: ulmfit run RECIPE --language-model {out}")


def predict(
    bundle: BundleArgument,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]", help="CSV, TSV, JSONL or Parquet; default: lines on standard input"
        ),
    ] = None,
    text_column: TextColumnOption = None,
    id_column: Annotated[str, typer.Option(help="column of the ids, if there is one")] = "id",
    form: Annotated[
        str | None, typer.Option("--format", help="lines, csv or jsonl; default: by --out, else lines")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="file of the output; default: standard output")] = None,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="probabilities at the temperature fitted on validation")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="what each word did for the label; lines or jsonl")
    ] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "run",
) -> None:
    """Label texts: lines of standard input, or a table; their order and ids stay."""
    from ulmfit.bundle.classifier import TextClassifier
    from ulmfit.bundle.inputs import check_is_table, lines_of, rows_of
    from ulmfit.bundle.outputs import Writer
    from ulmfit.bundle.predict import predicted

    form = form or (out.suffix.lower().removeprefix(".") if out else "lines")
    if form not in FORMS:
        raise InputError(f"--format {form}: expected {', '.join(FORMS)}")
    if explain and form == "csv":
        raise InputError("--explain: a row of CSV has no place for words: use --format lines or jsonl")
    if source is not None:
        check_is_table(source)
    elif text_column:
        raise InputError("--text-column: standard input has lines, no columns: name a table as INPUT")
    check_precision(precision)
    classifier = TextClassifier.load(bundle, device=device, precision=precision)  # type: ignore[arg-type]
    description = classifier.description
    rows: Iterator[Row]
    if source is None:
        rows = lines_of(sys.stdin.buffer)
    else:
        columns = tuple(text_column or description.text_columns)
        rows = rows_of(source, columns, field_marks=description.field_marks, id_column=id_column)
    writer = Writer(description, form)  # type: ignore[arg-type]
    progress = Progress(None, "texts", "predict", lambda line: show(line, sys.stderr))
    empty: list[int] = []
    with _output(out) as write:
        write(writer.header())
        for block in predicted(classifier, rows, calibrated=calibrated, explain=explain):
            progress.advance(len(block))
            empty += [one.number for one in block if one.numbers is None]
            write(writer.text(block))
    progress.close()
    if empty:
        listed = ", ".join(map(str, empty[:MOST_LISTED]))
        more = f" and {len(empty) - MOST_LISTED} more" if len(empty) > MOST_LISTED else ""
        show(f"no text in row {listed}{more}: no prediction there", sys.stderr)


def evaluate(
    bundle: BundleArgument,
    data: Annotated[Path, typer.Argument(help="a labelled CSV, TSV, JSONL or Parquet file")],
    text_column: TextColumnOption = None,
    label_column: Annotated[str, typer.Option(help="column of the labels")] = "label",
    separator: Annotated[str, typer.Option(help="what stands between several labels of a cell")] = "|",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "run",
) -> None:
    """Measure a saved classifier on a labelled file; prints each metric, the data set's own first."""
    from ulmfit.bundle.classifier import TextClassifier
    from ulmfit.bundle.evaluate import evaluate as measure

    check_precision(precision)
    classifier = TextClassifier.load(bundle, device=device, precision=precision)  # type: ignore[arg-type]
    progress = Progress(None, "texts", "evaluate", lambda line: show(line, sys.stderr))
    figures = measure(
        classifier,
        data,
        text_columns=text_column or (),
        label_column=label_column,
        separator=separator,
        progress=progress,
    )
    progress.close()
    main = classifier.description.metric
    for name in sorted(figures, key=lambda name: name != main):
        show(f"{name:<18} {figures[name]:.4f}")


def check_precision(precision: str) -> None:
    """Raise InputError for a --precision that does not exist."""
    if precision not in ("run", "auto", "fp32", "bf16"):
        raise InputError(f"--precision {precision}: expected run, fp32, bf16 or auto")


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield what writes text: to a file, which appears whole, or to standard output."""
    if path is None:
        yield show_data
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield lambda text: (file.write(text), None)[1]
