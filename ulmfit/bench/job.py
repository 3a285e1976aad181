"""The job of one process of `ulmfit bench lm`, `classifier` or `predict`. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self

from ulmfit.language_model.settings import Architecture

Precision = Literal["fp32", "bf16", "fp16"]
Device = Literal["cpu", "cuda"]
Library = Literal["ours", "onnx", "stock"]
Work = Literal["lm", "inference", "training"]
"""Training of a language model; prediction and training of a classifier."""


@dataclass(frozen=True)
class Sizes:
    """A model, its batches in training and, of a classifier, its documents."""

    name: str
    architecture: Architecture
    vocabulary_size: int
    batch_size: int
    bptt: int = 70
    tokens: int = 0
    """Median length of a document; lengths are log-normal."""

    @property
    def tokens_of_a_step(self) -> int:
        """Tokens of a language model's batch."""
        return self.batch_size * self.bptt

    def with_batch(self, batch_size: int) -> Self:
        """Return the same model with other batches."""
        return replace(self, batch_size=batch_size)


def _lstm(embedding: int, hidden: int, layers: int = 3) -> Architecture:
    return Architecture(embedding_size=embedding, hidden_size=hidden, layers=layers)


FULL = Sizes("full", _lstm(400, 1152), 15_000, 64)
SMALL = Sizes("small", _lstm(200, 400), 8_000, 32)
QUICK = Sizes("quick", _lstm(16, 24, layers=2), 300, 4, bptt=10)
DEEP = Sizes("4x1550 LSTM", _lstm(400, 1550, layers=4), 15_000, 64)
DEEP_QRNN = Sizes("4x1550 QRNN", DEEP.architecture.changed(kind="qrnn"), 15_000, 64)


def flop_per_token(sizes: Sizes) -> int:
    """Return the floating-point operations of training on one token, those of the matrix products.

    A product of an (m, k) with a (k, n) matrix is 2 m k n operations. Forward, a token meets every weight of
    a layer once: an LSTM layer of H units and I inputs has 4H (I + H), a QRNN layer that sees W tokens at
    once 3H W I, the decoder V E. Backward takes two products of the same size each: one for the gradient of
    the inputs, one for that of the weights. So it is 6 times the number of these weights. The rest (cell,
    softmax, dropout, optimizer) is not counted: the full model's 157.5 MFLOP are this sum.
    """
    architecture = sizes.architecture
    widths = [architecture.embedding_size]
    widths += [architecture.hidden_size] * (architecture.layers - 1) + [architecture.embedding_size]
    weights = sizes.vocabulary_size * architecture.embedding_size
    for layer, (inputs, units) in enumerate(pairwise(widths)):
        if architecture.kind == "lstm":
            weights += 4 * units * (inputs + units)
        else:
            weights += 3 * units * inputs * (architecture.window if layer == 0 else 1)
    return 6 * weights


@dataclass(frozen=True)
class Job:
    """Work with one model by one of the two libraries."""

    who: Library
    work: Work
    sizes: Sizes
    precision: Precision
    steps: int
    """Batches that are measured; `warm_up` more come first (compilation, first allocations)."""
    warm_up: int
    device: Device
    batch_size: int
    """Batch size; in training that of `sizes`."""
    workers: int = 0
    """Processes of stock's loader."""
    graphs: bool = True
    """CUDA graphs, where ours uses them."""
    profile: bool = False
    """Measure where the time of a step goes; the total seconds are then not to be used."""

    @property
    def documents(self) -> int:
        """Documents of a classifier that are measured, the same number for every batch size."""
        return self.steps * self.sizes.batch_size

    @property
    def amount(self) -> int:
        """What is measured: tokens of a language model, documents of a classifier."""
        return self.steps * self.sizes.tokens_of_a_step if self.work == "lm" else self.documents

    @property
    def name(self) -> str:
        """What is run and with which settings, for people."""
        library = {"ours": "ulmfit", "onnx": "onnxruntime", "stock": "fastai"}[self.who]
        work = "" if self.work == "lm" else f", {self.work}"
        workers = f", {self.workers} workers" if self.workers else ""
        graphs = "" if self.graphs else ", no CUDA graphs"
        batch = f"{self.sizes.name}, batch {self.batch_size}"
        return f"{library} {self.precision}{work}, {batch}{workers}{graphs}"

    def as_json(self) -> str:
        """Return the job as an argument of a command."""
        content = asdict(self)
        content["sizes"]["architecture"] = self.sizes.architecture.model_dump()
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the job that `as_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        sizes = content.pop("sizes")
        architecture = Architecture(**sizes.pop("architecture"))
        return cls(sizes=Sizes(architecture=architecture, **sizes), **content)
