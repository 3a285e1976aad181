"""Several corpora -> one; every document keeps its split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from ulmfit.corpus.documents import ACCOUNT, DOCUMENTS, Account, Document
from ulmfit.files import read_json

BATCH_ROWS = 512


def joined_account(folders: Sequence[Path]) -> Account:
    """Return the account of all parts together; the ids of part 0 begin with `0:`."""
    parts = [read_json(folder / ACCOUNT) for folder in folders]
    account = Account(" + ".join(part["source"] for part in parts))
    account.pages_read = sum(part["pages_read"] for part in parts)
    for place, part in enumerate(parts):
        account.merge(part["left_out"], f"{place}:")
    account.more["parts"] = parts
    return account


def joined_documents(folders: Sequence[Path]) -> Iterator[Document]:
    """Yield the documents of all parts, one part after the other."""
    for place, folder in enumerate(folders):
        with pq.ParquetFile(folder / DOCUMENTS) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for row in batch.to_pylist():
                    yield Document(f"{place}:{row['id']}", row["title"], row["text"], split=row["split"])
