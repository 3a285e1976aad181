"""Checks on labelled tables, and the files they are written to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.datasets.targets import LABELS, LabelKind, is_missing, merged_spellings, read_labels, some
from ulmfit.datasets.task import Task, has_one_label
from ulmfit.datasets.text_rules import TextRule, composed, with_rules
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, sha256_of, write_json

SPLITS = ("train", "valid", "test", "unlabelled")
_VALIDATION_SALT = b"validation rows\0"


@dataclass(frozen=True)
class Description:
    """What `dataset.json` says that cannot be read off the tables."""

    name: str
    language: str = ""
    source: str = ""
    licence: str = ""
    task: Task = "single_label"
    metric: str = "accuracy"
    positive_label: str | None = None
    warnings: tuple[str, ...] = ()
    text_rules: tuple[TextRule, ...] = ()


def check_splits(
    splits: Mapping[str, pd.DataFrame],
    valid_fraction: float,
    warn: Callable[[str], None],
    *,
    task: Task = "single_label",
    separator: str = "|",
) -> dict[str, pd.DataFrame]:
    """Return the tables of a data set, checked: columns id and text, which are strings, and label.

    Texts and labels are in NFC, their line ends and spaces as `plain_white_space` writes them; a warning
    names labels that become the same. A label is a string, a sorted list of strings (given as one, or with
    `separator` between its labels) or a number, as the task has it. Texts without content are counted in a
    warning. They are dropped, except in test, where every row is predicted. A missing valid is made from
    train. Raises InputError for missing splits or columns, missing or impossible labels, repeated ids, labels
    that train lacks, and fewer than two labels.
    """
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise InputError(f"a data set has no split {unknown[0]!r}: expected {', '.join(SPLITS)}")
    if missing := [split for split in ("train", "test") if split not in splits]:
        raise InputError(f"the data set has no {missing[0]} split: expected train and test")
    kind = LABELS[task]
    tables = {
        split: _checked(splits[split], split, warn, kind, separator) for split in SPLITS if split in splits
    }
    _warn_of_merged_labels(splits, separator if kind.several else "", warn)
    if "valid" not in tables:
        tables["train"], tables["valid"] = split_off_validation(tables["train"], valid_fraction, task)
        if tables["valid"].empty:
            raise InputError(
                "train is too small to make a validation split: no label has two texts; give it more, or a "
                "file of validation texts (valid)"
            )
    tables = {split: tables[split] for split in SPLITS if split in tables}
    kind.check(tables)
    _warn_of_repeated_texts(tables, warn)
    return tables


def _checked(
    table: pd.DataFrame, split: str, warn: Callable[[str], None], kind: LabelKind, separator: str
) -> pd.DataFrame:
    columns = ["text"] if split == "unlabelled" else ["text", "label"]
    for column in columns:
        if column not in table.columns:
            raise InputError(
                f"{split} has no column {column!r}; it has {', '.join(map(str, table.columns)) or 'none'}"
            )
    result = pd.DataFrame({"id": _ids(table, split)})
    result["text"] = [text_form(value) for value in table["text"]]
    has_text = numpy.array([text.strip() != "" for text in result["text"]], dtype=bool)
    if not has_text.any() and split != "unlabelled":
        raise InputError(f"{split} holds no text: expected at least one row")
    if not has_text.all():
        fate = "are predicted as empty texts" if split == "test" else "dropped"
        listed = some(result["id"][~has_text].tolist())
        without = len(result) - int(has_text.sum())
        warn(f"{split}: {without:,} of {len(result):,} rows {fate}, they have no text: {listed}")
    kept = numpy.ones(len(result), dtype=bool) if split == "test" else has_text
    result = result[kept].reset_index(drop=True)
    if "label" in columns:
        result["label"] = read_labels(result["id"], table["label"][kept], split, kind, separator)
    return result


def _ids(table: pd.DataFrame, split: str) -> list[str]:
    """Return the ids as strings, made from the row numbers where there are none."""
    if "id" not in table.columns:
        return [f"{split}-{number:06d}" for number in range(1, len(table) + 1)]
    if table["id"].isna().any():
        raise InputError(
            f"{split}: {int(table['id'].isna().sum())} rows have no id; give every row one, or none"
        )
    ids = table["id"].astype(str)
    if ids.duplicated().any():
        raise InputError(f"{split}: id {ids[ids.duplicated()].iloc[0]!r} stands twice; ids have to be unique")
    return ids.tolist()


def text_form(value: Any) -> str:
    """Return a cell as a text of a data set: NFC, with plain white space; "" where there is none."""
    return "" if is_missing(value) else composed(str(value))


def with_text_rules(table: pd.DataFrame, rules: Sequence[TextRule]) -> pd.DataFrame:
    """Return a table whose texts the rules have changed; cells without a text stay as they are."""
    if not rules or "text" not in table:
        return table
    changed = [with_rules(value, rules) if isinstance(value, str) else value for value in table["text"]]
    return table.assign(text=changed)


def _warn_of_merged_labels(
    splits: Mapping[str, pd.DataFrame], separator: str, warn: Callable[[str], None]
) -> None:
    cells = (value for split in SPLITS[:3] if split in splits for value in splits[split]["label"])
    if merged := merged_spellings(cells, separator):
        listed = some([f"{name!r} ({count} spellings)" for name, count in merged.items()])
        warn(f"labels that differ in Unicode's composition alone are one label each: {listed}")


def split_off_validation(
    train: pd.DataFrame, fraction: float, task: Task = "single_label"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return train and validation rows: of each label the `fraction` with the smallest hash of their text.

    Depends on nothing but the rows, whatever their order; equal texts of a label stay together. Every label
    with two rows or more is in both. In other tasks the groups of `LabelKind.strata` take the labels' place;
    then every label stays in train, and one with few rows may be in train alone.
    """
    kind, hashes = LABELS[task], train["text"].map(_text_hash)
    chosen = pd.Series(False, index=train.index)
    for _, rows in train.groupby(kind.strata(train["label"], fraction), sort=True):
        if len(rows) < 2:
            continue
        count = min(max(1, round(len(rows) * fraction)), len(rows) - 1)
        order = pd.DataFrame({"hash": hashes[rows.index], "id": rows["id"]}).sort_values(["hash", "id"])
        together = order["hash"] <= order["hash"].iloc[count - 1]
        chosen[order.index[together if not together.all() else range(count)]] = True
    kind.mend(chosen, train["label"], hashes, fraction)
    return train[~chosen].reset_index(drop=True), train[chosen].reset_index(drop=True)


