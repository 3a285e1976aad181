"""The beginning of a source, for trials: what is read is bounded, not only what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ulmfit.corpus.documents import Account, Document
from ulmfit.pipeline.download import MEGABYTE

NOT_READ = "after the beginning that is read"


def beginning(documents: Iterable[Document], account: Account, megabytes: int | None) -> Iterator[Document]:
    """Yield documents until they have this many MB of text (UTF-8); None: all of them.

    Pages that the reader has counted already, and that are not yielded, are left out of the account.
    """
    left, given = (megabytes or 0) * MEGABYTE, 0
    for document in documents:
        given += 1
        left -= len(document.text.encode("utf-8", "surrogatepass"))
        yield document
        if megabytes is not None and left <= 0:
            break
    if megabytes is None:
        return
    account.more["first_megabytes"] = megabytes
    counted = given + sum(entry["count"] for entry in account.left_out.values())
    if account.pages_read > counted:
        account.leave_out(NOT_READ, "", account.pages_read - counted)
