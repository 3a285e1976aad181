"""Times the recurrent layers and the loss of the papers' models on a GPU, each way to compute them.

Prints one JSON object a case: milliseconds of forward and backward together, with launches from Python
(`eager`) and replayed from a CUDA graph (`graph`). `--environment` prints versions instead.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from ulmfit.language_model.compute import Compute
from ulmfit.language_model.engines.cudnn import CudnnLSTM, lstm_function, usable
from ulmfit.language_model.engines.forget_mult import SegmentPooling, stepwise
from ulmfit.language_model.linear_cross_entropy import linear_cross_entropy
from ulmfit.language_model.lstm import WeightDropLSTM
from ulmfit.language_model.masks import dropout_mask

DRY = os.environ.get("ULMFIT_GPU_DRY_RUN") == "1"
DEVICE = torch.device("cpu" if DRY else "cuda")
TOKENS, UNITS, QRNN_UNITS, VOCABULARY, EMBEDDING = (
    (5, 24, 24, 50, 16) if DRY else (70, 1152, 1550, 15_000, 400)
)
BATCHES = (4,) if DRY else (64, 512)
ROUNDS = 2 if DRY else 20

Step = Callable[[], object]


def environment() -> dict[str, object]:
    """Return what the figures depend on."""
    names = ("torch", "triton", "fastai", "numpy", "sentencepiece")
    installed = {name: importlib.metadata.version(name) for name in names if find_spec(name)}
    found: dict[str, object] = {**installed, "python": sys.version.split()[0], "cores": os.cpu_count()}
    if not DRY:
        dtypes = {"bf16": torch.bfloat16, "fp32": torch.float32}
        found |= {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cudnn_lstm": {name: usable(dtype, DEVICE) for name, dtype in dtypes.items()},
            "lstm_function": {name: str(lstm_function(dtype, DEVICE)) for name, dtype in dtypes.items()},
        }
    return found


def milliseconds(step: Step) -> float:
    """Return the median time of a step."""
    times = []
    for _ in range(ROUNDS):
        _wait()
        started = time.perf_counter()
        step()
        _wait()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def in_a_graph(step: Step) -> float:
    """Return the median time of a step that is replayed."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = step()
    time_of_replay = milliseconds(graph.replay)
    del kept
    return time_of_replay


def report(name: str, batch: int, step: Step) -> None:
    """Time a step both ways and print it; a way that fails is printed with its error."""
    found: dict[str, object] = {"case": name, "batch": batch}
    try:
        for _ in range(3):
            step()
        found["eager"] = round(milliseconds(step), 3)
        if DEVICE.type == "cuda":
            found["graph"] = round(in_a_graph(step), 3)
    except (RuntimeError, TypeError) as error:
        found["error"] = str(error).splitlines()[0]
    print(json.dumps(found), flush=True)


def gradients(leaves: list[Tensor], compute: Callable[[], Tensor]) -> Step:
    """Return a step: the computation and the gradients of its sum."""
    return lambda: torch.autograd.grad(compute().float().sum(), leaves)


def lstm(batch: int) -> None:
    """Time a middle layer of the full model."""
    layer = WeightDropLSTM(UNITS, UNITS).to(DEVICE)
    other, weight = layer.module, layer.weight_hh_l0_raw
    mask = dropout_mask(weight, tuple(weight.shape), 0.2)
    functions: dict[str, type[torch.autograd.Function] | None] = {"cuDNN": CudnnLSTM, "plain": None}
    if not DRY and find_spec("triton"):
        from ulmfit.language_model.engines.triton_lstm import TritonLSTM

        functions["Triton"] = TritonLSTM
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        inputs = torch.randn(TOKENS, batch, UNITS, device=DEVICE).to(dtype).requires_grad_()
        state = tuple(torch.randn(1, batch, UNITS, device=DEVICE) for _ in range(2))
        leaves = [inputs, *layer.parameters()]

        def compute(function, inputs=inputs, state=state, dtype=dtype) -> Tensor:
            if function is None:
                return layer(inputs, state, mask, Compute(dtype, "plain"))[0]
            biases = other.bias_ih_l0, other.bias_hh_l0
            hidden = state[0].to(dtype)
            return function.apply(inputs, hidden, state[1], other.weight_ih_l0, weight, mask, *biases)[0]

        for engine, function in functions.items():
            if engine == "plain" and batch != BATCHES[0]:
                continue
            step = gradients(leaves, lambda function=function, compute=compute: compute(function))
            report(f"LSTM {UNITS} {name}, {engine}", batch, step)


def pooling(batch: int) -> None:
    """Time the recurrence of a middle layer of MultiFiT's model."""
    functions = {"segments": SegmentPooling.apply, "stepwise": stepwise}
    if not DRY and find_spec("triton"):
        from ulmfit.language_model.engines.forget_mult_triton import TritonPooling

        functions["Triton"] = TritonPooling.apply
    gates = torch.randn(TOKENS, batch, 3 * QRNN_UNITS, device=DEVICE).bfloat16().requires_grad_()
    cell = torch.zeros(1, batch, QRNN_UNITS, device=DEVICE)
    for name, function in functions.items():
        step = gradients([gates], lambda function=function: function(gates, cell, None)[0])
        report(f"fo-pooling {QRNN_UNITS} bf16, {name}", batch, step)


def loss(batch: int) -> None:
    """Time the decoder with its cross-entropy."""
    hidden = torch.randn(batch * TOKENS, EMBEDDING, device=DEVICE).bfloat16().requires_grad_()
    weight = (0.1 * torch.randn(VOCABULARY, EMBEDDING, device=DEVICE)).requires_grad_()
    bias = torch.zeros(VOCABULARY, device=DEVICE, requires_grad=True)
    targets = torch.randint(0, VOCABULARY, (batch * TOKENS,), device=DEVICE)
    for engine in ("fast", "plain"):
        step = gradients(
            [hidden, weight, bias],
            lambda engine=engine: linear_cross_entropy(hidden, weight, bias, targets, engine=engine),
        )
        report(f"cross-entropy of {VOCABULARY} bf16, {engine}", batch, step)


def main() -> None:
    """Time everything, or print the environment."""
    torch.manual_seed(0)
    if "--environment" in sys.argv[1:]:
        print(json.dumps(environment()))
        return
    for batch in BATCHES:
        lstm(batch)
        pooling(batch)
        loss(batch)


if __name__ == "__main__":
    main()
