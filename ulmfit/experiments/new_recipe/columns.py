"""Which columns of a table are the texts, the labels and the ids, and what kind of task the labels are."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from ulmfit.datasets.targets import LABELS, LISTS, is_missing, label_name, some
from ulmfit.datasets.task import Task
from ulmfit.pipeline.errors import InputError

TEXT_NAMES: Final = (
    "text",
    "texts",
    "review",
    "comment",
    "message",
    "tweet",
    "sentence",
    "content",
    "body",
    "document",
    "question",
    "headline",
    "title",
    "tekst",
    "sent",
)
LABEL_NAMES: Final = (
    "label",
    "labels",
    "class",
    "category",
    "sentiment",
    "target",
    "topic",
    "emotion",
    "emotions",
    "tag",
    "tags",
    "intent",
    "rating",
    "stars",
    "score",
    "polarity",
    "y",
)
ID_NAMES: Final = ("id", "nr", "no", "key", "uuid", "index", "")
SEPARATORS: Final = "|;,/"
"""Between the labels of a cell, the likeliest first."""
MOST_VALUES = 20
"""Different whole numbers that may be names of classes, such as stars; more are numbers of a regression."""
FEWEST_ROWS = 20
MOST_ROWS = 5_000
"""Rows, spread over the table, from which columns are guessed."""
MOST_LABELS = 1_000
"""Different labels from which a column has to be named by the user."""
WORDS_OF_A_TEXT = 2.0
"""Words on average from which a column may be the texts, whatever it is called."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Guess:
    """What the columns of a table are; every field may be given by the user."""

    text: tuple[str, ...]
    label: str
    id: str | None
    task: Task
    label_separator: str = "|"


