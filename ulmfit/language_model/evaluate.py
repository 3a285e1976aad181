"""A language model's quality, document by document: every token is scored given its document's beginning.

Shapes: B documents, T tokens of the longest of them, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy
import torch
from torch import Tensor

from ulmfit.language_model.encoder import PAD_ID
from ulmfit.language_model.model import LanguageModel

CHUNK = 70


def document_losses(
    model: LanguageModel,
    documents: Sequence[numpy.ndarray],
    batch_size: int,
    advance: Callable[[int], None] = lambda tokens: None,
) -> numpy.ndarray:
    """Return the summed loss of each document (nats, float64) over its tokens after the first (xxbos)."""
    order = sorted(range(len(documents)), key=lambda index: len(documents[index]))
    losses = numpy.zeros(len(documents))
    device = model.encoder.encoder.weight.device
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = [documents[index] for index in chosen]
            losses[chosen] = _batch_losses(model, _padded(batch).to(device)).cpu().numpy()
            advance(sum(map(len, batch)))
    return losses


def _padded(documents: Sequence[numpy.ndarray]) -> Tensor:
    ids = torch.full((len(documents), max(map(len, documents))), PAD_ID, dtype=torch.int64)
    for row, document in enumerate(documents):
        ids[row, : len(document)] = torch.from_numpy(document.astype(numpy.int64))
    return ids


def _batch_losses(model: LanguageModel, ids: Tensor) -> Tensor:
    """Map ids (B, T) to summed losses (B,); padding adds nothing."""
    state = model.encoder.initial_state(ids.shape[0])
    total = torch.zeros(ids.shape[0], dtype=torch.float64, device=ids.device)
    for start in range(0, ids.shape[1] - 1, CHUNK):
        targets = ids[:, start + 1 : start + 1 + CHUNK]
        outputs, state = model.encoder(ids[:, start : start + targets.shape[1]], state)
        logits = model.decoder(outputs)
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=PAD_ID, reduction="none"
        )
        total += loss.view_as(targets).double().sum(1)
    return total


def perplexities(
    *, loss_sum: float, documents: int, tokens: int, words: int, characters: int, unknown_tokens: int
) -> dict[str, float]:
    """Return loss (nats a token), token and word perplexity, and bits per character.

    `tokens` are the scored ones, `words` and `characters` those of the raw text. Word perplexity is
    exp(loss x tokens / words). With unknown tokens the last two are not comparable to other models'.
    """
    loss = loss_sum / max(tokens, 1)
    return {
        "loss": loss,
        "token_perplexity": _exponential(loss),
        "word_perplexity": _exponential(loss_sum / max(words, 1)),
        "bits_per_character": loss_sum / math.log(2) / max(characters, 1),
        "documents": documents,
        "tokens": tokens,
        "words": words,
        "characters": characters,
        "unknown_tokens": unknown_tokens,
    }


def _exponential(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
