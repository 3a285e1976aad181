"""What the processes of `ulmfit bench encode` run; arguments: WORK DOCUMENTS FOLDER.

WORK is `prepare` (trains our tokenizers and fastai's on one sample), `plain`, `marks` or `stock` (encodes
with one of them). The last line of the output is a JSON object with seconds and tokens. Loading of libraries
and models is not timed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from ulmfit.bench.measure import ready
from ulmfit.pipeline.files import write_json

VOCABULARY_SIZE = 15_000
COVERAGE = 0.9999
SAMPLE_BYTES = 5_000_000
SIZES = "sizes.json"
STOCK_MODEL = "spm.model"
LANGUAGE = "und"
"""Undetermined; only the dotless i depends on it."""

Figures = dict[str, float]


def prepare(documents: Path, folder: Path) -> Figures:
    """Train three tokenizers with the same number of pieces on the same sample of `documents`."""
    from ulmfit.corpus.stages import TextFiles
    from ulmfit.pipeline.assets import File
    from ulmfit.pipeline.runner import Runner
    from ulmfit.tokens.documents import TrainingSample
    from ulmfit.tokens.loading import load_tokenizer
    from ulmfit.tokens.stages import TrainTokenizer

    runner = Runner(folder / "runs")
    corpus = TextFiles(files=File(path=documents), id_column="id")
    settings = {"vocab_size": VOCABULARY_SIZE, "character_coverage": COVERAGE, "sample_bytes": SAMPLE_BYTES}
    sizes = {}
    for kind, marks in (("plain", False), ("marks", True)):
        stage = TrainTokenizer(corpus=corpus, language=LANGUAGE, marks=marks, **settings)
        shutil.copytree(runner.build(stage), folder / kind)
        sizes[kind] = load_tokenizer(folder / kind).size
    sample = TrainingSample(runner.folder(corpus) / "documents.parquet", SAMPLE_BYTES)
    sizes["stock"] = _train_stock(sample.texts(), folder / "stock")
    write_json(folder / SIZES, sizes)
    return {}


def _train_stock(texts: Iterable[str], folder: Path) -> int:
    """Train fastai's tokenizer by its rules, paragraph by paragraph: it would drop longer texts."""
    from fastai.text.core import SentencePieceTokenizer, defaults

    paragraphs = [paragraph for text in texts for paragraph in text.splitlines() if paragraph]
    tokenizer = SentencePieceTokenizer(vocab_sz=VOCABULARY_SIZE, char_coverage=COVERAGE, cache_dir=folder)
    tokenizer.setup(paragraphs, defaults.text_proc_rules)
    return tokenizer.tok.get_piece_size()


def encode_with_ours(documents: Path, folder: Path) -> Figures:
    """Encode into memory-mapped arrays in the working folder with the tokenizer in `folder`."""
    from ulmfit.tokens.encode import encode_documents
    from ulmfit.tokens.loading import load_tokenizer

    tokenizer = load_tokenizer(folder)
    ready()
    started = time.perf_counter()
    counts = encode_documents(documents, tokenizer, Path(), 0, lambda _: None)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "tokens": sum(count["tokens"] for count in counts.values())}


def encode_with_fastai(documents: Path, model: Path) -> Figures:
    """Tokenize as fastai does, with its rules and its own number of processes, and look the ids up."""
    import pandas
    from fastai.text.core import SentencePieceTokenizer, tokenize_texts
    from fastai.text.data import Numericalize

    tokenizer = SentencePieceTokenizer(sp_model=model)
    pieces = [tokenizer.tok.id_to_piece(index) for index in range(tokenizer.tok.get_piece_size())]
    numericalize = Numericalize(pieces)
    ready()
    started = time.perf_counter()
    texts = pandas.read_parquet(documents, columns=["text"])["text"].tolist()
    tokens = tokenize_texts(texts, tok=tokenizer)
    without_ids = time.perf_counter() - started
    ids = [numericalize(document) for document in tokens]
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "seconds_without_ids": without_ids, "tokens": sum(map(len, ids))}


def main(work: str, documents: Path, folder: Path) -> None:
    """Do the work and print what it measured."""
    if work == "prepare":
        figures = prepare(documents, folder)
    elif work == "stock":
        figures = encode_with_fastai(documents, folder / "stock" / STOCK_MODEL)
    else:
        figures = encode_with_ours(documents, folder / work)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
