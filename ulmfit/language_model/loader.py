"""Batches for a language model: contiguous streams over one array of tokens.

Shapes: N tokens, B streams of all ranks together, R ranks, T tokens of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from itertools import pairwise
from typing import Any, Literal, Self

import numpy
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from ulmfit.language_model.jitter import chunk_lengths
from ulmfit.language_model.shuffled import ShuffledDocuments
from ulmfit.language_model.stages import BackwardOrder
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.tokenizer import EOS_ID

Ids = numpy.ndarray | Tensor
Columns = Callable[[int, int], Any]
"""Maps first and last column (exclusive) to ids (B/R, columns); a column is one position in all streams."""

Placement = Literal["host", "resident", "windows"]
"""Where ids lie. host: in the array as it is, often memory-mapped; resident: all of them on the device;
windows: some chunks of every stream at a time are copied to the device, from page-locked memory."""

RESIDENT_SHARE = 1 / 4
"""Share of the device's free memory that the ids may take; the optimizer's state comes later."""
WINDOW_CHUNKS = 64
"""Chunks that are gathered and copied to a device at once."""
JITTER = 1
"""Part of the seed of chunk lengths, so that their random numbers differ from those of shift and order."""
ON_DEVICE = torch.int32
"""Type of ids on the device: torch has no arithmetic for unsigned types except bytes."""
UPLOAD_TOKENS = 1 << 24
"""Tokens copied to the device at once; an upload needs host memory for this many."""


def reading_order(
    tokens: numpy.ndarray, bos_id: int, *, backward: bool, order: BackwardOrder = "bos-first"
) -> numpy.ndarray:
    """Return the array as a model of this direction reads it.

    `tokens` is [bos a b c bos d e]; backward it becomes [bos e d bos c b a], in new memory: 2 bytes
    per token. Reversing batch by batch would save nothing. With another
    `order` it becomes [e d bos c b a bos] (bos-last) or [eos e d bos eos c b a bos] (eos-first).
    """
    if not backward or len(tokens) == 0:
        return tokens
    read = tokens[::-1].copy()
    if order == "bos-first":
        read[1:], read[0] = read[:-1].copy(), bos_id
    elif order == "eos-first":
        begins = numpy.append(0, numpy.flatnonzero(read[:-1] == bos_id) + 1)
        read = numpy.insert(read, begins, EOS_ID)
    return read


def as_read(
    array: TokenArray, bos_id: int, *, backward: bool, order: BackwardOrder = "bos-first"
) -> TokenArray:
    """Return the array as a model of this direction reads it, with the offsets of its documents there."""
    tokens = reading_order(array.tokens, bos_id, backward=backward, order=order)
    if not backward:
        return TokenArray(tokens, array.offsets)
    # Each document that begins with eos is one token longer than it was.
    added = (len(tokens) - len(array.tokens)) // max(len(array.offsets) - 1, 1)
    offsets = len(array.tokens) - array.offsets[::-1] + added * numpy.arange(len(array.offsets))
    return TokenArray(tokens, offsets)


class StreamLoader:
    """B contiguous streams, cut into chunks of T tokens; the model carries its state from chunk to chunk.

    With `offsets` (the begins of the documents, and the end of the last) every epoch reads the documents in
    another random order; without them in the order of the array. The training streams begin at a new random
    offset every epoch, so that chunk borders move. Batches are a function of seed and epoch alone.
    `shifted=False` (validation) begins at the first token always. With `jitter` chunks have random lengths
    around T, the same in all streams, and epochs differ in their number of chunks (`in_epoch`).
    `batch_size` is B; rank r reads the streams from r B/R to (r + 1) B/R, the same ones as without ranks.
    With a GPU as `device` batches are made there; `placement` is chosen by its free memory.
    Raises InputError for less than 3 tokens, and where the ranks cannot share the streams evenly.
    """

    n_inp = 1

    def __init__(
        self,
        tokens: numpy.ndarray,
        batch_size: int,
        bptt: int,
        *,
        offsets: numpy.ndarray | None = None,
        seed: int = 0,
        shifted: bool = True,
        jitter: bool = False,
        rank: int = 0,
        ranks: int = 1,
        device: torch.device | None = None,
        placement: Placement | None = None,
    ):
        if len(tokens) < 3:
            raise InputError(f"{len(tokens)} tokens are too few for a language model: give it more text")
        if batch_size % ranks:
            raise InputError(
                f"batch_size {batch_size} cannot be shared by {ranks} processes: "
                f"expected a multiple of {ranks}"
            )
        self.tokens, self.bptt, self.seed = numpy.asarray(tokens), bptt, seed
        self.jitter = jitter
        self.epoch = 0
        """The epoch whose chunks `len` counts."""
        self.offsets = None if offsets is None else numpy.asarray(offsets)
        self.batch_size = min(batch_size, _most_streams(len(tokens), ranks))
        self.largest_shift = min(bptt, len(tokens) // 10) if shifted else 0
        self.stream_length = (len(tokens) - 1 - self.largest_shift) // self.batch_size
        self.streams = self.batch_size // ranks
        """Streams of this rank."""
        self.first_stream = rank * self.streams
        """Number of this rank's first stream among those of all ranks."""
        self._first_token = self.first_stream * self.stream_length
        self.device = device or torch.device("cpu")
        self.placement = placement or choose_placement(len(tokens), self.device)
        self._resident = _upload(tokens, self.device) if self.placement == "resident" else None

    @property
    def tokens_read(self) -> int:
        """Tokens that an epoch reads, those of all ranks together."""
        return self.stream_length * self.batch_size

    def __len__(self) -> int:
        """Return the chunks of an epoch; the last one may be shorter."""
        return len(self._borders(self.epoch)) - 1

    def in_epoch(self, number: int) -> Self:
        """Return a loader of the same batches, whose `len` is that of this epoch."""
        one = copy(self)
        one.epoch = number
        return one

    def _borders(self, epoch: int) -> list[int]:
        """Return the columns at which chunks begin, and the end of the last."""
        length = self.stream_length
        if not self.jitter:
            return [*range(0, length, self.bptt), length]
        lengths = chunk_lengths(numpy.random.default_rng([self.seed, epoch, JITTER]), self.bptt, length)
        return [0, *numpy.minimum(numpy.cumsum(lengths), length).tolist()]

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ids and the ids that follow, each int64 (B/R, T), from chunk `first` of `epoch` on."""
        random = numpy.random.default_rng([self.seed, epoch])
        begin = self._first_token + int(random.integers(0, self.largest_shift + 1))
        columns = self._in_order(begin) if self.offsets is None else self._shuffled(begin, random)
        borders = self._borders(epoch)
        for number in range(first, len(borders) - 1, WINDOW_CHUNKS):
            start, *ends = borders[number : number + WINDOW_CHUNKS + 1]
            window = columns(start, ends[-1] + 1)
            if self.placement == "windows":
                window = _copied(window, self.device)
            for begin, end in pairwise([0, *(end - start for end in ends)]):
                yield _ids(window[:, begin:end]), _ids(window[:, begin + 1 : end + 1])

    @property
    def _source(self) -> Any:
        return self.tokens if self._resident is None else self._resident

    def _in_order(self, begin: int) -> Columns:
        """Return a function that gives columns of this rank's streams as a view, in the array's order."""
        length = self.stream_length
        ids = self._source[begin : begin + self.streams * length + 1]
        rows = (
            ids.unfold(0, length + 1, length)
            if isinstance(ids, Tensor)
            else sliding_window_view(ids, length + 1)[::length]
        )
        return lambda start, stop: rows[:, start:stop]

    def _shuffled(self, begin: int, random: numpy.random.Generator) -> Columns:
        """Return a function that gathers columns of this rank's streams from the documents in new order."""
        assert self.offsets is not None
        order = random.permutation(len(self.offsets) - 1)
        documents = ShuffledDocuments(self._source, self.offsets, order)
        begins = begin + numpy.arange(self.streams) * self.stream_length
        return lambda start, stop: documents.part(begins + start, stop - start)


