"""`ulmfit extract`: a dump -> `documents.parquet` and `account.json`, without a recipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from ulmfit.corpus.sampling import Selection
from ulmfit.corpus.wikiextractor.extraction import Limits
from ulmfit.corpus.wikipedia import ENGINES, Extractor, dump_files, extract_dumps
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.progress import say

SCRATCH, LOCK = ".extraction", ".extraction.lock"


def extract(
    dump: Path,
    out: Path,
    *,
    language: str | None = None,
    engine: str = "fast",
    headings: bool = True,
    workers: int = 0,
    log: Callable[[str], None] = say,
    limits: Limits | None = None,
) -> int:
    """Extract `dump` (a file, or a folder with the parts of one dump) into `out`, without a recipe.

    Writes `out/documents.parquet` and `out/account.json`. `engine` and `headings` are those of
    `WikipediaCorpus`; `workers` is the number of processes (0: one per core). Without `language` the dump's
    own database name decides. Returns the number of documents.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r} is unknown; expected {' or '.join(ENGINES)}")
    dumps = dump_files(dump)
    existed = out.exists()
    if existed and not out.is_dir():
        raise InputError(
            f"{out} is a file; expected a folder to write documents.parquet and account.json into"
        )
    scratch = out / SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InputError(
            f"{out} is being written by another extraction: wait, or name another folder"
        ) from error
    try:
        return extract_dumps(
            dumps,
            out,
            scratch,
            language=language,
            selection=Selection(),
            extractor=Extractor(engine, headings),
            limits=limits or Limits(workers=workers),
            log=log,
            warn=lambda message: log(f"warning: {message}"),
        )
    finally:
        lock.release()
        if not (scratch / "store").exists():  # finished, or the input is unusable: there is nothing to resume
            shutil.rmtree(scratch, ignore_errors=True)
            (out / LOCK).unlink(missing_ok=True)
            if not existed and not any(out.iterdir()):
                out.rmdir()
