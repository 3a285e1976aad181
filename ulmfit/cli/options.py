"""Options that several commands share, and the recipe that they choose."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ulmfit.pipeline.assets import MIRROR_VARIABLE, File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import is_whole_number
from ulmfit.pipeline.printing import show
from ulmfit.pipeline.record_part import MOST_SEEDS

if TYPE_CHECKING:
    from ulmfit.experiments.recipe import Recipe


def _no_file(path: Path | None) -> Path | None:
    if path is not None and path.exists() and not path.is_dir():
        raise InputError(f"--runs {path}: expected a folder; got a file")
    return path


RecipeArgument = Annotated[
    str, typer.Argument(help="a recipe file, the name of one of the package, or a run's folder")
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

LauncherOption = Annotated[str, typer.Option(help="local, or slurm: every stage is a job")]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="KEY=VALUE for the jobs, such as partition=gpu, may be repeated"),
]


@dataclass(frozen=True)
class Changes:
    """The options that change a recipe; `with_changes` gives them to a command."""

    preset: Annotated[
        str | None, typer.Option(help="one of the recipe's presets, or a published one: docs/presets.md")
    ] = None
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="FIELD=VALUE, may be repeated; relative paths begin in the recipe's folder"
        ),
    ] = None
    seeds: Annotated[str | None, typer.Option(help="such as 0,1,2 or 0-4")] = None
    train_sizes: Annotated[
        str | None, typer.Option(help="learning curve over these numbers of training texts: 100,500,all")
    ] = None
    label_noise: Annotated[
        str | None, typer.Option(help="curve over these shares of wrong training labels: 0,0.1,0.3")
    ] = None

    language_model: Annotated[
        Path | None,
        typer.Option(
            help="bundle of a language model, or hf:OWNER/NAME@REVISION: nothing is pretrained, and its "
            "tokenizer is used"
        ),
    ] = None
    trial: Annotated[
        bool,
        typer.Option("--trial", help="a tiny model on a sample of the texts: minutes, and no results"),
    ] = False

    def recipe(self, reference: str) -> Recipe:
        """Load a recipe by file or name, and change it. Raises InputError for an option that does not fit."""
        from ulmfit.experiments.recipe import load_recipe

        return self.of(load_recipe(reference))

    def chosen(self, reference: str, runs: Path) -> tuple[Recipe, Path]:
        """Return a recipe as the options change it, and the folder of all results.

        `reference` may be the folder of a run as well, which names all of this itself. Raises InputError for
        an option that does not fit.
        """
        from ulmfit.experiments.run_folder import is_run, recipe_of_run

        if not is_run(Path(reference)):
            return self.recipe(reference), runs
        if self != Changes():
            raise InputError(f"{reference} is the folder of a run, which has its options: leave yours out")
        return recipe_of_run(Path(reference))

    def all_chosen(self, references: list[str], runs: Path) -> tuple[list[Recipe], Path]:
        """Return the recipes of several files, names and folders as the options change each.

        Folders of runs stand for their recipes, as in `chosen`; all of them are below one folder of results.
        """
        from ulmfit.experiments.recipe import load_recipes
        from ulmfit.experiments.run_folder import is_run

        found: list[Recipe] = []
        roots: list[Path] = []
        for reference in references:
            if is_run(Path(reference)):
                recipe, root = self.chosen(reference, runs)
                found.append(recipe)
            else:
                found += [self.of(recipe) for recipe in load_recipes(reference)]
                root = runs
            roots += [root] if root not in roots else []
        if len(roots) > 1:
            raise InputError(f"results in {roots[0]} and in {roots[1]}: name runs of one folder at a time")
        return found, roots[0]

    def of(self, recipe: Recipe) -> Recipe:
        """Return a changed copy of `recipe`. Raises InputError for an option that does not fit it."""
        from ulmfit.experiments.recipe import validated

        if self.preset is not None:
            recipe = validated(lambda: recipe.changed(preset=self.preset), f"--preset {self.preset}")
        if self.trial and not recipe.trial:
            recipe = recipe.as_trial()
        for option, text, read, expected in (
            ("seeds", self.seeds, _seeds, "numbers with commas or ranges, such as 0,1,2 or 0-4"),
            (
                "train_sizes",
                self.train_sizes,
                lambda text: [_train_size(text)],
                "numbers with commas, or all, such as 100,500,all",
            ),
            (
                "label_noise",
                self.label_noise,
                lambda text: [float(text)],
                "shares with commas, such as 0,0.1,0.3",
            ),
        ):
            if text is not None:
                recipe = _with_list(recipe, option, text, read, expected)
        if (bundle := self.language_model) is not None:
            file = bundle_file(bundle)
            recipe = validated(lambda: recipe.changed(language_model=file), f"--language-model {bundle}")
        return recipe.with_overrides(self.overrides or [])


def with_changes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the options of `Changes`: those of these names, or all.

    The command takes them as one parameter `changes`. typer reads a command's parameters from its
    signature, so the decorated command has a signature with the options in place of `changes`.
    """
    hints = get_type_hints(Changes, include_extras=True)
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(Changes)
        if not names or field.name in names
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def called(**given: Any) -> None:
            changes = Changes(**{option.name: given.pop(option.name) for option in options})
            command(changes=changes, **given)

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
            parameters += options if parameter.name == "changes" else own
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def bundle_file(bundle: Path) -> File:
    """Return a bundle as an input; the source of one on the hub is its place with the commit."""
    from ulmfit.bundle.hub import is_on_hub, place_of, pulled

    if not is_on_hub(bundle):
        return File(path=bundle.absolute())
    found = pulled(place_of(str(bundle)), lambda line: show(line, sys.stderr))
    return File(path=found.folder.absolute(), source=str(found.place))


def _with_list(
    recipe: Recipe, field: str, text: str, read: Callable[[str], list[Any]], expected: str
) -> Recipe:
    """Return a copy whose `field` is the list that an option of the same name gives with commas.

    `read` gives the values that a part between commas stands for.
    """
    from ulmfit.experiments.recipe import validated

    option = f"--{field.replace('_', '-')} {text}"
    try:
        values = tuple(value for part in text.split(",") for value in read(part.strip()))
    except ValueError as error:
        raise InputError(f"{option}: expected {expected}") from error
    return validated(lambda: recipe.changed(**{field: values}), option)


def _seeds(text: str) -> list[int]:
    """Return the seeds that a number or a range such as 0-4 stands for; ValueError for anything else."""
    first, dash, last = text.partition("-")
    if not (is_whole_number(first) and (is_whole_number(last) or not dash)):
        raise ValueError(f"no seeds: {text}")
    count = int(last) - int(first) + 1 if dash else 1
    if not 0 < count <= MOST_SEEDS:
        raise ValueError(f"no seeds, or too many: {text}")
    return list(range(int(first), int(first) + count))


def _train_size(text: str) -> int | str:
    return text if text == "all" else int(text)
