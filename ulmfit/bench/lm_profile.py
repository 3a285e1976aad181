"""Where the time of a training step goes, by torch's profiler, in a process that measures nothing else.

Parts of the forward pass are marked; what runs backward belongs to the part whose forward operation it is the
backward of. Within a layer, matrix products are told apart by their shapes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from ulmfit.bench.lm_job import Sizes
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
"""What our CPU engine multiplies with: by a weight in the blocks of oneDNN."""
ADDING_PRODUCT = "aten::addmm"
PRODUCTS = frozenset({"aten::mm", ADDING_PRODUCT, PACKED_PRODUCT})

Rows = dict[str, float]
"""Milliseconds a step of every part."""


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


def mark_parts(model: LanguageModel) -> None:
    """Mark the parts of a model, and those of all training in this process."""
    mark(model.encoder, "draw_masks", MASKS)
    mark(model.encoder, "_embed", EMBEDDING)
    mark(model.decoder, "drop", MASKS)
    for number, rnn in enumerate(model.encoder.rnns, 1):
        mark(rnn, "forward", f"{LAYER}{number}")
    mark(Guard, "step", OPTIMIZER)
    mark_fused_steps()


def mark(owner: Any, name: str, marked_as: str) -> None:
    """Let all that a method does be the part of a name."""
    _recorded(owner, name, MARK + marked_as)


def mark_fused_steps() -> None:
    """Let the profiler see the kernels that are no operations of torch's, as events of a layer."""
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
    """The profile of some steps."""

    def __init__(self, kind: Kind, steps: int, device: torch.device) -> None:
        self.kind, self.steps = kind, steps
        self.on_gpu = device.type == "cuda"
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.on_gpu else [])]
        self._profile = profile(activities=activities, record_shapes=True)

    def start(self) -> None:
        """Begin; the device has to be idle."""
        self._profile.start()

    def stop(self, seconds: float) -> Rows:
        """Return the milliseconds a step of each part, on the GPU where there is one.

        `seconds` have passed since `start`; `rest` is what of them has no part, waiting included.
        """
        self._profile.stop()
        # The device's own list of kernels and marks would count them a second time.
        operations = [event for event in self._profile.events() or () if event.device_type == DeviceType.CPU]
        events = [Event.of(event, self.on_gpu) for event in operations]
        rows = {name: value / 1000 / self.steps for name, value in microseconds(events, self.kind).items()}
        rows[REST] = 1000 * seconds / self.steps - sum(rows.values())
        return rows


@dataclass(frozen=True, eq=False)
class Event:
    """An operation or a mark, with the time that is its own: without that of those inside."""

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


Kind = Callable[[Event], str]
"""Says what an event inside of a layer does."""


def microseconds(events: Iterable[Event], kind: Kind) -> Rows:
    """Return the time of every part, in a layer of every kind; what belongs to none is left out."""
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
            row = f"{name}, {kind(event)}" if name.startswith(LAYER) else name
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


def operands(event: Event) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the shapes of a matrix product's two sides; None for any other event."""
    if event.name not in PRODUCTS or len(event.shapes) < 2 + (event.name == ADDING_PRODUCT):
        return None
    # `addmm` has a bias before its operands; after them may come a tensor for the result.
    left, right = event.shapes[1:3] if event.name == ADDING_PRODUCT else event.shapes[:2]
    return left, right


def kind_in_a_stream(sizes: Sizes, event: Event) -> str:
    """Return what an event inside of a layer of a language model does."""
    if event.name in (FUSED, GRADIENTS):
        return event.name
    both = operands(event)
    if both is None:
        return OTHER
    left, right = both
    tokens = sizes.tokens_of_a_step
    if left[-1] == tokens or (event.name != PACKED_PRODUCT and right[0] == tokens):
        return GRADIENTS
    return INPUTS if prod(left[:-1]) == tokens else RECURRENT
