"""A recipe as a program: the stages that follow from it, changes by `--set`, and loading from a file."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, TypeVar

from pydantic import ValidationError

from ulmfit.experiments.pinning import with_pins
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.presets import Preset
from ulmfit.experiments.recipe_settings import CAME_ALONG, NAME, OPTION_NAMES, Origin, RecipeSettings
from ulmfit.experiments.trial import trial_of
from ulmfit.pipeline.assets import File, with_files
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import is_whole_number
from ulmfit.pipeline.settings import Settings, first_fault

Made = TypeVar("Made")

MOST_NESTED = 50
"""Most lists and objects inside each other in a value of `--set`; no setting has more than a few."""

MOST_OVERRIDES = 1_000
"""Of a record or a run; reading one takes milliseconds."""


class RecipeNotFound(InputError):
    """No file, and none of the recipes that came along, has the given name."""


class Recipe(RecipeSettings):
    """A recipe, made in its file by `recipe = Recipe(name=..., ...)`; `RecipeSettings` has the fields."""

    def with_overrides(self, overrides: Iterable[str]) -> Recipe:
        """Return a copy changed by `field.path=value`; a path begins in the recipe or its chosen preset.

        Relative paths of files begin in the recipe's own folder, as those in the recipe do.
        """
        recipe = self
        for override in overrides:
            path, separator, text = override.partition("=")
            if not separator:
                raise InputError(f"--set {override}: expected FIELD=VALUE, such as pretrain.batch_size=32")
            names = path.strip().split(".")
            if names[0] in ("overrides", "origin"):
                raise InputError(f"--set {override}: {names[0]} is what a command itself writes")
            if names[0] == "trial" or (names[0] == "preset" and recipe.trial):
                # Both would leave a trial without its label, or without its small sizes.
                raise InputError(f"--set {override}: choose it with --{names[0]}")
            if names[0] in Preset.model_fields:
                names = ["presets", recipe.preset_name, *names]
            recipe = _replaced(recipe, names, text.strip(), override)
            if self.origin is not None:
                recipe = recipe.relative_to(self.origin.folder)
            recipe = recipe.changed(overrides=(*recipe.overrides, override))
        return recipe

    def relative_to(self, folder: Path) -> Recipe:
        """Return a copy whose relative file paths begin in `folder`, the recipe's own."""

        def absolute(file: File) -> File:
            return file.changed(path=folder.absolute() / file.path) if file.path else file

        return with_files(self, absolute)

    def from_file(self, path: Path) -> Recipe:
        """Return a copy that knows its file and the file's own values, with what `pins.toml` beside it
        notes."""
        recipe = with_pins(self.relative_to(path.parent), path.parent)
        written = {name: getattr(recipe, name) for name in OPTION_NAMES}
        return recipe.changed(origin=Origin(file=path, written=written))

    def as_trial(self) -> Recipe:
        """Return the trial of this recipe, which ends within minutes: see `trial`."""
        return validated(lambda: trial_of(self), f"{self.name}: --trial")

    def stages(self) -> Experiment:
        """Return the stages of this experiment; InputError where settings do not fit together."""
        return validated(lambda: Experiment(self), self.run_name)

    def main(self) -> None:
        """Run the recipe's file with the options of the command line, as `ulmfit run FILE` does."""
        file, *options = sys.argv
        sys.argv = ["ulmfit", "run", file, *options]
        runpy.run_module("ulmfit", run_name="__main__")


def _replaced(value: Any, names: list[str], text: str, override: str) -> Any:
    """Return a copy of `value` in which the field at the path `names` is read from `text`."""
    name, rest = names[0], names[1:]
    if isinstance(value, Settings):
        name = value.present_name(name)
        if name not in type(value).model_fields:
            known = [field for field in type(value).model_fields if field != "origin"]
            alike = get_close_matches(name, known, n=1)
            listed = ("did you mean " + alike[0] + "? It has " if alike else "it has ") + ", ".join(known)
            raise InputError(f"--set {override}: {type(value).__name__} has no field {name!r}; {listed}")
        old = getattr(value, name)
        new = _replaced(old, rest, text, override) if rest else json_or_text(text, override)
        return validated(lambda: value.changed(**{name: new}), f"--set {override}")
    if isinstance(value, dict) and name in value:
        return {
            **value,
            name: _replaced(value[name], rest, text, override) if rest else json_or_text(text, override),
        }
    if isinstance(value, tuple) and is_whole_number(name) and int(name) < len(value):
        index = int(name)
        item = _replaced(value[index], rest, text, override) if rest else json_or_text(text, override)
        return (*value[:index], item, *value[index + 1 :])
    if value is None:
        field = override.partition("=")[0].strip().removesuffix(".".join(names)).rstrip(".")
        raise InputError(
            f"--set {override}: {field} is not set, so it has no {name!r}: give all of it, where it has "
            f"fields as in --set '{field}={{\"{name}\": ...}}'"
        )
    raise InputError(f"--set {override}: there is no {name!r} in a value of type {type(value).__name__}")


