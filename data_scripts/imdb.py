"""IMDb: sentiment of film reviews in English, two labels (Maas et al. 2011), with 50,000 unlabelled ones.

`aclImdb_v1.tar.gz` of ai.stanford.edu/~amaas/data/sentiment, free for research. Nothing is to be done
by hand. The counts are the published ones: 12,500 reviews of each label in train and in test, and
50,000 without labels. A review is a file, its folder the label: `aclImdb/train/pos/0_9.txt`, where 9 is the
number of stars. Line breaks stand there as `<br />`, and stay.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, check_counts
from ulmfit.datasets.published_archives import tar_members
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"reviews": "imdb"}
PLACES = {
    "train/pos": ("train", "positive"),
    "train/neg": ("train", "negative"),
    "test/pos": ("test", "positive"),
    "test/neg": ("test", "negative"),
    "train/unsup": ("unlabelled", ""),
}
HALVES = {"positive": 12_500, "negative": 12_500}
COUNTS = {"train": HALVES, "test": HALVES, "unlabelled": 50_000}


def convert(files: Mapping[str, Path], counts: str = PUBLISHED) -> dict[str, pd.DataFrame]:
    """Return train, test and unlabelled, in the order of their names: the archive's is of no meaning."""
    rows: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": [], "unlabelled": []}
    for name, content in tar_members(files["reviews"], "aclImdb/"):
        folder, _, file = name.removeprefix("aclImdb/").rpartition("/")
        if folder in PLACES and file.endswith(".txt"):
            split, label = PLACES[folder]
            rows[split].append((f"{folder}/{file}", content.decode("utf-8"), label))
    if missing := [split for split, found in rows.items() if not found]:
        raise InputError(f"{files['reviews']} has no reviews of {missing[0]}: expected aclImdb_v1.tar.gz")
    tables = {
        split: pd.DataFrame(sorted(found), columns=["id", "text", "label"]) for split, found in rows.items()
    }
    tables["unlabelled"] = tables["unlabelled"].drop(columns="label")
    check_counts(tables, COUNTS, counts)
    return tables


if __name__ == "__main__":
    main(convert, ASSETS, language="en")
