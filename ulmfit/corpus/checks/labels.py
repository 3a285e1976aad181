"""Labels: the same text under several, and shares that differ between splits."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ulmfit.corpus.checks.rows import Row
from ulmfit.corpus.checks.summary import LabelShift

RARE = 5
"""Expected texts of a cell below which the chi-square distribution is a poor approximation."""


def conflicting(rows: Sequence[Row], groups: Sequence[int], chosen: Sequence[int]) -> list[list[int]]:
    """Return the rows among `chosen` that say the same under different labels, one list a text.

    `groups` has the number of its text for every row.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for number in chosen:
        if rows[number].labels is not None:
            members[groups[number]].append(number)
    return [found for found in members.values() if len({rows[number].labels for number in found}) > 1]


def label_counts(rows: Sequence[Row], split: str) -> dict[str, int]:
    """Return how many texts of a split have each label; a text with several counts under each."""
    counts = Counter(label for row in rows if row.split == split and row.labels for label in row.labels)
    return dict(sorted(counts.items()))


def label_shift(train: Mapping[str, int], other: Mapping[str, int]) -> LabelShift | None:
    """Test whether two splits have the same shares of labels: Pearson's chi-square, and Cramér's V.

    V is 0 for equal shares and 1 where no label is in both; from 0.1 an effect counts as small, from 0.3 as
    medium, from 0.5 as large (Cohen 1988, for tables of two lines). None where there is nothing to compare.
    """
    from scipy.stats import chi2_contingency

    labels = sorted({*train, *other})
    table = [[counts.get(label, 0) for label in labels] for counts in (train, other)]
    total = sum(map(sum, table))
    if len(labels) < 2 or not all(map(sum, table)):
        return None
    result = chi2_contingency(table, correction=False)
    return LabelShift(
        chi_square=float(result.statistic),
        degrees_of_freedom=int(result.dof),
        p_value=float(result.pvalue),
        cramers_v=min(1.0, math.sqrt(float(result.statistic) / total)),
        rare_cells=int((result.expected_freq < RARE).sum()),
    )
