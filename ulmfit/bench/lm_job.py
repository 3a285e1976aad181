"""What one process of `ulmfit bench lm` does, and how many operations that takes. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self

from ulmfit.language_model.settings import Architecture

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Sizes:
    """A language model and its batches."""

    name: str
    architecture: Architecture
    vocabulary_size: int
    batch_size: int
    bptt: int = 70

    @property
    def tokens_of_a_step(self) -> int:
        """Tokens of a batch."""
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
    """Training of one model by one of the two libraries."""

    who: Literal["ours", "stock"]
    sizes: Sizes
    precision: Precision
    steps: int
    """Steps that are measured; `warm_up` more come first (compilation, first allocations)."""
    warm_up: int
    device: Literal["cpu", "cuda"]
    workers: int = 0
    """Processes of stock's loader."""
    graphs: bool = True
    """CUDA graphs, where ours uses them."""
    profile: bool = False
    """Say where the time of a step goes; the seconds are not to be used."""

    @property
    def name(self) -> str:
        """What is run and with which settings, for people."""
        library = "ulmfit" if self.who == "ours" else "fastai"
        sizes = f"{self.sizes.name}, batch {self.sizes.batch_size}"
        workers = f", {self.workers} workers" if self.workers else ""
        graphs = "" if self.graphs else ", no CUDA graphs"
        return f"{library} {self.precision}, {sizes}{workers}{graphs}"

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
