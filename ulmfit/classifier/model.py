"""The classifier of ULMFiT: the encoder over chunks of a document, concat pooling, a head of two layers.

Shapes: B documents, T tokens of the longest (padded at the end), E outputs of the encoder, K labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ulmfit.classifier.pooling import Pooled
from ulmfit.classifier.regularization import OutputSums
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.encoder import Encoder, State


class SentenceEncoder(nn.Module):
    """Reads documents in chunks of `bptt` tokens and pools what the encoder gives (BPT3C, section 3.3).

    The hidden state is carried from chunk to chunk, and every token is pooled, whatever gets gradients:

    - `gradient_window` 0: all chunks have gradients, which stay inside of a chunk, because the state is
      detached between two of them. This is what fastai does with its `max_len`, but for the tokens before
      that, which fastai leaves out of the pooling. Memory grows with the longest document.
    - W > 0: gradients flow through the last ceil(W / bptt) chunks of each document, the last of which may be
      shorter than the others, and from chunk to chunk inside of them. The chunks before run without a graph:
      they are constants, and the gradient is that of the window alone. Memory is bounded by W.

    Chunks begin at a document's first token, so that neither way depends on the other documents of a batch.
    Without gradients one chunk at a time is in memory.

    `ar` and `tar` are the weights of the penalty on the outputs that have gradients (`OutputSums`).
    """

    def __init__(
        self, encoder: Encoder, bptt: int, gradient_window: int = 0, *, ar: float = 0.0, tar: float = 0.0
    ) -> None:
        super().__init__()
        self.module = encoder
        self.bptt = bptt
        self.window_chunks = -(-gradient_window // bptt)
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
            # Lengths that lie on the host need no waiting for the device here.
            counts: list[int] = lengths.tolist()
            lengths = lengths.to(ids.device)
            skipped = [self._skipped(count) for count in counts]
            sums = OutputSums() if self.training and (self.ar or self.tar) else None
            if any(skipped):
                pooled = self._in_two_parts(ids, counts, skipped, sums)
            else:
                pooled, _ = self._read(ids, lengths, counts, self.module.initial_state(len(ids)), sums)
            self._penalty = sums.penalty(self.ar, self.tar) if sums else None
            return pooled.vector(lengths)

    def _skipped(self, tokens: int) -> int:
        """Return how many tokens of a document of so many come before its gradient window."""
        if not self.window_chunks or not torch.is_grad_enabled():
            return 0
        return max(-(-tokens // self.bptt) - self.window_chunks, 0) * self.bptt

    def _in_two_parts(
        self, ids: Tensor, counts: list[int], skipped: list[int], sums: OutputSums | None
    ) -> Pooled:
        """Read what comes before the windows without a graph, then all windows from their beginnings on."""
        long = sum(tokens > 0 for tokens in skipped)
        before = torch.tensor(skipped, device=ids.device)
        state = self.module.initial_state(len(ids))
        with torch.no_grad():
            longest = [tuple(part[:, :long] for part in layer) for layer in state]
            pooled, reached = self._read(ids[:long], before[:long], skipped[:long], longest)
        start = Pooled.nothing(len(ids), pooled.last.shape[1], pooled.last).then(pooled)
        state = [
            tuple(
                torch.cat([new.to(old.dtype), old[:, long:]], dim=1) for new, old in zip(*layer, strict=True)
            )
            for layer in zip(reached, state, strict=True)
        ]
        left = [count - tokens for count, tokens in zip(counts, skipped, strict=True)]
        falling = sorted(range(len(ids)), key=left.__getitem__, reverse=True)
        order = torch.tensor(falling, device=ids.device)
        left = [left[row] for row in falling]
        places = torch.arange(left[0], device=ids.device) + before[order, None]
        window = ids[order].gather(1, places.clamp(max=ids.shape[1] - 1))
        state = [tuple(part[:, order] for part in layer) for layer in state]
        ends, _ = self._read(window, torch.tensor(left, device=ids.device), left, state, sums)
        return start.rows(order).then(ends).rows(order.argsort())

    def _read(
        self,
        ids: Tensor,
        lengths: Tensor,
        counts: list[int],
        state: State,
        sums: OutputSums | None = None,
    ) -> tuple[Pooled, State]:
        """Read documents to their ends; return what is pooled, and the states in which they ended.

        `counts` are the lengths, where reading them does not wait for the device. The states are right for
        documents of whole chunks alone: in padding they go on.
        """
        pooled: Pooled | None = None
        ended: list[State] = []
        rows = len(ids)
        for start in range(0, counts[0], self.bptt):
            stay = sum(count > start for count in counts[:rows])
            if stay < rows:
                ended.append(_rows(state, stay, rows))
                rows = stay
            state = _rows(state, 0, rows)
            if not self.window_chunks:
                state = [tuple(part.detach() for part in layer) for layer in state]
            end = min(start + self.bptt, counts[0])
            outputs, state = self.module(ids[:rows, start:end], state)
            time = end - start
            inside = (lengths[:rows] - start).clamp(max=time)
            outputs = outputs.transpose(0, 1)
            chunk = Pooled.of(outputs, inside, min(counts[rows - 1] - start, time))
            if sums is not None:
                sums.add(outputs, [min(count - start, time) for count in counts[:rows]])
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
            encoder, settings.bptt, settings.gradient_window, ar=settings.ar, tar=settings.tar
        )
        self.head = PoolingClassifier(encoder.units[-1], labels, settings)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map ids (B, T), sorted by falling length, and lengths (B,) to logits (B, K)."""
        return self.head(self.encoder(ids, lengths))

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