def in_its_length(loader: StreamLoader) -> Callable[[int], AbstractContextManager[StreamLoader]]:
    """Return a function: epoch number -> a context manager with the loader, its length set for this epoch."""
    return lambda epoch: nullcontext(loader.in_epoch(epoch))


def _most_streams(tokens: int, ranks: int) -> int:
    """Return how many streams are possible, as a multiple of the ranks."""
    most = max(1, tokens // 4) // ranks * ranks
    if not most:
        raise InputError(f"{tokens} tokens are too few for {ranks} processes: give it more text")
    return most


def choose_placement(tokens: int, device: torch.device) -> Placement:
    """Return the best place for that many ids, for a model on `device`."""
    if device.type != "cuda":
        return "host"
    free, _ = torch.cuda.mem_get_info(device)
    return "resident" if tokens * ON_DEVICE.itemsize <= free * RESIDENT_SHARE else "windows"


def _upload(tokens: numpy.ndarray, device: torch.device) -> Tensor:
    """Return all ids on the device, copied in parts: host memory never holds a second whole array."""
    resident = torch.empty(len(tokens), dtype=ON_DEVICE, device=device)
    for start in range(0, len(tokens), UPLOAD_TOKENS):
        part = tokens[start : start + UPLOAD_TOKENS].astype(numpy.int32)
        resident[start : start + len(part)] = torch.from_numpy(part)
    return resident


def _copied(ids: numpy.ndarray, device: torch.device) -> Tensor:
    """Return ids on the device; a GPU does not stop for the copy."""
    host = torch.from_numpy(ids.astype(numpy.int32))
    if device.type == "cuda":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def _ids(ids: Ids) -> Tensor:
    """Return ids in the type that loss and embedding need."""
    return ids.long() if isinstance(ids, Tensor) else torch.from_numpy(ids.astype(numpy.int64))