def split_off_test(
    table: pd.DataFrame, fraction: float, task: Task, separator: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return train and test rows of a table that is not checked yet, as `split_off_validation` chooses them.

    Rows whose text or label is missing or wrong stay in train, where the checks find them. Raises InputError
    where no label has two texts.
    """
    kind = LABELS[task]

    def label(value: Any) -> Any:
        try:
            return kind.read(value, separator)
        except ValueError:
            return None

    rows = pd.DataFrame(
        {
            "id": [f"{number:09d}" for number in range(len(table))],
            "text": [text_form(value) for value in table["text"]],
            "label": pd.Series([label(value) for value in table["label"]], dtype=object),
        }
    )
    usable = rows[rows["label"].notna() & (rows["text"].str.strip() != "")].reset_index(drop=True)
    _, chosen = split_off_validation(usable, fraction, task)
    if chosen.empty:
        raise InputError(
            "train is too small to make a test split: no label has two texts; give it more, or a file of "
            "test texts (test)"
        )
    places = pd.Series([int(name) for name in chosen["id"]])
    in_test = numpy.zeros(len(table), dtype=bool)
    in_test[places] = True
    return table[~in_test].reset_index(drop=True), table[in_test].reset_index(drop=True)


def _text_hash(text: str) -> str:
    content = " ".join(text.split()).encode(errors="surrogatepass")
    return hashlib.sha256(_VALIDATION_SALT + content).hexdigest()


def _warn_of_repeated_texts(tables: Mapping[str, pd.DataFrame], warn: Callable[[str], None]) -> None:
    in_train = set(tables["train"]["text"])
    for split in ("valid", "test"):
        texts = tables[split]["text"]
        if same := int(texts.isin(in_train).sum()):
            warn(f"{split}: {same} of {len(texts)} texts stand in train as well")


def write_tables(
    folder: Path, tables: Mapping[str, pd.DataFrame], description: Description
) -> dict[str, int]:
    """Write checked tables and `dataset.json` into `folder`; return the number of rows of each split."""
    labels = LABELS[description.task].names(tables["train"]["label"])
    if description.positive_label is not None and description.positive_label not in labels:
        raise InputError(
            f"positive_label {description.positive_label!r} is no label of the data set: {some(labels)}"
        )
    hashes = {}
    for split, table in tables.items():
        path = folder / f"{split}.parquet"
        with atomic_path(path) as temporary:
            _write_table(temporary, table, description.task)
        hashes[path.name] = sha256_of(path)
    rows = {split: len(table) for split, table in tables.items()}
    content = {
        "name": description.name,
        "language": description.language,
        "source": description.source,
        "licence": description.licence,
        # Without a task it means single_label: the first versions knew no other.
        **({} if has_one_label(description.task) else {"task": description.task}),
        "labels": labels,
        "metric": description.metric,
        "positive_label": description.positive_label,
        "files": hashes,
        "rows": rows,
        "warnings": list(description.warnings),
        **({"text_rules": description.text_rules} if description.text_rules else {}),
    }
    write_json(folder / "dataset.json", content)
    return rows


def _write_table(path: Path, table: pd.DataFrame, task: Task) -> None:
    if has_one_label(task) or "label" not in table.columns:
        table.to_parquet(path, index=False, compression="zstd")
        return
    # The type is given, because it cannot be inferred from empty lists.
    schema = pa.schema({"id": pa.string(), "text": pa.string(), "label": LABELS[task].type})
    pq.write_table(pa.Table.from_pandas(table, schema, preserve_index=False), path, compression="zstd")
