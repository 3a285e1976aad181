"""The encoder: an embedding and recurrent layers, with the parameter names of fastai's AWD_LSTM.

Shapes: B batch, T tokens of a chunk, E embedding, H hidden units, V vocabulary, L layers.
The last layer has E outputs, so that the decoder can share the embedding's weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from ulmfit.language_model.compute import PLAIN, Compute
from ulmfit.language_model.lstm import WeightDropLSTM
from ulmfit.language_model.masks import Masks, applied, dropout_mask, no_masks
from ulmfit.language_model.qrnn import WeightDropQRNN
from ulmfit.language_model.settings import Architecture, Dropouts

State = list[tuple[Tensor, ...]]
"""The state of each layer, carried from chunk to chunk; its tensors are (1, B, units)."""

EMBEDDING_RANGE = 0.1
PAD_ID = 1


def recurrent_layer(
    architecture: Architecture, dropouts: Dropouts, number: int, inputs: int, units: int
) -> WeightDropLSTM | WeightDropQRNN:
    """Return layer `number` of an encoder; only the first layer of a QRNN sees two tokens at once."""
    if architecture.kind == "lstm":
        return WeightDropLSTM(inputs, units)
    window = architecture.window if number == 0 else 1
    return WeightDropQRNN(inputs, units, window=window, zoneout=dropouts.zoneout)


class Encoder(nn.Module):
    """Embedding and L recurrent layers, with embedding, input, hidden and weight dropout."""

    def __init__(self, vocabulary_size: int, architecture: Architecture, dropouts: Dropouts) -> None:
        super().__init__()
        self.dropouts = dropouts.scaled()
        self.compute: Compute = PLAIN
        """The type and the engine with which the layers compute; may be set at any time between chunks."""
        size, layers = architecture.embedding_size, architecture.layers
        self.encoder = nn.Embedding(vocabulary_size, size, padding_idx=PAD_ID)
        nn.init.uniform_(self.encoder.weight, -EMBEDDING_RANGE, EMBEDDING_RANGE)
        self._keeps_weights = False
        self.units = [architecture.hidden_size] * (layers - 1) + [size]
        self.rnns = nn.ModuleList(
            recurrent_layer(architecture, self.dropouts, number, inputs, units)
            for number, (inputs, units) in enumerate(zip([size, *self.units[:-1]], self.units, strict=True))
        )

    def initial_state(self, batch_size: int) -> State:
        """Return zeros: the state at the beginning of a document or a stream."""
        return [rnn.initial_state(batch_size) for rnn in self.layers()]

    def layers(self) -> list[WeightDropLSTM | WeightDropQRNN]:
        """Return the recurrent layers, lowest first."""
        return cast(list[WeightDropLSTM | WeightDropQRNN], list(self.rnns))

    @contextmanager
    def weights_kept(self) -> Iterator[None]:
        """Cast and pack the weights once for all chunks that are read inside; they must not change meanwhile.

        A block inside of another one belongs to it. The backward pass may come later.
        """
        if self._keeps_weights:
            yield
            return
        self._keep_weights(True)
        try:
            yield
        finally:
            self._keep_weights(False)

    def _keep_weights(self, keeps: bool) -> None:
        self._keeps_weights = keeps
        for layer in self.layers():
            layer.keep_weights(keeps)

    def draw_masks(self, batch_size: int) -> Masks:
        """Return the dropouts of one chunk: random ones in training, none in evaluation."""
        if not self.training:
            return no_masks(len(self.rnns))
        drop, weight = self.dropouts, self.encoder.weight
        hidden = [dropout_mask(weight, (1, batch_size, units), drop.hidden) for units in self.units[:-1]]
        return Masks(
            embedding=dropout_mask(weight, (weight.shape[0], 1), drop.embedding),
            input=dropout_mask(weight, (1, batch_size, weight.shape[1]), drop.input),
            hidden=(*hidden, None),
            weight=tuple(
                dropout_mask(rnn.dropped_weight, tuple(rnn.dropped_weight.shape), drop.weight)
                for rnn in self.layers()
            ),
        )

    def forward(self, ids: Tensor, state: State, masks: Masks | None = None) -> tuple[Tensor, State]:
        """Map token ids (B, T) and the state to outputs (B, T, E) and the new state.

        Without `masks` they are drawn here. The outputs are a view of a tensor in which time comes first, in
        the type of `compute`.
        """
        masks = masks or self.draw_masks(ids.shape[0])
        embedded = applied(masks.input, self._embed(ids.t(), masks.embedding))
        output = embedded.to(self.compute.activations(embedded))
        new_state: State = []
        for rnn, layer_state, hidden_mask, weight_mask in zip(
            self.rnns, state, masks.hidden, masks.weight, strict=True
        ):
            output, layer_state = rnn(output, layer_state, weight_mask, self.compute)
            new_state.append(layer_state)
            output = applied(hidden_mask, output)
        return output.transpose(0, 1), new_state

    def _embed(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Look up embeddings of ids (T, B); a dropped word is dropped everywhere in the chunk."""
        embedded = functional.embedding(ids, self.encoder.weight, PAD_ID)
        return embedded if mask is None else embedded * functional.embedding(ids, mask)
