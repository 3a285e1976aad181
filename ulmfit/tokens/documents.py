"""Reading documents.parquet in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyarrow import Array, RecordBatch

SPLITS = ("train", "valid", "test")
_ROWS = 128
"""Rows read at a time: whole novels still fit."""
_SALT = b"tokenizer sample\0"


def batches(path: Path, columns: list[str]) -> Iterator[RecordBatch]:
    """Yield the rows of a Parquet file, a few at a time."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_ROWS, columns=columns)


def count_documents(path: Path) -> int:
    """Return the number of documents, from the file's footer."""
    import pyarrow.parquet

    return pyarrow.parquet.read_metadata(path).num_rows


class TrainingSample:
    """An unbiased sample of whole documents of the training split, chosen by a hash of their ids.

    The documents are taken in the order of their hashes until `limit` bytes are reached, the first always.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """Choose the documents; reads the file once."""
        self._path = path
        hashes: list[np.ndarray] = []
        sizes: list[np.ndarray] = []
        for batch in self._training_batches():
            hashes.append(np.array([_hash(name) for name in batch["id"].to_pylist()], np.uint64))
            sizes.append(_bytes_of(batch["text"]))
        hash_of, size_of = (np.concatenate([np.zeros(0, np.uint64), *parts]) for parts in (hashes, sizes))
        order = np.argsort(hash_of, kind="stable")
        total = np.cumsum(size_of[order])
        self.all_documents = len(order)
        self.documents = max(int(np.searchsorted(total, limit, side="right")), min(len(order), 1))
        self._last = int(hash_of[order[self.documents - 1]]) if self.documents else -1

    def texts(self) -> Iterator[str]:
        """Yield the chosen texts in the order of the file."""
        for batch in self._training_batches():
            for name, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                if _hash(name) <= self._last:
                    yield text

    def _training_batches(self) -> Iterator[RecordBatch]:
        from pyarrow import compute

        for batch in batches(self._path, ["id", "text", "split"]):
            yield batch.filter(compute.equal(batch["split"], "train"))


def _bytes_of(texts: Array) -> np.ndarray:
    from pyarrow import compute

    return compute.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.uint64)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(_SALT + name.encode(), digest_size=8).digest(), "little")
