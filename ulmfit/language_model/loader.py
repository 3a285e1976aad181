"""Batches for a language model: contiguous streams over one array of tokens.

Shapes: N tokens, B streams of all ranks together, R ranks, T tokens of a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy
import torch
from torch import Tensor

from ulmfit.errors import InputError
from ulmfit.language_model.stages import BackwardOrder
from ulmfit.tokens.tokenizer import EOS_ID

Ids = numpy.ndarray | Tensor

Placement = Literal["host", "resident", "windows"]
"""Where ids lie. host: in the array as it is, often memory-mapped; resident: all of them on the device;
windows: some chunks of every stream at a time are copied to the device, from page-locked memory."""

RESIDENT_SHARE = 1 / 4
"""Of the device's free memory that the ids may take; the optimizer's state is not there yet."""
WINDOW_CHUNKS = 64
ON_DEVICE = torch.int32
"""Type of ids there: of its unsigned types torch computes with bytes alone."""
UPLOAD_TOKENS = 1 << 24
"""Tokens copied to the device at once: what an upload takes of the host's memory."""


def reading_order(
    tokens: numpy.ndarray, bos_id: int, *, backward: bool, order: BackwardOrder = "bos-first"
) -> numpy.ndarray:
    """Return the array as a model of this direction reads it.

    `tokens` is [bos a b c bos d e]; backward it becomes [bos e d bos c b a], in memory of its own: 2 bytes a
    token, against which copying single batches out of a reversed file would save nothing. With another
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


class StreamLoader:
    """B contiguous streams, cut into chunks of T tokens; the model carries its state from chunk to chunk.

    The training streams begin at a new random offset every epoch, so that chunk borders move. Batches are a
    function of seed and epoch alone. `shifted=False` (validation) begins at the first token always.
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
        seed: int = 0,
        shifted: bool = True,
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
        return -(-self.stream_length // self.bptt)

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ids and the ids that follow, each int64 (B/R, T), from chunk `first` of `epoch` on."""
        random = numpy.random.default_rng([self.seed, epoch])
        begin = self._first_token + int(random.integers(0, self.largest_shift + 1))
        for inputs, targets in self._windows(begin, first * self.bptt):
            for start in range(0, inputs.shape[1], self.bptt):
                chunk = slice(start, start + self.bptt)
                yield _ids(inputs[:, chunk]), _ids(targets[:, chunk])

    def _windows(self, begin: int, first: int) -> Iterator[tuple[Ids, Ids]]:
        """Yield parts of this rank's streams, and the ids that follow, from column `first` on."""
        source = self.tokens if self._resident is None else self._resident
        inputs, targets = (self._rows(source, begin + ahead)[:, first:] for ahead in (0, 1))
        if self.placement != "windows":
            yield inputs, targets
            return
        for start in range(0, inputs.shape[1], WINDOW_CHUNKS * self.bptt):
            window = slice(start, start + WINDOW_CHUNKS * self.bptt)
            yield _copied(inputs[:, window], self.device), _copied(targets[:, window], self.device)

    def _rows(self, ids: Any, begin: int) -> Any:
        """Return this rank's streams as a view (B/R, tokens of a stream)."""
        used = self.streams * self.stream_length
        return ids[begin : begin + used].reshape(self.streams, self.stream_length)


def _most_streams(tokens: int, ranks: int) -> int:
    """Return how many streams of some length there can be, as a multiple of the ranks."""
    most = max(1, tokens // 4) // ranks * ranks
    if not most:
        raise InputError(f"{tokens} tokens are too few for {ranks} processes: give it more text")
    return most


def choose_placement(tokens: int, device: torch.device) -> Placement:
    """Return where that many ids are best put for a model on `device`."""
    if device.type != "cuda":
        return "host"
    free, _ = torch.cuda.mem_get_info(device)
    return "resident" if tokens * ON_DEVICE.itemsize <= free * RESIDENT_SHARE else "windows"


def _upload(tokens: numpy.ndarray, device: torch.device) -> Tensor:
    """Return all ids on the device, copied part by part: a whole array more never stands in the memory."""
    resident = torch.empty(len(tokens), dtype=ON_DEVICE, device=device)
    for start in range(0, len(tokens), UPLOAD_TOKENS):
        part = tokens[start : start + UPLOAD_TOKENS].astype(numpy.int32)
        resident[start : start + len(part)] = torch.from_numpy(part)
    return resident


def _copied(ids: numpy.ndarray, device: torch.device) -> Tensor:
    """Return ids on the device; a GPU goes on with its work meanwhile."""
    host = torch.from_numpy(ids.astype(numpy.int32))
    if device.type == "cuda":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def _ids(ids: Ids) -> Tensor:
    """Return ids as loss and embedding take them."""
    return ids.long() if isinstance(ids, Tensor) else torch.from_numpy(ids.astype(numpy.int64))
