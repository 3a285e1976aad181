"""The stages that filter a corpus: accounts, splits, determinism, and what they refuse."""

from __future__ import annotations

import csv
import json
import resource
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from corpus.making import account, left_out, rows, texts
from ulmfit.corpus import stored
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.filters import Deduplicated, LeakCheck, WithoutLeaks, read_leaks
from ulmfit.corpus.stages import CorpusStage, ExtractedCorpus, JoinedCorpus, TextFiles
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage

VERBS = ["sings", "walks", "sleeps", "waits", "paints", "bakes", "mows", "reads", "fishes", "climbs"]
PLACES = [
    "near the old mill",
    "on a bench by the lake",
    "in the last house of the lane",
    "behind the red barn",
]
LINES = [f"{place} the neighbour {verb} when the weather allows." for verb in VERBS for place in PLACES]


def build(tmp_path: Path, stage: Stage) -> Path:
    return Runner(runs=tmp_path / "runs").build(stage)


def lines(tmp_path: Path, found: list[str], name: str = "a.txt", **settings: Any) -> TextFiles:
    (tmp_path / name).write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    return TextFiles(files=File(path=tmp_path / name), document="line", **settings)


def dataset(tmp_path: Path, test: list[str]) -> LabelledFiles:
    for name, found in (("train", ["some text", "another text", "a third", "a fourth"]), ("test", test)):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([("text", "label"), *((text, "ab"[n % 2]) for n, text in enumerate(found))])
    return LabelledFiles(train=File(path=tmp_path / "train.csv"), test=File(path=tmp_path / "test.csv"))


def split_of(folder: Path) -> dict[str, str]:
    return {row["id"]: row["split"] for row in rows(folder)}


def test_deduplication_continues_the_account(tmp_path: Path) -> None:
    one, two = LINES[0], LINES[7]
    corpus = lines(tmp_path, [one, "", two, one.upper(), "", f"{two} Or so.", two])
    folder = build(tmp_path, Deduplicated(corpus=corpus))
    assert texts(folder) == {"a.txt:1": one, "a.txt:3": two}
    content = account(folder)
    assert content["source"] == "a.txt"
    assert content["pages_read"] == 7
    assert content["left_out"] == {
        "empty text": {"count": 2, "pages": ["a.txt:2", "a.txt:5"]},
        "duplicate text": {"count": 2, "pages": ["a.txt:4", "a.txt:7"]},
        "near-duplicate of an earlier text": {"count": 1, "pages": ["a.txt:6"]},
    }
    assert content["deduplication"]["method"] == "minhash"
    exact = build(tmp_path, Deduplicated(corpus=corpus, method="exact"))
    assert left_out(exact) == {"empty text": 2, "duplicate text": 2}
    assert account(exact)["deduplication"] == {"method": "exact", "bytes_a_document": 21.0}
    assert "bytes of memory a document" in (exact / "log.txt").read_text()


def test_documents_keep_their_splits_and_order(tmp_path: Path) -> None:
    corpus = lines(
        tmp_path, [line for line in LINES for _ in range(2)], valid_fraction=0.3, test_fraction=0.3
    )
    before = split_of(build(tmp_path, corpus))
    folder = build(tmp_path, Deduplicated(corpus=corpus, similarity=1))
    after = split_of(folder)
    assert after.items() <= before.items()
    assert list(after) == [name for name in before if name in after]
    assert len(after) == len(LINES)
    assert len(set(after.values())) == 3


def test_no_text_of_one_split_has_a_copy_in_another(tmp_path: Path) -> None:
    labelled = dataset(tmp_path, ["nothing", "to see"])
    (tmp_path / "train.csv").write_text(
        "text,label\n" + "".join(f"{line},{'ab'[n % 2]}\n" for n, line in enumerate(LINES[:20])),
        encoding="utf-8",
    )
    corpus = JoinedCorpus(parts=(DatasetTexts(dataset=labelled), lines(tmp_path, LINES)))
    assert len(rows(build(tmp_path, corpus))) == 60
    folder = build(tmp_path, Deduplicated(corpus=corpus, method="exact"))
    assert sorted(texts(folder).values()) == sorted(LINES)
    assert left_out(folder) == {"duplicate text": 20}


