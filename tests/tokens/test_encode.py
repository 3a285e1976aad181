"""Documents -> arrays: one result for any number of workers, batches and interruptions, in bounded memory."""

import random
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts_for_tests import any_texts, corpus, trained

from ulmfit.errors import InputError
from ulmfit.tokens import encode
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.encode import default_workers, encode_documents
from ulmfit.tokens.marks import normalize

SPLITS = ("train", "valid", "test")
PROGRAM = """
import sys, threading, time
from pathlib import Path
from ulmfit.tokens.encode import encode_documents
from ulmfit.tokens.tokenizer import load_tokenizer

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1000

def watch():
    global peak
    while not finished.wait(0.01):
        peak = max(peak, anonymous())

documents, tokenizer, folder, workers = sys.argv[1:]
tokenizer = load_tokenizer(Path(tokenizer))
print("ready", flush=True)
peak = base = anonymous()
finished = threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
encode_documents(Path(documents), tokenizer, Path(folder), int(workers), lambda done: None)
finished.set()
watcher.join()
print(f"{peak - base:.1f}")
"""


def write_documents(path: Path, documents: list[tuple[str, str]], **options) -> Path:
    pd.DataFrame(documents, columns=["text", "split"]).to_parquet(path, **options)
    return path


def many_documents(path: Path, megabytes: int) -> Path:
    """Write documents of a quarter of a million invented words, frequent and rare ones."""
    chosen = np.random.default_rng(0)
    syllables = ("ka", "Lo", "mi", "né", "tu", "ri", "sa", "po", "ve", "du", "шо", "ja")
    lexicon = np.array(["".join(parts) for parts in product(syllables, repeat=5)], object)
    schema = pa.schema([("text", pa.string()), ("split", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        written = 0
        while written < 1_000_000 * megabytes:
            words = lexicon[chosen.zipf(1.2, 400_000) % len(lexicon)]
            texts = [" ".join(part) for part in np.array_split(words, 1000)]
            splits = ["train" if index % 50 else "valid" for index in range(len(texts))]
            writer.write_table(pa.table({"text": texts, "split": splits}, schema=schema))
            written += sum(len(text.encode()) for text in texts)
    return path


def encoded(path: Path, folder: Path, name: str = "de", workers: int = 1) -> dict[str, dict[str, int]]:
    folder.mkdir(exist_ok=True)
    return encode_documents(path, trained(name), folder, workers, lambda done: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["de", "bytes repeats"])
@settings(max_examples=20)
@given(documents=st.lists(st.tuples(any_texts, st.sampled_from(SPLITS)), max_size=12))
def test_arrays_and_counts(name, documents, tmp_path_factory):
    """As `Tokenizer.encode` has them one by one, in the order of the file."""
    folder = tmp_path_factory.mktemp("arrays")
    path = write_documents(folder / "documents.parquet", documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "BATCH_BYTES", 20)
        counts = encoded(path, folder / "tokens", name, workers=2)
    for split in SPLITS:
        texts = [text for text, its_split in documents if its_split == split]
        array = TokenArray.open(folder / "tokens", split)
        ids = trained(name).encode(texts)
        assert [array.document(index).tolist() for index in range(len(array))] == [i.tolist() for i in ids]
        assert counts[split] == {
            "documents": len(texts),
            "tokens": len(array.tokens),
            "words": sum(len(text.split()) for text in texts),
            "characters": sum(map(len, texts)),
            "unknown": int((array.tokens == 0).sum()),
        }


def test_workers_and_batches_change_nothing(tmp_path, monkeypatch):
    documents = [(text, SPLITS[index % 3]) for index, text in enumerate(corpus(200))]
    path = write_documents(tmp_path / "documents.parquet", documents)
    expected = encoded(path, tmp_path / "once")
    for workers, size in ((1, 1), (2, 700), (3, 5000), (4, 1)):
        monkeypatch.setattr(encode, "BATCH_BYTES", size)
        folder = tmp_path / f"{workers}-{size}"
        assert encoded(path, folder, workers=workers) == expected
        assert contents(folder) == contents(tmp_path / "once")


def test_progress_counts_every_document(tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "BATCH_BYTES", 300)
    path = write_documents(
        tmp_path / "documents.parquet", [("der Hund " * 10, "train")] * 23 + [("", "test")]
    )
    done: list[int] = []
    encode_documents(path, trained("de"), tmp_path, 2, done.append)
    assert sum(done) == 24 and len(done) > 3


def test_documents_without_any_text(tmp_path):
    path = write_documents(tmp_path / "documents.parquet", [("", "train"), (" \n", "train"), ("", "valid")])
    counts = encoded(path, tmp_path / "tokens")
    assert counts["train"] == {"documents": 2, "tokens": 2, "words": 0, "characters": 2, "unknown": 0}
    assert TokenArray.open(tmp_path / "tokens", "train").tokens.tolist() == [2, 2]


def test_texts_larger_than_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "BATCH_BYTES", 1000)
    texts = ["Der Hund " * 2000, "der", "日本語" * 3000, ""]
    path = write_documents(tmp_path / "documents.parquet", [(text, "train") for text in texts])
    encoded(path, tmp_path / "tokens", "bytes", workers=2)
    array = TokenArray.open(tmp_path / "tokens", "train")
    decoded = [trained("bytes").decode(array.document(index)) for index in range(len(array))]
    assert decoded == list(map(normalize, texts))


def test_a_failing_worker_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, texts):
        raise MemoryError("no room")

    monkeypatch.setattr(encode.WordEncoder, "encode", fail)
    path = write_documents(tmp_path / "documents.parquet", [("a b", "train")])
    with pytest.raises(MemoryError, match="no room"):
        encoded(path, tmp_path / "tokens", workers=2)
    assert not list((tmp_path / "tokens").iterdir())
    assert pa.default_memory_pool().backend_name != "system"


def test_default_workers():
    assert 1 <= default_workers() <= 2


def start(documents: Path, tokenizer: Path, folder: Path, workers: int = 2) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, (documents, tokenizer, folder, workers))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def check_killed_encodings(folder: Path, megabytes: int, moments: int) -> None:
    """Kill an encoding at random moments: what is unfinished is not there; a new run makes the same bytes."""
    documents = many_documents(folder / "documents.parquet", megabytes)
    (folder / "tokenizer").mkdir()
    trained("bytes").save(folder / "tokenizer")
    process = start(documents, folder / "tokenizer", folder / "undisturbed")
    began = time.monotonic()
    assert process.wait() == 0
    duration = time.monotonic() - began
    expected = contents(folder / "undisturbed")
    chosen = random.Random(0)
    for number in range(moments):
        killed = folder / f"killed-{number}"
        process = start(documents, folder / "tokenizer", killed)
        time.sleep(duration * (number + chosen.random()) / moments)
        process.kill()
        finished = process.wait() == 0
        for name, content in contents(killed).items():
            assert name.startswith(".") or content == expected[name]
        if not finished and len(set(expected) & set(contents(killed))) < len(expected):
            with pytest.raises(InputError):
                for split in SPLITS:
                    TokenArray.open(killed, split)
        again = start(documents, folder / "tokenizer", killed)
        assert again.wait() == 0
        assert {name: content for name, content in contents(killed).items() if name[0] != "."} == expected


def test_killed_encodings(tmp_path):
    check_killed_encodings(tmp_path, megabytes=6, moments=3)


@pytest.mark.soak
def test_encodings_killed_at_ten_moments(tmp_path):
    check_killed_encodings(tmp_path, megabytes=30, moments=10)


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    trained("bytes").save(tmp_path)
    peaks = []
    for megabytes in (30, 300):
        documents = many_documents(tmp_path / f"{megabytes}.parquet", megabytes)
        process = start(documents, tmp_path, tmp_path / f"tokens-{megabytes}")
        assert process.stdout
        peaks.append(float(process.stdout.read()))
        assert process.wait() == 0
    print(
        f"anonymous memory above the base: {peaks[0]:.0f} MB for 30 MB of text, {peaks[1]:.0f} MB for 300 MB"
    )
    assert peaks[1] < 200
    assert peaks[1] < 1.3 * peaks[0]
