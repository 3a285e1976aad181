"""The classifier of ULMFiT: the encoder over chunks of a document, concat pooling, a head of two layers.

Shapes: B documents, T tokens of the longest (padded at the end), E outputs of the encoder, K labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.encoder import Encoder


class SentenceEncoder(nn.Module):
    """Runs the encoder over chunks of `bptt` tokens; gradients stay inside a chunk (BPT3C, section 3.3)."""

    def __init__(self, encoder: Encoder, bptt: int) -> None:
        super().__init__()
        self.module = encoder
        self.bptt = bptt

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map ids (B, T), sorted by falling length, to outputs (B, T, E); zero after a document's end.

        Documents that have ended leave the batch, so their padding costs nothing from the next chunk on.
        """
        state = self.module.initial_state(ids.shape[0])
        chunks = []
        for start in range(0, ids.shape[1], self.bptt):
            rows = int((lengths > start).sum())
            state = [tuple(part[:, :rows].contiguous().detach() for part in layer) for layer in state]
            outputs, state = self.module(ids[:rows, start : start + self.bptt], state)
            chunks.append(functional.pad(outputs, (0, 0, 0, 0, 0, ids.shape[0] - rows)))
        return torch.cat(chunks, dim=1)


class PoolingClassifier(nn.Module):
    """Concat pooling [last, max, mean] and two layers with batch norm and dropout (section 3.3)."""

    def __init__(self, encoder_units: int, labels: int, settings: ClassifierSettings) -> None:
        super().__init__()
        pooled, hidden = 3 * encoder_units, settings.head_units
        self.layers = nn.Sequential(
            nn.BatchNorm1d(pooled),
            nn.Dropout(settings.dropouts.scaled().output),
            nn.Linear(pooled, hidden),
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(hidden),
            nn.Dropout(settings.head_dropout),
            nn.Linear(hidden, labels),
        )

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Map outputs (B, T, E) and lengths (B,) to logits (B, K)."""
        return self.layers(concat_pooling(outputs, lengths))


def concat_pooling(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Map (B, T, E) to (B, 3E): the last true token's output, and maximum and mean over true tokens.

    The result is fp32 for bf16 outputs, so that the mean is summed and the head computes in it.
    """
    batch, time, _ = outputs.shape
    wide = torch.promote_types(outputs.dtype, torch.float32)
    padding = (torch.arange(time, device=outputs.device)[None, :] >= lengths[:, None]).unsqueeze(2)
    last = outputs[torch.arange(batch, device=outputs.device), lengths - 1]
    maximum = outputs.masked_fill(padding, -torch.inf).amax(dim=1)
    mean = outputs.masked_fill(padding, 0).sum(dim=1, dtype=wide) / lengths[:, None]
    return torch.cat([last.to(wide), maximum.to(wide), mean], dim=1)


class TextClassifier(nn.Module):
    """A sentence encoder and a head; takes ids (B, T) and lengths (B,), gives logits (B, K)."""

    def __init__(self, encoder: Encoder, labels: int, settings: ClassifierSettings) -> None:
        super().__init__()
        self.encoder = SentenceEncoder(encoder, settings.bptt)
        self.head = PoolingClassifier(encoder.units[-1], labels, settings)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map ids (B, T), sorted by falling length, and lengths (B,) to logits (B, K)."""
        return self.head(self.encoder(ids, lengths), lengths)

    def hidden_tensors(self) -> dict[str, Tensor]:
        """A classifier carries nothing from batch to batch."""
        return {}

    def restore_hidden(self, tensors: dict[str, Tensor]) -> None:
        """A classifier carries nothing from batch to batch."""


def layer_groups(model: TextClassifier) -> list[list[nn.Parameter]]:
    """Split into embedding, one group a layer, and the head."""
    encoder = model.encoder.module
    return [
        list(encoder.encoder.parameters()),
        *(list(rnn.parameters()) for rnn in encoder.rnns),
        list(model.head.parameters()),
    ]
