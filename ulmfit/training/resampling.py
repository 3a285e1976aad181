"""Seeds for texts that are cut into other pieces every epoch."""

from __future__ import annotations

import numpy


def resampling_seed(seed: int, epoch: int, part: int = 0) -> int:
    """Return 31 bits that depend on the arguments alone, so that a resumed epoch meets the same pieces.

    `part` numbers the texts of an epoch that are sampled together.
    """
    return int(numpy.random.SeedSequence([seed, epoch, part]).generate_state(1)[0]) >> 1
