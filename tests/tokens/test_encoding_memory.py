"""Encoding takes bounded memory for 30 MB of text and for 300 MB, even where new words never end."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stages_for_tests import invented_text

from ulmfit.bench.measure import Program, measure_memory
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.sentencepiece_training import train_tokenizer
from ulmfit.tokens.text_form import Rules

PROGRAM = """
import sys
from pathlib import Path
from ulmfit.bench.measure import ready
from ulmfit.tokens.encode import encode_documents
from ulmfit.tokens.loading import load_tokenizer
tokenizer = load_tokenizer(Path(sys.argv[2]))
ready()
encode_documents(Path(sys.argv[1]), tokenizer, Path(sys.argv[3]), 0, lambda done: None)
"""
MOST_MEGABYTES = 200
DOCUMENT_CHARACTERS = 3_000


def blocks() -> Iterator[str]:
    """Yield texts in which every tenth word stands in no other place; the others come back in every text."""
    words = [word for number in range(500) for word in invented_text(number, 300).split()]
    sentences = [words[start : start + 10] for start in range(0, len(words), 10)]
    for block in itertools.count():
        yield " ".join(f"{first}{block}x{n} {' '.join(rest)}." for n, (first, *rest) in enumerate(sentences))


def write_documents(path: Path, megabytes: int) -> Path:
    """Write that much text, as documents of some thousand characters and a few of a million."""
    schema = pa.schema([("text", pa.string()), ("split", pa.string())])
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for number, block in enumerate(blocks()):
            step = len(block) if number % 10 == 9 else DOCUMENT_CHARACTERS
            texts = [block[start : start + step] for start in range(0, len(block), step)]
            splits = ["valid" if place % 50 == 7 else "train" for place in range(len(texts))]
            writer.write_table(pa.table({"text": texts, "split": splits}, schema=schema))
            written += len(block.encode())
            if written >= megabytes * 1_000_000:
                return path
    raise AssertionError("blocks have no end")


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at processes in /proc")
def test_memory_is_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    rules = Rules(language="qaa", repeats=True)
    train_tokenizer([next(blocks())[:300_000]], rules, vocab_size=2000, byte_fallback=True).save(folder)
    peaks = []
    for megabytes in (30, 300):
        documents = write_documents(tmp_path / f"{megabytes}.parquet", megabytes)
        out = tmp_path / f"tokens-{megabytes}"
        out.mkdir()
        command = (sys.executable, "-c", PROGRAM, str(documents), str(folder), str(out))
        memory = measure_memory(Program("encode", command, lambda *_: {}), tmp_path / "run")
        assert len(TokenArray.open(out, "train").tokens) > megabytes * 100_000
        peaks.append((memory.peak - memory.base) * 1.048576)
        with capsys.disabled():
            print(f"\nencoding {megabytes} MB of text: {peaks[-1]:.0f} MB above the base process")
    assert max(peaks) < MOST_MEGABYTES
