"""The documents of a token array in another order, read in parts; the array is never copied as a whole.

Shapes: D documents, N tokens, S streams, C columns of a part.
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import Tensor


class ShuffledDocuments:
    """A token array as if its documents stood in the order `order`, one after another.

    `ids` (N,) stay where they are, in a memory-mapped file or on a device; a part of them is gathered when it
    is asked for. Besides, only two numbers per document are held.
    """

    def __init__(self, ids: Any, offsets: numpy.ndarray, order: numpy.ndarray) -> None:
        """`offsets` (D + 1,) are the documents' begins in `ids` and the last one's end; `order` is (D,)."""
        lengths = numpy.diff(offsets)[order]
        ends = numpy.cumsum(lengths)
        moves = offsets[:-1][order] - (ends - lengths)
        self.ids = ids
        self.ends: Any = ends
        """End of each document in the new order (D,)."""
        self.moves: Any = moves
        """Per document (D,): what to add to a position in the new order to get the position in `ids`."""
        if isinstance(ids, Tensor):
            self.ends, self.moves = (torch.from_numpy(part).to(ids.device) for part in (ends, moves))

    def part(self, begins: numpy.ndarray, columns: int) -> Any:
        """Return the C ids from each of `begins` (S,) on, in the new order: (S, C)."""
        if not isinstance(self.ids, Tensor):
            places = begins[:, None] + numpy.arange(columns)
            documents = numpy.searchsorted(self.ends, places, side="right")
            return self.ids.take(places + self.moves[documents])
        device = self.ids.device
        wanted = torch.from_numpy(begins).to(device)[:, None] + torch.arange(columns, device=device)
        return self.ids[wanted + self.moves[torch.searchsorted(self.ends, wanted, right=True)]]
