"""AG News, DBpedia and Yelp reviews (two and five labels) in English, as Zhang et al. 2015 published them.

Archives such as `ag_news_csv.tgz` with train.csv and test.csv, from the copies that fast.ai keeps. Licences:
AG free for research, DBpedia CC BY-SA 3.0, Yelp under its terms for data sets. Nothing is to be done by hand.

The counts are those of the readme.txt in each archive: 30,000 and 1,900 texts of each label in AG, 40,000 and
5,000 in DBpedia, 280,000 and 19,000 in Yelp's polarity, 130,000 and 10,000 of its stars.

A row is the number of its label, from 1, and the text: a title and a body, in Yelp the body alone. Quotes are
doubled; line breaks are written as a backslash and n.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, check_counts
from ulmfit.datasets.published_archives import tar_members
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"archive": "zhang2015/ag"}
TEXT_RULES = (("\\n", "\n"),)
AG = ("world", "sports", "business", "science and technology")
DBPEDIA = (
    "company",
    "educational institution",
    "artist",
    "athlete",
    "office holder",
    "mean of transportation",
    "building",
    "natural place",
    "village",
    "animal",
    "plant",
    "album",
    "film",
    "written work",
)
LABELS = {
    "ag": AG,
    "dbpedia": DBPEDIA,
    "yelp_polarity": ("negative", "positive"),
    "yelp_full": ("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
}
COUNTS = {"ag": (30_000, 1_900), "dbpedia": (40_000, 5_000), "yelp_polarity": (280_000, 19_000)}
COUNTS["yelp_full"] = (130_000, 10_000)
"""Texts of each label in train and in test."""


def convert(files: Mapping[str, Path], name: str = "ag", counts: str = PUBLISHED) -> dict[str, pd.DataFrame]:
    """Return train and test of the set `name`: ag, dbpedia, yelp_polarity or yelp_full.

    The columns are title and text; Yelp's have no title.
    """
    if name not in LABELS:
        raise InputError(f"zhang2015 has no set {name!r}: expected one of {', '.join(LABELS)}")
    tables = {}
    for member, content in tar_members(files["archive"]):
        split = member.rpartition("/")[2].removesuffix(".csv")
        if split in ("train", "test") and member.endswith(".csv"):
            rows = _rows(f"{files['archive'].name}: {member}", content.decode("utf-8"), name)
            tables[split] = pd.DataFrame(rows, columns=["label", "title", "text"])
    if missing := [split for split in ("train", "test") if split not in tables]:
        raise InputError(f"{files['archive']} has no {missing[0]}.csv")
    if name.startswith("yelp"):
        tables = {split: table.drop(columns="title") for split, table in tables.items()}
    expected = {
        split: dict.fromkeys(LABELS[name], count)
        for split, count in zip(("train", "test"), COUNTS[name], strict=True)
    }
    check_counts(tables, expected, counts)
    return tables


def _rows(place: str, content: str, name: str) -> Iterator[tuple[str, str, str]]:
    columns = 2 if name.startswith("yelp") else 3
    labels = {str(number): label for number, label in enumerate(LABELS[name], 1)}
    for number, row in enumerate(csv.reader(io.StringIO(content, newline="")), 1):
        if len(row) != columns or row[0] not in labels:
            raise InputError(
                f"{place}, row {number}: {len(row)} fields that begin with {row[:1]}, expected {columns}, "
                f"the first a number from 1 to {len(labels)}"
            )
        yield labels[row[0]], row[1] if columns == 3 else "", row[-1]


if __name__ == "__main__":
    main(convert, ASSETS, language="en")
