"""8TAGS: topics of Polish headlines, published train, dev and test."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.reading import read_lines
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"train": "8tags/train", "valid": "8tags/valid", "test": "8tags/test"}


def convert(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Return train, valid and test. The files name the labels by number only, and so do the tables."""
    return {split: _table(path) for split, path in files.items()}


def _table(path: Path) -> pd.DataFrame:
    """Read lines of a label, a space, and the tokenised text."""
    rows = [line.partition(" ") for line in read_lines(path)]
    for number, (label, _, _) in enumerate(rows, 1):
        if not label.isdecimal():
            raise InputError(f"{path}, line {number}: begins with {label[:20]!r}, expected a number")
    return pd.DataFrame({"text": [text for _, _, text in rows], "label": [label for label, _, _ in rows]})


if __name__ == "__main__":
    main(convert, ASSETS, language="pl")
