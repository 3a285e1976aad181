"""Several corpora -> one; every document keeps its split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ulmfit.corpus.documents import ACCOUNT, Account, Document
from ulmfit.corpus.stored import stored_documents
from ulmfit.corpus.words import count_words
from ulmfit.pipeline.files import read_json, write_json


def joined_account(folders: Sequence[Path], times: Sequence[int]) -> Account:
    """Return the account of all parts together; the ids of part 0 begin with `0:`.

    A part that is read several times counts its training documents as often.
    """
    parts = [read_json(folder / ACCOUNT) for folder in folders]
    account = Account(" + ".join(part["source"] for part in parts))
    account.pages_read = sum(part["pages_read"] for part in parts)
    for place, (part, folder, count) in enumerate(zip(parts, folders, times, strict=True)):
        account.merge(part["left_out"], f"{place}:")
        if count > 1:
            account.pages_read += (count - 1) * sum(1 for _ in _training(folder))
    account.more["parts"] = parts
    return account


def joined_documents(
    folders: Sequence[Path], times: Sequence[int], test_part: int | None = None
) -> Iterator[Document]:
    """Yield the documents of all parts, one part after the other; repeats are training documents alone.

    All documents of the part number `test_part` are test documents, those of the others are not.
    """
    for place, folder in enumerate(folders):
        for document in stored_documents(folder):
            split = document.split
            if test_part is not None:
                split = "test" if place == test_part else "valid" if split == "test" else split
            yield replace(document, id=f"{place}:{document.id}", split=split)
    for place, (folder, count) in enumerate(zip(folders, times, strict=True)):
        for repeat in range(2, count + 1):
            for document in _training(folder):
                yield replace(document, id=f"{place}:{document.id}#{repeat}")


def count_parts(folder: Path, number: int) -> list[dict[str, int]]:
    """Write into the account of a joined corpus what the sample took of each part; return it.

    `documents` and `words` of a part count every repeat.
    """
    taken = [{"documents": 0, "words": 0} for _ in range(number)]
    for document in stored_documents(folder):
        part = taken[int(document.id.partition(":")[0])]
        part["documents"] += 1
        part["words"] += count_words(document.text)
    content = read_json(folder / ACCOUNT)
    for part, counts in zip(content["parts"], taken, strict=True):
        part["taken"] = counts
    write_json(folder / ACCOUNT, content)
    return taken


def _training(folder: Path) -> Iterator[Document]:
    return (document for document in stored_documents(folder) if document.split == "train")
