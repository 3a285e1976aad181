"""Frozen encoders: vectors of texts, checked, and logistic regression on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError
from stages_for_tests import InventedDataset

from ulmfit.classifier.predictions import read_predictions
from ulmfit.datasets.noise import NoisyLabels
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.evaluation.baselines import Setting
from ulmfit.evaluation.encoder_classifier import VectorModel, choose
from ulmfit.evaluation.encoder_stages import FrozenEncoder
from ulmfit.evaluation.text_vectors import METADATA, vectors_of
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

DATA = InventedDataset(rows=20)
MADE_WITH = {"name": "tiny", "version": "1.0", "weights sha256": "ab" * 32}


def vectors(shift: float = 3.0) -> dict[str, list[float]]:
    """Return a vector per text, whose first number tells the label: yes for odd rows."""
    chance = np.random.default_rng(0)
    return {
        f"{split}-{row}": [shift * (row % 2), *chance.normal(size=3).tolist()]
        for split in ("train", "valid", "test")
        for row in range(20)
    }


def write(path: Path, rows: dict[str, list[float]], metadata: bytes | None = None, **columns) -> File:
    table = pyarrow.table({"id": list(rows), "vector": list(rows.values()), **columns})
    if metadata is not None:
        table = table.replace_schema_metadata({METADATA: metadata})
    pyarrow.parquet.write_table(table, path)
    return File(path=path)


def encoder(file: File) -> FrozenEncoder:
    return FrozenEncoder(name="tiny", vectors=file)


def test_vectors_are_those_of_the_texts_whatever_their_order(tmp_path: Path) -> None:
    rows = vectors()
    backwards = dict(reversed(rows.items())) | {"of no text": [0.0] * 4}
    stage = encoder(write(tmp_path / "v.parquet", backwards, json.dumps(MADE_WITH).encode()))
    folder = Runner(tmp_path / "runs").build(stage.text_vectors(DATA))
    found = vectors_of(folder, "test", ["test-3", "test-0"])
    assert found == pytest.approx(np.array([rows["test-3"], rows["test-0"]]), abs=1e-6)
    about = read_json(folder / "vectors.json")
    assert about["dimensions"] == 4
    assert "vectors from v.parquet (sha256 " in about["note"]
    assert "name tiny, version 1.0, weights sha256 abab" in about["note"]


def test_a_column_of_splits_tells_equal_ids_apart(tmp_path: Path) -> None:
    rows = vectors()
    splits = [name.partition("-")[0] for name in rows]
    stage = encoder(write(tmp_path / "v.parquet", rows, split=splits))
    folder = Runner(tmp_path / "runs").build(stage.text_vectors(DATA))
    assert vectors_of(folder, "valid", ["valid-1"])[0] == pytest.approx(rows["valid-1"], abs=1e-6)


def without(name: str) -> dict[str, list[float]]:
    return {other: vector for other, vector in vectors().items() if other != name}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (without("test-7"), "v.parquet has no vector for text 'test-7': expected one for every text"),
        (vectors() | {"valid-2": [1.0, 2.0]}, "the vector of 'valid-2' has 2 numbers, the first one 4"),
        (vectors() | {"train-0": [float("nan"), 0.0, 0.0, 0.0]}, "'train-0' holds a number that is none"),
        (vectors() | {"train-0": []}, "the vector of 'train-0' has 0 numbers"),
    ],
)
def test_vectors_that_are_no_use_are_refused_in_one_line(tmp_path: Path, rows: dict, message: str) -> None:
    stage = encoder(write(tmp_path / "v.parquet", rows)).text_vectors(DATA)
    with pytest.raises(InputError, match=message) as error:
        Runner(tmp_path / "runs").build(stage)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"id": ["a"], "vectors": [[1.0]]},
            "has no column 'vector', it has id, vectors: expected",
        ),
        ({"id": ["a"], "vector": ["1 2"]}, "column vector holds string: expected lists of numbers"),
        ({"id": ["a", "a"], "vector": [[1.0], [2.0]]}, "id 'a' stands twice"),
    ],
)
def test_tables_of_another_form_are_refused(tmp_path: Path, table: dict, message: str) -> None:
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=message):
        Runner(tmp_path / "runs").build(encoder(File(path=tmp_path / "v.parquet")).text_vectors(DATA))


@pytest.mark.parametrize("content", [b"no table", b""])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"v\.parquet is no Parquet table"):
        Runner(tmp_path / "runs").build(encoder(File(path=tmp_path / "v.parquet")).text_vectors(DATA))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [(b"[1]", "no JSON object"), (b"{", "no JSON object"), (b'{"a": "%s"}' % (b"x" * 999), "too long")],
)
def test_strange_words_about_the_encoder_are_refused(tmp_path: Path, metadata: bytes, message: str) -> None:
    stage = encoder(write(tmp_path / "v.parquet", vectors(), metadata)).text_vectors(DATA)
    with pytest.raises(InputError, match=message):
        Runner(tmp_path / "runs").build(stage)


def test_an_encoder_has_one_source() -> None:
    file = File(path=Path("v.parquet"))
    for fields in ({}, {"vectors": file, "model": File(path=Path("model"))}):
        with pytest.raises(ValidationError, match="expected either vectors or a model"):
            FrozenEncoder(name="tiny", **fields)
    with pytest.raises(ValidationError, match="prefix has no effect on finished vectors"):
        FrozenEncoder(name="tiny", vectors=file, prefix="query: ")


def test_logistic_regression_on_vectors_of_a_subset(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    made = encoder(write(tmp_path / "v.parquet", vectors()))
    for dataset in (DATA, TrainingSubset.of(DATA, size=8), NoisyLabels.of(DATA, share=0.1)):
        stage = made.classifier(dataset, DATA)
        folder = runner.build(stage)
        test = read_predictions(folder / "predictions-test.parquet", ["no", "yes"])
        assert test.gold == ["no", "yes"] * 10
        right = np.mean([one == other for one, other in zip(test.gold, test.predicted, strict=True)])
        assert right >= 0.9, "the first number tells the label"
        grid = read_json(folder / "encoder.json")["grid"]
        assert len(grid) == 14 and set(grid[0]) == {"C", "balanced", "cross_validation"}


def test_vectors_of_any_place_and_length_are_alike() -> None:
    values = np.array(list(vectors().values()))
    gold = ["no", "yes"] * 30
    setting = Setting(1.0, False)
    plain = VectorModel.fit(values, gold, ["no", "yes"], setting).probabilities(values)
    moved = VectorModel.fit(0.01 * values + 7, gold, ["no", "yes"], setting).probabilities(0.01 * values + 7)
    assert moved == pytest.approx(plain, abs=1e-4)
    assert plain.sum(axis=1) == pytest.approx(np.ones(60))


def test_a_label_without_a_text_has_probability_0() -> None:
    values = np.array(list(vectors().values()))
    model = VectorModel.fit(values, ["no", "yes"] * 30, ["maybe", "no", "yes"], Setting(1.0, False))
    assert model.probabilities(values)[:, 0].max() == 0


def test_two_texts_have_the_setting_in_the_middle() -> None:
    settings = [Setting(c, False) for c in (0.1, 1.0, 10.0)]
    chosen = choose(np.eye(2), ["no", "yes"], ["no", "yes"], settings, "accuracy", None)
    assert chosen == (Setting(1.0, False), [])
