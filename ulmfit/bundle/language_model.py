"""A language model from a bundle: it scores texts and writes some.

Shapes: N texts, E outputs of the encoder, M models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy
import torch

from ulmfit.bundle.classifier import written
from ulmfit.classifier.inference import predict_pooled
from ulmfit.classifier.model import SentenceEncoder
from ulmfit.language_model.bundle_format import BundleDescription, read_description
from ulmfit.language_model.bundle_weights import load_bundled_language_model, read_tokenizer
from ulmfit.language_model.compute import choose_compute
from ulmfit.language_model.evaluate import CHUNK, document_losses
from ulmfit.language_model.loader import reading_order
from ulmfit.language_model.model import LanguageModel as Network
from ulmfit.language_model.stages import Direction
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.arrays import TokenArray
from ulmfit.training.distribution import choose_device
from ulmfit.training.precision import resolve_precision

if TYPE_CHECKING:
    from ulmfit.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Score:
    """How well a language model foresaw a text."""

    loss: float
    """Nats, summed over the text's tokens, each given those before it."""
    tokens: int
    """Scored tokens; 0 for a text without any."""
    characters: int
    """Of the raw text."""

    @property
    def token_perplexity(self) -> float:
        """exp(loss / tokens); NaN without tokens."""
        return math.exp(self.loss / self.tokens) if self.tokens else math.nan

    @property
    def bits_per_character(self) -> float:
        """Bits per character of the raw text; NaN without any."""
        return self.loss / math.log(2) / self.characters if self.characters else math.nan


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """The language models of a bundle, one per direction; `LanguageModel.load(folder)` makes one."""

    description: BundleDescription
    tokenizer: Tokenizer
    networks: dict[Direction, Network]
    batch: int

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        device: str = "auto",
        precision: Literal["run", "auto", "fp32", "bf16"] = "run",
        engine: Literal["auto", "fast", "plain"] = "auto",
        batch: int = 32,
    ) -> Self:
        """Load the bundle in a folder; nothing in it is run. Raises InputError where something does not fit.

        `precision` run computes as in training; `batch` is the number of texts computed at once.
        """
        folder = Path(folder)
        description = read_description(folder, BundleDescription, "language_model")
        chosen = description.precision if precision == "run" else resolve_precision(precision, device)
        where = choose_device(device)
        compute = choose_compute(chosen, engine, where, lambda line: None)
        tokenizer = read_tokenizer(folder, description)
        networks: dict[Direction, Network] = {}
        for member in description.members:
            network = load_bundled_language_model(folder, description, member)
            network.set_compute(compute)
            networks[member.direction] = network.to(where).eval()
        return cls(description, tokenizer, networks, batch)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions in which it reads."""
        return tuple(self.networks)

    def score(self, texts: Iterable[str], direction: Direction | None = None) -> list[Score]:
        """Return how well each text was foreseen, by the model of `direction`; None: the first one.

        As in evaluation every token is scored given the beginning of its text alone. A backward model reads
        the text from its end.
        """
        prepared = written(texts)
        if not prepared:
            return []
        chosen = direction or self.directions[0]
        encoded = self.tokenizer.encode(prepared)
        lengths = [len(ids) for ids in encoded]
        array = TokenArray(numpy.concatenate(encoded), numpy.append(0, numpy.cumsum(lengths)))
        losses = document_losses(
            self._network(chosen),
            array,
            self.batch,
            backward=chosen == "backward",
            order=self.description.backward_order,
        )
        return [
            Score(float(loss), length - 1, len(text))
            for loss, length, text in zip(losses, lengths, prepared, strict=True)
        ]

    def generate(
        self, beginning: str = "", *, tokens: int = 50, temperature: float = 1.0, seed: int = 0
    ) -> str:
        """Return `beginning` and what the forward model writes after it, in normal form.

        At most `tokens` tokens are drawn; the text ends before where the model begins another. `temperature`
        below 1 prefers likely tokens. The same arguments give the same text on the same machine. Raises
        InputError without a forward model.
        """
        if not temperature > 0 or tokens < 0:
            raise InputError(
                f"generate: temperature {temperature:g}, tokens {tokens}: expected > 0, and >= 0"
            )
        network, tokenizer = self._network("forward"), self.tokenizer
        ids = tokenizer.encode(written([beginning]))[0].tolist()
        random = torch.Generator().manual_seed(seed)
        device = network.decoder.decoder.weight.device
        state = network.encoder.initial_state(1)
        waiting = ids
        never = [tokenizer.unk_id, tokenizer.pad_id, tokenizer.eos_id]
        with torch.inference_mode(), network.encoder.weights_kept():
            for _ in range(tokens):
                outputs = None
                for start in range(0, len(waiting), CHUNK):
                    chunk = torch.tensor([waiting[start : start + CHUNK]], device=device)
                    outputs, state = network.encoder(chunk, state)
                assert outputs is not None, "there is xxbos at least"
                logits = network.decoder(outputs[:, -1:])[0, 0].float().cpu() / temperature
                logits[never] = -torch.inf
                drawn = int(torch.multinomial(logits.softmax(0), 1, generator=random))
                if drawn == tokenizer.bos_id:
                    break
                ids.append(drawn)
                waiting = [drawn]
        return tokenizer.decode(ids)

    def document_vectors(self, texts: Iterable[str]) -> numpy.ndarray:
        """Return last, largest and mean output of each direction for each text, (N, 3 E M), float32."""
        prepared = written(texts)
        width = 3 * self.description.architecture.embedding_size * len(self.networks)
        if not prepared:
            return numpy.zeros((0, width), numpy.float32)
        encoded = self.tokenizer.encode(prepared)
        each = []
        for direction, network in self.networks.items():
            documents = [self._as_read(ids, direction) for ids in encoded]
            each.append(predict_pooled(SentenceEncoder(network.encoder, CHUNK), documents, self.batch))
        return numpy.concatenate(each, axis=1)

    def word_vectors(self, words: Sequence[str]) -> numpy.ndarray:
        """Return the embedding of each word, (words, E): the mean over its pieces, marks of capitals too."""
        table = next(iter(self.networks.values())).encoder.encoder.weight.detach().cpu().numpy()
        encoded = self.tokenizer.encode(written(words)) if len(words) else []
        rows = [table[ids[1:] if len(ids) > 1 else ids].mean(axis=0) for ids in encoded]
        return numpy.stack(rows) if rows else numpy.zeros((0, table.shape[1]), table.dtype)

    def _as_read(self, ids: numpy.ndarray, direction: Direction) -> numpy.ndarray:
        return reading_order(
            ids,
            self.tokenizer.bos_id,
            backward=direction == "backward",
            order=self.description.backward_order,
        )

    def _network(self, direction: Direction) -> Network:
        if direction not in self.networks:
            raise InputError(f"the bundle has no {direction} language model, only {', '.join(self.networks)}")
        return self.networks[direction]
