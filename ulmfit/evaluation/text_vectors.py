"""Vectors of a data set's texts: read from a table and checked, or made with a sentence encoder.

Shapes: N texts, D numbers per vector.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from ulmfit.datasets.tables import SPLITS
from ulmfit.evaluation.encoder_stages import TextVectors
from ulmfit.evaluation.transformer_stages import HubModel, origin_of
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, sha256_of, write_json
from ulmfit.pipeline.printing import printable
from ulmfit.pipeline.stage import Work

DESCRIPTION = "vectors.json"
METADATA = b"ulmfit.encoder"
"""Key of a Parquet file's own metadata: a JSON object that says what made the vectors."""
LONGEST_ENTRY = 200

Key = tuple[str, str]
"""Split and id of a text; the split is "" where a table has none."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors (N, D), all finite, of texts by split and id."""

    rows: dict[Key, int]
    values: np.ndarray

    def of(self, keys: Sequence[Key], where: str) -> np.ndarray:
        """Return the vectors of texts, in their order; InputError, which begins with `where`, names one."""
        lacking = [key for key in keys if key not in self.rows]
        if lacking:
            split, name = lacking[0]
            place = f"text {name!r}" + (f" of {split}" if split else "")
            more = f", nor for {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
            raise InputError(
                f"{where} has no vector for {place}{more}: expected one for every text of the data set: "
                f"encode its texts again"
            )
        return self.values[[self.rows[key] for key in keys]]


def build(stage: TextVectors, work: Work) -> None:
    """Build a `TextVectors` stage."""
    folder = work.input(stage.dataset)
    tables = {
        split: pyarrow.parquet.read_table(folder / f"{split}.parquet", columns=["id", "text"])
        for split in SPLITS
        if (folder / f"{split}.parquet").exists()
    }
    if stage.vectors is not None:
        values, description = _from_table(stage, work.file(stage.vectors), tables)
    else:
        values, description = _encoded(stage, tables, work)
    for split, vectors in values.items():
        write_vectors(work.folder / f"vectors-{split}.parquet", tables[split]["id"].to_pylist(), vectors)
    description["dimensions"] = next(iter(values.values())).shape[1]
    write_json(work.folder / DESCRIPTION, description)
    work.log(f"{sum(map(len, values.values())):,} texts, {description['dimensions']} numbers per vector")


def _from_table(
    stage: TextVectors, path: Path, tables: dict[str, pyarrow.Table]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    assert stage.vectors is not None
    label = stage.vectors.label
    found, made_with = read_vectors(path, label)
    with_splits = any(split for split, _ in found.rows)
    ids = {split: table["id"].to_pylist() for split, table in tables.items()}
    if not with_splits:
        _check_distinct(ids, label)
    values = {
        split: found.of([(split if with_splits else "", name) for name in names], label)
        for split, names in ids.items()
    }
    words = [f"vectors from {label} (sha256 {sha256_of(path)[:12]})"]
    words += [f"{name} {value}" for name, value in made_with.items()]
    return values, {"note": f"frozen encoder, {', '.join(words)}", **made_with}


def read_vectors(path: Path, label: str) -> tuple[Vectors, dict[str, str]]:
    """Read a table of vectors, and what its metadata say of the encoder.

    Raises InputError, one line that begins with `label`, for everything that is wrong with it.
    """
    try:
        names = pyarrow.parquet.read_schema(path).names
        missing = [name for name in ("id", "vector") if name not in names]
        if missing:
            raise InputError(
                f"{label} has no column {missing[0]!r}, it has {', '.join(map(printable, names))}: expected "
                f"id and vector"
            )
        columns = ["id", "vector", *(["split"] if "split" in names else [])]
        table = pyarrow.parquet.read_table(path, columns=columns)
    except (OSError, pyarrow.ArrowException) as error:
        reason = printable(str(error).splitlines()[0][:200])
        raise InputError(f"{label} is no Parquet table ({reason}): expected columns id and vector") from error
    ids = [str(value) for value in table["id"].to_pylist()]
    splits = [str(value) for value in table["split"].to_pylist()] if "split" in columns else [""] * len(ids)
    rows: dict[Key, int] = {}
    for row, key in enumerate(zip(splits, ids, strict=True)):
        if key in rows:
            raise InputError(
                f"{label}: id {key[1]!r} stands twice: expected one vector per text, and a column split "
                f"where splits share ids"
            )
        rows[key] = row
    return Vectors(rows, _matrix(table["vector"], ids, label)), _made_with(table.schema.metadata, label)


def _matrix(column: pyarrow.ChunkedArray, ids: Sequence[str], label: str) -> np.ndarray:
    """Return a column of lists as (N, D) in float32, all finite."""
    kind = column.type
    is_list = pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)
    if not (is_list or pyarrow.types.is_fixed_size_list(kind)) or not (
        pyarrow.types.is_floating(kind.value_type) or pyarrow.types.is_integer(kind.value_type)
    ):
        raise InputError(f"{label}: column vector holds {kind}: expected lists of numbers")
    if not len(column):
        raise InputError(f"{label} holds no vector: expected one for every text of the data set")
    lists = column.to_numpy()
    lengths = [len(one) if one is not None else 0 for one in lists]
    wrong = next((row for row, length in enumerate(lengths) if length != lengths[0] or not length), None)
    if wrong is not None:
        raise InputError(
            f"{label}: the vector of {ids[wrong]!r} has {lengths[wrong]} numbers, the first one "
            f"{lengths[0]}: expected as many in each"
        )
    values = np.stack([np.asarray(value, dtype=np.float32) for value in lists])
    infinite = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(infinite):
        raise InputError(
            f"{label}: the vector of {ids[infinite[0]]!r} holds a number that is none: expected finite ones"
        )
    return values


