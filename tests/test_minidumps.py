"""Real dumps of 123 wikis: dump -> documents -> one tokenizer -> token arrays -> the same texts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from corpus.making import account, rows

from ulmfit.corpus.stages import JoinedCorpus, WikipediaCorpus
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.stages import EncodeTokens, TrainTokenizer

WIKIS = 123
WITHOUT_ARTICLES = {
    "si": r"si\.wiki\.xml\.bz2 holds no (documents|articles): 1 pages\b.* 1 redirect; expected .*"
}
"""Wikis and what is said of them."""
SMALL_TOKENIZER = {"vocab_size": 4000, "character_coverage": 0.99, "sample_bytes": 400_000}


def corpora(runner: Runner, dumps: list[Path], engine: str) -> tuple[list[WikipediaCorpus], dict[str, str]]:
    """Extract dumps; return the corpora, and what was said about wikis that give none."""
    built, refused = [], {}
    for dump in dumps:
        wiki = dump.name.partition(".")[0]
        stage = WikipediaCorpus(dump=File(path=dump), language=wiki, engine=engine, workers=1)
        try:
            content = account(runner.build(stage))
        except InputError as error:
            refused[wiki] = str(error)
        else:
            assert not content["left_out"].keys() & {"extraction failed", "damaged page"}, wiki
            built.append(stage)
    return built, refused


def check_round_trip(runner: Runner, stages: list[WikipediaCorpus], **settings: Any) -> dict[str, int]:
    """Train one tokenizer for all corpora and encode them; every text has to come back."""
    joined = JoinedCorpus(parts=tuple(stages))
    tokenizer_stage = TrainTokenizer(corpus=joined, language="mul", byte_fallback=True, **settings)
    encoded = EncodeTokens(documents=joined, tokenizer=tokenizer_stage)
    folder = runner.build(encoded)
    tokenizer = load_tokenizer(runner.folder(tokenizer_stage))
    content = account(runner.folder(joined))
    assert content["documents_written"] == sum(part["documents_written"] for part in content["parts"])
    by_split: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for row in rows(runner.folder(joined)):
        by_split[row["split"]].append(row["text"])
    counts = read_json(folder / "counts.json")
    for split, texts in by_split.items():
        array = TokenArray.open(folder, split)
        assert len(array) == len(texts) == counts[split]["documents"]
        for number, text in enumerate(texts):
            assert tokenizer.decode(array.document(number)) == normalize(text)
        assert counts[split]["unknown"] == 0
    return {name: sum(counts[split][name] for split in counts) for name in ("documents", "tokens", "words")}


def check(shared_data: Path, folder: Path, engine: str, every: int = 1, **settings: Any) -> dict[str, int]:
    """Take dumps to tokens and back, and see that those without articles say so."""
    dumps = sorted((shared_data / "dumps/minidumps").glob("*.bz2"))
    assert len(dumps) == WIKIS
    runner = Runner(folder)
    stages, refused = corpora(runner, dumps[::every], engine)
    assert len(stages) + len(refused) == len(dumps[::every])
    for wiki, message in refused.items():
        assert re.fullmatch(WITHOUT_ARTICLES[wiki], message)
    counts = check_round_trip(runner, stages, **settings)
    assert counts["documents"] >= len(stages)
    return counts


def test_all_wikis_with_our_own_engine(shared_data: Path, tmp_path: Path) -> None:
    counts = check(shared_data, tmp_path, "fast", model_type="bpe", **SMALL_TOKENIZER)
    assert counts["documents"] > 150
    assert 2 < counts["tokens"] / counts["words"] < 6


def test_some_wikis_with_wikiextractor(shared_data: Path, tmp_path: Path) -> None:
    check(shared_data, tmp_path, "wikiextractor", every=30, model_type="unigram", **SMALL_TOKENIZER)


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["fast", "wikiextractor"])
def test_all_wikis_with_a_large_tokenizer(shared_data: Path, tmp_path: Path, engine: str) -> None:
    counts = check(shared_data, tmp_path, engine, vocab_size=15_000, repeats=True)
    assert counts["documents"] > 150
