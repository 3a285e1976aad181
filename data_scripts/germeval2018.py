"""GermEval 2018: offensive language in German tweets, published train and test."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.reading import read_lines
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"train": "germeval2018/train", "test": "germeval2018/test"}
TASKS = ("coarse", "fine")
TEXT_RULES = (("|LBR|", "\n"),)
"""|LBR| stands where a tweet has a new line."""


def convert(files: Mapping[str, Path], task: str = "coarse") -> dict[str, pd.DataFrame]:
    """Return train and test; `task` is coarse (OFFENSE, OTHER) or fine (ABUSE, INSULT, PROFANITY, OTHER)."""
    if task not in TASKS:
        raise InputError(f"germeval2018 has no task {task!r}: expected coarse or fine")
    return {split: _table(path, 1 + TASKS.index(task)) for split, path in files.items()}


def _table(path: Path, column: int) -> pd.DataFrame:
    rows = [line.split("\t") for line in read_lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) != 3:
            raise InputError(f"{path}, line {number}: {len(row)} fields, expected text and two labels")
    return pd.DataFrame({"text": [row[0] for row in rows], "label": [row[column] for row in rows]})


if __name__ == "__main__":
    main(convert, ASSETS, language="de")
