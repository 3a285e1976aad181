"""Several corpora -> one; every document keeps its split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ulmfit.corpus.documents import ACCOUNT, Account, Document
from ulmfit.corpus.stored import stored_documents
from ulmfit.files import read_json


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
        for document in stored_documents(folder):
            yield replace(document, id=f"{place}:{document.id}")
