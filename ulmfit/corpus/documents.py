"""The documents of a corpus: sampled, split, written to `documents.parquet` with an account that closes."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.corpus.sampling import (
    OUTSIDE_SAMPLE,
    SAMPLE_SALT,
    SPLIT_SALT,
    TOO_SHORT,
    CountedIn,
    Selection,
    salted_hash,
)
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, write_json
from ulmfit.pipeline.grouping import grouped

DOCUMENTS, ACCOUNT = "documents.parquet", "account.json"
SPLITS = ("train", "valid", "test")
PAGES_LISTED = 1000
DUPLICATE_ID = "duplicate id"
ROW_GROUP_CHARACTERS = 8_000_000
SCHEMA = pa.schema(
    [("id", pa.string()), ("title", pa.string()), ("text", pa.string()), ("split", pa.string())]
)
COLLECTED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("left_out", pa.string()),
        ("hash", pa.uint64()),
    ]
)
"""Rows on their way to `documents.parquet`: `left_out` is a reason, empty for a document; `hash` is the id's
for whatever a sample could choose, 0 for the rest."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document; `split_key` decides its split unless `split` names it already."""

    id: str
    title: str
    text: str
    split_key: str = ""
    split: str = ""


@dataclass
class Account:
    """What became of every page that was read."""

    source: str
    pages_read: int = 0
    left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def leave_out(self, reason: str, page: str, count: int = 1) -> None:
        """Count a page that does not become a document; the first 1000 ids of each reason are kept."""
        entry = self.left_out.setdefault(reason, {"count": 0, "pages": []})
        entry["count"] += count
        if len(entry["pages"]) < PAGES_LISTED:
            entry["pages"].append(page)

    def merge(self, left_out: dict[str, dict[str, Any]], prefix: str = "") -> None:
        """Take over the pages that another account left out, their ids behind `prefix`."""
        for reason, other in left_out.items():
            entry = self.left_out.setdefault(reason, {"count": 0, "pages": []})
            entry["count"] += other["count"]
            room = PAGES_LISTED - len(entry["pages"])
            entry["pages"] += [prefix + page for page in other["pages"][:room]]

    def counts(self) -> str:
        """Return the reasons with their counts, in words."""
        return ", ".join(f"{entry['count']} {reason}" for reason, entry in self.left_out.items()) or "none"

    def as_json(self, documents: int) -> dict[str, Any]:
        """Return the content of `account.json`; an account that does not close is a fault of this program."""
        left = sum(entry["count"] for entry in self.left_out.values())
        if self.pages_read != documents + left:
            raise RuntimeError(
                f"account of {self.source}: {self.pages_read} read, but {documents} written + {left} left out"
            )
        return {
            "source": self.source,
            "pages_read": self.pages_read,
            "documents_written": documents,
            "left_out": self.left_out,
            **self.more,
        }


@dataclass
class DocumentHashes:
    """What decides about the documents, in their order: 33 bytes each."""

    id: array = field(default_factory=lambda: array("Q"))
    title: array = field(default_factory=lambda: array("Q"))
    split: array = field(default_factory=lambda: array("Q"))
    words: array = field(default_factory=lambda: array("Q"))
    fixed: array = field(default_factory=lambda: array("b"))
    """Places of the given splits in SPLITS, -1 where none is given."""

    def add(self, document: Document, words: int) -> None:
        """Take in one more document of so many words, counted as the selection says."""
        self.id.append(salted_hash(SAMPLE_SALT, document.id))
        self.title.append(salted_hash(SAMPLE_SALT, document.title or document.text))
        self.split.append(salted_hash(SPLIT_SALT, document.split_key or document.id))
        self.words.append(words)
        self.fixed.append(SPLITS.index(document.split) if document.split else -1)


def write_corpus(
    documents: Iterable[Document],
    folder: Path,
    scratch: Path,
    account: Account,
    selection: Selection,
    log: Callable[[str], None],
) -> int:
    """Write `documents.parquet` and `account.json` into `folder`; return the number of documents.

    Two passes with bounded memory: the documents go to a temporary file in `scratch` while their hashes are
    collected, then the chosen ones to their place, in the same order. Raises InputError when there are none.
    """
    collected = scratch / "collected.parquet"
    try:
        hashes = _collect(documents, collected, selection)
        return write_collected(_row_groups(collected), hashes, folder, account, selection, log)
    finally:
        collected.unlink(missing_ok=True)


