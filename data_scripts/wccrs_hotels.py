"""WCCRS hotels: sentiment of sentences of Polish hotel reviews, published train, dev and test."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.reading import read_label_first
from ulmfit.datasets.script import main

ASSETS = {"train": "wccrs-hotels/train", "valid": "wccrs-hotels/valid", "test": "wccrs-hotels/test"}


def convert(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Return train, valid and test. The files name the labels by number only, and so do the tables."""
    return {split: read_label_first(path) for split, path in files.items()}


if __name__ == "__main__":
    main(convert, ASSETS, language="pl")
