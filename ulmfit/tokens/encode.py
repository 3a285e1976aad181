"""Documents -> token arrays, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ulmfit.tokens.arrays import TokenArrayWriter
from ulmfit.tokens.documents import SPLITS, batches
from ulmfit.tokens.tokenizer import Tokenizer

Counts = dict[str, dict[str, int]]


def encode_documents(
    path: Path, tokenizer: Tokenizer, folder: Path, threads: int, advance: Callable[[int], None]
) -> Counts:
    """Encode every split of a documents.parquet into token arrays in `folder`.

    Returns for every split: documents, tokens (xxbos included), words (between white space in the raw text),
    characters (of the raw text), unknown (tokens). A split without documents gets empty arrays. `advance` is
    called with the number of documents done.
    """
    counts = {
        split: dict.fromkeys(("documents", "tokens", "words", "characters", "unknown"), 0) for split in SPLITS
    }
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(TokenArrayWriter(folder, split, tokenizer.size)) for split in SPLITS
        }
        # SentencePiece encodes one batch outside of Python's lock while the next one is prepared.
        encoder = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        waiting = None
        for batch in batches(path, ["text", "split"]):
            texts, splits = batch["text"].to_pylist(), batch["split"].to_pylist()
            _count_text(texts, splits, counts)
            prepared = [tokenizer.prepare(text) for text in texts]
            if waiting:
                _write(*waiting, writers, counts)
            waiting = (encoder.submit(tokenizer.encode_prepared, prepared, threads), splits)
            advance(len(texts))
        if waiting:
            _write(*waiting, writers, counts)
    return counts


def _count_text(texts: list[str], splits: list[str], counts: Counts) -> None:
    for text, split in zip(texts, splits, strict=True):
        count = counts[split]
        count["documents"] += 1
        count["words"] += len(text.split())
        count["characters"] += len(text)


def _write(future, splits: list[str], writers: dict[str, TokenArrayWriter], counts: Counts) -> None:
    encoded = future.result()
    for split, writer in writers.items():
        documents = [ids for ids, its_split in zip(encoded, splits, strict=True) if its_split == split]
        writer.append(documents)
        counts[split]["tokens"] += sum(map(len, documents))
        counts[split]["unknown"] += sum(int(np.count_nonzero(ids == Tokenizer.unk_id)) for ids in documents)
