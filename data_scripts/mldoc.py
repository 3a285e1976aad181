"""MLDoc: topics of Reuters news in eight languages, four labels (Schwenk & Li 2018).

The texts are Reuters' (RCV1 and RCV2), under an agreement that a person signs with NIST
(trec.nist.gov/data/reuters/reuters.html). By hand: get the corpora, then make the files with
`generate_documents.py` of GitHub facebookresearch/MLDoc, one run for each of its lists in `mldoc-indices`:
german.train.1000, german.dev, german.test, german.train.10000. They go to `data/mldoc/` of the checkout,
under the names of the lists.

A line is `label TAB text`. The script writes the text as Python's bytes (`b'...'`), and plain text is read
too. The unlabelled texts are those of train.10000 (fewer in Spanish and Russian), as in MultiFiT: train lies
inside of them.
"""

import ast
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, Counts, check_counts
from ulmfit.datasets.reading import read_lines
from ulmfit.errors import InputError

LABELS = ("CCAT", "ECAT", "GCAT", "MCAT")
COUNTS: dict[str, Counts] = {"train": 1_000, "valid": 1_000, "test": 4_000}
MOST_UNLABELLED = {"spanish": 9_458, "russian": 5_216}
"""Texts of train.10000 where there are not 10,000."""


def convert(
    files: Mapping[str, Path], language: str = "german", counts: str = PUBLISHED
) -> dict[str, pd.DataFrame]:
    """Return train, valid and test, and unlabelled where it is among the files."""
    tables = {split: _table(path) for split, path in files.items()}
    expected = dict(COUNTS)
    if "unlabelled" in tables:
        expected["unlabelled"] = MOST_UNLABELLED.get(language, 10_000)
        tables["unlabelled"] = tables["unlabelled"].drop(columns="label")
    check_counts(tables, expected, counts)
    return tables


def _table(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        label, tab, text = line.partition("\t")
        if label not in LABELS or not tab:
            raise InputError(
                f"{path}, line {number}: begins with {label[:20]!r}, expected a tab behind one of "
                f"{', '.join(LABELS)}"
            )
        rows.append((_text(text, f"{path}, line {number}"), label))
    return pd.DataFrame(rows, columns=["text", "label"])


def _text(written: str, place: str) -> str:
    """Return a text; where it is written as Python's bytes, what they mean. Nothing is evaluated."""
    if not written.startswith(("b'", 'b"')):
        return written
    try:
        content = ast.literal_eval(written)
        return content.decode("utf-8")
    except (ValueError, SyntaxError, AttributeError) as error:
        raise InputError(f"{place}: expected a text or its bytes, b'...': {error}") from error
