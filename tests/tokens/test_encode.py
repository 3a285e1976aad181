"""Documents -> arrays: one result for any number of workers, batches and interruptions, in bounded memory."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts_for_tests import any_texts, corpus, trained

from ulmfit.corpus.words import count_words
from ulmfit.tokens import encode
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.encode import default_workers, encode_documents
from ulmfit.tokens.marks import normalize

SPLITS = ("train", "valid", "test")


def write_documents(path: Path, documents: list[tuple[str, str]], **options) -> Path:
    pd.DataFrame(documents, columns=["text", "split"]).to_parquet(path, **options)
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
            "words": sum(map(count_words, texts)),
            "characters": sum(map(len, texts)),
            "unknown": int((array.tokens == 0).sum()),
        }


def test_words_of_scripts_without_spaces_are_counted_as_everywhere(tmp_path):
    """Word perplexity is a figure for each of them: a line of 61 characters is no single word."""
    texts = ["昨天我去看书。 很好", "กินข้าว กับ ปลา", "der Hund 東京"]
    path = write_documents(tmp_path / "documents.parquet", [(text, "train") for text in texts])
    assert encoded(path, tmp_path / "tokens")["train"]["words"] == (7 + 2) + (5 + 2 + 3) + 4


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