def test_a_sample_is_taken_of_what_is_left(tmp_path: Path) -> None:
    corpus = lines(tmp_path, LINES + LINES)
    whole = texts(build(tmp_path, Deduplicated(corpus=corpus, method="exact")))
    folder = build(tmp_path, Deduplicated(corpus=corpus, method="exact", max_documents=10))
    assert len(rows(folder)) == 10
    assert texts(folder).items() <= whole.items()
    assert left_out(folder) == {"duplicate text": 40, "outside the sample": 30}


def test_the_same_bytes_however_the_corpus_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = lines(tmp_path, [f"{line} Number {n}." for n, line in enumerate(LINES * 3)])
    first = build(tmp_path, Deduplicated(corpus=corpus))
    monkeypatch.setattr(stored, "BATCH_ROWS", 3)
    again = build(tmp_path / "again", Deduplicated(corpus=corpus))
    for name in ("documents.parquet", "account.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert left_out(first)["near-duplicate of an earlier text"] >= 80


def test_leaks_are_listed_and_removed(tmp_path: Path) -> None:
    test = [f"well: {LINES[3].upper()}", "not in the corpus, not in this form at all", "too short"]
    labelled = dataset(tmp_path, test)
    corpus = lines(tmp_path, ["", *LINES, f"{LINES[3]} And more."], valid_fraction=0.3)
    check = LeakCheck(corpus=corpus, dataset=labelled)
    found = build(tmp_path, check)
    content = json.loads((found / "leaks.json").read_text(encoding="utf-8"))
    assert (content["checked"], content["too_short"]) == (2, 1)
    assert [entry["documents"] for entry in content["leaked"]] == [["a.txt:5", "a.txt:42"]]
    assert content["documents"] == ["a.txt:5", "a.txt:42"]
    assert "weather" not in (found / "leaks.json").read_text(encoding="utf-8")
    without = build(tmp_path, WithoutLeaks(corpus=corpus, check=check))
    assert left_out(without) == {"empty text": 1, "holds a test text": 2}
    assert account(without)["left_out"]["holds a test text"]["pages"] == ["a.txt:5", "a.txt:42"]
    before = split_of(build(tmp_path, corpus))
    assert split_of(without) == {
        name: split for name, split in before.items() if name not in content["documents"]
    }
    assert read_leaks(found).removed == 0
    assert read_leaks(without).removed == 2
    assert read_leaks(without).leaked == ("test-000001",)


def test_without_leaks_the_documents_are_the_same(tmp_path: Path) -> None:
    labelled = dataset(tmp_path, ["not in the corpus at all", "nor is this one, by any means"])
    corpus = lines(tmp_path, LINES)
    without = build(tmp_path, WithoutLeaks(corpus=corpus, check=LeakCheck(corpus=corpus, dataset=labelled)))
    assert rows(without) == rows(build(tmp_path, corpus))
    assert account(without) == account(build(tmp_path, corpus))


def test_a_corpus_that_leaks_throughout_is_an_error(tmp_path: Path) -> None:
    corpus = lines(tmp_path, LINES[:2])
    check = LeakCheck(corpus=corpus, dataset=dataset(tmp_path, LINES[:2]))
    with pytest.raises(
        InputError, match=r"a\.txt holds no documents: 2 pages read, left out: 2 holds a test text"
    ):
        build(tmp_path, WithoutLeaks(corpus=corpus, check=check))


def test_labels_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = pd.read_parquet
    columns = []

    def noted(path: Path, **options: list[str]) -> pd.DataFrame:
        columns.append((Path(path).name, options.get("columns")))
        return read(path, **options)

    stage = LeakCheck(corpus=lines(tmp_path, LINES), dataset=dataset(tmp_path, LINES[:2]))
    build(tmp_path, stage.dataset)
    monkeypatch.setattr(pd, "read_parquet", noted)
    build(tmp_path, stage)
    assert columns == [("test.parquet", ["id", "text"])]


def test_filters_in_a_row(tmp_path: Path) -> None:
    corpus = lines(tmp_path, [*LINES, LINES[0], "", LINES[5]])
    clean = Deduplicated(corpus=corpus, method="exact")
    check = LeakCheck(corpus=clean, dataset=dataset(tmp_path, [LINES[5], LINES[6]]))
    folder = build(tmp_path, WithoutLeaks(corpus=clean, check=check, max_documents=30))
    assert left_out(folder) == {
        "empty text": 1,
        "duplicate text": 2,
        "holds a test text": 2,
        "outside the sample": 8,
    }
    assert account(folder)["deduplication"]["method"] == "exact"


def test_a_check_of_another_corpus_is_refused(tmp_path: Path) -> None:
    corpus, other = lines(tmp_path, LINES), lines(tmp_path, LINES, "b.txt")
    check = LeakCheck(corpus=other, dataset=dataset(tmp_path, LINES[:2]))
    with pytest.raises(ValidationError, match="made on another corpus"):
        WithoutLeaks(corpus=corpus, check=check)
    with pytest.raises(ValidationError, match="made on another corpus"):
        WithoutLeaks(corpus=Deduplicated(corpus=other), check=check)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"similarity": 0}, "greater than or equal to 0.3"),
        ({"similarity": 1.1}, "less than or equal to 1"),
        ({"shingle_words": 0}, "greater than or equal to 1"),
        ({"permutations": 8}, "greater than or equal to 16"),
        ({"method": "simhash"}, "'exact' or 'minhash'"),
        ({"valid_fraction": 0.2}, "valid_fraction cannot be set: the documents keep the splits"),
        ({"test_fraction": 0.2}, "test_fraction cannot be set"),
    ],
)
def test_bad_settings_of_deduplication(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Deduplicated(corpus=TextFiles(files=File(path=Path("x"))), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ngram_words": 1}, "greater than or equal to 2"),
        ({"ngram_words": 4}, "min_words 5 must not be above ngram_words 4"),
        ({"min_share": 0}, "greater than 0"),
        ({"min_share": 1.5}, "less than or equal to 1"),
        ({"min_words": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_settings_of_the_leak_check(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LeakCheck(corpus=lines(tmp_path, LINES), dataset=dataset(tmp_path, LINES[:2]), **settings)


def test_real_reviews_that_stand_in_train(shared_data: Path, tmp_path: Path) -> None:
    """One test text stands in train to the letter; it has no word, so that it is too short to be a leak."""
    reviews = {}
    for name in ("train", "test"):
        published = (shared_data / f"pl-wccrs-hotels/{name}.txt").read_text(encoding="utf-8").splitlines()
        reviews[name] = [line.partition(" ")[2] for line in published]
    corpus = lines(tmp_path, reviews["train"])
    folder = build(tmp_path, LeakCheck(corpus=corpus, dataset=dataset(tmp_path, reviews["test"])))
    summary = read_leaks(folder)
    assert set(reviews["train"]) & set(reviews["test"]) == {": )"}
    assert summary.checked + summary.too_short == 1554
    assert summary.too_short == sum(len(alphanumeric_words(text)) < 5 for text in reviews["test"])
    assert summary.leaked == ("test-000635", "test-001060")


def alphanumeric_words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


@pytest.mark.soak
def test_real_extracted_wikipedia(shared_data: Path, tmp_path: Path) -> None:
    """Disambiguation pages and lists by year, of which only a frame of words is left, are the duplicates."""
    archive = shared_data / "de-wikipedia-extracted/dewiki-extracted.tar.xz"
    corpus: CorpusStage = ExtractedCorpus(archive=File(path=archive))
    megabytes = sum(len(text.encode()) for text in texts(build(tmp_path, corpus)).values()) / 1e6
    started = time.process_time()
    folder = build(tmp_path, Deduplicated(corpus=corpus))
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"deduplication: {megabytes / seconds:.1f} MB/s, {peak} MiB at the peak, {left_out(folder)}")
    assert 1500 < left_out(folder)["near-duplicate of an earlier text"] < 2000
    published = (
        (shared_data / "de-germeval2018/germeval2018.test.txt").read_text(encoding="utf-8").splitlines()
    )
    tweets = dataset(tmp_path, [line.split("\t")[0].replace("|LBR|", " ") for line in published])
    build(tmp_path, tweets)
    started = time.process_time()
    summary = read_leaks(build(tmp_path, LeakCheck(corpus=corpus, dataset=tweets)))
    seconds = time.process_time() - started
    print(f"leak check: {megabytes / seconds:.1f} MB/s, {summary}")
    assert summary.leaked == ()
    assert summary.checked > 3500
