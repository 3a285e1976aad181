"""Where the time of a batch of documents goes: the parts of our classifier."""

from __future__ import annotations

from math import prod

from torch import nn

from ulmfit.bench.lm_profile import (
    EMBEDDING,
    FUSED,
    GRADIENTS,
    INPUTS,
    LAYER,
    MASKS,
    OPTIMIZER,
    OTHER,
    PACKED_PRODUCT,
    RECURRENT,
    Event,
    mark,
    mark_fused_steps,
    operands,
)
from ulmfit.classifier.model import TextClassifier
from ulmfit.language_model.settings import Architecture
from ulmfit.training.guard import Guard

POOLING, HEAD = "pooling and state", "head and loss"


def mark_parts(model: TextClassifier) -> None:
    """Mark the parts of a classifier, and those of all training in this process."""
    encoder = model.encoder.module
    mark(model.encoder, "forward", POOLING)
    mark(encoder, "draw_masks", MASKS)
    mark(encoder, "_embed", EMBEDDING)
    for number, rnn in enumerate(encoder.rnns, 1):
        mark(rnn, "forward", f"{LAYER}{number}")
    mark(model.head, "forward", HEAD)
    mark(nn.CrossEntropyLoss, "forward", HEAD)
    mark(Guard, "step", OPTIMIZER)
    mark_fused_steps()


def kind_in_documents(architecture: Architecture, batch_size: int, event: Event) -> str:
    """Return what an event inside of a layer does, told by the shapes of matrix products."""
    if event.name in (FUSED, GRADIENTS):
        return event.name
    both = operands(event)
    if both is None:
        return OTHER
    left, right = both
    widths = {
        units * size for units in (1, 4) for size in (architecture.hidden_size, architecture.embedding_size)
    }
    if event.name != PACKED_PRODUCT and right[0] not in widths:
        return GRADIENTS  # which are sums over tokens
    return RECURRENT if prod(left[:-1]) <= batch_size else INPUTS
