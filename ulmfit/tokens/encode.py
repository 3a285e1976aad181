"""Documents -> token arrays, in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pyarrow as pa
from pyarrow import compute

from ulmfit.corpus.documents import SPLITS
from ulmfit.corpus.stored import batches
from ulmfit.tokens.arrays import TokenArrayWriter
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.tokens.word_encoding import EncodedTexts, WordEncoder, arrow_integers

BATCH_BYTES = 3_000_000
"""Text that a worker encodes at a time."""
WAITING = 1
"""Batches that are read in advance, so that no worker has to wait."""
MOST_WORKERS = 2
"""By default; each one needs some 60 MB."""

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Documents:
    """Some documents, those of each split together, in the order of the file."""

    texts: pa.StringArray
    rows: dict[str, slice]
    """The documents of each split."""


def default_workers() -> int:
    """Return the number of workers for this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def encode_documents(
    path: Path, tokenizer: Tokenizer, folder: Path, workers: int, advance: Callable[[int], None]
) -> Counts:
    """Encode every split of a documents.parquet into token arrays in `folder`.

    Returns for every split: documents, tokens (xxbos included), words (`corpus.words.count_words` of
    the raw text), characters (of the raw text), unknown (tokens). A split without documents gets empty
    arrays. `workers` are threads, 0: `default_workers()`; the result does not depend on them. `advance` is
    called with the number of documents done.
    """
    names = ("documents", "tokens", "words", "characters", "unknown")
    counts = {split: dict.fromkeys(names, 0) for split in SPLITS}
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(TokenArrayWriter(folder, split, tokenizer.size)) for split in SPLITS
        }
        # Arrow's own allocator would keep as much memory again for later use.
        stack.enter_context(_memory_pool(pa.system_memory_pool()))
        for documents, encoded in _encoded(path, tokenizer, workers or default_workers()):
            for split, rows in documents.rows.items():
                tokens = _write(encoded, rows, writers[split])
                counts[split]["documents"] += rows.stop - rows.start
                counts[split]["tokens"] += len(tokens)
                counts[split]["words"] += int(encoded.words[rows].sum())
                counts[split]["characters"] += _characters(documents.texts[rows])
                counts[split]["unknown"] += int(np.count_nonzero(tokens == tokenizer.unk_id))
            advance(len(documents.texts))
    return counts


@contextmanager
def _memory_pool(pool: pa.MemoryPool) -> Iterator[None]:
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _encoded(path: Path, tokenizer: Tokenizer, workers: int) -> Iterator[tuple[_Documents, EncodedTexts]]:
    """Yield all documents in order, with a bounded number of batches in memory."""
    # Each worker remembers words of its own.
    encoders: SimpleQueue[WordEncoder] = SimpleQueue()
    for _ in range(workers):
        encoders.put(WordEncoder(tokenizer))
    waiting: deque[tuple[_Documents, Future[EncodedTexts]]] = deque()
    with ThreadPoolExecutor(workers) as executor:
        for documents in _documents(path):
            waiting.append((documents, executor.submit(_encode, documents.texts, encoders)))
            if len(waiting) > workers + WAITING:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _encode(texts: pa.StringArray, encoders: SimpleQueue[WordEncoder]) -> EncodedTexts:
    encoder = encoders.get()
    try:
        return encoder.encode(texts)
    finally:
        encoders.put(encoder)


def _documents(path: Path) -> Iterator[_Documents]:
    """Yield documents of about BATCH_BYTES together; a larger one ends its batch."""
    pending: list[pa.RecordBatch] = []
    size = 0
    for batch in batches(path, ["text", "split"]):
        begin = 0
        for row, length in enumerate(compute.binary_length(batch["text"]).to_pylist()):
            size += length
            if size >= BATCH_BYTES:
                yield _by_split([*pending, batch.slice(begin, row + 1 - begin)])
                pending, begin, size = [], row + 1, 0
        pending.append(batch.slice(begin))
    if any(batch.num_rows for batch in pending):
        yield _by_split(pending)


def _by_split(parts: list[pa.RecordBatch]) -> _Documents:
    table = pa.Table.from_batches(parts)
    splits = np.array([SPLITS.index(split) for split in table["split"].to_pylist()])
    order = np.argsort(splits, kind="stable")
    texts = table["text"].cast(pa.string()).take(arrow_integers(order)).combine_chunks()
    bounds = np.searchsorted(splits[order], np.arange(len(SPLITS) + 1)).tolist()
    rows = {split: slice(bounds[index], bounds[index + 1]) for index, split in enumerate(SPLITS)}
    return _Documents(texts, rows)


def _write(encoded: EncodedTexts, rows: slice, writer: TokenArrayWriter) -> np.ndarray:
    """Write the documents of one split and return their ids."""
    offsets = encoded.offsets[rows.start : rows.stop + 1]
    tokens = encoded.tokens[offsets[0] : offsets[-1]]
    writer.extend(tokens, np.diff(offsets))
    return tokens


def _characters(texts: pa.StringArray) -> int:
    """Return the number of code points of all texts."""
    return compute.sum(compute.utf8_length(texts)).as_py() or 0
