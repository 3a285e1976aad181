"""The newest dump and files of unknown hash: looked up by a recipe's first run, and noted in `pins.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from ulmfit.corpus.stages import NEWEST, Wikipedia
from ulmfit.pipeline.assets import File, all_settings, with_settings
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.pins import DUMPS, PINS, Pins, is_unpinned, pin_file, pinned_file
from ulmfit.pipeline.progress import say
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.settings import Settings

Pinnable = TypeVar("Pinnable", bound=Settings)


def with_pins(recipe: Pinnable, folder: Path) -> Pinnable:
    """Return a recipe with the dates and hashes of `pins.toml` in `folder` filled in."""
    if not unpinned(recipe):
        return recipe
    pins = Pins(folder)

    def dated(dump: Wikipedia) -> Wikipedia:
        noted = pins.get(DUMPS, dump.language) if dump.date == NEWEST else ""
        return dump.changed(date=noted) if noted else dump

    recipe = with_settings(recipe, Wikipedia, dated)
    return with_settings(recipe, File, lambda file: pinned_file(file, pins))


def unpinned(recipe: Settings) -> list[str]:
    """Return what a recipe reads and does not pin yet: dumps without a date, files without a hash."""
    parts = tuple(_parts_read(recipe).values())
    dumps = [dump for dump in all_settings(parts, Wikipedia) if dump.date == NEWEST]
    files = [file for file in all_settings(parts, File) if is_unpinned(file)]
    found = [*(f"the newest dump of {dump.language}" for dump in dumps), *(file.name for file in files)]
    return list(dict.fromkeys(found))


def _parts_read(recipe: Settings) -> dict[str, Any]:
    """Return the fields of a recipe that a run reads: with a trained language model not the corpus."""
    fields = {name: getattr(recipe, name) for name in type(recipe).model_fields}
    if fields.get("language_model") is not None:
        del fields["corpus"]
    return fields


def pinned(recipe: Pinnable, recipe_file: Path | None, runner: Runner) -> Pinnable:
    """Return a recipe in which everything is fixed; look up what is not, say it, and note it beside its file.

    Raises InputError for a recipe without a file: there is no place for a note.
    """
    open_questions = unpinned(recipe)
    if not open_questions:
        return recipe
    if recipe_file is None:
        raise InputError(
            f"{open_questions[0]}: what a run finds is noted in {PINS} beside the recipe's file, and this "
            f"recipe has none: name a date, or a sha256"
        )
    pins = Pins(recipe_file.parent)
    cache = runner.runs / "assets"

    def dated(dump: Wikipedia) -> Wikipedia:
        if dump.date != NEWEST:
            return dump
        date = pins.get(DUMPS, dump.language)
        if not date:
            from ulmfit.corpus.dumps.download import newest_date

            date = newest_date(dump.language, dump.base_url, say, runner.mirror)
            pins.add(DUMPS, dump.language, date)
            say(f"the newest complete dump of {dump.language} is of {date}; noted in {pins.path}")
        return dump.changed(date=date)

    def hashed(file: File) -> File:
        return pin_file(file, pins, cache, runner.mirror, say)

    parts = _parts_read(recipe)
    return recipe.changed(**with_settings(with_settings(parts, Wikipedia, dated), File, hashed))
