"""AWD-LSTM (Merity et al. 2017, arXiv 1708.02182) with the parameter names of fastai's AWD_LSTM.

Shapes: B batch, T tokens of a chunk, E embedding, H hidden units, V vocabulary, L layers.
The last layer has E outputs, so that the decoder can share the embedding's weights.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ulmfit.language_model.settings import Architecture, Dropouts

State = list[tuple[Tensor, Tensor]]
"""For every layer: hidden and cell state, each (1, B, units)."""

EMBEDDING_RANGE = 0.1
PAD_ID = 1


def dropout_mask(like: Tensor, shape: tuple[int, ...], probability: float) -> Tensor:
    """Return zeros with `probability`, elsewhere 1 / (1 - probability)."""
    return like.new_empty(shape).bernoulli_(1 - probability).div_(1 - probability)


class RNNDropout(nn.Module):
    """Variational dropout: one mask (B, 1, units) for all time steps of a chunk (section 4.2)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, T, units) to the same shape."""
        if not self.training or self.probability == 0:
            return inputs
        return inputs * dropout_mask(inputs, (inputs.shape[0], 1, inputs.shape[2]), self.probability)


class InputWeights(nn.Module):
    """The parameters of an LSTM layer that are never dropped; a module of its own, for fastai's names."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        weights = dict(lstm.named_parameters())
        self.weight_ih_l0 = weights["weight_ih_l0"]
        self.bias_ih_l0 = weights["bias_ih_l0"]
        self.bias_hh_l0 = weights["bias_hh_l0"]


class WeightDropLSTM(nn.Module):
    """One LSTM layer with DropConnect on the hidden-to-hidden weights (section 2), drawn once a chunk."""

    def __init__(self, inputs: int, units: int, weight_dropout: float) -> None:
        super().__init__()
        self.weight_dropout = weight_dropout
        lstm = nn.LSTM(inputs, units)
        self.weight_hh_l0_raw = dict(lstm.named_parameters())["weight_hh_l0"]
        self.module = InputWeights(lstm)

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map (B, T, inputs) and the state to (B, T, units) and the new state."""
        recurrent = functional.dropout(self.weight_hh_l0_raw, self.weight_dropout, self.training)
        other = self.module
        weights = [other.weight_ih_l0, recurrent, other.bias_ih_l0, other.bias_hh_l0]
        output, hidden, cell = torch.lstm(inputs, state, weights, True, 1, 0.0, self.training, False, True)
        return output, (hidden, cell)


class AWDLSTMEncoder(nn.Module):
    """Embedding and L LSTM layers, with embedding, input, hidden and weight dropout."""

    def __init__(self, vocabulary_size: int, architecture: Architecture, dropouts: Dropouts) -> None:
        super().__init__()
        drop = dropouts.scaled()
        size, layers = architecture.embedding_size, architecture.layers
        self.encoder = nn.Embedding(vocabulary_size, size, padding_idx=PAD_ID)
        nn.init.uniform_(self.encoder.weight, -EMBEDDING_RANGE, EMBEDDING_RANGE)
        self.embedding_dropout = drop.embedding
        self.input_dp = RNNDropout(drop.input)
        self.units = [architecture.hidden_size] * (layers - 1) + [size]
        self.rnns = nn.ModuleList(
            WeightDropLSTM(inputs, units, drop.weight)
            for inputs, units in zip([size, *self.units[:-1]], self.units, strict=True)
        )
        self.hidden_dps = nn.ModuleList(RNNDropout(drop.hidden) for _ in range(layers))

    def initial_state(self, batch_size: int) -> State:
        """Return zeros for the beginning of a document or a stream."""
        weight = self.encoder.weight
        return [(weight.new_zeros(1, batch_size, u), weight.new_zeros(1, batch_size, u)) for u in self.units]

    def forward(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Map token ids (B, T) and the state to outputs (B, T, E) and the new state."""
        output = self.input_dp(self._embed(ids))
        new_state = []
        last = len(self.rnns) - 1
        for layer, (rnn, dropout) in enumerate(zip(self.rnns, self.hidden_dps, strict=True)):
            output, layer_state = rnn(output, state[layer])
            new_state.append(layer_state)
            if layer != last:
                output = dropout(output)
        return output, new_state

    def _embed(self, ids: Tensor) -> Tensor:
        """Look up embeddings; in training whole words are dropped (section 4.3)."""
        weight = self.encoder.weight
        if self.training and self.embedding_dropout:
            weight = weight * dropout_mask(weight, (weight.shape[0], 1), self.embedding_dropout)
        return functional.embedding(ids, weight, PAD_ID)


class LinearDecoder(nn.Module):
    """Output dropout and the linear layer that shares the embedding's weights (section 4.5)."""

    def __init__(self, embedding: nn.Embedding, output_dropout: float) -> None:
        super().__init__()
        self.decoder = nn.Linear(embedding.embedding_dim, embedding.num_embeddings)
        self.decoder.weight = embedding.weight
        nn.init.zeros_(self.decoder.bias)
        self.output_dp = RNNDropout(output_dropout)

    def forward(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, E) to logits (B, T, V) and the dropped outputs, which AR looks at."""
        dropped = self.output_dp(outputs)
        return self.decoder(dropped), dropped


class LanguageModel(nn.Sequential):
    """Encoder and decoder; carries the hidden state from chunk to chunk, as fastai's language models do."""

    def __init__(self, vocabulary_size: int, architecture: Architecture, dropouts: Dropouts) -> None:
        encoder = AWDLSTMEncoder(vocabulary_size, architecture, dropouts)
        super().__init__(encoder, LinearDecoder(encoder.encoder, dropouts.scaled().output))
        self.state: State | None = None

    @property
    def encoder(self) -> AWDLSTMEncoder:
        """The part that a classifier takes over."""
        return cast(AWDLSTMEncoder, self[0])

    def reset(self) -> None:
        """Forget the hidden state: the next chunk begins a text."""
        self.state = None

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ids (B, T) to logits (B, T, V), raw outputs and dropped outputs (B, T, E)."""
        if self.state is None or self.state[0][0].shape[1] != ids.shape[0]:
            self.state = self.encoder.initial_state(ids.shape[0])
        raw, state = self.encoder(ids, self.state)
        self.state = [(hidden.detach(), cell.detach()) for hidden, cell in state]
        logits, dropped = self[1](raw)
        return logits, raw, dropped

    def hidden_tensors(self) -> dict[str, Tensor]:
        """Return the carried state by name, for a checkpoint."""
        names = ("hidden", "cell")
        return {
            f"{layer}.{name}": tensor
            for layer, pair in enumerate(self.state or [])
            for name, tensor in zip(names, pair, strict=True)
        }

    def restore_hidden(self, tensors: dict[str, Tensor]) -> None:
        """Take up the state that a checkpoint kept."""
        device = self.encoder.encoder.weight.device
        layers = len(tensors) // 2
        self.state = [
            (tensors[f"{layer}.hidden"].to(device), tensors[f"{layer}.cell"].to(device))
            for layer in range(layers)
        ] or None


def layer_groups(model: LanguageModel) -> list[list[nn.Parameter]]:
    """Split into one group a layer, then embedding and decoder on top (they are one tensor)."""
    groups = [list(rnn.parameters()) for rnn in model.encoder.rnns]
    return [*groups, list(dict.fromkeys([*model.encoder.encoder.parameters(), *model[1].parameters()]))]
