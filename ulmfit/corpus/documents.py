"""The documents of a corpus: sampled, split, written to `documents.parquet` with an account that closes."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.errors import InputError
from ulmfit.files import atomic_path, write_json

DOCUMENTS, ACCOUNT = "documents.parquet", "account.json"
SPLITS = ("train", "valid", "test")
PAGES_LISTED = 1000
DUPLICATE_ID, OUTSIDE_SAMPLE = "duplicate id", "outside the sample"
SAMPLE_SALT, SPLIT_SALT = "ulmfit sample", "ulmfit split"
ROW_GROUP_CHARACTERS = 8_000_000
SCHEMA = pa.schema(
    [("id", pa.string()), ("title", pa.string()), ("text", pa.string()), ("split", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Document:
    """One document; `split_key` decides its split unless `split` names it already."""

    id: str
    title: str
    text: str
    split_key: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """How many documents are kept (None: all), and the shares of two of the splits."""

    max_documents: int | None = None
    valid_fraction: float = 0.01
    test_fraction: float = 0.01


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


def salted_hash(salt: str, key: str) -> int:
    """Return 64 bits that depend on nothing but `salt` and `key`."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode())
    return int.from_bytes(digest.digest(), "big")


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
        hashes = _collect(documents, collected)
        if not len(hashes.id):
            raise InputError(
                f"{account.source} holds no documents: {account.pages_read} pages read, "
                f"left out: {account.counts()}; expected at least one page with text"
            )
        plan = _plan(hashes, selection)
        with atomic_path(folder / DOCUMENTS) as target:
            _write_chosen(collected, target, plan, account)
    finally:
        collected.unlink(missing_ok=True)
    written = int(plan.chosen.sum())
    if plan.renamed:
        account.more["ids_made_unique"] = int(sum(plan.chosen[row] for row in plan.renamed))
    write_json(folder / ACCOUNT, account.as_json(written))
    log(f"{account.pages_read} pages read, {written} documents written, left out: {account.counts()}")
    return written


@dataclass
class _Hashes:
    """One entry a document: hashes of id, title and split key (uint64), given split (int8)."""

    id: np.ndarray
    title: np.ndarray
    split: np.ndarray
    fixed: np.ndarray


@dataclass
class _Plan:
    """One entry a document: whether it is written, whether it repeats another, its split; new ids by row."""

    chosen: np.ndarray
    repeats: np.ndarray
    splits: np.ndarray
    renamed: dict[int, str]


def _collect(documents: Iterable[Document], path: Path) -> _Hashes:
    """Write every document to `path` and return the hashes that decide about it."""
    ids, titles, splits, fixed = array("Q"), array("Q"), array("Q"), array("b")
    with pq.ParquetWriter(path, SCHEMA, compression="lz4", use_dictionary=False) as writer:
        for group in _groups(documents):
            for document in group:
                ids.append(salted_hash(SAMPLE_SALT, document.id))
                titles.append(salted_hash(SAMPLE_SALT, document.title or document.text))
                splits.append(salted_hash(SPLIT_SALT, document.split_key or document.id))
                fixed.append(SPLITS.index(document.split) if document.split else -1)
            columns = {name: [getattr(item, name) for item in group] for name in SCHEMA.names}
            writer.write_table(pa.table(columns, schema=SCHEMA))
    wide = [np.array(column, np.uint64) for column in (ids, titles, splits)]
    return _Hashes(wide[0], wide[1], wide[2], np.array(fixed, np.int8))


def _plan(hashes: _Hashes, selection: Selection) -> _Plan:
    """Decide about every document from the hashes alone."""
    repeats, suffixes = _repeated_ids(hashes)
    chosen = ~repeats
    if selection.max_documents is not None:
        candidates = np.flatnonzero(chosen)
        order = np.argsort(hashes.id[candidates], kind="stable")
        chosen[candidates[order[selection.max_documents :]]] = False
    return _Plan(chosen, repeats, _splits(hashes, chosen, selection), suffixes)


def _repeated_ids(hashes: _Hashes) -> tuple[np.ndarray, dict[int, str]]:
    """Return which documents repeat an earlier one (id and title), and suffixes for other repeated ids."""
    repeats = np.zeros(len(hashes.id), bool)
    suffixes: dict[int, str] = {}
    order = np.argsort(hashes.id, kind="stable")
    same = hashes.id[order[1:]] == hashes.id[order[:-1]]
    titles: set[int] = set()
    for place in np.flatnonzero(same):
        if place == 0 or not same[place - 1]:
            titles = {int(hashes.title[order[place]])}
        row = int(order[place + 1])
        if int(hashes.title[row]) in titles:
            repeats[row] = True
        else:
            titles.add(int(hashes.title[row]))
            suffixes[row] = f"#{len(titles)}"
    return repeats, suffixes


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Cut the stream where a row group holds enough characters."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text) + 100
        if characters >= ROW_GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _splits(hashes: _Hashes, chosen: np.ndarray, selection: Selection) -> np.ndarray:
    """Return the split of every document as an index into SPLITS; none stays empty where three are chosen."""
    share = hashes.split / 2.0**64
    splits = np.where(share < selection.test_fraction + selection.valid_fraction, 1, 0)
    splits[share < selection.test_fraction] = 2
    splits = np.where(hashes.fixed >= 0, hashes.fixed, splits)
    needed = min(len(SPLITS), int(chosen.sum()))
    for target in range(needed):
        members = [chosen & (splits == index) for index in range(len(SPLITS))]
        if not members[target].any():
            counts = [int(member.sum()) for member in members]
            donor = max(
                range(len(SPLITS)), key=lambda index: (counts[index] > 1, index >= needed, counts[index])
            )
            splits[_moved(hashes.split, members[donor])] = target
    return splits


def _moved(keys: np.ndarray, donors: np.ndarray) -> np.ndarray:
    """Return which documents leave the largest split: those of the smallest key, but never all of them."""
    candidates = np.flatnonzero(donors)
    first = candidates[np.argmin(keys[candidates])]
    together = donors & (keys == keys[first])
    return together if together.sum() < donors.sum() else np.array([first])


def _write_chosen(source: Path, target: Path, plan: _Plan, account: Account) -> None:
    names = np.array(SPLITS, object)
    start = 0
    with (
        pq.ParquetFile(source) as reader,
        pq.ParquetWriter(target, SCHEMA, compression="zstd", use_dictionary=["split"]) as writer,
    ):
        for number in range(reader.num_row_groups):
            table = reader.read_row_group(number)
            rows = slice(start, start + table.num_rows)
            chosen = plan.chosen[rows]
            ids = table.column("id").to_pylist()
            for row in np.flatnonzero(~chosen):
                account.leave_out(DUPLICATE_ID if plan.repeats[start + row] else OUTSIDE_SAMPLE, ids[row])
            ids = [name + plan.renamed.get(start + row, "") for row, name in enumerate(ids)]
            table = table.set_column(0, "id", pa.array(ids, pa.string()))
            table = table.set_column(3, "split", pa.array(names[plan.splits[rows]], pa.string()))
            table = table.filter(pa.array(chosen))
            if table.num_rows:
                writer.write_table(table)
            start = rows.stop
