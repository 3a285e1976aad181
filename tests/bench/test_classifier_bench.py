"""The bench of the classifier: what it compares, that both libraries do the same work, what it reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from ulmfit.bench import classifier, classifier_program
from ulmfit.bench.classifier import FULL, QUICK, SMALL
from ulmfit.bench.classifier_program import CHECKED, COMPARED, MADE, made_documents
from ulmfit.bench.classifier_stock import computed_tokens, stock_loader
from ulmfit.bench.job import Job
from ulmfit.bench.measure import Program, Run
from ulmfit.bench.profile import Event, kind
from ulmfit.bench.run import Options, bench
from ulmfit.pipeline.errors import InputError
from ulmfit.training.guard import Guard

STEPS = 3
JOB = Job("ours", "training", QUICK, "fp32", STEPS, 1, "cpu", QUICK.batch_size)


def changed(**changes: Any) -> Job:
    return Job(**{**{name: getattr(JOB, name) for name in JOB.__dataclass_fields__}, **changes})


def test_a_job_travels_as_json() -> None:
    assert Job.from_json(JOB.as_json()) == JOB
    assert JOB.name == "ulmfit fp32, training, quick, batch 4"
    assert changed(batch_size=8).documents == JOB.documents == STEPS * QUICK.batch_size


def test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "resolve_precision", lambda precision, device: "bf16")
    found = classifier.pairs("all", "cpu", None)
    assert len({pair.name for pair in found}) == len(found) == 12
    assert [pair.ours.sizes for pair in found] == [FULL] * 6 + [SMALL] * 6
    inference, default, _, training, _, in_fp32 = found[:6]
    stocks = {(job.precision, job.batch_size) for job in (inference.stock, *inference.alternatives)}
    assert stocks == {("fp32", 64), ("fp32", 256), ("bf16", 64), ("bf16", 256)}, "each size for both"
    assert (inference.ours.precision, inference.ours.batch_size) == ("bf16", 256)
    as_it_comes = (default.stock.precision, default.stock.batch_size, default.alternatives)
    assert (default.ours, as_it_comes) == (inference.ours, ("fp32", 64, ())), "fastai as it comes"
    assert {job.batch_size for job in (training.ours, training.stock, *training.alternatives)} == {64}
    assert (in_fp32.ours.precision, in_fp32.stock.precision, in_fp32.alternatives) == ("fp32", "fp32", ())
    on_gpu = classifier.pairs("small", "cuda", None)[3]
    assert [job.precision for job in (on_gpu.stock, *on_gpu.alternatives)] == ["fp32", "bf16", "fp16"]
    monkeypatch.setattr(classifier, "resolve_precision", lambda precision, device: "fp32")
    assert len(classifier.pairs("full", "cpu", None)) == 2, "without bf16 there is fp32 alone"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            Options(model="qrnn"),
            "there is no model 'qrnn' to measure; expected one of full, small, quick, all",
        ),
        (Options(megabytes=3), "bench classifier has no use for megabytes"),
    ],
)
def test_wrong_options_are_refused(options: Options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench("classifier", options, lambda line: None)


def test_documents_are_of_the_length_that_is_named_and_the_same_every_time() -> None:
    for sizes in (FULL, SMALL):
        documents = made_documents(sizes, 300, MADE)
        lengths = [len(document) for document in documents]
        assert 0.85 * sizes.tokens < numpy.median(lengths) < 1.15 * sizes.tokens
        assert max(lengths) <= 20 * sizes.bptt
        assert all(map(numpy.array_equal, documents, made_documents(sizes, 300, MADE)))
        assert {len(document) for document in made_documents(sizes, COMPARED, CHECKED)} == {sizes.tokens}


def test_stocks_padding_is_counted_as_its_encoder_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastai.text.models.core import SentenceEncoder

    read: list[int] = []

    class Counting(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            read.append(ids.numel())
            return torch.zeros(*ids.shape, 1)

    documents = made_documents(QUICK, 12, MADE)
    device = torch.device("cpu")
    for ids, _ in stock_loader(documents, [0] * 12, QUICK, 4, device, shuffled=False):
        SentenceEncoder(QUICK.bptt, Counting())(torch.as_tensor(ids))
        assert computed_tokens(ids, QUICK.bptt) == sum(read)
        read.clear()


def test_kinds_of_products() -> None:
    job = changed(sizes=FULL, batch_size=64)

    def kind_of(name: str, *shapes: tuple[int, ...]) -> str:
        return kind(Event(name, 0, 1, None, shapes), job)

    packed = "mkldnn::_linear_pointwise"
    assert kind_of("aten::mm", (4480, 400), (400, 4608)) == "input products"
    assert kind_of(packed, (4480, 4608), (1152, 4608)) == "input products", "their gradient"
    assert kind_of(packed, (60, 1152), (4608, 1152)) == "recurrent products"
    assert kind_of(packed, (60, 4608), (1152, 4608)) == "recurrent products"
    assert kind_of("aten::mm", (1152, 4480), (4480, 4608)) == "weight gradients"
    assert kind_of("aten::mm", (4608, 4480), (4480, 1152)) == "weight gradients"
    assert kind_of("aten::add", (4, 4), (4, 4)) == "cell and rest"


# --- Programs -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    classifier_program.make(QUICK, folder)
    return folder


def figures_of(
    weights: Path, job: Job, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Mapping[str, Any]:
    """Do a job in this process, as its own process does; return what the bench reads."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    # As where the first batches take long and leave a checkpoint: the measured ones must not go on from it.
    monkeypatch.setattr("ulmfit.training.checkpointing.WORTH_SAVING_SECONDS", -1.0)
    classifier_program.main(weights, job)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("work", ["inference", "training"])
