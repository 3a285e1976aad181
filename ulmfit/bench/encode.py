"""`ulmfit bench encode`: documents -> token arrays, without and with marks, beside fastai's own path."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ulmfit.bench import encode_program
from ulmfit.bench.compare import Case, Log, compare, speed_report
from ulmfit.bench.extract import toy_dump
from ulmfit.bench.measure import finished, python_program
from ulmfit.bench.run import Options, Report
from ulmfit.datasets.table_files import parquet_errors
from ulmfit.pipeline.errors import InputError

USES = frozenset({"documents", "megabytes"})
PROGRAM = encode_program.__name__
GENERATED_MEGABYTES = 60
TOY_MEGABYTES = 12
"""Megabytes of generated XML; the documents are repeated, with variations, up to the size asked for."""
VARIED_SHARE = 1 / 10
"""Share of the words that get two other letters. It gives about as many different words per megabyte as
German Wikipedia has, on which the gain from remembering words depends."""
_LETTERS = string.ascii_lowercase


def run(options: Options, folder: Path, log: Log) -> Report:
    """Train both tokenizers on one sample, then compare the speed of encoding."""
    if options.documents is None:
        documents = toy_documents(folder, options.megabytes or GENERATED_MEGABYTES, log)
    else:
        documents = options.documents.absolute()
    size = text_bytes(documents)
    log(f"training tokenizers on a sample of the {size / 1e6:.1f} MB of text (not timed)")
    tokenizers = folder / "tokenizers"
    with finished(python_program("training", PROGRAM, "prepare", documents, tokenizers), folder / "run"):
        pass
    stock = python_program("fastai", PROGRAM, "stock", documents, tokenizers)
    cases = []
    for kind, name in (("plain", "without marks"), ("marks", "with marks")):
        ours = python_program(f"ulmfit, {name}", PROGRAM, kind, documents, tokenizers)
        cases.append(Case(name, ours, stock, size / 1e6, "text MB/s", with_memory=True))
    described = {
        "documents": documents.name,
        "text_bytes": size,
        "vocabulary": json.loads((tokenizers / encode_program.SIZES).read_text(encoding="utf-8")),
    }
    comparisons = compare(cases, options.repetitions, folder, log)
    report = speed_report("encode", comparisons, described)
    tokenizing = comparisons[0].figures["stock"]["seconds_without_ids"]
    return replace(
        report, table=f"{report.table}\nfastai without looking up ids: {size / 1e6 / tokenizing:.4g} MB/s"
    )


def text_bytes(documents: Path) -> int:
    """Return the bytes of the texts in a documents.parquet; raises InputError for another file."""
    import pyarrow.compute
    import pyarrow.parquet

    from ulmfit.corpus.stored import batches

    if not documents.is_file():
        raise InputError(
            f"{documents} does not exist; expected a documents.parquet, as `ulmfit extract` writes"
        )
    total = 0
    with parquet_errors(documents):
        names = set(pyarrow.parquet.read_schema(documents).names)
        if missing := {"id", "text", "split"} - names:
            raise InputError(
                f"{documents} has no column {min(missing)}; expected id, title, text and split, "
                f"as `ulmfit extract` writes them"
            )
        for batch in batches(documents, ["text"]):
            total += pyarrow.compute.sum(pyarrow.compute.binary_length(batch["text"])).as_py() or 0
    if not total:
        raise InputError(f"{documents} holds no text; expected documents to encode")
    return total


# --- Generated documents ------------------------------------------------------------------------------------


def toy_documents(folder: Path, megabytes: int, log: Log) -> Path:
    """Write a documents.parquet in the invented language with about that many MB of text; return its path."""
    import pyarrow.parquet

    from ulmfit.corpus.documents import DOCUMENTS, SCHEMA
    from ulmfit.corpus.extract import extract
    from ulmfit.corpus.stored import batches

    extract(toy_dump(folder, min(megabytes, TOY_MEGABYTES), log), folder / "toy", engine="fast", log=log)
    stored = batches(folder / "toy" / DOCUMENTS, SCHEMA.names)
    rows = [row for batch in stored for row in batch.to_pylist()]
    path = folder / DOCUMENTS
    with pyarrow.parquet.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for copy in _varied_copies(rows, megabytes * 1_000_000):
            writer.write_table(pyarrow.Table.from_pylist(copy, schema=SCHEMA))
    return path


def _varied_copies(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows again and again, each time varied, until there are `size` bytes of text."""
    written = number = 0
    while written < size:
        rng = random.Random(f"copy {number}")
        copy = []
        for row in rows:
            if written < size:
                text = _varied(row["text"], rng)
                copy.append({**row, "id": f"{number}/{row['id']}", "text": text})
                written += len(text.encode())
        yield copy
        number += 1


def _varied(text: str, rng: random.Random) -> str:
    """Return `text` with two other letters in some of its words."""
    words = text.split(" ")
    for _ in range(round(VARIED_SHARE * len(words))):
        index = rng.randrange(len(words))
        word = words[index]
        if len(word) > 3 and word.isalpha():
            place = rng.randrange(1, len(word) - 1)
            words[index] = word[:place] + "".join(rng.choices(_LETTERS, k=2)) + word[place + 2 :]
    return " ".join(words)