def write_collected(
    tables: Iterable[pa.Table],
    hashes: DocumentHashes,
    folder: Path,
    account: Account,
    selection: Selection,
    log: Callable[[str], None],
) -> int:
    """Write a corpus as `write_corpus` does, from tables of COLLECTED_SCHEMA and their documents' hashes.

    The reasons in the tables are added to `account`, which has counted the rows as read already.
    """
    plan = _plan(hashes, selection)
    if not len(hashes.id):
        for table in tables:
            _account_for(table, table.column("left_out").to_numpy(), account)
        raise InputError(
            f"{account.source} holds no documents: {account.pages_read} pages read, "
            f"left out: {account.counts()}; expected at least one page with text"
        )
    if not plan.chosen.any():
        raise InputError(
            f"{account.source}: all {len(hashes.id)} documents have less than {selection.min_words} "
            f"{selection.counted_in}: lower min_words"
        )
    with atomic_path(folder / DOCUMENTS) as target:
        _write_chosen(tables, target, plan, account)
    written = int(plan.chosen.sum())
    for name in get_args(CountedIn):
        account.more.pop(name, None)  # of the corpus that this one goes on from
    account.more[selection.counted_in] = int(np.asarray(hashes.words)[plan.chosen].sum())
    if renamed := int(plan.chosen[plan.renamed].sum()):
        account.more["ids_made_unique"] = renamed
    write_json(folder / ACCOUNT, account.as_json(written))
    log(f"{account.pages_read} pages read, {written} documents written, left out: {account.counts()}")
    return written


def _collect(documents: Iterable[Document], path: Path, selection: Selection) -> DocumentHashes:
    """Write every document to `path` and return the hashes that decide about it."""
    hashes = DocumentHashes()
    with pq.ParquetWriter(path, COLLECTED_SCHEMA, compression="lz4", use_dictionary=["left_out"]) as writer:
        for group in grouped(documents, lambda document: len(document.text) + 100, ROW_GROUP_CHARACTERS):
            for document in group:
                hashes.add(document, selection.count(document.text))
            columns = [[getattr(item, name) for item in group] for name in ("id", "title", "text")]
            columns += [[""] * len(group), list(hashes.id[-len(group) :])]
            writer.write_table(pa.table(columns, schema=COLLECTED_SCHEMA))
    return hashes


