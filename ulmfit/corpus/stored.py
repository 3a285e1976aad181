"""Finished corpora: reading their documents, and writing them again without some of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import RecordBatch

from ulmfit.corpus.documents import ACCOUNT, DOCUMENTS, Account, Document, Selection, write_corpus
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.stage import Work

BATCH_ROWS = 128
"""Rows read at a time: whole novels still fit."""
READ_BYTES = 1 << 16
CLOSING = ("source", "pages_read", "documents_written", "left_out")


def batches(path: Path, columns: list[str]) -> Iterator[RecordBatch]:
    """Yield the rows of a Parquet file of texts, a few at a time: the one reader of documents.parquet."""
    # Buffering in advance would hold the compressed row groups as well.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns, use_threads=False)


def stored_documents(folder: Path) -> Iterator[Document]:
    """Yield the documents of a corpus in their order; every one names its split."""
    names = ["id", "title", "text", "split"]
    for batch in batches(folder / DOCUMENTS, names):
        for name, title, text, split in zip(*(batch[name].to_pylist() for name in names), strict=True):
            yield Document(name, title, text, split=split)


def document_count(folder: Path) -> int:
    """Return the number of documents of a corpus."""
    with pq.ParquetFile(folder / DOCUMENTS) as file:
        return file.metadata.num_rows


def write_filtered(
    folder: Path,
    reason: Callable[[int, Document], str],
    work: Work,
    selection: Selection,
    more: dict[str, Any] | None = None,
) -> None:
    """Write the corpus in `folder` again, without the documents for which `reason` gives one.

    `reason` is asked with the row and the document; an empty string keeps it. The account goes on from that
    of the corpus and gets the entries of `more`.
    """
    account = continued_account(folder)
    account.more |= more or {}
    documents = _without(stored_documents(folder), reason, account)
    write_corpus(documents, work.folder, work.scratch(), account, selection, work.log)


def _without(
    documents: Iterator[Document], reason: Callable[[int, Document], str], account: Account
) -> Iterator[Document]:
    for row, document in enumerate(documents):
        if why := reason(row, document):
            account.leave_out(why, document.id)
        else:
            yield document


def continued_account(folder: Path) -> Account:
    """Return the account of a corpus as the beginning of another one."""
    content = read_json(folder / ACCOUNT)
    more = {name: value for name, value in content.items() if name not in CLOSING}
    account = Account(content["source"], content["pages_read"], more=more)
    account.merge(content["left_out"])
    return account
