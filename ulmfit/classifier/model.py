"""The classifier of ULMFiT: the encoder over chunks of a document, concat pooling, a head of two layers.

Shapes: B documents, T tokens of the longest (padded at the end), E outputs of the encoder, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ulmfit.classifier.pooling import Pooled
from ulmfit.classifier.regularization import OutputSums
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.encoder import Encoder, State

SHARE_ENDED = 4
"""One row of so many may be padding at the end of a fine chunk."""
SHORTEST_CHUNK = 8
"""Tokens; shorter chunks cost more than the padding that they save."""


def chunks_of(counts: Sequence[int], bptt: int, *, fine: bool) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and documents of each chunk of a batch; `counts` are its lengths, falling.

    A chunk ends at a multiple of `bptt`, or with the longest document. `fine` ones also end where a quarter
    of their documents have, which saves most of the padding.
    """
    begin, rows = 0, len(counts)
    while begin < counts[0]:
        rows = sum(count > begin for count in counts[:rows])
        end = min((begin // bptt + 1) * bptt, counts[0])
        if fine:
            end = min(end, max(counts[rows - 1 - rows // SHARE_ENDED], begin + SHORTEST_CHUNK))
        yield begin, end, rows
        begin = end


class SentenceEncoder(nn.Module):
    """Reads documents in chunks of `bptt` tokens and pools what the encoder gives (BPT3C, section 3.3).

    The hidden state is carried from chunk to chunk through the whole document. All tokens are pooled. With
    `pooled_tokens` N > 0 only the chunks that begin within the last N tokens are, and always the last chunk:
    at most N tokens, as with fastai's `max_len`. The chunks before give the state alone, without a graph.

    - `gradient_window` 0: all pooled chunks have gradients, which stay inside of a chunk, because the state
      is detached between two of them, as in fastai. Memory grows with the number of pooled tokens.
    - W > 0: gradients flow through the last ceil(W / bptt) chunks of each document, the last of which may be
      shorter than the others, and from chunk to chunk inside of them. The chunks before run without a graph:
      they are constants, and the gradient is that of the window alone. Memory is bounded by W.

    Chunks begin at a document's first token, so that nothing depends on the other documents of a batch.
    Without gradients one chunk at a time is in memory. In prediction on a CPU the chunks are finer
    (`chunks_of`); how they are cut changes the last digits alone.

    `ar` and `tar` are the weights of the penalty on the outputs that have gradients (`OutputSums`).
    """

    def __init__(
        self,
        encoder: Encoder,
        bptt: int,
        gradient_window: int = 0,
        *,
        pooled_tokens: int = 0,
        ar: float = 0.0,
        tar: float = 0.0,
    ) -> None:
        super().__init__()
        self.module = encoder
        self.bptt = bptt
        self.window_chunks = -(-gradient_window // bptt)
        self.pooled_tokens = pooled_tokens
        self.ar, self.tar = ar, tar
        self._penalty: Tensor | None = None

    def take_penalty(self) -> Tensor | None:
        """Return AR and TAR of the batch that was read last, once; None if there is no penalty on it."""
        penalty, self._penalty = self._penalty, None
        return penalty

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map ids (B, T), sorted by falling length, and lengths (B,) to pooled outputs (B, 3E).

        Documents that have ended leave the batch, so their padding costs nothing from the next chunk on.
        """
        with self.module.weights_kept():
            # Lengths on the host: no waiting for the device.
            counts: list[int] = lengths.tolist()
            lengths = lengths.to(ids.device)
            begins = [self._before_pooling(count) for count in counts]
            windows = [max(begin, self._before_window(n)) for begin, n in zip(begins, counts, strict=True)]
            sums = OutputSums() if self.training and (self.ar or self.tar) else None
            state = self.module.initial_state(len(ids))
            if any(windows):
                with torch.no_grad():
                    _, state = self._part(ids, [0] * len(ids), begins, state)
                    pooled, state = self._part(ids, begins, windows, state)
                ends, _ = self._part(ids, windows, counts, state, sums)
                pooled = pooled.then(ends)
            else:
                pooled, _ = self._read(ids, lengths, counts, state, sums)
            self._penalty = sums.penalty(self.ar, self.tar) if sums else None
            if any(begins):
                lengths = lengths - torch.tensor(begins, device=ids.device)
            return pooled.vector(lengths)

    def _before_pooling(self, tokens: int) -> int:
        """Return how many tokens of a document of so many come before those that are pooled."""
        if not self.pooled_tokens or tokens <= self.pooled_tokens:
            return 0
        return min(-(-(tokens - self.pooled_tokens) // self.bptt), (tokens - 1) // self.bptt) * self.bptt

    def _before_window(self, tokens: int) -> int:
        """Return how many tokens of a document of so many come before its gradient window."""
        if not self.window_chunks or not torch.is_grad_enabled():
            return 0
        return max(-(-tokens // self.bptt) - self.window_chunks, 0) * self.bptt

    def _part(
        self,
        ids: Tensor,
        begins: list[int],
        ends: list[int],
        state: State,
        sums: OutputSums | None = None,
    ) -> tuple[Pooled, State]:
        """Read a part of each document, from tokens `begins` to `ends`, with the `state` before it.

        The parts begin with a chunk. Those that are empty change neither what is pooled nor the state.
        """
        weight = self.module.encoder.weight
        pooled = Pooled.nothing(len(ids), self.module.units[-1], weight)
        left = [end - begin for begin, end in zip(begins, ends, strict=True)]
        falling = sorted(range(len(ids)), key=left.__getitem__, reverse=True)
        read = sum(tokens > 0 for tokens in left)
        if not read:
            return pooled, state
        order = torch.tensor(falling, device=ids.device)
        back = order.argsort()
        left = [left[row] for row in falling[:read]]
        first = torch.tensor(begins, device=ids.device)[order[:read]]
        places = torch.arange(left[0], device=ids.device) + first[:, None]
        tokens = ids[order[:read]].gather(1, places.clamp(max=ids.shape[1] - 1))
        state = [tuple(part[:, order] for part in layer) for layer in state]
        found, reached = self._read(
            tokens, torch.tensor(left, device=ids.device), left, _rows(state, 0, read), sums
        )
        state = [
            tuple(
                torch.cat([new.to(old.dtype), old[:, read:]], dim=1)[:, back]
                for new, old in zip(*layer, strict=True)
            )
            for layer in zip(reached, state, strict=True)
        ]
        return pooled.then(found).rows(back), state

    def _read(
        self,
        ids: Tensor,
        lengths: Tensor,
        counts: list[int],
        state: State,
        sums: OutputSums | None = None,
    ) -> tuple[Pooled, State]:
        """Read documents to their ends; return what is pooled, and the states in which they ended.

        `counts` are the lengths, where reading them does not wait for the device. The states are right only
        for documents of whole chunks: they go on changing in padding.
        """
        pooled: Pooled | None = None
        ended: list[State] = []
        rows = len(ids)
        fine = ids.device.type == "cpu" and not self.training and not torch.is_grad_enabled()
        for start, end, stay in chunks_of(counts, self.bptt, fine=fine):
            if stay < rows:
                ended.append(_rows(state, stay, rows))
                rows = stay
            state = _rows(state, 0, rows)
            if not self.window_chunks:
                state = [tuple(part.detach() for part in layer) for layer in state]
            outputs, state = self.module(ids[:rows, start:end], state)
            time = end - start
            inside = (lengths[:rows] - start).clamp(max=time)
            outputs = outputs.transpose(0, 1)
            chunk = Pooled.of(outputs, inside, min(counts[rows - 1] - start, time))
            if sums is not None:
                sums.add(outputs, [min(count - start, time) for count in counts[:rows]], inside)
            pooled = chunk if pooled is None else pooled.then(chunk)
        assert pooled is not None
        parts = [state, *reversed(ended)]
        return pooled, [
            tuple(torch.cat(pieces, dim=1) for pieces in zip(*layer, strict=True))
            for layer in zip(*parts, strict=True)
        ]


def _rows(state: State, first: int, end: int) -> State:
    return [tuple(part[:, first:end].contiguous() for part in layer) for layer in state]


class PoolingClassifier(nn.Module):
    """Two layers with batch norm and dropout on top of pooled outputs (section 3.3)."""

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

    def forward(self, pooled: Tensor) -> Tensor:
        """Map pooled outputs (B, 3E) to logits (B, K)."""
        return self.layers(pooled)


class TextClassifier(nn.Module):
    """A sentence encoder and a head; takes ids (B, T) and lengths (B,), gives logits (B, K)."""

    def __init__(self, encoder: Encoder, labels: int, settings: ClassifierSettings) -> None:
        super().__init__()
        self.encoder = SentenceEncoder(
            encoder,
            settings.bptt,
            settings.gradient_window,
            pooled_tokens=settings.pooled_tokens,
            ar=settings.ar,
            tar=settings.tar,
        )
        self.head = PoolingClassifier(encoder.units[-1], labels, settings)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map ids (B, T), sorted by falling length, and lengths (B,) to logits (B, K)."""
        return self.head(self.encoder(ids, lengths))

    def hidden_tensors(self) -> dict[str, Tensor]:
        """Return nothing: a classifier has no state between batches."""
        return {}

    def restore_hidden(self, tensors: dict[str, Tensor]) -> None:
        """Do nothing: a classifier has no state between batches."""


def layer_groups(model: TextClassifier) -> list[list[nn.Parameter]]:
    """Split into embedding, one group per layer, and the head."""
    encoder = model.encoder.module
    return [
        list(encoder.encoder.parameters()),
        *(list(rnn.parameters()) for rnn in encoder.rnns),
        list(model.head.parameters()),
    ]
