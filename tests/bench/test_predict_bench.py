"""The bench of prediction: what it compares, and that all programs predict the same of the same texts."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from ulmfit.bench import predict, predict_program
from ulmfit.bench.classifier import FULL, QUICK, SMALL
from ulmfit.bench.classifier_program import MADE, made_documents
from ulmfit.bench.compare import Comparison, Measured
from ulmfit.bench.job import Job
from ulmfit.bench.predict_program import ONNX, TOKENIZER, made_texts, run
from ulmfit.bench.run import Options, bench
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.loading import load_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return predict.input_of(QUICK, tmp_path_factory.mktemp("predict"))


def test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "resolve_precision", lambda precision, device: "bf16")
    found = predict.pairs("all", None)
    assert [pair.ours.sizes for pair in found] == [FULL] * 4 + [SMALL] * 4
    ours = [(pair.ours.who, pair.ours.precision, pair.ours.batch_size) for pair in found[:4]]
    assert ours == [("ours", "bf16", 256)] * 2 + [("ours", "fp32", 256), ("onnx", "fp32", 64)]
    assert {(pair.stock.precision, pair.stock.batch_size) for pair in found} == {("fp32", 64)}
    assert [(job.precision, job.batch_size) for job in found[1].alternatives] == [("bf16", 64), ("bf16", 256)]
    monkeypatch.setattr(predict, "resolve_precision", lambda precision, device: "fp32")
    assert len(predict.pairs("full", None)) == 2, "without bf16 there is fp32 alone"


def test_texts_become_the_ids_that_fastai_gets(folder: Path) -> None:
    texts = made_texts(QUICK, 20, MADE)
    encoded = load_tokenizer(folder / TOKENIZER).encode(texts)
    assert all(map(numpy.array_equal, encoded, made_documents(QUICK, 20, MADE)))


def test_all_programs_predict_the_same(folder: Path) -> None:
    assert (folder / ONNX).exists()
    for who in ("ours", "onnx", "stock"):
        figures = run(Job(who, "inference", QUICK, "fp32", 2, 1, "cpu", 4), folder)
        assert figures["probability_difference"] < 1e-5 < figures["probability_spread"]
        assert figures["amount"] == 8 and figures["busy_seconds"] > 0


def test_cpu_time_is_reported_where_other_programs_disturb() -> None:
    both = {
        "ours": {"amount": 10, "busy_seconds": 1.0, "probability_difference": 1e-6},
        "stock": {"amount": 10, "busy_seconds": 4.0, "probability_difference": 0.0},
    }
    some = Measured(1.0, 1.0, 1.0)
    _, line = predict._checks([Comparison("quick", "documents/s", some, some, figures=both)])
    assert line.split() == ["quick", "10", "2.5", "4.00", "1.0e-06", "0.0e+00"]


def test_wrong_options_are_refused() -> None:
    with pytest.raises(InputError, match="there is no model 'qrnn' to measure; expected one of full"):
        bench("predict", Options(model="qrnn"), lambda line: None)
    assert predict_program.word(4) != predict_program.word(5)
