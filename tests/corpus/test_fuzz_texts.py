"""Whatever is in text files, tables and archives: what they hold, or a refusal of one line."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from corpus.fuzzing import outcomes, refusal, summary
from corpus.making import account, rows
from corpus.mutations import Random
from corpus.text_mutants import sound_text, text_mutant
from ulmfit.corpus.cleaning import normalise
from ulmfit.corpus.documents import Account, write_corpus
from ulmfit.corpus.sampling import Selection
from ulmfit.corpus.sources.extracted import extracted_documents
from ulmfit.corpus.sources.text_files import Form, text_documents
from ulmfit.datasets.reading import read_label_first, read_table
from ulmfit.datasets.tables import Description, check_splits, write_tables
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json

CASE = f"corpus.{Path(__file__).stem}:case"
COLUMNS = {"text": "text", "label": "label", "id": "id"}
SUCCESSES = ("documents", "tables")

Way = Callable[[Path, Path, Random], str]


def quiet(_: str) -> None:
    """Log nothing."""


def texts(path: Path, out: Path, rng: Random) -> str:
    """Make a corpus of a text file, a table or an archive of them."""
    form = Form(
        document=rng.choice(["file", "line", "paragraphs"]),
        max_words=rng.choice([None, 1, 50]),
        id_column=rng.choice([None, None, "id"]),
    )
    read = Account(path.name)
    documents = text_documents([(path.name, path)], form, read, quiet)
    write_corpus(documents, out, out.parent, read, Selection(), quiet)
    return checked_corpus(out)


def extracted(path: Path, out: Path, rng: Random) -> str:
    """Make a corpus of what WikiExtractor has written."""
    read = Account(path.name)
    documents = extracted_documents(path, read)
    write_corpus(documents, out, out.parent, read, Selection(), quiet)
    return checked_corpus(out)


def checked_corpus(out: Path) -> str:
    """Check a corpus; raises AssertionError where the account does not close."""
    account(out)
    found = rows(out)
    assert len({row["id"] for row in found}) == len(found) > 0
    for row in found:
        assert row["text"] and row["text"] == normalise(row["text"])
    return "documents"


def labelled(path: Path, out: Path, rng: Random) -> str:
    """Make a data set whose training split is a table."""
    train = read_label_first(path) if path.suffix == ".labels" else read_table(path, COLUMNS, ("id",))
    label = train["label"].iloc[0] if len(train) else "yes"
    test = pd.DataFrame({"text": ["one", "two"], "label": [label, label]})
    tables = check_splits({"train": train, "test": test}, 0.1, quiet)
    write_tables(out, tables, Description("mutants"))
    described = read_json(out / "dataset.json")
    for split, count in described["rows"].items():
        table = pd.read_parquet(out / f"{split}.parquet")
        assert len(table) == count
        assert set(table["label"]) <= set(described["labels"])
    return "tables"


def ways(path: Path) -> list[Way]:
    """Return what can be done with a file of this name."""
    form, *packed = path.suffixes
    if form in (".doc", ".jsonl"):
        return [extracted]
    if form == ".labels":
        return [labelled]
    return [texts] if form == ".txt" or packed else [texts, labelled]


def case(seed: int, folder: Path) -> str:
    """Read the mutant of `seed`."""
    mutant = text_mutant(seed)
    path = folder / mutant.name
    path.write_bytes(mutant.data)
    out = folder / "out"
    out.mkdir()
    rng = random.Random(f"way {seed}")
    way = rng.choice(ways(path))
    try:
        return way(path, out, rng)
    except InputError as error:
        assert not list(out.iterdir())
        return f"{way.__name__} {refusal(error)}"


def check(count: int) -> str:
    """Read mutants; return what became of them."""
    found = outcomes(CASE, 0, count - 1)
    read = sum(outcome.said in SUCCESSES for outcome in found)
    assert read > 0.3 * count, "many mutants are to be readable, though tables are read strictly"
    return f"{count:,} mutated texts, tables and archives:\n{summary(found)}"


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".doc", ".jsonl", ".labels"])
def test_what_is_sound_is_read(suffix: str, tmp_path: Path) -> None:
    """So mutants that are refused are refused for their damage."""
    for seed in range(8):
        path = tmp_path / f"sound-{seed}{suffix}"
        path.write_text(sound_text(suffix, random.Random(seed)), encoding="utf-8")
        for way in ways(path):
            out = tmp_path / f"{way.__name__}-{seed}"
            out.mkdir()
            try:
                assert way(path, out, random.Random(seed)) in SUCCESSES
            except InputError as error:
                assert re.search("holds no|too small|one label only", str(error)), error


def test_mutated_texts() -> None:
    check(200)


@pytest.mark.soak
def test_many_mutated_texts(capsys: pytest.CaptureFixture[str]) -> None:
    said = check(2000)
    with capsys.disabled():
        print(f"\n{said}")
