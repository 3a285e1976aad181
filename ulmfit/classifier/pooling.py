"""Concat pooling [last, maximum, mean] over the true tokens, chunk by chunk (ULMFiT, section 3.3).

Shapes: B documents, T tokens of a chunk, R documents that have tokens in it (the first ones), E units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pooled:
    """What is kept of some tokens of each document, in fp32 (float64 for float64 outputs); each (B, E).

    Of a document without any token the maximum is -inf, the rest 0.
    """

    last: Tensor
    maximum: Tensor
    total: Tensor

    @classmethod
    def nothing(cls, documents: int, units: int, like: Tensor) -> Pooled:
        """Return what is kept before the first token, on the device of `like`."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        zeros = like.new_zeros(documents, units, dtype=dtype)
        return cls(zeros, torch.full_like(zeros, -torch.inf), zeros)

    @classmethod
    def of(cls, outputs: Tensor, counts: Tensor, shortest: int) -> Pooled:
        """Pool outputs (T, R, E) over the first counts (R,) tokens of each row, of which each has one.

        `shortest` is the lowest count: where it is T, there is no padding to look for.
        """
        time, rows, _ = outputs.shape
        wide = torch.promote_types(outputs.dtype, torch.float32)
        last = outputs[counts - 1, torch.arange(rows, device=outputs.device)].to(wide)
        if shortest == time:
            return cls(last, outputs.amax(dim=0).to(wide), outputs.sum(dim=0, dtype=wide))
        # Tokens that all rows have need no mask.
        common, rest = outputs[:shortest], outputs[shortest:]
        places = torch.arange(shortest, time, device=outputs.device)
        padding = (places[:, None] >= counts[None, :]).unsqueeze(2)
        return cls(
            last,
            torch.maximum(common.amax(dim=0), rest.masked_fill(padding, -torch.inf).amax(dim=0)).to(wide),
            common.sum(dim=0, dtype=wide) + rest.masked_fill(padding, 0).sum(dim=0, dtype=wide),
        )

    def then(self, later: Pooled) -> Pooled:
        """Return this with what later tokens of the first documents gave; the others have none."""
        rows = len(later.last)
        return Pooled(
            torch.cat([later.last, self.last[rows:]]),
            torch.cat([torch.maximum(self.maximum[:rows], later.maximum), self.maximum[rows:]]),
            torch.cat([self.total[:rows] + later.total, self.total[rows:]]),
        )

    def rows(self, order: Tensor) -> Pooled:
        """Return the documents in another order."""
        return Pooled(self.last[order], self.maximum[order], self.total[order])

    def vector(self, lengths: Tensor) -> Tensor:
        """Return [last, maximum, mean], (B, 3E), of documents of which lengths (B,) tokens were pooled."""
        return torch.cat([self.last, self.maximum, self.total / lengths[:, None]], dim=1)
