"""The invented language as stages: files, columns, description, keys."""

import pandas as pd
import pytest
from pydantic import ValidationError

from ulmfit.pipeline.files import read_json, sha256_of
from ulmfit.pipeline.runner import Runner
from ulmfit.toy import LANGUAGE_CODE
from ulmfit.toy.stages import ToyDump, ToyReviews


def test_dump_stage(tmp_path):
    folder = Runner(runs=tmp_path, mirror=None).build(ToyDump(articles=3))
    assert [path.name for path in folder.glob("*.xml.bz2")] == ["toywiki-pages-articles.xml.bz2"]


def test_reviews_stage(tmp_path):
    stage = ToyReviews(train=10, valid=6, test=8, unlabelled=4)
    folder = Runner(runs=tmp_path, mirror=None).build(stage)
    description = read_json(folder / "dataset.json")
    assert description["labels"] == ["negative", "positive"]
    assert description["language"] == LANGUAGE_CODE
    assert "invented" in description["source"]
    assert description["rows"] == {"train": 10, "valid": 6, "test": 8, "unlabelled": 4}
    for name, sha256 in description["files"].items():
        assert sha256_of(folder / name) == sha256
    assert list(pd.read_parquet(folder / "test.parquet").columns) == ["id", "text", "label"]
    assert list(pd.read_parquet(folder / "unlabelled.parquet").columns) == ["id", "text"]


def test_no_unlabelled_reviews_no_file(tmp_path):
    stage = ToyReviews(train=4, valid=2, test=2, unlabelled=0)
    folder = Runner(runs=tmp_path, mirror=None).build(stage)
    assert not (folder / "unlabelled.parquet").exists()
    assert set(read_json(folder / "dataset.json")["rows"]) == {"train", "valid", "test"}


def test_the_language_code_is_for_private_use():
    assert "qaa" <= LANGUAGE_CODE <= "qtz" and len(LANGUAGE_CODE) == 3


def test_empty_splits_are_refused():
    with pytest.raises(ValidationError):
        ToyReviews(test=0)
