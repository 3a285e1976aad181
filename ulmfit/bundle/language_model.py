"""A language model from a bundle: it scores texts and writes some.

Shapes: N texts, E outputs of the encoder, M models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy
import torch

from ulmfit.bundle.classifier import (
    loading_options,
    new_network,
    stock_compute,
    trained_settings,
    written,
)
from ulmfit.bundle.description import new_classifier
from ulmfit.bundle.opening import Engine, Precision, opened
from ulmfit.classifier.inference import predict_pooled
from ulmfit.classifier.model import SentenceEncoder
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.bundle_format import BundleDescription
from ulmfit.language_model.bundle_weights import load_bundled_language_model
from ulmfit.language_model.evaluate import CHUNK, document_losses
from ulmfit.language_model.loader import reading_order
from ulmfit.language_model.model import LanguageModel as Network
from ulmfit.language_model.settings import Direction, Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.arrays import TokenArray
from ulmfit.training.weights import load_weights, own_tensors

if TYPE_CHECKING:
    from fastai.learner import Learner

    from ulmfit.bundle.writing import Weights
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
        precision: Precision = "run",
        engine: Engine = "auto",
        batch: int = 32,
    ) -> Self:
        """Load the bundle in a folder, or at `hf:owner/name@revision`; nothing in it is run.

        Raises InputError where something does not fit.
        `precision` run computes as in training; `batch` is the number of texts computed at once.
        """
        bundle = opened(
            folder, BundleDescription, "language_model", device=device, precision=precision, engine=engine
        )
        networks: dict[Direction, Network] = {}
        for member in bundle.description.members:
            network = load_bundled_language_model(bundle.folder, bundle.description, member)
            network.set_compute(bundle.compute)
            networks[member.direction] = network.to(bundle.device).eval()
        return cls(bundle.description, bundle.tokenizer, networks, batch)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions in which it reads."""
        return tuple(self.networks)

    def save(self, out: Path | str, *, weights: Weights = "fp32") -> None:
        """Write a bundle into the folder `out`, which `load` and every command read; one there is replaced.

        fp32 keeps all digits, fp16 takes half the space. Raises InputError for anything else at `out`.
        """
        from ulmfit.bundle.card import card_in_short
        from ulmfit.bundle.writing import save_bundle

        tensors = [own_tensors(self.networks[member.direction]) for member in self.description.members]
        card = card_in_short(self.description)
        save_bundle(Path(out), self.description, self.tokenizer, tensors, card, weights)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as the files of its bundle, in fp32."""
        from ulmfit.bundle.writing import load_packed, packed

        encoder = next(iter(self.networks.values())).encoder
        options = {**loading_options(encoder), "batch": self.batch}
        return load_packed, (type(self), packed(self.save), options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself, which nothing changes: scikit-learn copies the parameters of every clone."""
        return self

    def text_block(
        self, *, language_model: bool = True, direction: Direction | None = None, seq_len: int = 72
    ) -> Any:
        """Return the block of texts of a fastai DataBlock: it makes the ids that learners here train on.

        With `language_model` batches are streams of texts, chunks of `seq_len` tokens; without, padded texts
        for `classifier_learner`. `direction` None: the first one.
        """
        from ulmfit.bundle.fastai_parts import text_block

        chosen = direction or self.directions[0]
        self._network(chosen)  # Raises InputError where there is none.
        read = partial(self._read, chosen, language_model)
        return text_block(self.tokenizer, read, chosen, language_model=language_model, seq_len=seq_len)

    def _read(self, direction: Direction, whole: bool, text: str) -> numpy.ndarray:
        """Return the ids that a model of this direction reads: of the whole text, or as classifiers do."""
        ids = self.tokenizer.encode(written([text]))[0]
        limit = None if whole else ClassifierSettings().read_tokens or None
        return self._as_read(ids[:limit], direction)

    def learner(
        self,
        dls: Any,
        *,
        direction: Direction | None = None,
        drop_mult: float = 0.3,
        alpha: float = 2.0,
        beta: float = 1.0,
        **options: Any,
    ) -> Learner:
        """Return a stock fastai Learner that trains a copy of the model of a direction further, in fp32.

        `dls` are fastai's DataLoaders with the block of `text_block()`. `drop_mult` scales AWD-LSTM's
        dropouts; `alpha` and `beta` are AR and TAR; `options` are those of `Learner`. Layer groups: one per
        recurrent layer, then embedding with decoder. `from_learner` takes the result back.
        """
        from ulmfit.bundle import fastai_parts

        chosen = direction or self.directions[0]
        own = self._network(chosen)
        network = _copied(self.description, own, Dropouts(multiplier=drop_mult))
        network.set_compute(stock_compute(own.encoder, dls.device))
        stock = fastai_parts.StockLanguageModel(network, (self, chosen))
        return fastai_parts.language_model_learner(
            dls, stock, self.tokenizer, alpha=alpha, beta=beta, **options
        )

    @classmethod
    def from_learner(cls, learn: Learner) -> Self:
        """Return the language model that a learner of `learner` trained; it has that direction alone.

        It is a copy of the learner's. Raises InputError for another learner.
        """
        from ulmfit.bundle.fastai_parts import StockLanguageModel, trained_module

        stock = trained_module(learn, StockLanguageModel)
        origin, direction = stock.origin
        members = tuple(one for one in origin.description.members if one.direction == direction)
        description = origin.description.changed(members=members, precision="fp32")
        network = _copied(description, stock.network, Dropouts(multiplier=0.0))
        network.set_compute(stock.network.encoder.compute)
        network.to(stock.network.encoder.encoder.weight.device)
        return cls(description, origin.tokenizer, {direction: network.eval()}, origin.batch)

    def classifier_learner(
        self,
        dls: Any,
        *,
        direction: Direction | None = None,
        drop_mult: float = 0.5,
        alpha: float = 2.0,
        beta: float = 1.0,
        **options: Any,
    ) -> Learner:
        """Return a stock fastai Learner of a new classifier on a copy of the encoder of a direction, in fp32.

        `dls` are fastai's DataLoaders with the block of `text_block(language_model=False)` and one of
        categories. Otherwise like `TextClassifier.learner`; `TextClassifier.from_learner` makes a classifier
        of the result.
        """
        from ulmfit.bundle import fastai_parts

        chosen = direction or self.directions[0]
        own = self._network(chosen)
        labels = fastai_parts.labels_of(dls)
        several = fastai_parts.has_several_labels(dls)
        description = new_classifier(self.description, chosen, labels, several)
        network = new_network(description, trained_settings(ClassifierSettings(), drop_mult, alpha, beta))
        encoder = network.encoder.module
        load_weights(encoder, own_tensors(own.encoder), "the language model")
        encoder.compute = stock_compute(own.encoder, dls.device)
        stock = fastai_parts.StockClassifier(network, (description, self.tokenizer))
        return fastai_parts.classifier_learner(dls, stock, self.tokenizer, labels, **options)

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
        if not temperature > 0 or not isinstance(tokens, int) or tokens < 0:
            raise InputError(
                f"generate: temperature {temperature:g}, tokens {tokens}: expected a number above 0, and a "
                f"whole number from 0 on"
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
                logits = network.decoder(outputs[:, -1:])[0, 0].float().cpu()
                logits[never] = -torch.inf
                likely = ((logits - logits.max()) / temperature).softmax(0)
                drawn = int(torch.multinomial(likely, 1, generator=random))
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

    def word_vectors(self, words: Iterable[str]) -> numpy.ndarray:
        """Return the embedding of each word, (words, E): the mean over its pieces, marks of capitals too."""
        table = next(iter(self.networks.values())).encoder.encoder.weight.detach().cpu().numpy()
        prepared = written(words)
        encoded = self.tokenizer.encode(prepared) if prepared else []
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


def _copied(description: BundleDescription, network: Network, dropouts: Dropouts) -> Network:
    """Return a copy of a network with other dropouts, on the CPU."""
    copy = Network(description.vocabulary_size, description.architecture, dropouts)
    load_weights(copy, own_tensors(network), "the language model")
    return copy
