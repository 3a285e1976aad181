"""A Wikipedia dump -> `documents.parquet` and `account.json`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulmfit import __version__
from ulmfit.corpus.documents import ACCOUNT, DOCUMENTS, Account, Document, write_collected, write_corpus
from ulmfit.corpus.dumps.reader import Site
from ulmfit.corpus.fast.extraction import FastExtraction
from ulmfit.corpus.fast.shards import EMPTY_AFTER, EXTRACTION_FAILED
from ulmfit.corpus.sampling import OUTSIDE_SAMPLE, Selection
from ulmfit.corpus.stages import WikipediaCorpus
from ulmfit.corpus.wikiextractor.extraction import Extraction, Limits, extractor_version
from ulmfit.corpus.wikiextractor.page_filling import fill_store
from ulmfit.corpus.wikiextractor.page_store import MIB, Store, open_store
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import (
    PACKED_SUFFIXES,
    has_textual_name,
    packed_suffix,
    read_json,
    remove_temporaries,
    write_json,
)

IDENTITY = "fast.json"
_PART = re.compile(rf"\.xml(-p\d+p\d+)?({'|'.join(map(re.escape, PACKED_SUFFIXES))})?$")
_BESIDE_PARTS = (".md5", ".sha1", ".sha256", ".txt", ".json", "-rss.xml")
"""Ends of the names of files beside a dump that are no parts of it."""
ENGINES = ("wikiextractor", "fast")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Extractor:
    """The engine that turns wikitext into text, and what it keeps; `templates` is for wikiextractor only."""

    engine: str
    headings: bool = True
    templates: bool = True

    @property
    def version(self) -> str:
        """Name and version of the program; raises StageFailed where it is missing or too old."""
        return f"ulmfit {__version__}" if self.engine == "fast" else f"wikiextractor {extractor_version()}"


@dataclass(frozen=True, slots=True)
class _Run:
    """One extraction: its dump, its engine, its selection, its log."""

    dumps: Sequence[Path]
    folder: Path
    extractor: Extractor
    selection: Selection
    limits: Limits
    shard_bytes: int
    log: Say
    warn: Say

    def identity(self) -> dict[str, Any]:
        """Return the facts that a half-finished extraction must share with this one to be continued."""
        return {
            "version": WikipediaCorpus.stage_version,
            "dumps": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in self.dumps],
            "extractor": self.extractor.version,
            "headings": self.extractor.headings,
            "templates": self.extractor.templates,
            "max_documents": self.selection.max_documents,
            "max_tokens": self.selection.max_tokens,
            # Left out if it is not set, so that work of earlier versions can be continued.
            **({"min_words": self.selection.min_words} if self.selection.min_words else {}),
            **({"counted_in": "runs"} if self.selection.counted_in == "runs" else {}),
            "shard_bytes": self.shard_bytes,
        }


def extract_dumps(
    dumps: Sequence[Path],
    out: Path,
    scratch: Path,
    *,
    language: str | None,
    selection: Selection,
    extractor: Extractor,
    limits: Limits,
    shard_bytes: int = 8 * MIB,
    log: Say,
    warn: Say,
) -> int:
    """Extract the parts of one dump into `out`; return the number of documents.

    `scratch` keeps what is done: after a kill, the same call goes on with the shards that are left. Raises
    InputError for a file that is no export, is damaged or holds no articles; `scratch` is then empty.
    """
    run = _Run(dumps, scratch / "store", extractor, selection, limits, shard_bytes, log, warn)
    for name in (DOCUMENTS, ACCOUNT):
        remove_temporaries(out, name)
    extract = _extract_fast if extractor.engine == "fast" else _extract_with_wikiextractor
    try:
        written = extract(run, language, out, scratch)
    except InputError:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    shutil.rmtree(run.folder, ignore_errors=True)
    return written


def dump_files(path: Path) -> list[Path]:
    """Return the parts of a dump in their order; `path` is a file, or a folder with `*.xml*`.

    Parts may be compressed or not, each for itself. Raises InputError for a part that would be passed over.
    """
    if path.is_dir():
        parts = sorted(_parts(path), key=_natural)
        if not parts:
            raise InputError(f"folder {path} holds no *.xml.bz2 or *.xml; expected the parts of one dump")
    elif path.is_file():
        parts = [path]
    else:
        raise InputError(
            f"dump {path} does not exist; expected a .xml.bz2 or .xml export, or a folder of them"
        )
    for part in parts:
        if not has_textual_name(part):
            raise InputError(f"dump {part} has a name that is not UTF-8 or has control characters; rename it")
    return parts


def _parts(folder: Path) -> list[Path]:
    """Return the files of a folder that are parts of a dump: `.xml` stands in their names."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if ".xml" not in path.name or path.name.startswith(".") or path.name.endswith(_BESIDE_PARTS):
            continue
        if not _PART.search(path.name):
            raise InputError(
                f"{path} looks like a part of a dump and cannot be read: expected .xml, with "
                f"{', '.join(PACKED_SUFFIXES)} behind it where it is compressed; unpack it, or move it away"
            )
        plain = path.name.removesuffix(packed_suffix(path.name))
        if plain in found:
            raise InputError(f"{found[plain]} and {path.name} are one part of a dump twice: move one away")
        found[plain] = path
    return list(found.values())


