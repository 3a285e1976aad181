"""What the label column holds in each kind of task: read, checked, and grouped for the validation split."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy
import pandas as pd
import pyarrow as pa

from ulmfit.datasets.stages import Task
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.white_space import plain_white_space

LISTS = (list, tuple, set, frozenset, numpy.ndarray)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
QUANTILE_BINS = 10
"""Groups of like numbers, of each of which the validation split gets its share."""

LABEL_TYPES: dict[Task, pa.DataType] = {
    "single_label": pa.string(),
    "multi_label": pa.list_(pa.string()),
    "regression": pa.float64(),
}


def read_labels(
    ids: Iterable[str], values: Iterable[Any], split: str, task: Task, separator: str
) -> list[Any]:
    """Return the labels of rows as the task has them: a string, a sorted list of strings, a finite number.

    Raises InputError with the row's id for what is none of that, and for a row without a label where the task
    needs one.
    """
    read = {
        "single_label": _required_label,
        "multi_label": lambda value: _label_list(value, separator),
        "regression": _number,
    }[task]
    labels = []
    for row, value in zip(ids, values, strict=True):
        try:
            labels.append(read(value))
        except ValueError as error:
            raise InputError(f"{split}, id {row!r}: {error}") from error
    return labels


def is_missing(value: Any) -> bool:
    """Return whether a cell is empty: None, NaN, NaT or NA."""
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def _required_label(value: Any) -> str:
    if isinstance(value, LISTS):
        raise ValueError(
            f"the label is a list, {list(value)!r}; give every row one label, or set task=multi_label"
        )
    if label := label_name(value):
        return label
    raise ValueError("the label is missing; give every row one label")


def label_name(value: Any) -> str:
    """Return a label's name in NFC, which is "" where there is none; whole numbers are without a point."""
    return unicodedata.normalize("NFC", _spelling(value))


def _spelling(value: Any) -> str:
    if is_missing(value):
        return ""
    written = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return plain_white_space(written).strip()


def merged_spellings(values: Iterable[Any], separator: str) -> dict[str, int]:
    """Return the labels that stand in several spellings, which differ in Unicode's composition alone.

    `values` are cells of any split, and `separator` what parts the labels of a cell; "" parts none. The
    result is the label in NFC -> the number of its spellings, sorted.
    """
    spellings: dict[str, set[str]] = {}
    for value in values:
        items = value if isinstance(value, LISTS) else [value]
        written = [_spelling(item) for item in items]
        if separator and not isinstance(value, LISTS):
            written = [part.strip() for part in written[0].split(separator)]
        for name in written:
            spellings.setdefault(unicodedata.normalize("NFC", name), set()).add(name)
    return {name: len(forms) for name, forms in sorted(spellings.items()) if len(forms) > 1}


def _label_list(value: Any, separator: str) -> list[str]:
    if isinstance(value, LISTS):
        if any(isinstance(item, LISTS) for item in value):
            raise ValueError(f"a label is a list itself in {_shown(value)}; expected names")
        labels = [label_name(item) for item in value]
    else:
        cell = label_name(value)
        parts = cell.split(unicodedata.normalize("NFC", separator)) if cell else []
        labels = [label.strip() for label in parts]
    if "" in labels:
        raise ValueError(f"one of the labels is empty in {_shown(value)}; name every label, or none at all")
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        raise ValueError(f"label {repeated[0]!r} stands twice; name each label once")
    return sorted(labels)


def _number(value: Any) -> float:
    number = math.nan
    if isinstance(value, str):
        # float() takes more than a number's usual form, such as 1_000 and nan.
        number = float(value) if _NUMBER.fullmatch(value := value.strip()) else math.nan
    elif not isinstance(value, (bool, numpy.bool_, *LISTS)) and not is_missing(value):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"the label {_shown(value)} is no finite number, which regression needs; write it like 3.5"
        )
    return number


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:50]}…"


