"""Token arrays on disk: the only reader and the only writer of that format.

`{split}.npy` holds the ids of all documents of a split, one after another (uint16, or uint32 for large
vocabularies); `{split}.offsets.npy` holds where each begins, and the end of the last (int64).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path

LARGEST_UINT16_VOCABULARY = 65_535
COUNTED_AT_ONCE = 10_000_000
"""Tokens of a mapped array that are counted together; counting all at once would copy the array."""


def token_dtype(vocabulary_size: int) -> np.dtype:
    """Return the smallest type that holds the ids of a vocabulary."""
    return np.dtype(np.uint16 if vocabulary_size <= LARGEST_UINT16_VOCABULARY else np.uint32)


@dataclass(frozen=True)
class TokenArray:
    """The tokens of one split, memory-mapped and read-only."""

    tokens: np.ndarray
    """All ids, shape (tokens,)."""
    offsets: np.ndarray
    """Begin of each document in `tokens`, and the end of the last; int64, shape (documents + 1,)."""

    @classmethod
    def open(cls, folder: Path, split: str) -> TokenArray:
        """Map the arrays of `split`; raises InputError when they are missing or do not fit together."""
        array = cls(_map(_tokens_path(folder, split)), _map(_offsets_path(folder, split)))
        array._check(_offsets_path(folder, split))
        return array

    def _check(self, path: Path) -> None:
        """Only the first and last offset are checked, so that opening stays fast."""
        if self.tokens.dtype not in (np.uint16, np.uint32) or self.offsets.dtype != np.int64:
            raise InputError(f"{path} and the tokens beside it have types that no token array has")
        if not len(self.offsets) or self.offsets[0] != 0 or self.offsets[-1] != len(self.tokens):
            raise InputError(f"{path} does not fit the tokens beside it: remove the folder and run again")

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.offsets) - 1

    def document(self, index: int) -> np.ndarray:
        """Return the ids of one document; the first is xxbos. Negative indices count from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        index %= len(self)
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


def id_counts(tokens: np.ndarray, size: int) -> np.ndarray:
    """Return how often each id below `size` occurs in an array of them: int64, shape (size,)."""
    counts = np.zeros(size, np.int64)
    for begin in range(0, len(tokens), COUNTED_AT_ONCE):
        counts += np.bincount(tokens[begin : begin + COUNTED_AT_ONCE], minlength=size)
    return counts


class TokenArrayWriter:
    """Writes the arrays of one split piece by piece; they appear whole at the end of a `with` block."""

    def __init__(self, folder: Path, split: str, vocabulary_size: int) -> None:
        self._stack = ExitStack()
        self._paths = (_tokens_path(folder, split), _offsets_path(folder, split))
        self._dtype = token_dtype(vocabulary_size)
        self._end = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            tokens, offsets = (stack.enter_context(atomic_path(path)) for path in self._paths)
            self._tokens = stack.enter_context(_GrowingArray(tokens, self._dtype))
            self._offsets = stack.enter_context(_GrowingArray(offsets, np.dtype(np.int64)))
            self._stack = stack.pop_all()
        self._offsets.append(np.zeros(1, np.int64))
        return self

    def __exit__(self, *exception) -> bool | None:
        return self._stack.__exit__(*exception)

    def append(self, documents: Sequence[np.ndarray]) -> None:
        """Write some more documents, each an array of ids."""
        if documents:
            self.extend(np.concatenate(documents), np.array([len(document) for document in documents]))

    def extend(self, tokens: np.ndarray, lengths: np.ndarray) -> None:
        """Write some more documents: their ids one after another, and how many each has."""
        self._tokens.append(tokens.astype(self._dtype, copy=False))
        self._offsets.append(self._end + np.cumsum(lengths, dtype=np.int64))
        self._end += len(tokens)


class _GrowingArray:
    """A one-dimensional .npy file that is written without knowing its length."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self._path, self._dtype, self._length = path, dtype, 0

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._path.open("wb")
        self._write_header()
        return self

    def __exit__(self, *exception) -> None:
        with self._file:
            begin = self._file_header_size
            self._file.seek(0)
            self._write_header()
            if self._file_header_size != begin:
                raise ValueError("the .npy header changed its size")

    def append(self, values: np.ndarray) -> None:
        self._file.write(values.tobytes())
        self._length += len(values)

    def _write_header(self) -> None:
        """NumPy pads the header so that a grown length fits in its place."""
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file_header_size = self._file.tell()


def _tokens_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.npy"


def _offsets_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.offsets.npy"


def _map(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read as an array of tokens ({error}): run the step again"
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        raise InputError(f"{path} is no one-dimensional array: run the step again")
    return array
