"""A classifier from a bundle: texts -> labels and probabilities, or numbers.

Neither fastai, pandas nor scikit-learn is imported. Shapes: N texts, K labels, M models, E outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy
import torch

from ulmfit.bundle.description import ClassifierDescription
from ulmfit.bundle.opening import Engine, Precision, opened
from ulmfit.classifier.folder import LoadedClassifier, named_settings, task_of_model
from ulmfit.classifier.inference import predict_pooled
from ulmfit.classifier.model import TextClassifier as Network
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.datasets.text_rules import TextRule, composed, with_rules
from ulmfit.language_model.bundle_format import Member
from ulmfit.language_model.bundle_weights import least_weights, loaded
from ulmfit.language_model.compute import Compute, choose_compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.pipeline.errors import DamagedModel, InputError
from ulmfit.training.weights import load_weights, own_tensors

if TYPE_CHECKING:
    from fastai.learner import Learner

    from ulmfit.bundle.writing import Weights
    from ulmfit.classifier.occlusion import Explanation
    from ulmfit.tokens.tokenizer import Tokenizer

LEAST_PROBABILITY = 2.0**-126
"""A probability of 0 counts as this, as where the temperature was fitted."""


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """A classifier of one model, or of several whose probabilities are averaged (directions and seeds).

    `TextClassifier.load(folder)` makes one.
    """

    description: ClassifierDescription
    members: list[LoadedClassifier]

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        device: str = "auto",
        precision: Precision = "run",
        engine: Engine = "auto",
        batch: int = 256,
    ) -> Self:
        """Load the bundle in a folder, or at `hf:owner/name@revision` of the Hugging Face hub.

        No code in it is run: JSON, safetensors and a SentencePiece model, whose sums, shapes and vocabulary
        are checked first. `precision` run computes as the run did whose table shows this classifier; `batch`
        is the number of texts computed at once. Raises InputError where something does not fit.
        """
        bundle = opened(
            folder, ClassifierDescription, "classifier", device=device, precision=precision, engine=engine
        )
        description = bundle.description
        members = [
            _load(bundle.folder, description, one, bundle.tokenizer, batch) for one in description.members
        ]
        for member in members:
            member.model.encoder.module.compute = bundle.compute
            member.model.to(bundle.device)
        return cls(description, members)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the probabilities; none if the classifier predicts numbers."""
        return list(self.description.labels)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that all members share."""
        return self.members[0].tokenizer

    def predict(self, texts: Iterable[str]) -> list[str] | list[list[str]] | list[float]:
        """Return a label for each text; of several labels the list of those; in regression a number."""
        return self.chosen(self.values(texts))

    def chosen(self, values: numpy.ndarray) -> list[str] | list[list[str]] | list[float]:
        """Return what `predict` does, from what `values` gave."""
        if self.description.task == "regression":
            return [float(value) for value in values[:, 0]]
        labels = self.labels
        if self.description.task == "single_label":
            return [labels[place] for place in values.argmax(axis=1)]
        marked = values.astype(numpy.float32) >= numpy.array(self.description.thresholds)
        return [[label for label, yes in zip(labels, row, strict=True) if yes] for row in marked]

    def predict_proba(self, texts: Iterable[str], *, calibrated: bool = False) -> numpy.ndarray:
        """Return the probabilities (N, K), columns in the order of `labels`.

        They are those of the run. `calibrated` ones are at the temperature that was fitted on validation: the
        labels stay the same. Raises InputError for a classifier without probabilities or temperature.
        """
        if self.description.task == "regression":
            raise InputError("the classifier predicts numbers, no probabilities: use predict")
        values = self.values(texts)
        return self.calibrated(values) if calibrated else values

    def calibrated(self, probabilities: numpy.ndarray) -> numpy.ndarray:
        """Return probabilities (N, K) at the temperature of the bundle; InputError where it has none."""
        if self.description.temperature is None:
            raise InputError(
                "the bundle has no temperature: expected a classifier of one label per text whose validation "
                "split has errors; use probabilities that are not calibrated"
            )
        logits = numpy.log(numpy.maximum(probabilities, LEAST_PROBABILITY))
        # First, so that no temperature makes all of them infinite.
        logits -= logits.max(axis=1, keepdims=True)
        with numpy.errstate(over="ignore"):
            exponentials = numpy.exp(logits / self.description.temperature)
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def values(self, texts: Iterable[str]) -> numpy.ndarray:
        """Return the mean of the members' probabilities (N, K), float64; in regression of numbers (N, 1)."""
        encoded = self.encode(texts)
        if not encoded:
            return numpy.zeros((0, max(len(self.description.labels), 1)))
        return self.values_of(encoded)

    def values_of(self, encoded: Sequence[numpy.ndarray]) -> numpy.ndarray:
        """Return what `values` does, of one or more texts as `encode` gives them."""
        # As files of predictions have them: each model's are rounded to float32 before they are averaged.
        each = [member.values(encoded) for member in self.members]
        if self.description.task != "regression" and len(each) > 1:
            each = [values.astype(numpy.float32) for values in each]
        mean = numpy.stack(each).mean(axis=0, dtype=numpy.float64)
        if not numpy.isfinite(mean).all():
            raise DamagedModel("the classifier's predictions are no numbers: its weights are damaged")
        return mean

    def save(self, out: Path | str, *, weights: Weights = "fp32") -> None:
        """Write a bundle into the folder `out`, which `load` and every command read; one there is replaced.

        fp32 keeps all digits, fp16 takes half the space. Its card has no figures. Raises InputError for
        anything else at `out`.
        """
        from ulmfit.bundle.card import card_in_short
        from ulmfit.bundle.writing import save_bundle

        description = self.description.changed(check=None)
        tensors = [own_tensors(member.model) for member in self.members]
        save_bundle(Path(out), description, self.tokenizer, tensors, card_in_short(description), weights)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy it as the files of its bundle, in fp32."""
        from ulmfit.bundle.writing import load_packed, packed

        encoder = self.members[0].model.encoder.module
        options = {
            **loading_options(encoder),
            "batch": self.members[0].settings.evaluation_batch,
        }
        return load_packed, (type(self), packed(self.save), options)

    def text_block(self) -> Any:
        """Return the block of texts of a fastai DataBlock: it makes the ids that `learner` trains on."""
        from ulmfit.bundle.fastai_parts import text_block

        return text_block(self.tokenizer, self._read_first, self.members[0].direction)

    def _read_first(self, text: str) -> numpy.ndarray:
        """Return the ids of a text that the first model reads."""
        return self.members[0].as_read(self.encode([text])[0])

    def learner(
        self, dls: Any, *, drop_mult: float = 0.5, alpha: float = 2.0, beta: float = 1.0, **options: Any
    ) -> Learner:
        """Return a stock fastai Learner that trains a copy of the first model further, in fp32.

        `dls` are fastai's DataLoaders with the block of `text_block()` and one of categories, with
        vocab=labels. `drop_mult` scales ULMFiT's dropouts; `alpha` and `beta` are AR and TAR; `options` are
        those of `Learner`. Layer groups: embedding, layers, head. `from_learner` takes the result back.
        """
        from ulmfit.bundle import fastai_parts

        if self.description.task == "regression":
            raise InputError("learner: the classifier predicts numbers; expected one of labels")
        member = self.members[0]
        place = self.description.members[0]
        labels = len(self.description.thresholds)
        description = self.description.changed(
            members=(place,),
            row="",
            temperature=None,
            thresholds=(0.5,) * labels,
            check=None,
            precision="fp32",
        )
        settings = trained_settings(member.settings, drop_mult, alpha, beta)
        network = new_network(description, settings)
        load_weights(network, own_tensors(member.model), "the classifier")
        network.encoder.module.compute = stock_compute(member.model.encoder.module, dls.device)
        stock = fastai_parts.StockClassifier(network, (description, self.tokenizer))
        return fastai_parts.classifier_learner(dls, stock, self.tokenizer, self.labels, **options)

    @classmethod
    def from_learner(cls, learn: Learner) -> Self:
        """Return the classifier that a learner of `learner` or `LanguageModel.classifier_learner` trained.

        It has one model, a copy of that of the learner. Raises InputError for another learner.
        """
        from ulmfit.bundle.fastai_parts import StockClassifier, trained_module

        stock = trained_module(learn, StockClassifier)
        description, tokenizer = stock.origin
        settings = _settings(description)
        network = new_network(description, settings)
        load_weights(network, own_tensors(stock.network), "the learner")
        trained = stock.network.encoder.module
        network.encoder.module.compute = trained.compute
        network.to(trained.encoder.weight.device)
        return cls(description, [_member(network, description, description.members[0], tokenizer, settings)])

    def encode(self, texts: Iterable[str]) -> list[numpy.ndarray]:
        """Return the ids of each text, after the data set's text rules; InputError for what is no text."""
        prepared = written(texts, self.description.text_rules)
        return self.tokenizer.encode(prepared) if prepared else []

    def explain(self, text: str) -> Explanation:
        """Return what each word of a text did for the predicted (of several: the most probable) label.

        Each word is left out in turn; its weight is how much the probability, or the number, falls without
        it. Raises InputError for a text without words.
        """
        from ulmfit.classifier.occlusion import explain

        return explain(
            self.values_of,
            self.tokenizer,
            written([text], self.description.text_rules)[0],
            self.labels or ["number"],
            maximum_tokens=self.members[0].settings.read_tokens,
        )

    def explanation_cost(self, text: str) -> int:
        """Return how many tokens `explain` has each model read: about the square of the text's."""
        from ulmfit.classifier.occlusion import cost

        prepared = composed(with_rules(text, self.description.text_rules))
        return cost(self.tokenizer, prepared, self.members[0].settings.read_tokens)

    def document_vectors(self, texts: Iterable[str]) -> numpy.ndarray:
        """Return what the head reads of each text, (N, 3 E M): last, largest and mean outputs, per model."""
        encoded = self.encode(texts)
        width = 3 * self.description.architecture.embedding_size * len(self.members)
        if not encoded:
            return numpy.zeros((0, width), numpy.float32)
        each = [
            predict_pooled(
                member.model.encoder,
                [member.as_read(ids) for ids in encoded],
                member.settings.evaluation_batch,
            )
            for member in self.members
        ]
        return numpy.concatenate(each, axis=1)


