"""Options that several commands share, and the recipe that they choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ulmfit.pipeline.assets import MIRROR_VARIABLE, File
from ulmfit.pipeline.errors import InputError

if TYPE_CHECKING:
    from ulmfit.experiments.recipe import Recipe


def _no_file(path: Path | None) -> Path | None:
    if path is not None and path.exists() and not path.is_dir():
        raise InputError(f"--runs {path}: expected a folder; got a file")
    return path


RecipeArgument = Annotated[str, typer.Argument(help="a recipe file, or the name of one that came along")]
PresetOption = Annotated[
    str | None, typer.Option(help="one of the recipe's presets, or a published one: docs/presets.md")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="FIELD=VALUE, may be repeated; relative paths begin in the recipe's folder"),
]
SeedsOption = Annotated[str | None, typer.Option(help="such as 0,1,2")]
TrainSizesOption = Annotated[
    str | None, typer.Option(help="learning curve over these numbers of training texts: 100,500,all")
]
LabelNoiseOption = Annotated[
    str | None, typer.Option(help="curve over these shares of wrong training labels: 0,0.1,0.3")
]
RunsOption = Annotated[Path, typer.Option(help="folder of all results", callback=_no_file)]
VerifyRunsOption = Annotated[
    Path | None,
    typer.Option(
        help="folder of results whose finished stages are used; default: one for verifying",
        callback=_no_file,
    ),
]
MirrorOption = Annotated[
    Path | None, typer.Option(envvar=MIRROR_VARIABLE, help="folder that is searched before downloading")
]

LanguageModelOption = Annotated[
    Path | None,
    typer.Option(help="bundle of a language model, whose tokenizer is used: nothing is pretrained"),
]
LauncherOption = Annotated[str, typer.Option(help="local, or slurm: every stage is a job")]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="KEY=VALUE for the jobs, such as partition=gpu, may be repeated"),
]


def with_options(
    recipe: Recipe,
    preset: str | None,
    overrides: list[str] | None,
    seeds: str | None,
    train_sizes: str | None = None,
    label_noise: str | None = None,
    language_model: Path | None = None,
) -> Recipe:
    """Return a copy of `recipe` with what the options of a command say."""
    from ulmfit.experiments.recipe import validated

    if preset is not None:
        recipe = validated(lambda: recipe.changed(preset=preset), f"--preset {preset}")
    for option, text, read, expected in (
        ("seeds", seeds, int, "numbers with commas, such as 0,1,2"),
        ("train_sizes", train_sizes, _train_size, "numbers with commas, or all, such as 100,500,all"),
        ("label_noise", label_noise, float, "shares with commas, such as 0,0.1,0.3"),
    ):
        if text is not None:
            recipe = _with_list(recipe, option, text, read, expected)
    if language_model is not None:
        recipe = validated(
            lambda: recipe.changed(language_model=File(path=language_model.absolute())),
            f"--language-model {language_model}",
        )
    return recipe.with_overrides(overrides or [])


def _with_list(recipe: Recipe, field: str, text: str, read: Callable[[str], Any], expected: str) -> Recipe:
    """Return a copy whose `field` is the list that an option of the same name gives with commas."""
    from ulmfit.experiments.recipe import validated

    option = f"--{field.replace('_', '-')} {text}"
    try:
        values = tuple(read(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option}: expected {expected}") from error
    return validated(lambda: recipe.changed(**{field: values}), option)


def _train_size(text: str) -> int | str:
    return text if text == "all" else int(text)


def chosen_recipe(
    reference: str,
    preset: str | None,
    overrides: list[str] | None,
    seeds: str | None,
    train_sizes: str | None = None,
    label_noise: str | None = None,
    language_model: Path | None = None,
) -> Recipe:
    """Load a recipe, changed by the options of a command."""
    from ulmfit.experiments.recipe import load_recipe

    return with_options(
        load_recipe(reference), preset, overrides, seeds, train_sizes, label_noise, language_model
    )
