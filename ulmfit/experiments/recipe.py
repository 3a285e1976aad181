"""A recipe: what one experiment is made of, and the stages that follow from it."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from ulmfit.corpus.data_checks import Mode as DataCheckMode
from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.record_part import MOST_SEEDS
from ulmfit.evaluation.transformer_stages import TransformerModel
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.presets import Preset
from ulmfit.language_model.stages import Direction, ImportedModel
from ulmfit.pipeline.assets import File, with_files
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import is_whole_number
from ulmfit.pipeline.settings import Settings, first_fault
from ulmfit.tokens.marks import OTHER_CODES

__all__ = ["Experiment", "Recipe", "load_recipe", "validated"]


class RecipeNotFound(InputError):
    """No file, and none of the recipes that came along, has the given name."""


Seed = Annotated[int, Field(ge=0, lt=2**63)]
TrainSize = Annotated[int, Field(ge=2)] | Literal["all"]
Made = TypeVar("Made")
NoiseShare = Annotated[float, Field(ge=0, le=0.5)]

OPTION_NAMES = {
    "seeds": "--seeds",
    "train_sizes": "--train-sizes",
    "label_noise": "--label-noise",
    "language_model": "--language-model",
    "overrides": "--set",
}
"""The fields that options of a command change, beside the preset."""

NAME = r"[\w-][\w.-]*(/[\w-][\w.-]*)*"
"""What a recipe may be called: the name becomes folders, so that no part of it is empty, `.` or `..`."""
MOST_NESTED = 50
"""Lists and objects inside each other in a value of `--set`; no setting has more than a few."""
MOST_PLACES = 100
"""Of a curve: each place is a model to train for every seed."""

_PACKAGE = Path(__file__).parents[1]
CAME_ALONG = (_PACKAGE / "recipes", _PACKAGE.parent / "recipes")
"""Folders of the recipes that are found by name."""


class Recipe(Settings):
    """One experiment: a language, a corpus, a data set, and presets for everything else.

    The first preset is the default. Without a data set the recipe ends with the language model.
    """

    name: str = Field(pattern=f"^{NAME}$", description="as under recipes/, such as de/germeval2018")
    title: str = Field(description="one line for tables")
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", description="language code")
    corpus: CorpusStage = Field(description="what the language model is pretrained on")
    dataset: DatasetStage | None = Field(None, description="labelled texts; None: language model only")
    presets: dict[str, Preset] = Field(min_length=1, description="named settings; the first is the default")
    preset: str = Field("", description="name of the chosen preset; empty: the first")
    seeds: tuple[Seed, ...] = Field(
        (0, 1, 2),
        min_length=1,
        max_length=MOST_SEEDS,
        description="seeds of fine-tuning and classifier",
    )
    deduplication: Literal["off", "exact", "minhash"] = Field(
        "off",
        description="leave duplicates out of the sampled corpus: exact ones, or near-duplicates as well",
    )
    leaks: Literal["ignore", "count", "remove"] = Field(
        "count",
        description="documents of the corpus that hold test texts: not looked for, counted, or left out",
    )
    data_checks: DataCheckMode = Field(
        "count",
        description="copies, conflicting labels and so on in the data set: not looked for, counted, or left "
        "out of train and valid, never of test",
    )
    pretrained: dict[Direction, ImportedModel] = Field(
        {}, description="released weights for each direction, instead of pretraining; empty: pretrain"
    )
    language_model: File | None = Field(
        None,
        description="bundle of a language model, a folder, instead of pretraining: its tokenizer and size "
        "take the place of the preset's, and the corpus is not read; None: pretrain",
    )
    poleval_2018: bool = Field(
        False,
        description="replace the corpus' rare words and count perplexity as PolEval 2018, task 3, did; the "
        "other figures of these language models are then not comparable",
    )
    tokenizer: File | None = Field(
        None,
        description="SentencePiece model to cut texts with, such as that of released weights, whatever the "
        "preset says of the vocabulary's size and kind; None: train one",
    )
    transformers: tuple[TransformerModel, ...] = Field(
        (),
        description="pretrained transformers fine-tuned on the same rows with every seed, one row of "
        "the table each; (): none",
    )
    transductive: bool = Field(False, description="fine-tune the language model on the test texts as well")
    train_sizes: tuple[TrainSize, ...] = Field(
        (),
        max_length=MOST_PLACES,
        description="numbers of training texts, rising, for a learning curve (ULMFiT, figure 3), `all` last "
        "for all of them; every seed draws a subset of its own, a bigger one holds the smaller; (): no curve",
    )
    label_noise: tuple[NoiseShare, ...] = Field(
        (),
        max_length=MOST_PLACES,
        description="shares of wrong training labels, rising, 0 to 0.5, for a curve over them; (): no curve",
    )
    curve_texts: Literal["all", "subset"] = Field(
        "all",
        description="what the language models of a curve over train sizes are fine-tuned on. all: every "
        "training and unlabelled text, without labels (semi-supervised); subset: the labelled texts alone",
    )
    curve_steps: int = Field(
        0,
        ge=0,
        description="`least_steps` of the classifiers of fewer than all texts in a curve over train sizes, "
        "where their preset has fewer, with `--train-sizes` too; 0: the preset's",
    )
    published: tuple[PublishedResult, ...] = Field(
        (), description="results of others on the same test split, shown beside the table's rows; (): none"
    )
    notes: tuple[str, ...] = Field((), description="labels that every table of this recipe carries")
    overrides: tuple[str, ...] = Field((), description="what `--set` changed; written to the record")

    _folder: Path | None = PrivateAttr(None)
    """Where relative paths of `--set` begin: the folder of the recipe's file, once that is known."""
    _file: Path | None = PrivateAttr(None)
    """The recipe's file, as the user named it."""
    _written: dict[str, Any] = PrivateAttr({})
    """What the file says where options of the command may say something else; nothing without a file."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.preset and self.preset not in self.presets:
            raise ValueError(f"preset {self.preset!r} is not one of {', '.join(self.presets)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: a seed occurs twice")
        return self

    @model_validator(mode="after")
    def _language_is_known_by_its_code(self) -> Self:
        code = self.language.partition("-")[0]
        if code in OTHER_CODES:
            raise ValueError(
                f"language {self.language!r}: expected {OTHER_CODES[code] + self.language[len(code) :]!r}, "
                f"by which its capitals are read"
            )
        return self

    @model_validator(mode="after")
    def _curves_can_be_drawn(self) -> Self:
        for name, form in (
            ("train_sizes", "rise, `all` last, such as 100,500,all"),
            ("label_noise", "rise, such as 0,0.1,0.3"),
        ):
            places = [float("inf") if place == "all" else place for place in getattr(self, name)]
            if any(first >= second for first, second in pairwise(places)):
                raise ValueError(f"{name} {'have' if name.endswith('s') else 'has'} to {form}")
            if places and self.dataset is None:
                raise ValueError(f"{name} need a data set")
        if self.curve_texts == "subset" and not self.train_sizes:
            raise ValueError("curve_texts has no effect without train_sizes: leave it out")
        return self

    @model_validator(mode="after")
    def _transformers_have_rows(self) -> Self:
        names = [model.name for model in self.transformers]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"transformers: two are called {twice[0]!r}: give each a name of its own")
        if self.transformers and self.dataset is None:
            raise ValueError("transformers need a data set")
        if self.transformers and self.dataset is not None and self.dataset.task != "single_label":
            raise ValueError(
                f"transformers are compared on texts with one label each, the data set's task is "
                f"{self.dataset.task}: leave them out"
            )
        return self

    @model_validator(mode="after")
    def _imports_what_it_needs(self) -> Self:
        if not self.pretrained:
            return self
        for direction, model in self.pretrained.items():
            if model.direction != direction:
                raise ValueError(f"pretrained: {direction} holds a model that reads {model.direction}")
        if self.dataset is None:
            raise ValueError("pretrained: with released weights and no data set there is nothing to train")
        if missing := [one for one in self.settings.directions if one not in self.pretrained]:
            raise ValueError(
                f"pretrained: there is no model that reads {missing[0]}: give one, or set directions"
            )
        return self

    @model_validator(mode="after")
    def _takes_one_language_model(self) -> Self:
        if self.language_model is None:
            return self
        if self.dataset is None:
            raise ValueError("language_model: with a trained one and no data set there is nothing to train")
        for name in ("pretrained", "tokenizer", "poleval_2018"):
            if getattr(self, name):
                raise ValueError(f"language_model and {name} exclude each other: leave one of them out")
        return self

    @property
    def preset_name(self) -> str:
        """The chosen preset's name."""
        return self.preset or next(iter(self.presets))

    @property
    def settings(self) -> Preset:
        """The chosen preset."""
        return self.presets[self.preset_name]

    @property
    def options(self) -> dict[str, Any]:
        """What options of the command made other than the file has it, beside the preset."""
        return {
            name: getattr(self, name) for name in self._written if getattr(self, name) != self._written[name]
        }

    @property
    def run_name(self) -> str:
        """Folder under `runs/`: the recipe's name, with the preset's unless it is the default one.

        What options changed has a name of its own, so that it never takes the place of the recipe's results.
        """
        default = next(iter(self.presets))
        name = self.name if self.preset_name == default else f"{self.name}-{self.preset_name}"
        if not self.options:
            return name
        text = json.dumps(self.options, sort_keys=True, ensure_ascii=False, default=str)
        return f"{name}-changed-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def file(self) -> Path | None:
        """The recipe's file; None: it was made by a program."""
        return self._file

    @property
    def reference(self) -> str:
        """What names this recipe to a command: its place in `recipes/`, or elsewhere the path of its file.

        Records hold no path of a machine: of an absolute one that is not below the current folder the file's
        name is left, which repeats the run in the recipe's folder.
        """
        path, published = self._file, f"{self.name}.py"
        if path is None or path.resolve() in [(folder / published).resolve() for folder in CAME_ALONG]:
            return f"recipes/{published}"
        if path.is_relative_to(Path.cwd()):
            return str(path.relative_to(Path.cwd()))
        return path.name if path.is_absolute() else str(path)

    def changed(self, **values: Any) -> Self:
        """Return a copy with `values` replaced, whose files lie where this one's do."""
        copy = super().changed(**values)
        copy._folder, copy._file, copy._written = self._folder, self._file, self._written
        return copy

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
            if names[0] == "overrides":
                raise InputError(f"--set {override}: overrides are what --set itself writes")
            if names[0] in Preset.model_fields:
                names = ["presets", recipe.preset_name, *names]
            recipe = _replaced(recipe, names, text.strip(), override)
            if self._folder is not None:
                recipe = recipe.relative_to(self._folder)
            recipe = recipe.changed(overrides=(*recipe.overrides, override))
        return recipe

    def relative_to(self, folder: Path) -> Recipe:
        """Return a copy whose relative file paths are taken from `folder`, the recipe's own."""

        folder = folder.absolute()

        def absolute(file: File) -> File:
            return file.changed(path=folder / file.path) if file.path else file

        recipe = with_files(self, absolute).changed()
        recipe._folder = folder
        return recipe

    def from_file(self, path: Path) -> Recipe:
        """Return a copy that knows the file it was read from, and what that says."""
        recipe = self.relative_to(path.parent)
        recipe._file, recipe._written = path, {name: getattr(self, name) for name in OPTION_NAMES}
        return recipe

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
        if name not in type(value).model_fields:
            known = type(value).model_fields
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
    """Read JSON where it is JSON, else the text itself; the field's type has the last word."""
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
    """Return how many lists and objects of a JSON value lie inside each other at most."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, (list, dict))]:
        depth += 1
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
    return depth


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


def load_named_recipe(name: str) -> Recipe:
    """Load a recipe that came with the package; no other file is ever read."""
    return _load(_named(name))


def _load(path: Path) -> Recipe:
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise InputError(f"recipe {path}: {error.title}: {first_fault(error)}") from error
    except SyntaxError as error:
        raise InputError(f"recipe {path} is not valid Python: {error.msg}, line {error.lineno}") from error
    except InputError:
        raise
    except OSError as error:
        other = "" if error.filename in (None, str(path)) else f"{error.filename}: "
        raise InputError(f"recipe {path} cannot be read: {other}{error.strerror or error}") from error
    except Exception as error:
        raise InputError(f"recipe {path} cannot be read: {type(error).__name__}: {error}") from error
    recipe = getattr(module, "recipe", None)
    if not isinstance(recipe, Recipe):
        raise InputError(f"{path} is no recipe: it has no module-level `recipe = Recipe(...)`")
    return recipe.from_file(path)


def _named(reference: str) -> Path:
    """Return the file of a recipe that came along; it lies below their folder, wherever a link leads."""
    name = reference.removesuffix(".py").removeprefix("recipes/")
    for folder in CAME_ALONG if re.fullmatch(NAME, name) else ():
        candidate = (folder / f"{name}.py").resolve()
        if candidate.is_file() and candidate.is_relative_to(folder.resolve()):
            return folder / f"{name}.py"
    raise RecipeNotFound(f"recipe {reference} not found: expected a file, or a name such as toy/sentiment")
