"""The bench of training and the bench of batches: what they count, what they report, and that they run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from ulmfit.bench import lm, lm_program, loader_program
from ulmfit.bench.compare import Case, Comparison, Measured, compare
from ulmfit.bench.job import DEEP, DEEP_QRNN, FULL, QUICK, SMALL, Job, Precision, Sizes, flop_per_token
from ulmfit.bench.made_tokens import BOS_ID, write_made_tokens
from ulmfit.bench.measure import Program, Run
from ulmfit.bench.profile import Event, microseconds
from ulmfit.bench.run import Options, bench
from ulmfit.language_model.engines import fused_steps
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.tokens.arrays import TokenArray
from ulmfit.training.guard import Guard

STEPS = 2


# --- Operations ---------------------------------------------------------------------------------------------


def test_operations_of_the_full_model_by_hand() -> None:
    first = 4 * 1152 * (400 + 1152)
    second = 4 * 1152 * (1152 + 1152)
    third = 4 * 400 * (1152 + 400)
    assert flop_per_token(FULL) == 3 * 2 * (first + second + third + 15_000 * 400) == 157_509_888
    assert flop_per_token(FULL.with_batch(512)) == flop_per_token(FULL)


def test_operations_of_a_qrnn_by_hand() -> None:
    qrnn = 3 * 1550 * 2 * 400 + 2 * (3 * 1550 * 1550) + 3 * 400 * 1550
    assert flop_per_token(DEEP_QRNN) == 6 * (qrnn + 15_000 * 400)


@pytest.mark.parametrize("sizes", [FULL, SMALL, DEEP, DEEP_QRNN, QUICK], ids=lambda sizes: sizes.name)
def test_operations_are_six_times_the_weights_of_the_model(sizes: Sizes) -> None:
    """All matrices of a model meet every token once forward; vectors (biases) are not counted."""
    with torch.device("meta"):
        model = LanguageModel(sizes.vocabulary_size, sizes.architecture, Dropouts())
    matrices = [parameter.numel() for parameter in model.parameters() if parameter.dim() == 2]
    assert flop_per_token(sizes) == 6 * sum(matrices)


def test_a_job_travels_as_json() -> None:
    job = Job("stock", "lm", DEEP_QRNN, "fp16", 7, 2, "cuda", 64, workers=3, graphs=False, profile=True)
    assert Job.from_json(job.as_json()) == job
    assert job.name == "fastai fp16, 4x1550 QRNN, batch 64, 3 workers, no CUDA graphs"


# --- What is compared ---------------------------------------------------------------------------------------


def test_pairs_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm, "resolve_precision", lambda precision, device: "bf16")
    in_bf16, in_fp32 = lm.pairs("full", "cpu", None)
    assert (in_bf16.ours.precision, in_bf16.stock.precision) == ("bf16", "fp32")
    assert [job.precision for job in in_bf16.alternatives] == ["bf16"]
    assert (in_fp32.ours.precision, in_fp32.stock.precision, in_fp32.alternatives) == ("fp32", "fp32", ())
    assert [pair.ours.sizes.name for pair in lm.pairs("all", "cpu", 5)] == ["full"] * 2 + ["small"] * 2
    monkeypatch.setattr(lm, "resolve_precision", lambda precision, device: "fp32")
    assert len(lm.pairs("full", "cpu", None)) == 1, "without bf16 there is fp32 alone"


def test_pairs_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm, "resolve_precision", lambda precision, device: "bf16")
    found = lm.pairs("all", "cuda", None)
    names = [pair.name for pair in found]
    assert len(set(names)) == len(names)
    assert {
        "full, 64 x 70, bf16",
        "full, 512 x 70, bf16",
        "full, 64 x 70, CUDA graphs on beside off, bf16",
    } < {*names}
    (large,) = [pair for pair in found if pair.name == "full, 512 x 70, bf16"]
    stocks = {(job.precision, job.workers) for job in (large.stock, *large.alternatives)}
    assert stocks == {("fp32", 0), ("fp16", 0), ("bf16", 0), ("fp16", 8)}
    (graphs,) = [pair for pair in found if "graphs" in pair.name]
    assert (graphs.ours.graphs, graphs.stock.graphs) == (True, False)
    (qrnn,) = [pair for pair in found if "QRNN" in pair.name]
    assert (qrnn.ours.sizes, qrnn.stock.sizes, qrnn.stock.who) == (DEEP_QRNN, DEEP, "ours")


def fixed(name: str, seconds: float, **figures: float) -> Program:
    return Program(name, (name,), lambda folder, output: {"seconds": seconds, **figures})


def test_the_fastest_of_stocks_settings_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program says that it has done is what counts; one that fails is left out."""

    def measured(program: Program, folder: Path) -> Run:
        if program.name == "broken":
            raise StageFailed("broken failed with exit status 1: no such precision")
        figures = dict(program.inspect(folder, ""))
        return Run(figures.pop("seconds"), 1.0, None, figures)

    monkeypatch.setattr("ulmfit.bench.compare.measure", measured)
    slow, fast = fixed("slow", 4.0, amount=20), fixed("fast", 2.0, amount=20)
    broken = fixed("broken", 0)
    ours = fixed("ours", 1.0, amount=30)
    lines: list[str] = []
    case = Case("a", ours, slow, 0, "token/s", alternatives=(broken, fast))
    (result,) = compare([case], 2, tmp_path, lines.append)
    assert (result.ours.median, result.stock.median, result.ratio) == (30, 10, 3)
    assert result.figures["stock_settings"] == {"slow": 5.0, "fast": 10.0}
    assert [line for line in lines if "broken" in line] == [
        "left out: broken failed with exit status 1: no such precision"
    ]
    with pytest.raises(StageFailed, match="no such precision"):
        compare([Case("a", ours, broken, 0, "token/s")], 1, tmp_path, lines.append)