def test_both_libraries_say_the_same_of_the_same_documents(
    weights: Path,
    work: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for who, precision, tolerance in (
        ("ours", "fp32", 1e-4),
        ("stock", "fp32", 1e-4),
        ("ours", "bf16", 0.1),
        ("stock", "bf16", 0.1),
    ):
        job = changed(who=who, precision=precision, work=work)
        found = figures_of(weights, job, tmp_path / f"{who}-{precision}", monkeypatch, capsys)
        assert found["amount"] == STEPS * QUICK.batch_size
        assert found["seconds"] > 0
        assert found["peak_mebibytes"] > 10
        assert 0 <= found["padding_share"] < 0.5
        assert found["probability_difference"] < tolerance
        assert found["probability_spread"] > 0.05, "documents differ"
        assert ("valid_loss" in found) == (work == "training")


@pytest.mark.parametrize("work", ["inference", "training"])
def test_a_profile_names_all_parts(
    weights: Path,
    work: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patches:
        # The marks on these classes stay for the rest of a process.
        patches.setattr(Guard, "step", Guard.step)
        patches.setattr(torch.nn.CrossEntropyLoss, "forward", torch.nn.CrossEntropyLoss.forward)
        job = changed(work=work, profile=True)
        found = figures_of(weights, job, tmp_path / "profile", monkeypatch, capsys)
    rows = found["profile"]
    expected = {"embedding", "head and loss", "pooling and state", "layer 1, recurrent products", "rest"}
    if work == "training":
        expected |= {"loader", "masks", "clipping and optimizer", "layer 2, weight gradients"}
    assert expected <= {*rows}
    assert sum(rows.values()) == pytest.approx(1000 * found["seconds"] / STEPS)


def test_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """With programs that only say figures."""

    def measured(program: Program, folder: Path) -> Run:
        its = Job.from_json(program.command[-1])
        seconds = {"ours": 1.0, "stock": 3.0}[its.who] * (1 if its.precision == "bf16" else 2)
        figures: dict[str, Any] = {
            "amount": its.documents,
            "padding_share": 0.05,
            "probability_difference": 2e-3,
            "peak_mebibytes": 100.0 if its.who == "ours" else 300.0,
        }
        if its.work == "training":
            figures["valid_loss"] = 1.25
        if its.profile:
            figures["profile"] = {"layer 1, cell and rest": 3.0, "rest": 1.0}
        return Run(seconds, 1.0, 0.0, figures)

    monkeypatch.setattr(classifier, "resolve_precision", lambda precision, device: "bf16")
    monkeypatch.setattr("ulmfit.bench.pairs.gpu_generations", list)
    monkeypatch.setattr(classifier, "weights_of", lambda job, folder: Path("weights"))
    monkeypatch.setattr("ulmfit.bench.pairs.measure", measured)
    monkeypatch.setattr("ulmfit.bench.compare.measure", measured)
    report = bench("classifier", Options(model="quick", steps=5, repetitions=2), lambda line: None)
    cases = {case["case"]: json.loads(json.dumps(case, allow_nan=False)) for case in report.cases}
    best = cases["quick, about 12 tokens, training, bf16"]
    assert (best["ours"], best["ratio"], best["unit"]) == (20, 3, "documents/s")
    assert len(best["figures"]["stock_settings"]) == 2
    assert best["profile_milliseconds"] == {"layer 1, cell and rest": 3.0, "rest": 1.0}
    assert cases["quick, about 12 tokens, inference, fp32 beside fp32"]["ratio"] == 3
    memory = cases["quick, about 12 tokens, inference, bf16: peak memory"]
    assert (memory["ours"], memory["stock"], memory["ratio"], memory["unit"]) == (100, 300, 3, "MiB")
    for text in ("2.0e-03", "5.0%", "1.2500", "ms per batch", "75.0%"):
        assert text in report.table


@pytest.mark.soak
def test_the_whole_bench_in_processes() -> None:
    report = bench("classifier", Options(model="quick", steps=2, repetitions=1), lambda line: None)
    assert len(report.cases) >= 4
    for case in report.cases:
        assert case["ours"] > 0
        assert json.dumps(case, allow_nan=False)