def loading_options(encoder: Encoder) -> dict[str, Any]:
    """Return the options of `load` with which a model computes as this encoder does."""
    compute = encoder.compute
    return {
        # Another machine may have no GPU, or more of them.
        "device": "cpu" if encoder.encoder.weight.device.type == "cpu" else "auto",
        "precision": "bf16" if compute.dtype == torch.bfloat16 else "fp32",
        "engine": "plain" if compute.engine == "plain" else "auto",
    }


def written(texts: Iterable[str], rules: Sequence[TextRule] = ()) -> list[str]:
    """Return texts as data sets hold them, after some rules; InputError for what is no string."""
    if isinstance(texts, str):
        raise InputError("texts: expected a list of strings, got one string: put it into a list")
    if not isinstance(texts, Iterable):
        raise InputError(f"texts: expected a list of strings, got {type(texts).__name__}")
    prepared = []
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise InputError(f"text {number} is of type {type(text).__name__}: expected a string")
        prepared.append(composed(with_rules(text, rules)))
    return prepared


def stock_compute(encoder: Encoder, device: torch.device | str) -> Compute:
    """Return how a stock learner on `device` computes: in fp32, by this encoder's engine where it can run."""
    engine = "plain" if encoder.compute.engine == "plain" else "auto"
    return choose_compute("fp32", engine, device, lambda line: None)


