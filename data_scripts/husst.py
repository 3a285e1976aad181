"""HuSST: sentiment of sentences of film reviews in Hungarian, three labels (Ligeti-Nagy et al. 2024).

From GitHub nytud/HuSST at 05a9250; CC BY-SA 4.0. Nothing is to be done by hand.

The published test split has no labels: its authors score it. Here the published dev is the test split, and a
stratified tenth of train becomes valid. Dev has other shares of labels than train (60 % negative, not 32 %).
The texts of the published test split are not read at all, so that a model can still be sent in for it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, check_counts
from ulmfit.datasets.reading import read_text
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"train": "husst/train", "dev": "husst/dev"}
COUNTS = {
    "train": {"negative": 2_944, "neutral": 2_664, "positive": 3_720},
    "test": {"negative": 697, "neutral": 435, "positive": 33},
}


def convert(files: Mapping[str, Path], counts: str = PUBLISHED) -> dict[str, pd.DataFrame]:
    """Return train, and the published dev as test."""
    tables = {"train": _table(files["train"]), "test": _table(files["dev"])}
    check_counts(tables, COUNTS, counts)
    return tables


def _table(path: Path) -> pd.DataFrame:
    try:
        rows = json.loads(read_text(path))
        found = [(row["id"], row["Sent"], row["label"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected a JSON list of id, Sent and label: {error!r}") from error
    return pd.DataFrame(found, columns=["id", "text", "label"])


if __name__ == "__main__":
    main(convert, ASSETS, language="hu")
