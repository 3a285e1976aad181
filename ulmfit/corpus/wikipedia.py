"""A Wikipedia dump -> `documents.parquet` and `account.json`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ulmfit.corpus.documents import OUTSIDE_SAMPLE, Document, Selection, write_corpus
from ulmfit.corpus.extraction import Extraction, Limits, extractor_version
from ulmfit.corpus.page_store import MIB, Store, fill_store, open_store
from ulmfit.errors import InputError

EXTRACTION_FAILED, EMPTY_AFTER = "extraction failed", "empty after extraction"
Say = Callable[[str], None]


def extract_dumps(
    dumps: Sequence[Path],
    out: Path,
    scratch: Path,
    *,
    language: str | None,
    selection: Selection,
    templates: bool = True,
    limits: Limits,
    shard_bytes: int = 8 * MIB,
    log: Say,
    warn: Say,
) -> int:
    """Extract the parts of one dump into `out`; return the number of documents.

    `scratch` keeps what is done: after a kill, the same call goes on with the shards that are left. Raises
    InputError for a file that is no export, is damaged or holds no articles; `scratch` is then empty.
    """
    version = extractor_version()
    identity = _identity(dumps, templates, selection.max_documents, shard_bytes, version)
    folder = scratch / "store"
    try:
        store = open_store(folder, identity)
        if store is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            store = fill_store(
                folder,
                dumps,
                identity,
                max_documents=selection.max_documents,
                shard_bytes=shard_bytes,
                log=log,
            )
        extraction = Extraction(store, templates, limits, log, warn)
        extraction.run()
        account = store.account
        found = site_language(store.site.dbname)
        if language and found and found != language:
            warn(f"the dump says that it is {store.site.dbname}, the language asked for is {language}")
        account.more = {
            "language": language or found,
            "dbname": store.site.dbname,
            "extractor": f"wikiextractor {version}",
            "templates": templates,
        }
        sampled = Selection(None, selection.valid_fraction, selection.test_fraction)
        written = write_corpus(_documents(store, extraction), out, scratch, account, sampled, log)
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return written


def dump_files(path: Path) -> list[Path]:
    """Return the parts of a dump in their order; `path` is a file, or a folder with `*.xml*.bz2`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(
            f"dump {path} does not exist; expected a .xml.bz2 or .xml export, or a folder of them"
        )
    parts = sorted(path.glob("*.xml*.bz2"), key=_natural) or sorted(path.glob("*.xml"), key=_natural)
    if not parts:
        raise InputError(f"folder {path} holds no *.xml.bz2; expected the parts of one dump")
    return parts


def site_language(dbname: str) -> str:
    """Return the language of a wiki's database name (zh_yuewiki -> zh-yue), or an empty string."""
    match = re.fullmatch(
        r"([a-z][a-z0-9_]*?)(wiki|wiktionary|wikibooks|wikinews|wikisource|wikiquote)", dbname
    )
    return match.group(1).replace("_", "-") if match else ""


def _natural(path: Path) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _identity(
    dumps: Sequence[Path], templates: bool, max_documents: int | None, shard_bytes: int, version: str
) -> dict[str, Any]:
    """Return what a half-finished extraction must have in common with this one to be continued."""
    return {
        "dumps": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in dumps],
        "templates": templates,
        "max_documents": max_documents,
        "shard_bytes": shard_bytes,
        "extractor": version,
    }


def _documents(store: Store, extraction: Extraction) -> Iterator[Document]:
    """Yield the documents in the order of the dump, and account for the articles that are none."""
    for shard in range(store.shards):
        texts = extraction.texts(shard)
        for article in store.index(shard):
            if not store.sampled(article):
                store.account.leave_out(OUTSIDE_SAMPLE, article.id)
                continue
            extracted = next(texts)
            if extracted.text is None:
                store.account.leave_out(EXTRACTION_FAILED, article.id)
            elif not extracted.text:
                store.account.leave_out(EMPTY_AFTER, article.id)
            else:
                yield Document(article.id, article.title, extracted.text)
