"""CLS: sentiment of product reviews in German, French, Japanese and English, books, DVDs and music.

Prettenhofer & Stein 2010. `cls-acl10-unprocessed.tar.gz` of zenodo.org/record/3251672, for research. By hand:
ask for it there and put it into `data/cls/` of the checkout.

A file such as `cls-acl10-unprocessed/de/books/train.review` has elements `<item>` with, among others,
`<rating>`, `<summary>` and `<text>`. It is read as text, not as XML: not all of it is well-formed. Four and
five stars are positive, one and two negative; there are none of three. A text is the review's headline
(`summary`, column title) and its body.
"""

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, check_counts
from ulmfit.datasets.published_archives import tar_members
from ulmfit.datasets.script import main
from ulmfit.errors import InputError
from ulmfit.pipeline.assets import File

ARCHIVE = File(
    path=Path(__file__).parents[1] / "data" / "cls" / "cls-acl10-unprocessed.tar.gz",
    licence="for research",
    source="ask for it at zenodo.org/record/3251672 and put it there",
)
LANGUAGES = {"de": "de", "fr": "fr", "ja": "jp", "en": "en"}
"""Codes, and the archive's names of them."""
DOMAINS = ("books", "dvd", "music")
SPLITS = {"train": "train", "test": "test", "unlabeled": "unlabelled"}
HALVES = {"positive": 1_000, "negative": 1_000}
ITEM = re.compile(r"<item>(.*?)</item>", re.DOTALL)
FIELDS = {name: re.compile(rf"<{name}>(.*?)</{name}>", re.DOTALL) for name in ("rating", "summary", "text")}


def convert(
    files: Mapping[str, Path], language: str = "de", domain: str = "books", counts: str = PUBLISHED
) -> dict[str, pd.DataFrame]:
    """Return train, test and unlabelled of a language and a domain, with the columns title and text."""
    if language not in LANGUAGES or domain not in DOMAINS:
        raise InputError(
            f"cls has no {language}, {domain}: expected one of {', '.join(LANGUAGES)} and one of "
            f"{', '.join(DOMAINS)}"
        )
    folder = f"cls-acl10-unprocessed/{LANGUAGES[language]}/{domain}/"
    tables = {}
    for name, content in tar_members(files["archive"], folder):
        split = SPLITS.get(name.removeprefix(folder).removesuffix(".review"))
        if split is not None:
            rows = _rows(f"{files['archive'].name}: {name}", content.decode("utf-8"), split)
            tables[split] = pd.DataFrame(rows, columns=["title", "text", "label"])
    if missing := [split for split in SPLITS.values() if split not in tables]:
        raise InputError(f"{files['archive']} has no reviews for {missing[0]} in {folder}")
    tables["unlabelled"] = tables["unlabelled"].drop(columns="label")
    check_counts(tables, {"train": HALVES, "test": HALVES}, counts)
    return tables


def _rows(place: str, content: str, split: str) -> Iterator[tuple[str, str, str]]:
    for number, match in enumerate(ITEM.finditer(content), 1):
        fields = {name: pattern.search(match[1]) for name, pattern in FIELDS.items()}
        found = {name: html.unescape(field[1]).strip() for name, field in fields.items() if field}
        if "text" not in found:
            raise InputError(f"{place}, item {number}: has no <text>")
        label = ""
        if split != "unlabelled":
            label = _label(found.get("rating", ""), f"{place}, item {number}")
        yield found.get("summary", ""), found["text"], label


def _label(rating: str, place: str) -> str:
    if rating in ("4.0", "5.0"):
        return "positive"
    if rating in ("1.0", "2.0"):
        return "negative"
    raise InputError(f"{place}: rating {rating!r}, expected 1.0, 2.0, 4.0 or 5.0")


if __name__ == "__main__":
    main(convert, {"archive": ARCHIVE}, language="de")
