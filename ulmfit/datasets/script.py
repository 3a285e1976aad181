"""Data scripts: loading one from its path, running it, and its command line."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from ulmfit.datasets.metric_table import ranking_metrics
from ulmfit.datasets.tables import Description, check_splits, with_text_rules, write_tables
from ulmfit.datasets.task import Task
from ulmfit.datasets.text_rules import TextRule
from ulmfit.pipeline.assets import MIRROR_VARIABLE, Catalogue, File, fetch
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.pins import Pins, pin_file
from ulmfit.pipeline.printing import show
from ulmfit.pipeline.process import accept_any_text
from ulmfit.pipeline.progress import say
from ulmfit.pipeline.settings import first_fault

Convert = Callable[..., Mapping[str, pd.DataFrame]]
CATALOGUE = "assets.toml"
VALID_FRACTION = 0.1


def load_convert(path: Path) -> Convert:
    """Return the function `convert` of a Python file; the file is not registered as a module."""
    spec = importlib.util.spec_from_file_location("ulmfit_data_script", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file: expected a data script")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _failure(path.name, error) from error
    convert = getattr(module, "convert", None)
    if not callable(convert):
        raise InputError(f"{path} has no function convert(files, **options): a data script needs one")
    return convert


def run_convert(
    convert: Convert, name: str, files: Mapping[str, Path], options: Mapping[str, str]
) -> Mapping[str, pd.DataFrame]:
    """Call the `convert` of the script `name`; whatever it raises becomes an InputError."""
    known = [parameter for parameter in inspect.signature(convert).parameters][1:]
    if unknown := [option for option in options if option not in known]:
        raise InputError(
            f"data script {name} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )
    try:
        tables = convert(files, **options)
    except InputError:
        raise
    except Exception as error:
        raise _failure(name, error) from error
    if not isinstance(tables, Mapping) or not all(isinstance(t, pd.DataFrame) for t in tables.values()):
        raise InputError(f"data script {name}: convert has to return a pandas table for each split")
    return tables


def text_rules_of(convert: Convert, name: str) -> tuple[TextRule, ...]:
    """Return the `TEXT_RULES` of the script `name`; none where it declares none."""
    declared = getattr(convert, "__globals__", {}).get("TEXT_RULES", ())
    try:
        return TypeAdapter(tuple[TextRule, ...]).validate_python(declared)
    except ValidationError as error:
        raise InputError(
            f"data script {name}: TEXT_RULES {first_fault(error)}; expected pairs of strings, "
            "one_space or strip"
        ) from error


def _failure(name: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"data script {name} failed: {type(error).__name__}: {reason}")


def main(
    convert: Convert,
    assets: Mapping[str, str | File],
    language: str,
    arguments: Sequence[str] | None = None,
    *,
    task: Task = "single_label",
) -> None:
    """Be the command line of a data script: write the tables of its data set into a folder.

    `assets` maps the names of the files that `convert` reads to keys of the `assets.toml` beside the script,
    or to local files, which have to be there already. `task` says what its labels are, as in `DatasetStage`;
    the labels of a multi-label cell stand between `|`. Exits with status 2 and one line when the input is
    wrong.
    """
    script = Path(inspect.getfile(convert))
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(convert)))
    parser.add_argument("out", type=Path, help="folder for the Parquet files and dataset.json")
    parser.add_argument(
        "--mirror",
        type=Path,
        default=os.environ.get(MIRROR_VARIABLE),
        help=f"folder that has the published files, by any path; default: the variable {MIRROR_VARIABLE}",
    )
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", dest="options")
    chosen = parser.parse_args(arguments)
    accept_any_text()
    try:
        options = dict(_option(text) for text in chosen.options)
        catalogue = Catalogue(script.with_name(CATALOGUE))
        files = {name: catalogue[key] if isinstance(key, str) else key for name, key in assets.items()}
        rules = text_rules_of(convert, script.name)
        tables = _run_on_assets(convert, script.name, files, chosen, options)
        splits = {split: with_text_rules(table, rules) for split, table in tables.items()}
        description = _description(script.stem, language, files, task)
        _write(chosen.out, splits, replace(description, text_rules=rules))
    except (InputError, StageFailed) as error:
        show(f"{script.name}: {error}", sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)


def _option(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InputError(f"--set {text!r} is not OPTION=VALUE")
    return name, value


def _run_on_assets(
    convert: Convert,
    name: str,
    files: Mapping[str, File],
    chosen: argparse.Namespace,
    options: Mapping[str, str],
) -> Mapping[str, pd.DataFrame]:
    chosen.out.mkdir(parents=True, exist_ok=True)
    cache = chosen.out / "downloads"
    pins = Pins(chosen.out)
    known = {key: pin_file(file, pins, cache, chosen.mirror, say) for key, file in files.items()}
    paths = {key: fetch(file, cache, chosen.mirror, say) for key, file in known.items()}
    return run_convert(convert, name, paths, options)


def _description(name: str, language: str, files: Mapping[str, File], task: Task) -> Description:
    return Description(
        name=name,
        language=language,
        source="; ".join(dict.fromkeys(file.source for file in files.values())),
        licence="; ".join(dict.fromkeys(file.licence for file in files.values())),
        task=task,
        metric=ranking_metrics(task)[0],
    )


def _write(out: Path, splits: Mapping[str, pd.DataFrame], description: Description) -> None:
    warnings: list[str] = []
    tables = check_splits(splits, VALID_FRACTION, warnings.append, task=description.task)
    rows = write_tables(out, tables, replace(description, warnings=tuple(warnings)))
    for warning in warnings:
        say(f"warning: {warning}")
    say(", ".join(f"{split} {count:,}" for split, count in rows.items()))