def label_names(task: Task, labels: Sequence[Any]) -> list[str]:
    """Return the sorted names that occur in a label column; none in regression."""
    if task == "regression":
        return []
    return sorted(set(labels) if task == "single_label" else _names(labels))


def check_labels(tables: Mapping[str, pd.DataFrame], task: Task) -> None:
    """Raise InputError when train has too few labels, or valid or test one that train lacks."""
    if task == "regression":
        _check_numbers(tables["train"]["label"])
        for split in ("valid", "test"):
            _check_several(tables[split]["label"], split)
        return
    known = set(label_names(task, tables["train"]["label"].tolist()))
    for split in ("valid", "test"):
        for row, labels in zip(tables[split]["id"], tables[split]["label"], strict=True):
            names = [labels] if task == "single_label" else labels
            if strange := [name for name in names if name not in known]:
                raise InputError(
                    f"label {strange[0]!r} in {split} (id {row!r}) does not occur in train, "
                    f"which has {some(sorted(known))}: correct the label, or move texts with it into train"
                )
    if len(known) < 2:
        found = f"one label only, {some(sorted(known))}" if known else "no label at all"
        raise InputError(f"train has {found}: expected two or more")


def _check_several(numbers: pd.Series, split: str) -> None:
    if numbers.nunique() < 2:
        raise InputError(
            f"{split} has one number only, {numbers.iloc[0]:g}: expected two or more, which no correlation "
            "can be computed without"
        )


def _check_numbers(numbers: pd.Series) -> None:
    _check_several(numbers, "train")
    values = numbers.to_numpy(numpy.float64)
    with numpy.errstate(over="ignore", invalid="ignore"):
        deviation = float(values.std())
    if not 0 < deviation < math.inf:
        raise InputError(
            f"train's numbers have a standard deviation of {deviation:g}, which cannot be computed with: "
            "scale the labels"
        )


def some(labels: Sequence[str]) -> str:
    """Return the first twenty names, and how many more there are."""
    return ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")


def strata(labels: pd.Series, task: Task, fraction: float) -> pd.Series:
    """Return the group of each row for a stratified split that takes `fraction` of every group.

    The label; in multi-label tasks the set of labels where enough rows share it, else the rarest label of the
    row; in regression a bin between quantiles. The groups do not depend on the order of the rows.
    """
    if task == "single_label":
        return labels
    if task == "regression":
        bins = max(1, min(QUANTILE_BINS, int(len(labels) * fraction)))
        return (labels.rank(method="min") - 1) * bins // max(1, len(labels))
    sets = labels.map(tuple)
    frequency, rows_with = Counter(sets), Counter(name for names in sets for name in names)

    def group(names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or frequency[names] * fraction >= 1:
            return ("set", *names)
        return ("rarest label", min(names, key=lambda name: (rows_with[name], name)))

    return sets.map(lambda names: "\0".join(group(names)))


def cover_labels(chosen: pd.Series, labels: pd.Series, order: pd.Series, fraction: float) -> None:
    """Mend a split so that every label is in train, and in validation if `fraction` of its rows is a row.

    `chosen` marks the rows of the validation split and is changed in place. Of the rows of a label those with
    the first place in `order` go to validation, those with the last go back to train.
    """
    rows = Counter(name for names in labels for name in names)

    def move(missing: set[str], to_valid: bool) -> None:
        for name in sorted(missing):
            with_label = pd.Series([name in names for names in labels], index=labels.index, dtype=bool)
            if (chosen[with_label] == to_valid).any():
                continue  # one that was moved for an earlier label has this one, too
            places = order[with_label]
            chosen[places.index[places == (places.min() if to_valid else places.max())]] = to_valid

    frequent = {name for name, count in rows.items() if count > 1 and count * fraction >= 1}
    move(frequent - _names(labels[chosen]), to_valid=True)
    move(set(rows) - _names(labels[~chosen]), to_valid=False)


def _names(labels: Iterable[Iterable[str]]) -> set[str]:
    return {name for names in labels for name in names}
