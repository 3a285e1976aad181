"""Where the time of a batch goes, by torch's profiler, in a process that measures nothing else.

Parts of the forward pass are marked; a backward operation belongs to the part of its forward operation.
Within a layer, matrix products are distinguished by their shapes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from ulmfit.bench.job import Job
from ulmfit.classifier.model import TextClassifier
from ulmfit.language_model.engines import fused_steps
from ulmfit.language_model.loss import StreamLoss
from ulmfit.language_model.model import LanguageModel, Outputs
from ulmfit.training.guard import Guard

MARK = "part: "
BACKWARD = "autograd::engine::evaluate_function"
LOADER, MASKS, EMBEDDING, LOSS, OPTIMIZER = (
    "loader",
    "masks",
    "embedding",
    "decoder and loss",
    "clipping and optimizer",
)
POOLING, HEAD = "pooling and state", "head and loss"
LAYER = "layer "
REST = "rest"
RECURRENT, FUSED, INPUTS, GRADIENTS, OTHER = (
    "recurrent products",
    "recurrent products and cells in one",
    "input products",
    "weight gradients",
    "cell and rest",
)
PACKED_PRODUCT = "mkldnn::_linear_pointwise"
"""The matrix product of our CPU engine, with a weight in the blocks of oneDNN."""
ADDING_PRODUCT = "aten::addmm"
PRODUCTS = frozenset({"aten::mm", ADDING_PRODUCT, PACKED_PRODUCT})

Rows = dict[str, float]
"""Milliseconds per step of every part."""


def part(name: str) -> record_function:
    """Return a context whose time is that of the part called `name`."""
    return record_function(MARK + name)


class MarkedLoss(StreamLoss):
    """The loss as a part of its own."""

    def __call__(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Return the same."""
        with part(LOSS):
            return super().__call__(outputs, targets)

    def penalty(self, outputs: Outputs) -> Tensor | None:
        """Return the same."""
        with part(LOSS):
            return super().penalty(outputs)


def mark_parts(model: LanguageModel | TextClassifier) -> None:
    """Mark the parts of a model, and those of all training in this process."""
    if isinstance(model, LanguageModel):
        encoder = model.encoder
        _recorded(model.decoder, "drop", MARK + MASKS)
    else:
        encoder = model.encoder.module
        _recorded(model.encoder, "forward", MARK + POOLING)
        _recorded(model.head, "forward", MARK + HEAD)
        _recorded(nn.CrossEntropyLoss, "forward", MARK + HEAD)
    _recorded(encoder, "draw_masks", MARK + MASKS)
    _recorded(encoder, "_embed", MARK + EMBEDDING)
    for number, rnn in enumerate(encoder.rnns, 1):
        _recorded(rnn, "forward", f"{MARK}{LAYER}{number}")
    _recorded(Guard, "step", MARK + OPTIMIZER)
    # The profiler does not see kernels that are not torch operations.
    for name in ("forward_steps", "backward_steps"):
        _recorded(fused_steps, name, FUSED)
    _recorded(fused_steps, "weight_gradient", GRADIENTS)


def _recorded(owner: Any, name: str, event: str) -> None:
    method: Callable[..., Any] = getattr(owner, name)

    def marked(*arguments: Any, **options: Any) -> Any:
        with record_function(event):
            return method(*arguments, **options)

    setattr(owner, name, marked)


class Profile:
    """The profile of the batches of a job."""

    def __init__(self, job: Job, device: torch.device) -> None:
        self.job = job
        # A classifier reads its documents in batches of another size when it predicts.
        self.steps = -(-job.documents // job.batch_size)
        self.on_gpu = device.type == "cuda"
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.on_gpu else [])]
        self._profile = profile(activities=activities, record_shapes=True)

    def start(self) -> None:
        """Begin; the device has to be idle."""
        self._profile.start()

    def stop(self, seconds: float) -> Rows:
        """Return the milliseconds per step of each part, on the GPU where there is one.

        `seconds` have passed since `start`; `rest` is the time outside of all parts, waiting included.
        """
        self._profile.stop()
        # The device's own list of kernels and marks would count them a second time.
        operations = [event for event in self._profile.events() or () if event.device_type == DeviceType.CPU]
        events = [Event.of(event, self.on_gpu) for event in operations]
        rows = {name: value / 1000 / self.steps for name, value in microseconds(events, self.job).items()}
        rows[REST] = 1000 * seconds / self.steps - sum(rows.values())
        return rows


@dataclass(frozen=True, eq=False)
class Event:
    """An operation or a mark, with its own time: without that of the operations inside it."""

    name: str
    start: float
    own_microseconds: float
    parent: Event | None
    shapes: tuple[tuple[int, ...], ...] = ()
    sequence: int = -1
    """Number that a forward operation shares with its backward."""

    @classmethod
    def of(cls, event: Any, on_gpu: bool) -> Event:
        """Convert an event of torch's, and those around it."""
        shapes = tuple(tuple(shape) for shape in event.input_shapes or () if shape)
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        parent = cls.of(event.cpu_parent, on_gpu) if event.cpu_parent else None
        return cls(event.name, event.time_range.start, own, parent, shapes, event.sequence_nr)


def microseconds(events: Iterable[Event], job: Job) -> Rows:
    """Return the time of every part, within layers per kind of work; the rest is left out."""
    in_order = sorted(events, key=lambda event: event.start)
    parts_of_numbers: dict[int, str] = {}
    rows: dict[str, float] = defaultdict(float)
    for event in in_order:
        if (marked := _marked(event)) and event.sequence >= 0:
            # The last operation with a number is the one that autograd remembers.
            parts_of_numbers[event.sequence] = marked
    for event in in_order:
        name = _marked(event) or parts_of_numbers.get(_backward_number(event))
        if name is not None:
            row = f"{name}, {kind(event, job)}" if name.startswith(LAYER) else name
            rows[row] += event.own_microseconds
    return dict(sorted(rows.items()))


def _marked(event: Event | None) -> str | None:
    """Return the part that an event lies in."""
    while event is not None:
        if event.name.startswith(MARK):
            return event.name.removeprefix(MARK)
        event = event.parent
    return None


def _backward_number(event: Event | None) -> int:
    """Return the number of the backward operation that an event lies in; -1: in none."""
    while event is not None:
        if event.name.startswith(BACKWARD):
            return event.sequence
        event = event.parent
    return -1


def kind(event: Event, job: Job) -> str:
    """Return the kind of work of an event inside a layer: products of matrices differ by their shapes."""
    if event.name in (FUSED, GRADIENTS):
        return event.name
    if event.name not in PRODUCTS or len(event.shapes) < 2 + (event.name == ADDING_PRODUCT):
        return OTHER
    # `addmm` has a bias before its operands; after them may come a tensor for the result.
    left, right = event.shapes[1:3] if event.name == ADDING_PRODUCT else event.shapes[:2]
    architecture = job.sizes.architecture
    gates = (1, 4) if architecture.kind == "lstm" else (1, 2, 3)
    sizes = (architecture.hidden_size, architecture.embedding_size)
    widths = {gate * size for gate in gates for size in sizes}
    if event.name != PACKED_PRODUCT and right[0] not in widths:
        return GRADIENTS  # which are sums over tokens
    return RECURRENT if prod(left[:-1]) <= job.batch_size else INPUTS
