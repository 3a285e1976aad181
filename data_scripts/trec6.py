"""TREC-6: what a question asks for, six labels (Li & Roth 2002), published train and test.

From GitHub harvardnlp/sent-conv-torch at d61ded0, where words and punctuation stand apart; the questions are
of the Text REtrieval Conference, free for research. Nothing is to be done by hand.

A line is a label's number, a space, and the question, in Latin-1.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, check_counts
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"train": "trec6/train", "test": "trec6/test"}
LABELS = ("description", "entity", "abbreviation", "human", "location", "number")
COUNTS = {
    "train": dict(zip(LABELS, (1_162, 1_250, 86, 1_223, 835, 896), strict=True)),
    "test": dict(zip(LABELS, (138, 94, 9, 65, 81, 113), strict=True)),
}


def convert(files: Mapping[str, Path], counts: str = PUBLISHED) -> dict[str, pd.DataFrame]:
    """Return train and test."""
    tables = {split: _table(path) for split, path in files.items()}
    check_counts(tables, COUNTS, counts)
    return tables


def _table(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(path.read_bytes().decode("latin-1").removesuffix("\n").split("\n"), 1):
        label, _, text = line.partition(" ")
        if label not in {str(place) for place in range(len(LABELS))}:
            raise InputError(
                f"{path}, line {number}: begins with {label[:20]!r}, expected a number from 0 to 5"
            )
        rows.append((text, LABELS[int(label)]))
    return pd.DataFrame(rows, columns=["text", "label"])


if __name__ == "__main__":
    main(convert, ASSETS, language="en")
