"""What made a run, written into its folder: commands take the folder in place of a recipe and its options."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ulmfit.experiments.recipe import Recipe, check_told_overrides, load_recipe, validated
from ulmfit.experiments.recipe_settings import RecipeSettings
from ulmfit.experiments.trial import trial_of
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.settings import Settings, first_fault

RUN, STAGE_LIST, RECORD = "run.json", "stages.json", "record.json"
"""In a run's folder: what made it; the stages that its latest run asked for, which `clean` leaves alone; its
results."""
LISTS = ("seeds", "train_sizes", "label_noise")
"""Fields of a recipe that options set as lists."""


class RunOptions(Settings):
    """The content of `run.json`."""

    name: str = Field(description="folder of the run below the folder of all results")
    recipe: Path | None = Field(description="the recipe's file, absolute; None: a program made the recipe")
    preset: str = Field(description="the chosen preset")
    trial: bool = Field(False, description="whether the run is a trial; false: a whole run")
    options: dict[str, Any] = Field({}, description="fields of the recipe that options changed; {}: none")
    command: str = Field(description="the command that made the run, and goes on with it")
    started: str = Field("", description="when that command was last given, YYYY-MM-DD HH:MM; empty: unknown")


def write_run(recipe: RecipeSettings, folder: Path) -> None:
    """Write what made a run into its folder."""
    made = RunOptions(
        name=recipe.run_name,
        recipe=recipe.file.absolute() if recipe.file else None,
        preset=recipe.preset_name,
        trial=recipe.trial,
        options=_options(recipe),
        command=_own_command(recipe, folder),
        started=time.strftime("%Y-%m-%d %H:%M"),
    )
    write_json(folder / RUN, made.model_dump(mode="json"))


def _options(recipe: RecipeSettings) -> dict[str, Any]:
    """Return the fields that options changed; a bundle with its whole path, which records leave out."""
    options = recipe.model_dump(mode="json", include=set(recipe.options))
    if "language_model" in options and (bundle := recipe.language_model) is not None and bundle.path:
        options["language_model"]["path"] = str(bundle.path)
    return options


def _own_command(recipe: RecipeSettings, folder: Path) -> str:
    """Return the command that goes on with the run in `folder`, on this machine: it names paths."""
    command = command_of(recipe, str(recipe.file or recipe.reference), on_this_machine=True)
    runs = folder.parents[len(Path(recipe.run_name).parts) - 1]
    return command if runs == Path("runs") else f"{command} --runs {shlex.quote(str(runs))}"


def read_run(folder: Path) -> RunOptions | None:
    """Return what made the run in a folder; None where an earlier version made it, or no run is there."""
    try:
        return RunOptions.model_validate(read_json(folder / RUN))
    except OSError:
        return None
    except ValidationError as error:
        raise InputError(f"{folder / RUN} cannot be used: {first_fault(error)}") from error
    except ValueError as error:
        raise InputError(f"{folder / RUN} is no JSON: run the recipe again, which writes it anew") from error


def is_run(path: Path) -> bool:
    """Return whether a path is the folder of a run."""
    return path.is_dir() and ((path / RUN).is_file() or (path / STAGE_LIST).is_file())


def recipe_of_run(folder: Path) -> tuple[Recipe, Path]:
    """Return the recipe of a run, changed as its command changed it, and the folder of all results.

    Raises InputError where the folder does not say it, and for a recipe's file that came with the results:
    a folder that others made would choose the code that is run.
    """
    made = read_run(folder)
    advice = "name the recipe and its options instead"
    if made is None:
        raise InputError(f"{folder} has no {RUN}: an earlier version made it; {advice}")
    if made.recipe is None:
        raise InputError(f"{folder}: a program made its recipe, which has no file; {advice}")
    root = folder.resolve()
    for part in reversed(Path(made.name).parts):
        if root.name != part:
            raise InputError(f"{folder} is not named {made.name}, as its {RUN} says: it was moved; {advice}")
        root = root.parent
    if made.recipe.resolve().is_relative_to(root):
        raise InputError(f"{folder}: its recipe lies among the results, {made.recipe}; {advice}")
    if not made.recipe.is_file():
        raise InputError(f"{folder}: its recipe {made.recipe} is no longer there; {advice}")
    recipe = _changed(load_recipe(str(made.recipe)), made, folder)
    if recipe.run_name != made.name:
        raise InputError(f"{folder}: {made.recipe} makes {recipe.run_name} now: it has changed; {advice}")
    return recipe, _shortest(root)


def _changed(recipe: Recipe, made: RunOptions, folder: Path) -> Recipe:
    """Return the recipe with the options of the command that made a run."""
    fields: dict[str, Any] = {name: made.options[name] for name in LISTS if name in made.options}
    if bundle := made.options.get("language_model"):
        fields["language_model"] = File.model_validate(bundle)
    recipe = validated(lambda: recipe.changed(preset=made.preset), str(folder / RUN))
    recipe = trial_of(recipe) if made.trial else recipe
    recipe = validated(lambda: recipe.changed(**fields), str(folder / RUN))
    overrides = made.options.get("overrides", ())
    check_told_overrides(overrides, "run")
    return recipe.with_overrides(overrides)


def _shortest(path: Path) -> Path:
    """Return a path relative to the current folder where it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def command_of(recipe: RecipeSettings, reference: str, *, on_this_machine: bool = False) -> str:
    """Return the command that runs a recipe as it is; `reference` names it.

    A bundle's path is in commands for this machine alone, unless the recipe's file names it; records hold its
    name.
    """
    words = ["ulmfit", "run", reference, "--preset", recipe.preset_name]
    words += ["--trial"] if recipe.trial else []
    words += ["--seeds", ",".join(map(str, recipe.seeds))]
    for option, places in (("--train-sizes", recipe.train_sizes), ("--label-noise", recipe.label_noise)):
        words += [option, ",".join(map(str, places))] if places else []
    is_in_file = recipe.origin is not None and "language_model" not in recipe.options
    if (bundle := recipe.language_model) is not None and not (on_this_machine and is_in_file):
        name = bundle_name(bundle)
        if on_this_machine and name == bundle.label:
            name = str(bundle.path)
        words += ["--language-model", name]
    for override in recipe.overrides:
        words += ["--set", override]
    return shlex.join(words)


def bundle_name(bundle: File) -> str:
    """Return what a bundle is called in a record: its place and commit if it is from the hub."""
    return bundle.source if bundle.source.startswith("hf:") else bundle.label
