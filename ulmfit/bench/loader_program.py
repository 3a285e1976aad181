"""What the processes of `ulmfit bench loader` run; arguments: FOLDER WORK [WORKERS].

WORK is `ours` or `stock`. Batches are made for some seconds, on the GPU where there is one. The last line of
the output is a JSON object: seconds, the millions of tokens in that time, and the seconds that it took from
an open array to the first batch. Loading of libraries is not timed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from ulmfit.bench.measure import ready
from ulmfit.tokens.arrays import TokenArray
from ulmfit.training.learner import choose_device

SPLIT = "train"
VOCABULARY_SIZE = 15_000
BATCH_SIZE, BPTT = 64, 70
WORKERS = 2
SECONDS = 3.0

Figures = dict[str, float]


def our_batches(array: TokenArray, device: torch.device) -> Iterator[Any]:
    """Yield batches, epoch by epoch and without end."""
    from ulmfit.language_model.loader import StreamLoader

    loader = StreamLoader(array.tokens, BATCH_SIZE, BPTT, offsets=array.offsets, device=device)
    return chain.from_iterable(loader.batches(epoch) for epoch in count())


def stock_batches(array: TokenArray, device: torch.device, workers: int) -> Iterator[Any]:
    """Yield fastai's batches, epoch by epoch and without end.

    Its documents are tensors and their lengths known, which is its fastest setting. Set up from texts, it
    looks up every token in a dictionary while it runs.
    """
    loader = stock_loader(array, BATCH_SIZE, BPTT, device, workers)
    return chain.from_iterable(loader for _ in count())


def stock_loader(
    array: TokenArray, batch_size: int, bptt: int, device: torch.device, workers: int = 0
) -> Iterable[Any]:
    """Return fastai's LMDataLoader over all documents, in their order."""
    from fastai.text.data import LMDataLoader, TensorText

    documents = [TensorText(torch.from_numpy(array.document(n).astype("int64"))) for n in range(len(array))]
    lengths = [len(document) for document in documents]
    return LMDataLoader(
        documents, lens=lengths, bs=batch_size, seq_len=bptt, num_workers=workers, device=device
    )


def timed(batches: Iterator[Any], began: float, device: torch.device) -> Figures:
    """Take batches for some seconds; the first one counts as part of the building."""
    next(batches)
    started = time.perf_counter()
    tokens, seconds = 0, 0.0
    while seconds < SECONDS:
        ids, _ = next(batches)
        tokens += ids.numel()
        seconds = time.perf_counter() - started
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "amount": tokens / 1e6, "first_batch": started - began}


def main(folder: Path, work: str, workers: int = 0) -> None:
    """Do the work and print what it measured."""
    import fastai.text.data  # noqa: F401 (ours is measured above the same base)

    array = TokenArray.open(folder, SPLIT)
    device = choose_device("auto")
    ready()
    began = time.perf_counter()
    batches = our_batches(array, device) if work == "ours" else stock_batches(array, device, workers)
    print(json.dumps(timed(batches, began, device)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
