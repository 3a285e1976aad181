"""GermEval 2017, task B: sentiment of messages about Deutsche Bahn in German (Wojatzki et al. 2017).

Files of ltdata1.informatik.uni-hamburg.de/germeval2017 of 2017-09-15, CC BY-NC 4.0; nothing by hand.
There are two test splits: test1 (`test_syn`) is of the time of train, test2 (`test_dia`) is later. Those that
took part had version 1.4, with 20,941 texts in train and 2,584 in dev (option `version=1.4`).

The counts are those that github.com/ac74/reevaluating_germeval2017 (descriptive_analysis.ipynb) found in the
XML files. The TSV file of test1 has 11 neutral texts more: 2,566, as n-waves' confusion matrix has.

XML has elements `Document` with `text`, `relevance` and `sentiment`. TSV has the columns source, text,
relevance, sentiment and aspects, without a header or with one.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, Counts, check_counts
from ulmfit.datasets.reading import read_lines, read_text
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {
    "train": "germeval2017/train",
    "valid": "germeval2017/dev",
    "test": "germeval2017/test1",
}
LABELS = ("negative", "neutral", "positive")
TESTS = {"test1": (780, 1_670, 105), "test2": (497, 1_237, 108)}
TSV_TESTS = {**TESTS, "test1": (780, 1_681, 105)}
TRAIN: dict[str, dict[str, Counts]] = {
    "2017-09-15": {
        "train": dict(zip(LABELS, (5_045, 13_208, 1_179), strict=True)),
        "valid": dict(zip(LABELS, (589, 1_632, 148), strict=True)),
    },
    "1.4": {"train": 20_941, "valid": 2_584},
}


def convert(
    files: Mapping[str, Path], test: str = "test1", version: str = "2017-09-15", counts: str = PUBLISHED
) -> dict[str, pd.DataFrame]:
    """Return train, valid and test; `test` says which of the two test splits the file of that name is."""
    if test not in TESTS or version not in TRAIN:
        raise InputError(
            f"germeval2017 has no {test}, version {version}: expected test1 or test2, and a version of "
            f"{', '.join(TRAIN)}"
        )
    tables = {split: _table(path) for split, path in files.items()}
    tests = TESTS if files["test"].suffix == ".xml" else TSV_TESTS
    expected = {**TRAIN[version], "test": dict(zip(LABELS, tests[test], strict=True))}
    check_counts(tables, expected, counts)
    return tables


def _table(path: Path) -> pd.DataFrame:
    rows = _xml_rows(path) if path.suffix == ".xml" else _tsv_rows(path)
    for number, (_, label) in enumerate(rows, 1):
        if label not in LABELS:
            raise InputError(
                f"{path}, text {number}: sentiment {label!r}, expected one of {', '.join(LABELS)}"
            )
    return pd.DataFrame(rows, columns=["text", "label"])


def _xml_rows(path: Path) -> list[tuple[str, str]]:
    content = read_text(path)
    if "<!DOCTYPE" in content or "<!ENTITY" in content:
        raise InputError(f"{path} defines entities, which no published file does: it is not read")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is not XML: {error}") from error
    documents = root.iter("Document")
    return [(one.findtext("text") or "", (one.findtext("sentiment") or "").strip()) for one in documents]


def _tsv_rows(path: Path) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in read_lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) < 4:
            raise InputError(f"{path}, line {number}: {len(row)} fields, expected four or more")
    if rows and rows[0][0].upper() == "SOURCE":
        rows = rows[1:]
    return [(row[1], row[3].strip()) for row in rows]


if __name__ == "__main__":
    main(convert, ASSETS, language="de")