def site_language(dbname: str) -> str:
    """Return the language of a wiki's database name (zh_yuewiki -> zh-yue), or an empty string."""
    match = re.fullmatch(
        r"([a-z][a-z0-9_]*?)(wiki|wiktionary|wikibooks|wikinews|wikisource|wikiquote)", dbname
    )
    return match.group(1).replace("_", "-") if match else ""


def _natural(path: Path) -> list[Any]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


LEFT_BY_WIKIEXTRACTOR = (
    "engine wikiextractor leaves markup that no reader sees (conversions such as -{...}-, tags of extensions "
    "and ruby, hidden text, formula_1 and codice_1), and drops template calls with a comment or namespace in "
    "them, and lists in templates: the corpus card counts what was left; engine fast leaves none of it"
)


def _extract_with_wikiextractor(run: _Run, language: str | None, out: Path, scratch: Path) -> int:
    run.warn(LEFT_BY_WIKIEXTRACTOR)
    identity = run.identity()
    store = open_store(run.folder, identity)
    if store is None:
        store = fill_store(
            run.folder,
            run.dumps,
            identity,
            max_documents=run.selection.max_documents,
            max_tokens=run.selection.max_tokens,
            min_words=run.selection.min_words,
            counted_in=run.selection.counted_in,
            shard_bytes=run.shard_bytes,
            log=run.log,
            warn=run.warn,
        )
    extraction = Extraction(
        store,
        run.extractor.templates,
        run.limits,
        run.log,
        run.warn,
        headings=run.extractor.headings,
    )
    extraction.run()
    store.account.more = _described(run, language, store.site)
    account = store.account
    written = write_corpus(_documents(store, extraction), out, scratch, account, run.selection, run.log)
    size = account.more[run.selection.counted_in]
    if store.threshold is not None and not run.selection.is_reached_by(written, size):
        run.warn(
            f"the sample has only {written} documents and {size} {run.selection.counted_in}: "
            f"more articles than expected gave little or no text"
        )
    return written


def _extract_fast(run: _Run, language: str | None, out: Path, scratch: Path) -> int:
    identity = run.identity()
    if _identity_in(run.folder) != identity:
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True)
        write_json(run.folder / IDENTITY, identity)
    extraction = FastExtraction(
        run.dumps,
        run.folder,
        selection=run.selection,
        headings=run.extractor.headings,
        workers=run.limits.workers,
        page_seconds=run.limits.page_seconds,
        memory_megabytes=run.limits.memory_megabytes,
        log=run.log,
        warn=run.warn,
    )
    extraction.run()
    account = Account(" + ".join(path.name for path in run.dumps), extraction.pages_read)
    account.more = _described(run, language, extraction.site)
    tables, hashes = extraction.tables(), extraction.document_hashes()
    return write_collected(tables, hashes, out, account, run.selection, run.log)


def _identity_in(folder: Path) -> Any:
    try:
        return read_json(folder / IDENTITY)
    except (OSError, ValueError):
        return None


def _described(run: _Run, language: str | None, site: Site) -> dict[str, Any]:
    """Return what the account says about the dump and how it was read."""
    found = site_language(site.dbname)
    if language and found and found != language:
        run.warn(f"the dump says that it is {site.dbname}, the language asked for is {language}")
    return {
        "language": language or found,
        "dbname": site.dbname,
        "engine": run.extractor.engine,
        "extractor": run.extractor.version,
        "templates": run.extractor.templates and run.extractor.engine == "wikiextractor",
        "headings": run.extractor.headings,
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