def _made_with(metadata: dict[bytes, bytes] | None, label: str) -> dict[str, str]:
    """Return what the metadata say of the encoder, such as name, version and hash; {}: nothing."""
    text = (metadata or {}).get(METADATA)
    if text is None:
        return {}
    try:
        content = json.loads(text)
        entries = {str(name): str(value) for name, value in content.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{label}: what its metadata say of the encoder is no JSON object") from error
    if any(len(word) > LONGEST_ENTRY for entry in entries.items() for word in entry) or len(entries) > 20:
        raise InputError(f"{label}: what its metadata say of the encoder is too long: expected short entries")
    return {printable(name): printable(value) for name, value in entries.items()}


def _check_distinct(ids: dict[str, list[str]], label: str) -> None:
    """Refuse a table without splits where an id alone does not tell which text is meant."""
    seen: dict[str, str] = {}
    for split, names in ids.items():
        for name in names:
            if name in seen:
                raise InputError(
                    f"{label}: id {name!r} stands in {seen[name]} and {split}: give the table a column split"
                )
            seen[name] = split


def _encoded(
    stage: TextVectors, tables: dict[str, pyarrow.Table], work: Work
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from ulmfit.evaluation.sentence_encoder import download_encoder, load_sentence_encoder

    assert stage.model is not None
    folder = download_encoder(stage.model) if isinstance(stage.model, HubModel) else work.file(stage.model)
    encoder = load_sentence_encoder(folder, stage.device)
    total = sum(table.num_rows for table in tables.values())
    progress = work.progress(total, "texts")
    values = {}
    for split, table in tables.items():
        texts = [stage.prefix + text for text in table["text"].to_pylist()]
        values[split] = encoder.encode(texts, progress.advance)
    progress.close()
    words = [origin_of(stage.model), f"weights sha256 {encoder.weights_hash[:12]}"]
    words += [f"prefix {stage.prefix!r}"] if stage.prefix else []
    return values, {"note": f"frozen encoder, {', '.join(words)}", **encoder.description}


def write_vectors(path: Path, ids: Sequence[str], values: np.ndarray) -> None:
    """Write vectors (N, D) with the ids of their texts."""
    flat = pyarrow.array(values.astype(np.float32, copy=False).ravel())
    vectors = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    table = pyarrow.table({"id": pyarrow.array(list(ids), pyarrow.string()), "vector": vectors})
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")


def vectors_of(folder: Path, split: str, ids: Sequence[str]) -> np.ndarray:
    """Return the vectors (N, D) of texts of a split, from the folder of a `TextVectors` stage."""
    path = folder / f"vectors-{split}.parquet"
    if not path.exists():
        raise InputError(f"{folder} has no vectors of {split} texts: expected those of the data set")
    found, _ = read_vectors(path, f"{split}, {folder.name}")
    return found.of([("", name) for name in ids], f"{split}, {folder.name}")
