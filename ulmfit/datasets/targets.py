"""What the label column holds in each kind of task: read, checked, and grouped for the validation split.

A new kind of task begins with a class here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy
import pandas as pd
import pyarrow as pa

from ulmfit.datasets.task import Task
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.white_space import plain_white_space

LISTS = (list, tuple, set, frozenset, numpy.ndarray)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
QUANTILE_BINS = 10
"""Groups of similar numbers; the validation split gets its share of each."""


def is_missing(value: Any) -> bool:
    """Return whether a cell is empty: None, NaN, NaT or NA."""
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def label_name(value: Any) -> str:
    """Return a label's name in NFC; "" where there is none. Whole numbers have no decimal point."""
    return unicodedata.normalize("NFC", _spelling(value))


def _spelling(value: Any) -> str:
    if is_missing(value):
        return ""
    written = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return plain_white_space(written).strip()


def merged_spellings(values: Iterable[Any], separator: str) -> dict[str, int]:
    """Return the labels that occur in several spellings, which differ only in Unicode composition.

    `values` are cells of any split, and `separator` stands between the labels of a cell; "": a cell is one
    label. The result is the label in NFC -> the number of its spellings, sorted.
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


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:50]}…"


def some(labels: Sequence[str]) -> str:
    """Return the first twenty names, and how many more there are."""
    return ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")


class LabelKind(ABC):
    """What a label column holds in one kind of task."""

    several: ClassVar[bool] = False
    """Whether a row may have several labels."""
    type: ClassVar[pa.DataType]
    """Of the column in Parquet files, of data sets and of predictions."""

    @abstractmethod
    def read(self, value: Any, separator: str) -> Any:
        """Return the label that a cell holds; ValueError, which says what to do, if it holds none."""

    @abstractmethod
    def names_of(self, label: Any) -> Sequence[str]:
        """Return the names of one row's label; none if it is a number."""

    @abstractmethod
    def strata(self, labels: pd.Series, fraction: float) -> pd.Series:
        """Return the group of each row for a stratified split that takes `fraction` of every group.

        The groups do not depend on the order of the rows.
        """

    def mend(self, chosen: pd.Series, labels: pd.Series, order: pd.Series, fraction: float) -> None:
        """Change a split in place where splitting by groups loses labels; `chosen` marks validation."""
        return

    def names(self, labels: Iterable[Any]) -> list[str]:
        """Return the sorted names that occur in a label column."""
        return sorted({name for label in labels for name in self.names_of(label)})

    def check(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Raise InputError when train has too few labels, or valid or test one that train lacks."""
        names = self.names(tables["train"]["label"])
        known = set(names)
        for split in ("valid", "test"):
            for row, label in zip(tables[split]["id"], tables[split]["label"], strict=True):
                if strange := [name for name in self.names_of(label) if name not in known]:
                    raise InputError(
                        f"label {strange[0]!r} in {split} (id {row!r}) does not occur in train, which has "
                        f"{some(names)}: correct the label, or move texts with it into train"
                    )
        if len(known) < 2:
            found = f"one label only, {some(names)}" if known else "no label at all"
            raise InputError(f"train has {found}: expected two or more")


class OneLabel(LabelKind):
    """A name."""

    type = pa.string()

    def read(self, value: Any, separator: str) -> str:
        """Return the name."""
        if isinstance(value, LISTS):
            raise ValueError(
                f"the label is a list, {list(value)!r}; give every row one label, or set task=multi_label"
            )
        if label := label_name(value):
            return label
        raise ValueError("the label is missing; give every row one label")

    def names_of(self, label: str) -> Sequence[str]:
        """Return the name."""
        return [label]

    def strata(self, labels: pd.Series, fraction: float) -> pd.Series:
        """Group by label."""
        return labels


class SeveralLabels(LabelKind):
    """A sorted list of names, which may be empty."""

    several = True
    type = pa.list_(pa.string())

    def read(self, value: Any, separator: str) -> list[str]:
        """Return the names, given as a list or with `separator` between them."""
        if isinstance(value, LISTS):
            if any(isinstance(item, LISTS) for item in value):
                raise ValueError(f"a label is a list itself in {_shown(value)}; expected names")
            labels = [label_name(item) for item in value]
        else:
            cell = label_name(value)
            parts = cell.split(unicodedata.normalize("NFC", separator)) if cell else []
            labels = [label.strip() for label in parts]
        if "" in labels:
            raise ValueError(
                f"one of the labels is empty in {_shown(value)}; name every label, or none at all"
            )
        if repeated := [label for label, count in Counter(labels).items() if count > 1]:
            raise ValueError(f"label {repeated[0]!r} stands twice; name each label once")
        return sorted(labels)

    def names_of(self, label: Sequence[str]) -> Sequence[str]:
        """Return all of them."""
        return label

    def strata(self, labels: pd.Series, fraction: float) -> pd.Series:
        """Group by the set of labels where enough rows share it, else by the rarest label of the row."""
        sets = labels.map(tuple)
        frequency, rows_with = Counter(sets), Counter(name for names in sets for name in names)

        def group(names: tuple[str, ...]) -> tuple[str, ...]:
            if not names or frequency[names] * fraction >= 1:
                return ("set", *names)
            return ("rarest label", min(names, key=lambda name: (rows_with[name], name)))

        return sets.map(lambda names: "\0".join(group(names)))

    def mend(self, chosen: pd.Series, labels: pd.Series, order: pd.Series, fraction: float) -> None:
        """Make sure that train has every label, and validation too where its share is a row or more."""
        rows = Counter(name for names in labels for name in names)

        def move(missing: set[str], to_valid: bool) -> None:
            for name in sorted(missing):
                with_label = pd.Series([name in names for names in labels], index=labels.index, dtype=bool)
                if (chosen[with_label] == to_valid).any():
                    continue  # A row that was moved for an earlier label may have this one too.
                places = order[with_label]
                chosen[places.index[places == (places.min() if to_valid else places.max())]] = to_valid

        frequent = {name for name, count in rows.items() if count > 1 and count * fraction >= 1}
        move(frequent - set(self.names(labels[chosen])), to_valid=True)
        move(set(rows) - set(self.names(labels[~chosen])), to_valid=False)


class Number(LabelKind):
    """A finite number."""

    type = pa.float64()

    def read(self, value: Any, separator: str) -> float:
        """Return the number."""
        number = math.nan
        if isinstance(value, str):
            # float() also takes forms such as 1_000 and nan.
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

    def names_of(self, label: float) -> Sequence[str]:
        """Return none."""
        return ()

    def strata(self, labels: pd.Series, fraction: float) -> pd.Series:
        """Group by bins between quantiles."""
        bins = max(1, min(QUANTILE_BINS, int(len(labels) * fraction)))
        return (labels.rank(method="min") - 1) * bins // max(1, len(labels))

    def check(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Raise InputError for a split with a single number, and for an impossible spread."""
        for split in ("train", "valid", "test"):
            numbers = tables[split]["label"]
            if numbers.nunique() < 2:
                raise InputError(
                    f"{split} has one number only, {numbers.iloc[0]:g}: expected two or more, which no "
                    "correlation can be computed without"
                )
        values = tables["train"]["label"].to_numpy(numpy.float64)
        with numpy.errstate(over="ignore", invalid="ignore"):
            deviation = float(values.std())
        if not 0 < deviation < math.inf:
            raise InputError(
                f"train's numbers have a standard deviation of {deviation:g}, which cannot be computed with: "
                "scale the labels"
            )


LABELS: dict[Task, LabelKind] = {
    "single_label": OneLabel(),
    "multi_label": SeveralLabels(),
    "regression": Number(),
}


def read_labels(
    ids: Iterable[str], values: Iterable[Any], split: str, kind: LabelKind, separator: str
) -> list[Any]:
    """Return the labels of rows; InputError with the row's id for a cell that holds none."""
    labels = []
    for row, value in zip(ids, values, strict=True):
        try:
            labels.append(kind.read(value, separator))
        except ValueError as error:
            raise InputError(f"{split}, id {row!r}: {error}") from error
    return labels
