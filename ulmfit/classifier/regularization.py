"""AR and TAR of a classifier's encoder (Merity et al. 2017, arXiv 1708.02182, section 4.6).

Shapes: T tokens of a chunk, R documents that have tokens in it, E outputs of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class OutputSums:
    """Sums of squares over the outputs of one batch, chunk by chunk, from which the penalty is made.

    AR is alpha x the mean square of the last layer's outputs, TAR beta x the mean square of the difference
    between two tokens that follow each other, over the border of two chunks too. There is no dropout between
    these outputs and the pooling: as in fastai, AR and TAR see the same outputs.

    Means are over units and true tokens of the batch (TAR: pairs of tokens), as far as they have gradients: a
    long document weighs more than a short one, and padding weighs nothing. fastai divides by all places of
    the padded batch, of which those before a document are zeros; there a batch with much padding gets a lower
    penalty, and TAR counts the step from padding to a document. For documents of one length both are equal.

    Sums are in fp32 (float64 for float64 outputs), whatever the outputs' type.
    """

    def __init__(self) -> None:
        self._squares: list[Tensor] = []
        self._changes: list[Tensor] = []
        self._tokens = self._pairs = 0
        self._last: Tensor | None = None

    def add(self, outputs: Tensor, counts: Sequence[int], inside: Tensor) -> None:
        """Count a chunk's outputs (T, R, E) in, of which the first counts[r] of document r are true tokens.

        `counts` never rise; `inside` (R,) has the same numbers on the outputs' device, so that nothing waits
        for it. The documents are the first R of the chunk before. Outputs without gradients change nothing.
        """
        if not outputs.requires_grad:
            return
        wide = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        time, rows, units = wide.shape
        squares, changes = wide.square().sum(2), (wide[1:] - wide[:-1]).square().sum(2)
        if counts[-1] < time:
            places = torch.arange(time, device=wide.device)[:, None]
            padding = places >= inside
            squares, changes = squares.masked_fill(padding, 0), changes.masked_fill(padding[1:], 0)
        self._squares.append(squares.sum() / units)
        self._changes.append(changes.sum() / units)
        self._tokens += sum(counts)
        self._pairs += sum(counts) - rows
        if self._last is not None:
            self._changes.append((wide[0] - self._last[:rows]).square().sum() / units)
            self._pairs += rows
        self._last = wide[-1]

    def penalty(self, ar: float, tar: float) -> Tensor | None:
        """Return alpha x AR + beta x TAR, a scalar; None if nothing in it has gradients."""
        penalty: Tensor | None = None
        if ar and self._tokens:
            penalty = ar / self._tokens * torch.stack(self._squares).sum()
        if tar and self._pairs:
            change = tar / self._pairs * torch.stack(self._changes).sum()
            penalty = change if penalty is None else penalty + change
        return penalty
