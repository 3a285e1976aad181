"""`ulmfit new`: from a file of labelled texts to a recipe that runs as it stands."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ulmfit.datasets.reading import TextForm
from ulmfit.datasets.targets import some
from ulmfit.experiments.new_recipe.checking import Tables, checked_splits, label_counts, metric_for
from ulmfit.experiments.new_recipe.columns import Guess, guess, task_of
from ulmfit.experiments.new_recipe.files import RawTable, raw_table
from ulmfit.experiments.new_recipe.languages import Language, language_of
from ulmfit.experiments.new_recipe.writing import (
    TEST_FRACTION,
    NewRecipe,
    readme_text,
    recipe_text,
    script_text,
)
from ulmfit.experiments.recipe import RecipeNotFound, load_named_recipe, load_recipe
from ulmfit.experiments.recipe_settings import CAME_ALONG
from ulmfit.language_model.bundled import described
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import has_textual_name, is_text

KINDS = {
    "single_label": "one label per text",
    "multi_label": "any number of labels per text",
    "regression": "a number per text",
}
MODELS = "models"
"""Folder of released bundles in a checkout: models/fi-NAME."""


@dataclass(frozen=True)
class Given:
    """What the user says instead of leaving it to be found out; empty: it is found out."""

    text_columns: tuple[str, ...] = ()
    label_column: str = ""
    task: str = ""
    label_separator: str = ""
    metric: str = ""
    encoding: str = ""
    separator: str = ""
    model: Path | None = None
    """Bundle of a language model; None: a released one where there is one."""


def new_recipe(
    language: str,
    task: str,
    data: Path,
    test: Path | None,
    out: Path,
    given: Given,
    say: Callable[[str], None],
) -> Path:
    """Look at the files, say what they are, check them, and write a recipe; return its path.

    The recipe is `out`/LANGUAGE/TASK.py, with a README beside it where there is none. No file is overwritten.
    Raises InputError, which says what to do, before anything is written.
    """
    known = language_of(language)
    if not re.fullmatch(r"[\w-]+", task):
        raise InputError(f"task {task!r}: expected a name such as sentiment, of letters, digits, - and _")
    path = out / known.code / f"{task}.py"
    form = TextForm(given.encoding, given.separator)
    raw = raw_table(data, known, form)
    found = guess(
        raw.table,
        str(data),
        text=given.text_columns,
        label=given.label_column,
        task=given.task,
        label_separator=given.label_separator,
    )
    tested = _test_table(test, raw, found, known, form) if test is not None else None
    tables, remarks = checked_splits(raw, tested, found)
    metric = given.metric or metric_for(tables, found)
    new = NewRecipe(
        language=known,
        task=task,
        raw=raw,
        guess=found,
        metric=metric,
        train=_as_in_recipe(data, path.parent),
        test=_as_in_recipe(test, path.parent) if test is not None else "",
        has_wikipedia_recipe=_has_wikipedia_recipe(known),
        model=_model(known, given.model, path.parent),
    )
    for line in (*_findings(new, tables), *(f"check: {one}" for one in remarks)):
        say(line)
    if not remarks:
        say("checks: no copies, leaks, conflicting labels, empty or damaged texts")
    say(_beginning(new))
    _write(new, path, tables)
    for line in _next_steps(path):
        say(line)
    return path


def _test_table(path: Path, train: RawTable, found: Guess, language: Language, form: TextForm) -> RawTable:
    """Return the table of the test texts; InputError where a recipe could not read it as it reads train."""
    test = raw_table(path, language, form)
    for option, names in (("texts", found.text), ("labels", (found.label,))):
        if missing := [name for name in names if name not in test.table.columns]:
            raise InputError(
                f"{path} has no column {missing[0]!r} for the {option}, as {train.path.name} has, only "
                f"{some(list(test.table.columns))}: rename it"
            )
    if (test.form, test.header, test.lines) != (train.form, train.header, train.lines):
        raise InputError(
            f"{path} is {_form(test)}, {train.path.name} is {_form(train)}: save both in the same form"
        )
    if not len(test.table):
        raise InputError(f"{path} has no rows: expected labelled texts to test on")
    task_of(test.table[found.label], str(path), found.label, found.task, found.label_separator)
    return test


def _form(raw: RawTable) -> str:
    parts = [raw.kind]
    if raw.kind == "CSV":
        parts.append(f"separated by {raw.form.separator or ','!r}")
    if raw.header:
        parts.append("without a header")
    if raw.kind != "Parquet":
        parts.append("UTF-8" if raw.form.encoding == "utf-8" else f"{raw.form.encoding} (--encoding)")
    return ", ".join(parts)


def _findings(new: NewRecipe, tables: Tables) -> list[str]:
    """Return the five lines that say what was found."""
    guess, raw, language = new.guess, new.raw, new.language
    words = sum(len(text.split()) for text in tables["train"]["text"]) / len(tables["train"])
    counts = label_counts(tables, guess)
    labels = f", {len(counts)} labels: {some([f'{n} ({c:,})' for n, c in counts.most_common()])}"
    apart = f", {guess.label_separator!r} between them" if guess.task == "multi_label" else ""
    sizes = {split: f"{len(table):,}" for split, table in tables.items()}
    made = f"test is {TEST_FRACTION:.0%} of it (or --test FILE)" if not new.test else "test is a file"
    texts = " + ".join(map(repr, guess.text))
    return [
        f"file: {raw.path.name}, {len(raw.table):,} rows, {_form(raw)}",
        f"texts: column {texts}, {words:.0f} words on average (--text-column)",
        f"labels: column {guess.label!r}, {KINDS[guess.task]}{apart}{labels if counts else ''}; ranked by "
        f"{new.metric} (--label-column, --kind, --metric)",
        f"language: {language.name} ({language.code}), script {language.script}, "
        f"{language.wikipedia}.wikipedia.org, rule of casing: {language.casing}",
        f"splits: train {sizes['train']}, valid {sizes['valid']}, test {sizes['test']}; {made}, valid is a "
        f"tenth of train",
    ]


def _beginning(new: NewRecipe) -> str:
    """Return the line that says what the language model is."""
    if new.model:
        return f"language model: {new.model}, released; nothing is pretrained"
    if new.has_wikipedia_recipe:
        return f"language model: pretrained as recipes/{new.language.code}/wikipedia.py says"
    return f"language model: pretrained on the newest dump of {new.language.wikipedia}.wikipedia.org"


def _as_in_recipe(path: Path, folder: Path) -> str:
    """Return a path as a recipe in `folder` has it: relative where both lie below the current folder."""
    if not is_text(str(path)) or not has_textual_name(path):
        raise InputError(f"{path!s:.80}: its name is not UTF-8 or has control characters: rename the file")
    here, place = Path.cwd().resolve(), path.resolve()
    if place.is_relative_to(here) and folder.resolve().is_relative_to(here):
        return Path(os.path.relpath(place, folder.resolve())).as_posix()
    return place.as_posix()


def _has_wikipedia_recipe(language: Language) -> bool:
    try:
        load_named_recipe(f"{language.code}/wikipedia")
    except RecipeNotFound:
        return False
    return True


def _model(language: Language, given: Path | None, folder: Path) -> str:
    """Return the largest released language model that reads forward, as the recipe names it; empty: none."""
    if given is not None:
        described(File(path=given))
        return _as_in_recipe(given, folder)
    found: list[tuple[int, str]] = []
    for place in sorted({one.parent / MODELS for one in CAME_ALONG} | {Path(MODELS)}):
        for bundle in sorted(place.glob(f"{language.code}-*")):
            try:
                description = described(File(path=bundle))
            except InputError:
                continue  # a classifier, or no bundle at all
            if "forward" in description.directions:
                size = description.architecture.hidden_size * description.architecture.layers
                found.append((size, _as_in_recipe(bundle, folder)))
    return max(found, default=(0, ""))[1]


def _write(new: NewRecipe, path: Path, tables: Tables) -> None:
    """Write the files, the recipe last; all of them or none. InputError where one is there already."""
    kind = KINDS[new.guess.task]
    rows = sum(map(len, tables.values()))
    files = {path: recipe_text(new)}
    if new.script:
        files = {path.with_name(new.script): script_text(new), **files}
    for place in files:
        if place.exists() or place.is_symlink():
            raise InputError(f"{place} is there already, and is not overwritten: choose another task name")
    readme = path.with_name("README.md")
    if not readme.exists():
        files = {readme: readme_text(new, path.as_posix(), path.parent.as_posix(), rows, kind), **files}
    new_folders = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for place, text in files.items():
            with place.open("x", encoding="utf-8") as file:
                written.append(place)
                file.write(text)
        load_recipe(str(path)).stages()
    except BaseException:
        for place in written:
            place.unlink()
        for folder in new_folders:
            with contextlib.suppress(OSError):  # something else was put into it
                folder.rmdir()
        raise


def _next_steps(path: Path) -> list[str]:
    return [
        f"wrote {path}",
        f"next: ulmfit plan {path}",
        f"      ulmfit run {path} --trial           minutes, to see that everything fits",
        f"      ulmfit run {path} --preset small    for two cores of a CPU",
    ]