def json_or_text(text: str, override: str) -> Any:
    """Return the JSON value of a text, or the text itself where it is no JSON."""
    too_deep = InputError(f"--set {override}: more than {MOST_NESTED} lists inside each other")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise too_deep from error
    except ValueError:
        return text
    if _nesting(value) > MOST_NESTED:
        raise too_deep
    return value


def _nesting(value: Any) -> int:
    """Return the depth of a JSON value: lists and objects inside each other."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, (list, dict))]:
        depth += 1
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
    return depth


def check_told_overrides(overrides: Any, source: str) -> None:
    """Raise InputError where the overrides of a `source`, which is data, would choose what code is run."""
    if not isinstance(overrides, (list, tuple)) or not all(isinstance(one, str) for one in overrides):
        raise InputError(f"the {source}'s overrides are no list of FIELD=VALUE: the {source} is damaged")
    if len(overrides) > MOST_OVERRIDES:
        raise InputError(
            f"the {source} has {len(overrides):,} overrides, more than {MOST_OVERRIDES:,}: it is damaged"
        )
    for override in overrides:
        field, _, text = override.partition("=")
        names = {part.strip() for part in field.split(".")}
        if "script" in names | _names_in(json_or_text(text.strip(), override)):
            raise InputError(
                f"the {source}'s override {override!r} names a script to run: run the recipe yourself with "
                "--set if you trust it"
            )


def _names_in(value: Any) -> set[str]:
    """Return the names of all fields of a JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(_names_in, value.values()))
    return set().union(*map(_names_in, value)) if isinstance(value, list) else set()


def validated(make: Callable[[], Made], where: str) -> Made:
    """Call `make`, turning a validation error into one line that names the field."""
    try:
        return make()
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}") from error


def load_recipe(reference: str) -> Recipe:
    """Load a recipe from a file, or by name (`toy/sentiment`) from the ones that came with the package."""
    path = Path(reference)
    return _load(path if path.is_file() else _named(reference))


def load_recipes(reference: str) -> list[Recipe]:
    """Load the recipe that a file or a name means, or all recipes of a folder, in the order of their files.

    Other modules in the folder are passed over. Raises InputError for a folder without any recipe.
    """
    folder = Path(reference)
    if not folder.is_dir():
        return [load_recipe(reference)]
    found = []
    for path in sorted(folder.glob("*.py")):
        recipe = getattr(_module(path), "recipe", None)
        if isinstance(recipe, Recipe):
            found.append(recipe.from_file(path))
    if not found:
        raise InputError(
            f"{reference} has no recipe in it: expected files such as recipes/de/germeval2018.py"
        )
    return found


def load_named_recipe(name: str) -> Recipe:
    """Load a recipe that came with the package; no other file is ever read."""
    return _load(_named(name))


def load_family(path: Path) -> ModuleType:
    """Load a module that several recipes share, such as `recipes/families/xed.py`."""
    return _module(path)


def _load(path: Path) -> Recipe:
    module = _module(path)
    recipe = getattr(module, "recipe", None)
    if not isinstance(recipe, Recipe):
        raise InputError(f"{path} is no recipe: it has no module-level `recipe = Recipe(...)`")
    return recipe.from_file(path)


def _module(path: Path) -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise InputError(f"recipe {path}{_line(error, path)}: {error.title}: {first_fault(error)}") from error
    except SyntaxError as error:
        raise InputError(f"recipe {path} is not valid Python: {error.msg}, line {error.lineno}") from error
    except InputError:
        raise
    except OSError as error:
        other = "" if error.filename in (None, str(path)) else f"{error.filename}: "
        raise InputError(f"recipe {path} cannot be read: {other}{error.strerror or error}") from error
    except Exception as error:
        place = f"{path}{_line(error, path)}"
        raise InputError(f"recipe {place} cannot be read: {type(error).__name__}: {error}") from error
    return module


def _line(error: Exception, path: Path) -> str:
    """Return the line of a recipe's file in which it went wrong; empty: in none of its lines."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _named(reference: str) -> Path:
    """Return the file of a recipe that came along; it lies below their folder, wherever a link leads."""
    name = reference.removesuffix(".py").removeprefix("recipes/")
    for folder in CAME_ALONG if re.fullmatch(NAME, name) else ():
        candidate = (folder / f"{name}.py").resolve()
        if candidate.is_file() and candidate.is_relative_to(folder.resolve()):
            return folder / f"{name}.py"
    raise RecipeNotFound(f"recipe {reference} not found: expected a file, or a name such as toy/sentiment")
