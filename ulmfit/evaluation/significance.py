"""Whether two rows of a table differ: paired tests over the test split's documents, and the seeds' noise.

Both tests ask about documents: would these trained models differ on other documents of the same kind?
`seed_margin` answers another question: would models of other seeds differ?
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from ulmfit.evaluation.bootstrap import LEVEL, SEED
from ulmfit.pipeline.record_part import Figure, RecordPart

if TYPE_CHECKING:
    import numpy as np

    from ulmfit.classifier.outcomes import Outcomes

Interval = tuple[Figure, Figure]

PERMUTATIONS = 10_000
PERMUTATIONS_ONE_BY_ONE = 1_000
"""For metrics that have to sort every sample."""

_CELLS = 4_000_000
_TOLERANCE = 1e-12
"""Differences this close are equal: their sums were rounded in another order."""


class Comparison(RecordPart):
    """One row compared with the reference row, on the same documents, in the main metric."""

    row: str = Field(description="name of the row")
    reference: str = Field(description="name of the row that it is compared with")
    metric: str = Field(description="the metric compared")
    difference: Figure = Field(description="row minus reference, means over the seeds; 0.01: one point")
    interval: Interval = Field(
        description="95 % paired bootstrap interval of the difference, over documents, seeds held fixed"
    )
    p_bootstrap: float = Field(gt=0, le=1, description="two-sided, paired bootstrap over documents")
    p_permutation: float = Field(
        gt=0, le=1, description="two-sided, approximate randomisation: outputs swapped document by document"
    )
    p_adjusted: float = Field(
        gt=0, le=1, description="p_permutation after Holm's correction for all comparisons of the record"
    )
    seed_margin: Figure | None = Field(
        None,
        ge=0,
        description="half width of Welch's 95 % interval of the difference of the seeds' means; "
        "None: unknown, a trained row has a single run",
    )

    @property
    def within_seed_noise(self) -> bool | None:
        """Whether other seeds could change the sign of the difference; None: a row has a single run."""
        return None if self.seed_margin is None else abs(self.difference) <= self.seed_margin


def paired_bootstrap_p(differences: np.ndarray) -> float:
    """Return the two-sided p-value of resampled differences (samples,): twice the smaller share beyond 0.

    It agrees with the percentile interval: below 0.05 when the 95 % interval leaves out 0. One resample is
    added to each side, so that p is never 0.
    """
    beyond = min(int((differences <= _TOLERANCE).sum()), int((differences >= -_TOLERANCE).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(differences) + 1))


def permutation_p(
    first: Sequence[Outcomes],
    second: Sequence[Outcomes],
    metric: str,
    permutations: int | None = None,
    seed: int = SEED,
) -> float:
    """Return the two-sided p-value of approximate randomisation (Noreen 1989; Yeh 2000).

    `first` and `second` are the runs of two rows, one per seed. Under the null hypothesis it does not matter
    which row an output came from: each permutation swaps, with probability 1/2, all runs' outputs on a
    document together (for correlations on a common scale), and the statistic is the difference of the
    metric's means over the runs. Runs are paired in order; a row of fewer runs repeats them. p is (r + 1) /
    (n + 1), where r of n permutations gave a difference at least as large. Where so few documents differ that
    every permutation can be tried, it is exact, r / n.
    """
    import numpy as np

    if permutations is None:
        permutations = PERMUTATIONS if first[0].is_quick(metric) else PERMUTATIONS_ONE_BY_ONE
    first, second = ([run.to_swap(metric) for run in runs] for runs in (first, second))
    count = math.lcm(len(first), len(second))
    pairs = [(first[index % len(first)], second[index % len(second)]) for index in range(count)]
    differing = np.flatnonzero(np.any([one.differs(other) for one, other in pairs], axis=0))
    exact = len(differing) < 63 and 2 ** len(differing) <= permutations
    documents = first[0].documents

    def statistic(swaps: np.ndarray) -> np.ndarray:
        gains = [
            one.swapped(other, swaps, metric) - other.swapped(one, swaps, metric) for one, other in pairs
        ]
        return np.mean(gains, axis=0)

    observed = abs(statistic(np.zeros((1, documents), dtype=bool))[0])
    blocks = (
        _all_swaps(len(differing)) if exact else _random_swaps(len(differing), permutations, documents, seed)
    )
    reached = tried = 0
    for block in blocks:
        swaps = np.zeros((len(block), documents), dtype=bool)
        swaps[:, differing] = block
        reached += int((np.abs(statistic(swaps)) >= observed - _TOLERANCE).sum())
        tried += len(block)
    return reached / tried if exact else (reached + 1) / (tried + 1)


def _all_swaps(documents: int) -> Iterator[np.ndarray]:
    import numpy as np

    yield (np.arange(2**documents)[:, None] >> np.arange(documents)) % 2 == 1


def _random_swaps(differing: int, permutations: int, documents: int, seed: int) -> Iterator[np.ndarray]:
    import numpy as np

    source = np.random.default_rng(seed)
    block = max(1, _CELLS // documents)
    for first in range(0, permutations, block):
        yield source.integers(0, 2, size=(min(block, permutations - first), differing), dtype=bool)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for as many comparisons (Holm 1979), in the given order."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def seed_margin(first: Sequence[float], second: Sequence[float]) -> float:
    """Return half the width of Welch's 95 % interval of the difference between two rows' means over seeds.

    `first` and `second` are one value per seed. A row of one value has no noise of its own: give only that of
    a deterministic method.
    """
    from scipy.stats import t

    parts = [
        (statistics.variance(values) / len(values), len(values))
        for values in (first, second)
        if len(values) > 1
    ]
    error = sum(part for part, _ in parts)
    if error == 0:
        return 0.0
    freedom = error**2 / sum(part**2 / (count - 1) for part, count in parts)
    return float(t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(error))
