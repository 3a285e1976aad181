"""Predictions for documents of any length: dense batches, weights packed once, one chunk in memory at a time.

This module imports neither fastai nor pandas: prediction needs no more than it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy
import torch
from torch import Tensor, nn

from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.model import SentenceEncoder, TextClassifier
from ulmfit.pipeline.errors import InputError


def predict_logits(
    model: TextClassifier, documents: Sequence[numpy.ndarray], batch_size: int
) -> numpy.ndarray:
    """Return logits (documents, K) in float64, in the order of `documents`, token arrays of any length.

    Documents of similar length are read together, `batch_size` of them at once; the result for one does not
    depend on the others. The model computes in the precision and by the engine of its encoder's `compute`.
    Raises InputError when there are no documents.
    """
    return _predict(model, model.encoder, documents, batch_size, torch.float64)


def _predict(
    model: nn.Module,
    encoder: SentenceEncoder,
    documents: Sequence[numpy.ndarray],
    batch_size: int,
    dtype: torch.dtype,
) -> numpy.ndarray:
    """Return what `model`, which holds `encoder`, gives for each document, in their order."""
    if not len(documents):
        raise InputError("there are no texts to predict")
    loader = DocumentLoader(documents, [0] * len(documents), batch_size, shuffled=False)
    device = next(model.parameters()).device
    model.eval()
    parts: list[Tensor] = []
    order = loader.order(0)
    with torch.inference_mode(), encoder.module.weights_kept():
        for ids, lengths, _ in loader.batches(0):
            parts.append(model(ids.to(device, non_blocking=True), lengths))
        # The only place that waits for the device.
        outputs = torch.cat(parts).to(dtype).cpu().numpy()
    result = numpy.empty_like(outputs)
    result[numpy.concatenate(order)] = outputs
    return result


def predict_values(
    model: TextClassifier,
    documents: Sequence[numpy.ndarray],
    batch_size: int,
    activation: Callable[[Tensor], Tensor],
) -> numpy.ndarray:
    """Return what `activation` makes of the model's outputs (documents, K), in the order of `documents`."""
    return activation(torch.from_numpy(predict_logits(model, documents, batch_size))).numpy()


def predict_probabilities(
    model: TextClassifier, documents: Sequence[numpy.ndarray], batch_size: int
) -> numpy.ndarray:
    """Return the probabilities (documents, K) of single labels, in the order of `documents`."""
    return predict_values(model, documents, batch_size, lambda logits: logits.softmax(1))


def predict_pooled(
    encoder: SentenceEncoder, documents: Sequence[numpy.ndarray], batch_size: int
) -> numpy.ndarray:
    """Return what a head reads of each document, (documents, 3 E): last, largest, mean outputs; float32."""
    return _predict(encoder, encoder, documents, batch_size, torch.float32)
