"""Ylilauta: topics of messages of a Finnish discussion forum, published train (three sizes), dev and test."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.reading import read_lines
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"train": "ylilauta/train-1000", "valid": "ylilauta/valid", "test": "ylilauta/test"}
MARK = "__label__"


def convert(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Return train, valid and test. The texts are as published: words and punctuation stand apart."""
    return {split: _table(path) for split, path in files.items()}


def _table(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        label, _, text = line.partition(" ")
        if not label.startswith(MARK) or label == MARK or not text.strip():
            raise InputError(f"{path}, line {number}: expected {MARK}TOPIC and a text, found {line[:40]!r}")
        rows.append((text, label.removeprefix(MARK)))
    return pd.DataFrame(rows, columns=["text", "label"])


if __name__ == "__main__":
    main(convert, ASSETS, language="fi")