def trained_settings(
    settings: ClassifierSettings, drop_mult: float, alpha: float, beta: float
) -> ClassifierSettings:
    """Return settings with fastai's dropouts of classifiers times `drop_mult`, and with AR and TAR."""
    dropouts = ClassifierSettings.model_fields["dropouts"].default.changed(multiplier=drop_mult)
    return settings.changed(dropouts=dropouts, ar=alpha, tar=beta)


def new_network(description: ClassifierDescription, settings: ClassifierSettings) -> Network:
    """Return the network that a description tells of, with random weights, on the CPU."""
    encoder = Encoder(description.vocabulary_size, description.architecture, settings.dropouts)
    return Network(encoder, max(len(description.labels), 1), settings)


def _settings(description: ClassifierDescription) -> ClassifierSettings:
    return named_settings(description.model_dump())


def _member(
    network: Network,
    description: ClassifierDescription,
    member: Member,
    tokenizer: Tokenizer,
    settings: ClassifierSettings,
) -> LoadedClassifier:
    task = task_of_model(description.model_dump(), description.labels)
    return LoadedClassifier(
        network.eval(),
        tokenizer,
        list(description.labels),
        member.direction,
        settings,
        task,
        description.backward_order,
    )


def _load(
    folder: Path, description: ClassifierDescription, member: Member, tokenizer: Tokenizer, batch: int
) -> LoadedClassifier:
    """Load one model in fp32, on the CPU, computing as `Compute` does by default."""
    settings = _settings(description).changed(evaluation_batch=batch)
    outputs = max(len(description.labels), 1)
    head = settings.head_units * (3 * description.architecture.embedding_size + outputs)
    model = loaded(
        lambda: new_network(description, settings), folder / member.file, least_weights(description) + head
    )
    return _member(model, description, member, tokenizer, settings)
