"""Percentile bootstrap over the documents of the test split (Efron 1979): what another test set might give.

Every row of a table is resampled with the same draws, so that differences between rows are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ulmfit.classifier.outcomes import Outcomes, Scores

RESAMPLES = 2_000
LEVEL = 0.95
SEED = 20_180_521
"""Seed of all draws; the same for every row and every run."""

_CELLS = 4_000_000
"""Weights held in memory at a time: 16 MB."""


def document_weights(documents: int, resamples: int, seed: int = SEED) -> Iterator[np.ndarray]:
    """Yield how often each document is drawn, in blocks of the shape (some resamples, documents), float32.

    A resample draws as many documents as there are, with replacement. The draws depend on the arguments only.
    """
    import numpy as np

    source = np.random.default_rng(seed)
    block = max(1, _CELLS // documents)
    for first in range(0, resamples, block):
        rows = min(block, resamples - first)
        drawn = source.integers(0, documents, size=(rows, documents))
        drawn += np.arange(rows)[:, None] * documents
        counts = np.bincount(drawn.ravel(), minlength=rows * documents)
        yield counts.reshape(rows, documents).astype(np.float32)


def resampled_means(runs: Sequence[Outcomes], resamples: int = RESAMPLES, seed: int = SEED) -> Scores:
    """Return every metric of every resample, averaged over the runs (one per seed): shape (resamples, ...).

    Seeds are held fixed: all runs are scored on the same drawn documents.
    """
    import numpy as np

    blocks = [
        [run.resampled(weights) for run in runs]
        for weights in document_weights(runs[0].documents, resamples, seed)
    ]
    return {
        name: np.concatenate([np.mean([scores[name] for scores in block], axis=0) for block in blocks])
        for name in blocks[0][0]
    }


def percentile_interval(samples: np.ndarray) -> np.ndarray:
    """Return the bounds between which the middle 95 % of the samples lie: shape (2, ...).

    Samples that lack the label (NaN) are left out.
    """
    import numpy as np

    return np.nanquantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)


def intervals(samples: Scores) -> Scores:
    """Return the interval of every metric in `resampled_means`: metric -> (2, ...), low and high.

    It says how far the mean of these trained models would move on other documents of the same kind. It does
    not say how far other seeds would move it: that is the standard deviation over the seeds.
    """
    return {name: percentile_interval(values) for name, values in samples.items()}
