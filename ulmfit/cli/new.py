"""`new`: a recipe for a new language or data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ulmfit.pipeline.printing import show


def new(
    language: Annotated[str, typer.Argument(help="code or name: fi, Finnish")],
    task: Annotated[str, typer.Argument(help="name of the task, which names the recipe: sentiment")],
    data: Annotated[
        Path, typer.Option(help="labelled texts: CSV, TSV, JSON, JSON Lines, Parquet, also compressed; .txt")
    ],
    test: Annotated[
        Path | None, typer.Option(help="labelled texts to test on; default: a fifth of --data")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of recipes; the recipe is OUT/LANGUAGE/TASK.py")] = Path(
        "recipes"
    ),
    text_column: Annotated[
        list[str] | None, typer.Option(help="column of the texts, may be repeated; default: found out")
    ] = None,
    label_column: Annotated[str, typer.Option(help="column of the labels; default: found out")] = "",
    kind: Annotated[
        str, typer.Option(help="single_label, multi_label or regression; default: found out")
    ] = "",
    label_separator: Annotated[
        str, typer.Option(help="what stands between several labels of a cell; default: found out")
    ] = "",
    metric: Annotated[str, typer.Option(help="to rank by; default: chosen by the labels")] = "",
    encoding: Annotated[str, typer.Option(help="such as cp1250; default: found out")] = "",
    separator: Annotated[
        str, typer.Option(help="between the columns of a CSV file; default: found out")
    ] = "",
    language_model: Annotated[
        Path | None, typer.Option(help="bundle of a language model; default: a released one, or Wikipedia")
    ] = None,
) -> None:
    """Write a recipe for a file of labelled texts, after saying what is in it and checking it."""
    from ulmfit.experiments.new_recipe.new import Given, new_recipe

    given = Given(
        text_columns=tuple(text_column or ()),
        label_column=label_column,
        task=kind,
        label_separator=label_separator,
        metric=metric,
        encoding=encoding,
        separator=separator,
        model=language_model,
    )
    new_recipe(language, task, data, test, out, given, show)