def test_operations_a_second_and_their_share_of_the_peak() -> None:
    job = Job("ours", "lm", FULL, "fp32", 1, 1, "cpu", 64)
    figures = {who: {"matrix_flop_per_second": 2e11} for who in ("ours", "stock")}
    values = Measured(900, 1000, 1100), Measured(400, 500, 600)
    comparison = Comparison("full", "token/s", *values, figures=figures)
    ours, stock = (
        lm.with_operations(comparison, lm.Pair("full", job, job)).figures[who] for who in ("ours", "stock")
    )
    assert ours["flop_per_second"] == 1000 * 157_509_888
    assert ours["share_of_matrix_peak"] == pytest.approx(0.7875, rel=1e-3)
    assert stock["share_of_matrix_peak"] == pytest.approx(ours["share_of_matrix_peak"] / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(model="huge"), "there is no model 'huge' to measure; expected one of full, small"),
        (Options(documents=Path("x")), "bench lm has no use for documents"),
    ],
)
def test_wrong_options_are_refused(options: Options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench("lm", options, lambda line: None)
    with pytest.raises(InputError, match="bench loader has no use for model"):
        bench("loader", Options(model="full"), lambda line: None)


# --- Where the time goes ------------------------------------------------------------------------------------


def test_the_time_of_events_goes_to_their_parts() -> None:
    """Self times: 2 + 4 forward in the layer, 8 + 16 backward, 32 in the loss, 64 that has no part."""
    sizes = Sizes("x", Architecture(embedding_size=3, hidden_size=5), 11, batch_size=2, bptt=7)
    layer = Event("part: layer 1", 0, 2, None)
    product = Event("aten::mm", 1, 4, layer, ((14, 3), (3, 20)), sequence=5)
    recurrent = Event("mkldnn::_linear_pointwise", 2, 1, layer, ((2, 5), (20, 5)))
    loss = Event("part: decoder and loss", 3, 32, None, sequence=6)
    backward = Event("autograd::engine::evaluate_function: MmBackward0", 4, 8, None, sequence=5)
    gradient = Event("aten::mm", 5, 16, backward, ((20, 14), (14, 3)), sequence=9)
    other = Event("aten::add", 6, 64, None)
    job = Job("ours", "lm", sizes, "fp32", 1, 1, "cpu", sizes.batch_size)
    rows = microseconds([other, gradient, backward, loss, recurrent, product, layer], job)
    assert rows == {
        "decoder and loss": 32,
        "layer 1, cell and rest": 2 + 8,
        "layer 1, input products": 4,
        "layer 1, recurrent products": 1,
        "layer 1, weight gradients": 16,
    }


# --- Programs -----------------------------------------------------------------------------------------------


def job(who: Any, precision: Any, **options: Any) -> Job:
    return Job(who, "lm", QUICK, precision, STEPS, 1, "cpu", QUICK.batch_size, **options)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    step = QUICK.tokens_of_a_step
    write_made_tokens(folder, "train", (STEPS + 1) * step + 1, QUICK.vocabulary_size, 0)
    write_made_tokens(folder, "valid", 4 * step + 1, QUICK.vocabulary_size, 1)
    return folder


def figures_of(
    tokens: Path,
    job: Job,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Mapping[str, Any]:
    """Do a job in this process, as its own process does; return what the bench reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lm_program, "MATRIX_SIZE", 64)
    lm_program.main(tokens, job)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_both_libraries_begin_with_the_same_loss_and_end_with_a_similar_one(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {}
    for who, precision in (("ours", "fp32"), ("ours", "bf16"), ("stock", "fp32"), ("stock", "bf16")):
        folder = tmp_path / f"{who}-{precision}"
        folder.mkdir()
        found = figures_of(tokens, job(who, precision), folder, monkeypatch, capsys)
        assert found["amount"] == STEPS * QUICK.tokens_of_a_step
        assert found["seconds"] > 0
        assert found["peak_mebibytes"] > 10
        assert found["matrix_flop_per_second"] > 0
        results[who, precision] = found
    reference = results["stock", "fp32"]
    assert results["ours", "fp32"]["first_loss"] == pytest.approx(reference["first_loss"], rel=1e-5)
    for found in results.values():
        assert found["first_loss"] == pytest.approx(reference["first_loss"], rel=1e-3)
        assert found["valid_loss"] == pytest.approx(reference["valid_loss"], rel=1e-3)
        assert found["valid_loss"] < found["first_loss"], "it has learned something"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_profile_names_all_parts_and_adds_up(
    tokens: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    precision: Precision,
) -> None:
    with monkeypatch.context() as patches:
        # The marks on these stay for the rest of a process.
        patches.setattr(Guard, "step", Guard.step)
        for name in ("forward_steps", "backward_steps", "weight_gradient"):
            patches.setattr(fused_steps, name, getattr(fused_steps, name))
        found = figures_of(tokens, job("ours", precision, profile=True), tmp_path, monkeypatch, capsys)
    fused = precision == "bf16" and fused_steps.available(torch.bfloat16)
    steps = "recurrent products and cells in one" if fused else "recurrent products"
    rows = found["profile"]
    assert {"loader", "masks", "embedding", "decoder and loss", "clipping and optimizer", "rest"} < {*rows}
    for number in (1, 2):
        kinds = {name.partition(", ")[2] for name in rows if name.startswith(f"layer {number}")}
        assert kinds == {"input products", steps, "weight gradients", "cell and rest"}
    assert sum(rows.values()) == pytest.approx(1000 * found["seconds"] / STEPS)


def test_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """With programs that only say figures: two cases and their memory, as a table and as JSON."""

    def measured(program: Program, folder: Path) -> Run:
        its = Job.from_json(program.command[-1])
        seconds = {"ours": 1.0, "stock": 2.0}[its.who] * (1 if its.precision == "bf16" else 1.5)
        figures: dict[str, Any] = {
            "amount": its.steps * its.sizes.tokens_of_a_step,
            "first_loss": 5.7,
            "valid_loss": 5.6,
            "peak_mebibytes": 100.0 if its.who == "ours" else 300.0,
            "matrix_flop_per_second": 1e9,
        }
        if its.profile:
            figures["profile"] = {"layer 1, cell and rest": 3.0, "rest": 1.0}
        return Run(seconds, 1.0, 0.0, figures)

    monkeypatch.setattr(lm, "resolve_precision", lambda precision, device: "bf16")
    monkeypatch.setattr("ulmfit.bench.pairs.gpu_generations", list)
    monkeypatch.setattr("ulmfit.bench.pairs.measure", measured)
    monkeypatch.setattr("ulmfit.bench.compare.measure", measured)
    report = bench("lm", Options(model="quick", steps=3, repetitions=2), lambda line: None)
    cases = {case["case"]: json.loads(json.dumps(case, allow_nan=False)) for case in report.cases}
    best = cases["quick, 4 x 10, bf16"]
    assert (best["ours"], best["stock"], best["ratio"], best["unit"]) == (120, 60, 2, "token/s")
    assert best["figures"]["stock_settings"] == {
        "fastai fp32, quick, batch 4": 40.0,
        "fastai bf16, quick, batch 4": 60.0,
    }
    assert best["profile_milliseconds"] == {"layer 1, cell and rest": 3.0, "rest": 1.0}
    assert best["figures"]["ours"]["flop_per_second"] == 120 * flop_per_token(QUICK)
    assert (best["bench"], best["input"]["device"]) == ("lm", "cpu")
    assert cases["quick, 4 x 10, fp32 beside fp32"]["ratio"] == 2
    assert "profile_milliseconds" not in cases["quick, 4 x 10, fp32 beside fp32"], "one of each size"
    memory = cases["quick, 4 x 10, bf16: peak memory"]
    assert (memory["ours"], memory["stock"], memory["ratio"], memory["unit"]) == (100, 300, 3, "MiB")
    assert "layer 1, cell and rest" in report.table
    assert "75.0%" in report.table


def test_batches_of_both_loaders_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_program, "SECONDS", 0.05)
    write_made_tokens(tmp_path, "train", 20_000, 15_000, 0)
    array, cpu = TokenArray.open(tmp_path, "train"), torch.device("cpu")
    for batches in (
        loader_program.our_batches(array, cpu),
        loader_program.stock_batches(array, cpu, 0),
    ):
        ids, targets = next(batches)
        assert torch.equal(ids[:, 1:], targets[:, :-1])
        found = loader_program.timed(batches, 0.0, cpu)
        assert found["seconds"] >= 0.05
        assert found["amount"] > 0


def test_made_tokens(tmp_path: Path) -> None:
    write_made_tokens(tmp_path, "train", 300_000, 15_000, 0)
    array = TokenArray.open(tmp_path, "train")
    lengths = numpy.diff(array.offsets)
    assert len(array.tokens) == 300_000
    assert 300 < numpy.median(lengths) < 500
    assert all(array.document(number)[0] == BOS_ID for number in range(len(array)))
    assert array.tokens.max() < 15_000
    assert len(numpy.unique(array.tokens)) > 5000
    (tmp_path / "again").mkdir()
    write_made_tokens(tmp_path / "again", "train", 300_000, 15_000, 0)
    assert numpy.array_equal(TokenArray.open(tmp_path / "again", "train").tokens, array.tokens)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["lm", "loader"])
def test_the_whole_bench_in_processes(name: str) -> None:
    options = {
        "lm": Options(model="quick", steps=2, repetitions=1),
        "loader": Options(megabytes=1, repetitions=1),
    }
    report = bench(name, options[name], lambda line: None)
    assert len(report.cases) >= 1
    for case in report.cases:
        ratio = case["ours"] / case["stock"] if case["unit"] != "MiB" else case["stock"] / case["ours"]
        assert case["ratio"] == pytest.approx(ratio, rel=0.01)
        assert json.dumps(case, allow_nan=False)
