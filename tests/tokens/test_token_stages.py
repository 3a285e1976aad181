"""Training a tokenizer and encoding documents, as stages."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from ulmfit.corpus.stages import CorpusStage
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.arrays import TokenArray, TokenArrayWriter, token_dtype
from ulmfit.tokens.documents import TrainingSample
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.stages import EncodeTokens, TrainTokenizer
from ulmfit.tokens.tokenizer import Tokenizer

WORDS = "der die das Haus HAUS Häuser Straße gehen ging gegangen über Łódź und oder nicht".split()  # noqa: SIM905


class Rows(CorpusStage):
    """A corpus of given rows: (id, text, split)."""

    stage_name: ClassVar[str] = "rows"
    rows: tuple[tuple[str, str, str], ...]

    def build(self, work):
        """Write documents.parquet."""
        table = pd.DataFrame(self.rows, columns=["id", "text", "split"]).assign(title="")
        table.to_parquet(work.folder / "documents.parquet")


def sentence(seed: int, length: int = 40) -> str:
    chosen = np.random.default_rng(seed)
    return " ".join(chosen.choice(WORDS, length)) + "."


def rows(train: int = 60, *more: tuple[str, str, str]) -> Rows:
    documents = [(f"t{index}", sentence(index), "train") for index in range(train)]
    return Rows(rows=(*documents, *more))


def test_only_the_training_split_is_read(tmp_path):
    valid = [("v", "ж das Haus " * 500, "valid"), ("x", "щ das Haus " * 500, "test")]
    runner = Runner(tmp_path)
    alone = TrainTokenizer(corpus=rows(60), language="de", vocab_size=60, character_coverage=1)
    stage = TrainTokenizer(corpus=rows(60, *valid), language="de", vocab_size=60, character_coverage=1)
    folder = runner.build(stage)
    tokenizer = load_tokenizer(folder)
    assert Tokenizer.unk_id in tokenizer.encode(["ж"])[0]
    assert (folder / "spm.model").read_bytes() == (runner.build(alone) / "spm.model").read_bytes()


def test_vocabulary_is_lowered_with_a_warning_or_refused(tmp_path):
    runner = Runner(tmp_path)
    stage = TrainTokenizer(corpus=rows(), language="de", vocab_size=5000)
    folder = runner.build(stage)
    size = load_tokenizer(folder).size
    assert size < 5000
    (warning,) = json.loads((folder / "manifest.json").read_text("utf-8"))["warnings"]
    assert warning == f"the corpus cannot carry vocab_size 5000: lowered to {size}"
    with pytest.raises(InputError, match=rf"cannot carry vocab_size 5000: set it to {size} or less"):
        runner.build(stage.changed(exact=True))
    exact = runner.build(stage.changed(exact=True, vocab_size=size))
    assert load_tokenizer(exact).vocabulary == load_tokenizer(folder).vocabulary


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_same_input_same_bytes(tmp_path, model_type):
    stage = TrainTokenizer(corpus=rows(), language="de", vocab_size=60, model_type=model_type)
    first, second = (Runner(tmp_path / name).build(stage) for name in ("a", "b"))
    for name in ("spm.model", "tokenizer.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize(
    ("letters", "coverage"), [("Haus und Hof ", "0.9999"), ("東京は日本の首都です ", "0.9995")]
)
def test_coverage_follows_the_script(tmp_path, capsys, letters, coverage):
    corpus = Rows(rows=tuple((str(n), letters * 20, "train") for n in range(20)))
    Runner(tmp_path).build(TrainTokenizer(corpus=corpus, language="xx", vocab_size=40))
    assert f"character coverage {coverage}\n" in capsys.readouterr().out


def test_what_was_trained_on_is_logged(tmp_path):
    texts = (("a", f"Ein \u2585 Satz.\n{'Noch ein Satz. ' * 400}", "train"),)
    folder = Runner(tmp_path).build(
        TrainTokenizer(corpus=rows(60, *texts), language="de", vocab_size=60, character_coverage=1)
    )
    log = (folder / "log.txt").read_text("utf-8")
    assert "training on 61 of 61 training documents" in log
    assert "read all of 61 texts: 62 paragraphs, 1 of them long ones that were split" in log
    assert "none dropped; 1 times U+2585 read as a space; 0 of" in log


def test_settings_reach_the_tokenizer(tmp_path):
    stage = TrainTokenizer(
        corpus=rows(), language="de", vocab_size=400, byte_fallback=True, repeats=True, model_type="bpe"
    )
    tokenizer = load_tokenizer(Runner(tmp_path).build(stage))
    text = "SOOOO 中 中 中 \ue000"
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode(ids) == text
    shown = [tokenizer.vocabulary[index] for index in ids]
    assert {"xxup", "xxrep", "xxwrep", "<0xE4>"} <= set(shown)


def test_a_vocabulary_learns_from_the_texts_of_the_task(tmp_path):
    """They are repeated up to their share; validation and test texts are never read."""
    runner = Runner(tmp_path)
    task = Rows(rows=(("a", "😀 gut", "train"), ("b", "🦉 schlecht", "valid"), ("c", "🦊", "test")))
    plain = TrainTokenizer(corpus=rows(), language="de", vocab_size=60)
    both = plain.changed(target=task, target_share=0.2)
    known, more = (set("".join(load_tokenizer(runner.build(one)).vocabulary)) for one in (plain, both))
    assert "😀" not in known
    assert "😀" in more
    assert not {"🦉", "🦊"} & more
    log = (runner.folder(both) / "log.txt").read_text("utf-8")
    assert "and on 1 of 1 texts of the task, " in log
    assert " times each: 20.0 % of the bytes" in log
    with pytest.raises(ValidationError, match="target and target_share go together"):
        plain.changed(target=task)


def test_a_task_with_more_texts_than_its_share_is_sampled(tmp_path):
    task = Rows(rows=tuple((f"t{n}", sentence(n), "train") for n in range(200)))
    stage = TrainTokenizer(
        corpus=rows(50), language="de", vocab_size=60, target=task, target_share=0.5, sample_bytes=2_000
    )
    log = (Runner(tmp_path).build(stage) / "log.txt").read_text("utf-8")
    assert " of 200 texts of the task, 1 times each: 5" in log


def test_encoded_documents(tmp_path):
    more = [("v1", "  Das\nHaus ", "valid"), ("v2", "", "valid"), ("v3", "das 中", "valid")]
    corpus = rows(300, *more)
    runner = Runner(tmp_path)
    stage = EncodeTokens(
        documents=corpus,
        tokenizer=TrainTokenizer(corpus=corpus, language="de", vocab_size=60, character_coverage=1),
        workers=2,
    )
    folder = runner.build(stage)
    tokenizer = load_tokenizer(runner.folder(stage.tokenizer))
    train, valid, test = (TokenArray.open(folder, split) for split in ("train", "valid", "test"))
    assert (len(train), len(valid), len(test)) == (300, 3, 0)
    assert train.tokens.dtype == np.uint16 and not train.tokens.flags.writeable
    for index in (0, 150, 299):
        ids = train.document(index)
        assert np.array_equal(ids, tokenizer.encode([sentence(index)])[0])
        assert tokenizer.decode(ids) == normalize(sentence(index))
    assert list(valid.document(1)) == [Tokenizer.bos_id]
    counts = json.loads((folder / "counts.json").read_text("utf-8"))
    assert counts["valid"] == {
        "documents": 3,
        "tokens": len(valid.tokens),
        "words": 4,
        "characters": len("  Das\nHaus das 中"),
        "unknown": 1,
    }
    assert counts["train"]["tokens"] == train.offsets[-1]
    assert counts["test"] == dict.fromkeys(counts["test"], 0)
    assert not list(folder.glob(".*"))


def test_workers_stay_out_of_the_key_and_the_result(tmp_path):
    corpus = rows()
    stage = EncodeTokens(
        documents=corpus, tokenizer=TrainTokenizer(corpus=corpus, language="de", vocab_size=50)
    )
    runners = [Runner(tmp_path / name) for name in ("a", "b")]
    one, two = (runner.build(stage.changed(workers=n)) for runner, n in zip(runners, (1, 2), strict=True))
    assert one.name == two.name
    assert (one / "train.npy").read_bytes() == (two / "train.npy").read_bytes()


def test_sample_is_bounded_and_never_empty(tmp_path):
    path = Runner(tmp_path).build(rows(500)) / "documents.parquet"
    size = sum(len(sentence(index).encode()) for index in range(500))
    sample = TrainingSample(path, size // 5)
    texts = list(sample.texts())
    assert len(texts) == sample.documents
    assert sample.all_documents == 500
    sizes = [len(text.encode()) for text in texts]
    assert size // 5 <= sum(sizes) < size // 5 + max(sizes)
    assert len(list(TrainingSample(path, 1).texts())) == 1
    assert len(list(TrainingSample(path, 10**9).texts())) == 500
    assert set(TrainingSample(path, size // 10).texts()) <= set(texts)


def test_empty_training_split_is_refused(tmp_path):
    corpus = Rows(rows=(("v", "Das Haus", "valid"),))
    with pytest.raises(InputError, match="hold no text"):
        Runner(tmp_path).build(TrainTokenizer(corpus=corpus, language="de"))


@pytest.mark.parametrize(("size", "dtype"), [(100, np.uint16), (65_535, np.uint16), (65_536, np.uint32)])
def test_array_types(tmp_path, size, dtype):
    assert token_dtype(size) == dtype
    with TokenArrayWriter(tmp_path, "train", size) as writer:
        for length in (3, 0, 5):
            writer.append([np.full(length, size - 1, np.int32)])
        writer.append([])
    array = TokenArray.open(tmp_path, "train")
    assert np.load(tmp_path / "train.npy").dtype == dtype
    assert list(array.offsets) == [0, 3, 3, 8]
    assert list(array.document(-1)) == [size - 1] * 5
    with pytest.raises(IndexError):
        array.document(3)


def test_documents_one_after_another(tmp_path):
    with TokenArrayWriter(tmp_path, "train", 10) as writer:
        writer.extend(np.array([2, 5, 2, 2, 7, 7], np.int32), np.array([2, 1, 3]))
        writer.extend(np.zeros(0, np.uint16), np.zeros(0, np.int64))
        writer.append([np.array([2, 9])])
    array = TokenArray.open(tmp_path, "train")
    assert [array.document(index).tolist() for index in range(4)] == [[2, 5], [2], [2, 7, 7], [2, 9]]


def test_arrays_of_a_failed_writer_do_not_appear(tmp_path):
    with pytest.raises(RuntimeError), TokenArrayWriter(tmp_path, "train", 10) as writer:
        writer.append([np.ones(3, np.int32)])
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "train.npy").unlink(),
        lambda folder: truncate(folder / "train.npy"),
        lambda folder: truncate(folder / "train.offsets.npy"),
        lambda folder: (folder / "train.npy").write_bytes(b""),
        lambda folder: np.save(folder / "train.npy", np.zeros(4, np.uint16)),
        lambda folder: np.save(folder / "train.npy", np.zeros(5, np.float32)),
        lambda folder: np.save(folder / "train.offsets.npy", np.zeros(0, np.int64)),
        lambda folder: np.save(folder / "train.npy", np.array([{}] * 5), allow_pickle=True),
    ],
)
def test_damaged_arrays_are_refused(tmp_path, harm):
    with TokenArrayWriter(tmp_path, "train", 10) as writer:
        writer.append([np.ones(5, np.int32)])
    harm(tmp_path)
    with pytest.raises(InputError):
        TokenArray.open(tmp_path, "train")


def test_real_polish_reviews(tmp_path, shared_data):
    lines = (shared_data / "pl-wccrs-hotels" / "dev.txt").read_text("utf-8").splitlines()
    texts = [line[2:] for line in lines]
    corpus = Rows(rows=tuple((str(n), text, "train" if n % 5 else "valid") for n, text in enumerate(texts)))
    stage = EncodeTokens(
        documents=corpus,
        tokenizer=TrainTokenizer(corpus=corpus, language="pl", vocab_size=1000, character_coverage=1),
    )
    runner = Runner(tmp_path)
    folder = runner.build(stage)
    tokenizer = load_tokenizer(runner.folder(stage.tokenizer))
    train = TokenArray.open(folder, "train")
    kept = [text for n, text in enumerate(texts) if n % 5]
    assert [tokenizer.decode(train.document(n)) for n in range(len(train))] == [
        normalize(text) for text in kept
    ]
    counts = json.loads((folder / "counts.json").read_text("utf-8"))
    assert counts["train"]["unknown"] == 0
    assert 1 < counts["train"]["tokens"] / counts["train"]["words"] < 3
