"""The language model: encoder and tied decoder, carrying its state from chunk to chunk.

Shapes: B batch, T tokens of a chunk, E embedding, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional

from ulmfit.language_model.compute import Compute
from ulmfit.language_model.encoder import Encoder, State
from ulmfit.language_model.masks import applied, dropout_mask
from ulmfit.language_model.settings import Architecture, Dropouts


class Outputs(NamedTuple):
    """The outputs of the language model for a chunk."""

    logits: Tensor | None
    """(B, T, V); None where the loss is computed without them."""
    raw: Tensor
    """(B, T, E): outputs of the last layer, which TAR looks at."""
    dropped: Tensor
    """(B, T, E): the same after output dropout, which AR looks at and the decoder reads."""


class LinearDecoder(nn.Module):
    """Output dropout and the linear layer that shares the embedding's weights (section 4.5)."""

    def __init__(self, embedding: nn.Embedding, output_dropout: float) -> None:
        super().__init__()
        self.decoder = nn.Linear(embedding.embedding_dim, embedding.num_embeddings)
        self.decoder.weight = embedding.weight
        nn.init.zeros_(self.decoder.bias)
        self.output_dropout = output_dropout

    def drop(self, outputs: Tensor) -> Tensor:
        """Map (B, T, E) to the same shape: in training with one mask for all time steps."""
        if not self.training:
            return outputs
        shape = (outputs.shape[0], 1, outputs.shape[2])
        mask = dropout_mask(self.decoder.weight, shape, self.output_dropout)
        return applied(mask, outputs)

    def forward(self, dropped: Tensor) -> Tensor:
        """Map (B, T, E) to logits (B, T, V), in the same type."""
        weight, bias = self.decoder.weight.to(dropped.dtype), self.decoder.bias.to(dropped.dtype)
        return functional.linear(dropped, weight, bias)


class LanguageModel(nn.Sequential):
    """Encoder and decoder; carries the hidden state from chunk to chunk, as fastai's language models do."""

    def __init__(self, vocabulary_size: int, architecture: Architecture, dropouts: Dropouts) -> None:
        encoder = Encoder(vocabulary_size, architecture, dropouts)
        super().__init__(encoder, LinearDecoder(encoder.encoder, dropouts.scaled().output))
        self.state: State | None = None
        self.makes_logits = True
        """False: `forward` leaves the logits out, because the loss is computed from `dropped` in parts."""

    @property
    def encoder(self) -> Encoder:
        """The part that a classifier reuses."""
        return cast(Encoder, self[0])

    @property
    def decoder(self) -> LinearDecoder:
        """Output dropout and the tied linear layer."""
        return cast(LinearDecoder, self[1])

    def set_compute(self, compute: Compute) -> None:
        """Choose the type and the engine of what follows; the parameters and the carried state stay."""
        self.encoder.compute = compute

    def reset(self) -> None:
        """Reset the hidden state: the next chunk begins a text."""
        self.state = None

    def forget(self, streams: slice) -> None:
        """Set the hidden state of these rows of a batch to zero: their next chunk begins a text."""
        for layer in self.state or []:
            for tensor in layer:
                tensor[:, streams] = 0

    def forward(self, ids: Tensor) -> Outputs:
        """Map ids (B, T) to logits, raw and dropped outputs."""
        if self.state is None or self.state[0][0].shape[1] != ids.shape[0]:
            self.state = self.encoder.initial_state(ids.shape[0])
        raw, state = self.encoder(ids, self.state)
        self.state = [tuple(tensor.detach() for tensor in layer) for layer in state]
        dropped = self.decoder.drop(raw)
        return Outputs(self.decoder(dropped) if self.makes_logits else None, raw, dropped)

    def hidden_tensors(self) -> dict[str, Tensor]:
        """Return the carried state by name (layer, number), for a checkpoint."""
        return {
            f"{layer}.{number}": tensor
            for layer, tensors in enumerate(self.state or [])
            for number, tensor in enumerate(tensors)
        }

    def restore_hidden(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
        device = self.encoder.encoder.weight.device
        state: State = []
        while f"{len(state)}.0" in tensors:
            layer = len(state)
            count = sum(name.startswith(f"{layer}.") for name in tensors)
            state.append(tuple(tensors[f"{layer}.{number}"].to(device) for number in range(count)))
        self.state = state or None


def layer_groups(model: LanguageModel) -> list[list[nn.Parameter]]:
    """Split into one group per layer, then embedding and decoder on top (they are one tensor)."""
    groups = [list(rnn.parameters()) for rnn in model.encoder.rnns]
    return [*groups, list(dict.fromkeys([*model.encoder.encoder.parameters(), *model.decoder.parameters()]))]
