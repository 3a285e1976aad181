"""Logits of documents of any length: dense batches, weights packed once, one chunk in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch

from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.model import TextClassifier
from ulmfit.pipeline.errors import InputError


def predict_logits(
    model: TextClassifier, documents: Sequence[numpy.ndarray], batch_size: int
) -> numpy.ndarray:
    """Return logits (documents, K) in float64, in the order of `documents`, token arrays of any length.

    Documents of similar length are read together, `batch_size` of them at once; none of them changes what
    another one gets. The model computes in the precision and by the engine of its encoder's `compute`.
    Raises InputError when there are no documents.
    """
    if not len(documents):
        raise InputError("there are no texts to predict")
    loader = DocumentLoader(documents, [0] * len(documents), batch_size, shuffled=False)
    device = next(model.parameters()).device
    model.eval()
    parts: list[torch.Tensor] = []
    order = loader.order(0)
    with torch.inference_mode(), model.encoder.module.weights_kept():
        for ids, lengths, _ in loader.batches(0):
            parts.append(model(ids.to(device, non_blocking=True), lengths))
        # Only now the device is waited for.
        logits = torch.cat(parts).double().cpu().numpy()
    result = numpy.empty_like(logits)
    result[numpy.concatenate(order)] = logits
    return result