def _row_groups(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as reader:
        for number in range(reader.num_row_groups):
            yield reader.read_row_group(number)


# --- What is chosen -----------------------------------------------------------------------------------------


@dataclass
class _Plan:
    """One entry per document: whether it is written, repeats another, is too short; its split as in SPLITS.

    `threshold` is the largest hash of a sample that has reached its size; `renamed` are the documents, in
    ascending order, whose ids get the suffix of the same place in `suffixes`.
    """

    chosen: np.ndarray
    repeats: np.ndarray
    short: np.ndarray
    splits: np.ndarray
    renamed: np.ndarray
    suffixes: list[str]
    threshold: int | None = None


def _plan(hashes: DocumentHashes, selection: Selection) -> _Plan:
    """Decide about every document from the hashes alone."""
    ids = np.asarray(hashes.id)
    repeats, suffixes = _repeated_ids(ids, hashes.title)
    short = np.asarray(hashes.words) < selection.min_words
    chosen = ~repeats & ~short
    threshold = None
    if selection.samples:
        candidates = np.flatnonzero(chosen)
        order = candidates[np.argsort(ids[candidates], kind="stable")]
        count = selection.reached(np.asarray(hashes.words)[order])
        if count is not None:
            chosen[order[count:]] = False
            threshold = int(ids[order[count - 1]])
    splits = _splits(np.asarray(hashes.split), np.asarray(hashes.fixed), chosen, selection)
    renamed = sorted(suffixes)
    return _Plan(
        chosen, repeats, short, splits, np.array(renamed, int), [suffixes[row] for row in renamed], threshold
    )


def _repeated_ids(ids: np.ndarray, title_hashes: Sequence[int]) -> tuple[np.ndarray, dict[int, str]]:
    """Return which documents repeat an earlier one (id and title), and suffixes for other repeated ids."""
    repeats = np.zeros(len(ids), bool)
    suffixes: dict[int, str] = {}
    order = np.argsort(ids, kind="stable")
    in_order = ids[order]
    same = in_order[1:] == in_order[:-1]
    titles: set[int] = set()
    for place in np.flatnonzero(same):
        if place == 0 or not same[place - 1]:
            titles = {title_hashes[order[place]]}
        row = int(order[place + 1])
        if title_hashes[row] in titles:
            repeats[row] = True
        else:
            titles.add(title_hashes[row])
            suffixes[row] = f"#{len(titles)}"
    return repeats, suffixes


def _splits(keys: np.ndarray, fixed: np.ndarray, chosen: np.ndarray, selection: Selection) -> np.ndarray:
    """Return the split of every document as an index into SPLITS; none stays empty where three are chosen."""
    share = keys / 2.0**64
    splits = (share < selection.test_fraction + selection.valid_fraction).astype(np.int8)
    splits[share < selection.test_fraction] = 2
    splits = np.where(fixed >= 0, fixed, splits)
    needed = min(len(SPLITS), int(chosen.sum()))
    for target in range(needed):
        members = [chosen & (splits == index) for index in range(len(SPLITS))]
        if not members[target].any():
            counts = [int(member.sum()) for member in members]
            donor = max(
                range(len(SPLITS)), key=lambda index: (counts[index] > 1, index >= needed, counts[index])
            )
            splits[_moved(keys, members[donor])] = target
    return splits


def _moved(keys: np.ndarray, donors: np.ndarray) -> np.ndarray:
    """Return which documents leave the largest split: those of the smallest key, but never all of them."""
    candidates = np.flatnonzero(donors)
    first = candidates[np.argmin(keys[candidates])]
    together = donors & (keys == keys[first])
    return together if together.sum() < donors.sum() else np.array([first])


# --- The second pass ----------------------------------------------------------------------------------------


def _write_chosen(tables: Iterable[pa.Table], target: Path, plan: _Plan, account: Account) -> None:
    """Write what is chosen of the tables to `target`, and account for the other rows."""
    start = 0
    group: list[pa.Table] = []
    size = 0
    with pq.ParquetWriter(target, SCHEMA, compression="zstd", use_dictionary=["split"]) as writer:
        for table in tables:
            reasons = table.column("left_out").to_numpy().copy()
            documents = np.flatnonzero(reasons == "")
            rows = slice(start, start + len(documents))
            start = rows.stop
            chosen = plan.chosen[rows]
            left_out = np.where(plan.short[rows], TOO_SHORT, OUTSIDE_SAMPLE)
            left_out = np.where(plan.repeats[rows], DUPLICATE_ID, left_out)
            reasons[documents[~chosen]] = left_out[~chosen]
            if plan.threshold is not None:
                # Whether such a page was extracted at all depends on when it was met: it counts as outside.
                reasons[table.column("hash").to_numpy() > plan.threshold] = OUTSIDE_SAMPLE
            _account_for(table, reasons, account)
            group.append(_documents(table, documents[chosen], rows, plan))
            size += group[-1].nbytes
            if size >= ROW_GROUP_CHARACTERS:
                writer.write_table(pa.concat_tables(group))
                group, size = [], 0
        if group:
            writer.write_table(pa.concat_tables(group))


def _account_for(table: pa.Table, reasons: np.ndarray, account: Account) -> None:
    left_out: dict[str, dict[str, Any]] = {}
    for reason in dict.fromkeys(reasons[reasons != ""]):
        places = np.flatnonzero(reasons == reason)
        pages = table.column("id").take(places[:PAGES_LISTED]).to_pylist()
        left_out[reason] = {"count": len(places), "pages": pages}
    account.merge(left_out)


def _documents(table: pa.Table, places: np.ndarray, rows: slice, plan: _Plan) -> pa.Table:
    """Return what stands at `places` of a table in the form of SCHEMA; `rows` are its rows in the plan."""
    chosen = plan.chosen[rows]
    splits = pa.DictionaryArray.from_arrays(plan.splits[rows][chosen], list(SPLITS))
    first, last = np.searchsorted(plan.renamed, (rows.start, rows.stop))
    found = table.select(["id", "title", "text"]).take(places)
    if first < last:
        suffixes = dict(zip(plan.renamed[first:last], plan.suffixes[first:last], strict=True))
        numbers = rows.start + np.flatnonzero(chosen)
        ids = [
            name + suffixes.get(row, "")
            for name, row in zip(found.column("id").to_pylist(), numbers, strict=True)
        ]
        found = found.set_column(0, "id", pa.array(ids, pa.string()))
    return found.append_column("split", splits.cast(pa.string()))
