"""Samples in the order of hashes: unbiased, nested, and the same whatever was left unread on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.making import account, rows
from ulmfit.corpus import sampling
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.documents import (
    COLLECTED_SCHEMA,
    Account,
    Document,
    DocumentHashes,
    write_collected,
    write_corpus,
)
from ulmfit.corpus.sampling import OUTSIDE_SAMPLE, SAMPLE_SALT, SampleBound, Selection, salted_hash
from ulmfit.corpus.stages import CorpusStage, ExtractedCorpus, JoinedCorpus, TextFiles
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

limits = st.tuples(st.none() | st.integers(1, 30), st.none() | st.integers(1, 90))


def selection(limit: tuple[int | None, int | None]) -> Selection:
    return Selection(max_documents=limit[0], max_tokens=limit[1])


def documents(numbers: list[tuple[int, int]]) -> list[Document]:
    """Return documents with these ids and numbers of words; ids repeat, with the same title or another."""
    return [
        Document(str(number), f"title {number % 3 + words % 2}", "word " * (words - 1) + "word")
        for number, words in numbers
    ]


def quiet(_: str) -> None:
    """Log nothing."""


@given(st.lists(st.integers(0, 9), max_size=20), limits)
def test_reached_is_the_shortest_beginning_that_has_enough(
    words: list[int], limit: tuple[int | None, int | None]
) -> None:
    chosen = selection(limit)
    found = chosen.reached(np.array(words, np.int64))
    enough = [
        count
        for count in range(1, len(words) + 1)
        if (limit[0] is not None and count >= limit[0])
        or (limit[1] is not None and sum(words[:count]) >= limit[1])
    ]
    assert found == min(enough, default=None)


def collected(
    batches: list[list[Document]], chosen: Selection, late: int
) -> tuple[list[pa.Table], DocumentHashes]:
    """Return what is left of the documents when each batch knows the bound of `late` batches ago."""
    bound, known = SampleBound(chosen), [None] * late
    hashes, tables = DocumentHashes(), []
    for batch in batches:
        known.append(bound.threshold)
        threshold = known[-1 - late]
        values = [salted_hash(SAMPLE_SALT, document.id) for document in batch]
        outside = [threshold is not None and value > threshold for value in values]
        kept = [document for document, out in zip(batch, outside, strict=True) if not out]
        before = len(hashes.id)
        for document in kept:
            hashes.add(document, chosen.count(document.text))
        words = np.array(hashes.words[before:], np.uint64)
        bound.add(np.array(hashes.id[before:], np.uint64), words)
        texts = ["" if out else item.text for item, out in zip(batch, outside, strict=True)]
        reasons = [OUTSIDE_SAMPLE if out else "" for out in outside]
        columns = [[item.id for item in batch], [item.title for item in batch], texts, reasons, values]
        tables.append(pa.table(columns, schema=COLLECTED_SCHEMA))
    return tables, hashes


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=80),
    limits,
    st.integers(0, 3),
    st.sampled_from([0, 4]),
)
def test_what_the_bound_leaves_out_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    numbers: list[tuple[int, int]],
    limit: tuple[int | None, int | None],
    late: int,
    min_words: int,
) -> None:
    folder, items = tmp_path_factory.mktemp("sample"), documents(numbers)
    chosen = replace(selection(limit), min_words=min_words)
    written = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "FEWEST_MERGED", 1)
        for bounded in (chosen, Selection()):
            tables, hashes = collected([items[at : at + 5] for at in range(0, len(items), 5)], bounded, late)
            try:
                write_collected(tables, hashes, folder, Account("test", len(items)), chosen, quiet)
            except InputError as error:
                assert min_words and f"have less than {min_words} words" in str(error)
                return
            account(folder)
            written.append([(folder / name).read_bytes() for name in ("documents.parquet", "account.json")])
    assert written[0] == written[1]


def test_a_bound_falls_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "FEWEST_MERGED", 1)
    rng = np.random.default_rng(3)
    bound = SampleBound(Selection(max_tokens=1000))
    seen = np.empty(0, np.uint64)
    thresholds = []
    for _ in range(200):
        hashes = rng.integers(0, 1 << 63, 50, np.uint64)
        seen = np.concatenate([seen, hashes])
        bound.add(hashes, np.full(50, 10, np.uint64))
        thresholds.append(bound.threshold)
    assert thresholds[0] is None
    numbers = [threshold for threshold in thresholds if threshold is not None]
    assert numbers == sorted(numbers, reverse=True)
    assert np.sort(seen)[99] <= numbers[-1] < np.sort(seen)[150]


@pytest.mark.parametrize("field", ["max_documents", "max_tokens"])
def test_samples_are_nested_and_unbiased(tmp_path: Path, field: str) -> None:
    rng = np.random.default_rng(7)
    items = [Document(str(n), "", "word " * int(rng.integers(1, 40))) for n in range(6000)]
    samples = {}
    for size in (40, 400, 4000):
        write_corpus(items, tmp_path, tmp_path, Account("x", len(items)), Selection(**{field: size}), quiet)
        samples[size] = {row["id"]: len(row["text"].split()) for row in rows(tmp_path)}
        content = account(tmp_path)
        assert content["words"] == sum(samples[size].values())
        measured = len(samples[size]) if field == "max_documents" else content["words"]
        assert size <= measured < size + (1 if field == "max_documents" else 40)
    order = sorted(samples[4000], key=lambda name: salted_hash("ulmfit sample", name))
    assert list(samples[40]) == [name for name in samples[4000] if name in order[: len(samples[40])]]
    assert set(samples[40]) < set(samples[400]) < set(samples[4000])
    # Neither the beginning of the corpus nor short documents are preferred.
    assert np.mean([int(name) for name in samples[4000]]) == pytest.approx(3000, rel=0.15)
    assert np.mean(list(samples[4000].values())) == pytest.approx(20, rel=0.1)


def test_both_limits_hold(tmp_path: Path) -> None:
    items = [Document(str(n), "", "four words are here") for n in range(100)]
    for documents_wanted, words_wanted, expected in ((10, 1000, 10), (90, 42, 11), (1000, 10_000, 100)):
        chosen = Selection(max_documents=documents_wanted, max_tokens=words_wanted)
        assert write_corpus(items, tmp_path, tmp_path, Account("x", 100), chosen, quiet) == expected
        assert account(tmp_path)["words"] == 4 * expected


def test_short_documents_are_left_out_under_their_own_reason(tmp_path: Path) -> None:
    items = [Document(str(n), "", "word " * (n % 5) + "end") for n in range(100)]
    chosen = Selection(max_documents=30, min_words=3)
    assert write_corpus(items, tmp_path, tmp_path, Account("x", 100), chosen, quiet) == 30
    assert min(len(row["text"].split()) for row in rows(tmp_path)) == 3
    content = account(tmp_path)
    counts = {reason: entry["count"] for reason, entry in content["left_out"].items()}
    assert set(counts) == {"shorter than min_words", "outside the sample"} and sum(counts.values()) == 70
    with pytest.raises(InputError, match="all 100 documents have less than 6 words: lower min_words"):
        write_corpus(items, tmp_path, tmp_path, Account("x", 100), Selection(min_words=6), quiet)


def test_sizes_can_be_counted_in_runs(tmp_path: Path) -> None:
    items = [Document(str(n), "", "東京は日本の首都です。") for n in range(100)]
    for counted_in, size, expected in (("words", 11, 6), ("runs", 3, 20)):
        chosen = Selection(max_tokens=60, counted_in=counted_in)
        assert write_corpus(items, tmp_path, tmp_path, Account("x", 100), chosen, quiet) == expected
        content = account(tmp_path)
        assert {name: content[name] for name in ("words", "runs") if name in content} == {
            counted_in: size * expected
        }


def sampled_stages(tmp_path: Path) -> dict[str, Callable[..., CorpusStage]]:
    """Return stages of every kind that samples 300 documents of four words."""
    lines = File(path=tmp_path / "lines.txt")
    (tmp_path / "lines.txt").write_text("".join(f"this is line {n}\n" for n in range(300)))
    blocks = "".join(f'<doc id="{n}" url="u" title="t{n}">\nthis is page {n}\n</doc>\n' for n in range(300))
    (tmp_path / "wiki_00").write_text(blocks)
    for name, size in (("train", 300), ("valid", 8), ("test", 8)):
        table = "".join(f"this is {name} {n},{'ab'[n % 2]}\n" for n in range(size))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{table}")
    splits = {name: File(path=tmp_path / f"{name}.csv") for name in ("train", "valid", "test")}
    labelled = LabelledFiles(**splits, name="rows", language="en")
    whole = TextFiles(files=lines, document="line")
    return {
        "text files": partial(TextFiles, files=lines, document="line"),
        "extracted": partial(ExtractedCorpus, archive=File(path=tmp_path / "wiki_00")),
        "joined": partial(JoinedCorpus, parts=(whole,)),
        "data set": partial(DatasetTexts, dataset=labelled),
    }


@pytest.mark.parametrize("name", ["text files", "extracted", "joined", "data set"])
def test_every_corpus_can_be_cut_to_a_number_of_words(tmp_path: Path, name: str) -> None:
    stage = sampled_stages(tmp_path)[name]
    by_words = Runner(tmp_path / "runs").build(stage(max_tokens=98))
    by_documents = Runner(tmp_path / "runs").build(stage(max_documents=25))
    assert rows(by_words) == rows(by_documents)
    content = account(by_words)
    validation = sum(1 for row in rows(by_words) if row["split"] == "valid") if name == "data set" else 0
    assert len(rows(by_words)) == 25 + validation
    assert content["words"] == 4 * len(rows(by_words))
    assert content["left_out"]["outside the sample"]["count"] == content["pages_read"] - 25 - validation


@pytest.mark.parametrize("name", ["text files", "extracted", "joined"])
def test_every_corpus_can_leave_out_short_documents(tmp_path: Path, name: str) -> None:
    stage = sampled_stages(tmp_path)[name]
    kept = Runner(tmp_path / "runs").build(stage(min_words=5, counted_in="runs", max_documents=9))
    assert len(rows(kept)) == 9 and account(kept)["runs"] == 5 * 9
    with pytest.raises(InputError, match="have less than 6 runs"):
        Runner(tmp_path / "runs").build(stage(min_words=6, counted_in="runs"))


def test_a_data_set_keeps_its_short_texts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="min_words is 3, expected 0"):
        sampled_stages(tmp_path)["data set"](min_words=3)