def guess(
    table: pd.DataFrame,
    where: str,
    *,
    text: Sequence[str] = (),
    label: str = "",
    task: str = "",
    label_separator: str = "",
) -> Guess:
    """Return the columns of texts, labels and ids, and the task; what is given is not guessed.

    Raises InputError where the table cannot be a data set, and where there is no best guess.
    """
    names = list(table.columns)
    for option, wanted in [*(("--text-column", one) for one in text), ("--label-column", label)]:
        if wanted and wanted not in names:
            raise InputError(f"{option} {wanted!r}: {where} has no such column, only {some(names)}")
    if len(names) < 2:
        raise InputError(
            f"{where} has one column only, {some(names)}: expected two, the texts and their labels; another "
            f"separator is named with --separator"
        )
    if len(table) < FEWEST_ROWS:
        raise InputError(
            f"{where} has {len(table)} rows: expected {FEWEST_ROWS} or more to train and test on, a few "
            f"hundred for a classifier that is of use"
        )
    sample = table.iloc[:: max(1, len(table) // MOST_ROWS)]
    texts = tuple(text) or (_text_column(sample, where, label),)
    chosen = label or _label_column(sample, where, texts)
    found_task, separator = task_of(table[chosen], where, chosen, task, label_separator)
    if not label and found_task == "single_label" and (many := table[chosen].nunique()) > MOST_LABELS:
        raise InputError(
            f"{where}: column {chosen!r} has {many:,} different values, many for labels: name the column "
            f"with --label-column if they are"
        )
    _check_texts(table, texts, where)
    return Guess(texts, chosen, _id_column(table, {*texts, chosen}), found_task, separator)


def task_of(
    column: pd.Series, where: str, name: str, given: str = "", separator: str = ""
) -> tuple[Task, str]:
    """Return the kind of task, and what stands between labels; raises InputError where it is none."""
    cells = [value for value in column if not is_missing(value)]
    if given and given not in LABELS:
        raise InputError(f"--kind {given}: expected one of {', '.join(LABELS)}")
    task: Any = given or _kind(cells, separator)
    sign = separator or (_separator_of(cells) if task == "multi_label" else "") or "|"
    kind = LABELS[task]
    names = Counter(name for value in cells for name in _names_of(kind, value, sign))
    if task != "regression":
        if len(names) < 2:
            raise InputError(
                f"{where}: column {name!r} has one label only, {some(list(names))}: expected two or more; "
                f"other columns are named with --label-column"
            )
        if len(names) > len(cells) / 2:
            raise InputError(
                f"{where}: column {name!r} has {len(names):,} labels in {len(cells):,} rows, nearly one per "
                f"row: it is no column of labels; name another with --label-column"
            )
    return task, sign


def _names_of(kind: Any, value: Any, separator: str) -> Iterable[str]:
    try:
        return kind.names_of(kind.read(value, separator))
    except ValueError:
        return ()


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", str(name)).strip().casefold()


def _values(column: pd.Series) -> list[Any]:
    return [value for value in column if not is_missing(value)]


def _is_list(column: pd.Series) -> bool:
    return any(isinstance(value, LISTS) for value in column)


def _words(column: pd.Series) -> float:
    """Return the words of a cell on average; signs without spaces between them count by twos."""
    cells = [str(value) for value in _values(column)]
    wide = [len(re.findall("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]", cell)) / 2 for cell in cells]
    return sum(len(cell.split()) + more for cell, more in zip(cells, wide, strict=True)) / max(1, len(cells))


def _text_column(table: pd.DataFrame, where: str, label: str) -> str:
    candidates = [
        name
        for name in table.columns
        if name != label and not _is_list(table[name]) and not _all_numbers(_values(table[name]))
    ]
    if not candidates:
        raise InputError(f"{where} has no column of texts: {some(list(table.columns))}; expected one")
    words = {name: _words(table[name]) for name in candidates}
    best = max(candidates, key=lambda name: words[name])
    named = [name for wanted in TEXT_NAMES for name in candidates if _plain(name) == wanted]
    chosen = next((name for name in named if words[name] >= words[best] / 2), best)
    if chosen not in named and words[chosen] < WORDS_OF_A_TEXT:
        raise InputError(
            f"{where} has no column that looks like texts: {some(list(table.columns))}; name it with "
            f"--text-column"
        )
    return chosen


def _label_column(table: pd.DataFrame, where: str, texts: Sequence[str]) -> str:
    rest = [name for name in table.columns if name not in texts]
    named = [name for wanted in LABEL_NAMES for name in rest if _plain(name) == wanted]
    if named:
        return named[0]
    rest = [name for name in rest if _plain(name) not in ID_NAMES]
    likely = [name for name in rest if _may_be_labels(table[name])]
    if len(likely) == 1:
        return likely[0]
    if likely or not rest:
        raise InputError(
            f"{where}: the labels may stand in {some(likely or list(table.columns))}: name the column with "
            f"--label-column"
        )
    if len(rest) == 1:
        return rest[0]  # what is wrong with it is said by task_of
    raise InputError(
        f"{where}: no column looks like labels: {some(rest)}; name it with --label-column, and --kind "
        f"regression where it holds numbers"
    )


def _may_be_labels(column: pd.Series) -> bool:
    """Return whether few values are repeated often, or lists are there."""
    if _is_list(column):
        return True
    different = column.map(label_name).nunique()
    return 2 <= different <= max(2, min(100, len(column) / 5))


def _all_numbers(cells: Sequence[Any]) -> bool:
    return all(
        not isinstance(value, (bool, *LISTS)) and _NUMBER.fullmatch(str(value).strip()) for value in cells
    )


def _kind(cells: Sequence[Any], separator: str) -> Task:
    if any(isinstance(value, LISTS) for value in cells):
        return "multi_label"
    if cells and _all_numbers(cells):
        numbers = {float(value) for value in cells}
        whole = all(number.is_integer() for number in numbers)
        return "single_label" if whole and len(numbers) <= MOST_VALUES else "regression"
    return "multi_label" if separator or _separator_of(cells) else "single_label"


def _separator_of(cells: Sequence[Any]) -> str:
    """Return the sign that cuts some cells into labels that stand alone or elsewhere too; empty: none."""
    texts = [str(value) for value in cells if not isinstance(value, LISTS)]
    whole = {text.strip() for text in texts}
    for sign in SEPARATORS:
        parts = [[part.strip() for part in text.split(sign)] for text in texts]
        several = sum(len(one) > 1 for one in parts)
        if several < max(2, len(texts) / 50) or any("" in one for one in parts if len(one) > 1):
            continue
        if any(len(set(one)) < len(one) for one in parts):
            continue
        names = Counter(part for one in parts for part in one if part)
        if len(names) < len(whole) and min(names.values()) > 1:
            return sign
    return ""


def _id_column(table: pd.DataFrame, taken: set[str]) -> str | None:
    """Return a column called id, or alike, whose values are all there and differ."""
    for name in table.columns:
        if name in taken or _plain(name) not in ID_NAMES or _plain(name) == "":
            continue
        if not table[name].map(is_missing).any() and table[name].astype(str).is_unique:
            return name
    return None


def _check_texts(table: pd.DataFrame, texts: Sequence[str], where: str) -> None:
    if all(table[name].astype(str).nunique() == 1 for name in texts):
        raise InputError(
            f"{where}: column {some(list(texts))} has the same text in every row: name another with "
            f"--text-column"
        )
