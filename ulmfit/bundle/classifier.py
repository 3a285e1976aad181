"""A classifier from a bundle: texts -> labels and probabilities, or numbers.

Neither fastai, pandas nor scikit-learn is imported. Shapes: N texts, K labels, M models, E outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy

from ulmfit.bundle.description import ClassifierDescription
from ulmfit.classifier.folder import LoadedClassifier, named_settings, task_of_model
from ulmfit.classifier.inference import predict_pooled
from ulmfit.classifier.model import TextClassifier as Network
from ulmfit.datasets.text_rules import TextRule, composed, with_rules
from ulmfit.language_model.bundle_format import Member, read_description
from ulmfit.language_model.bundle_weights import least_weights, loaded, read_tokenizer
from ulmfit.language_model.compute import choose_compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.pipeline.errors import InputError
from ulmfit.training.distribution import choose_device
from ulmfit.training.precision import resolve_precision

if TYPE_CHECKING:
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
        precision: Literal["run", "auto", "fp32", "bf16"] = "run",
        engine: Literal["auto", "fast", "plain"] = "auto",
        batch: int = 256,
    ) -> Self:
        """Load the bundle in a folder.

        No code in it is run: JSON, safetensors and a SentencePiece model, whose sums, shapes and vocabulary
        are checked first. `precision` run computes as the run did whose table shows this classifier; `batch`
        is the number of texts computed at once. Raises InputError where something does not fit.
        """
        folder = Path(folder)
        description = read_description(folder, ClassifierDescription, "classifier")
        chosen = description.precision if precision == "run" else resolve_precision(precision, device)
        where = choose_device(device)
        compute = choose_compute(chosen, engine, where, lambda line: None)
        tokenizer = read_tokenizer(folder, description)
        members = [_load(folder, description, one, tokenizer, batch) for one in description.members]
        for member in members:
            member.model.encoder.module.compute = compute
            member.model.to(where)
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
        logits -= logits.max(
            axis=1, keepdims=True
        )  # first, so that no temperature makes all of them infinite
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
            raise InputError("the classifier's predictions are no numbers: its weights are damaged")
        return mean

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
            composed(with_rules(text, self.description.text_rules)),
            self.labels or ["number"],
            maximum_tokens=self.members[0].settings.read_tokens,
        )

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


def written(texts: Iterable[str], rules: Sequence[TextRule] = ()) -> list[str]:
    """Return texts as data sets hold them, after some rules; InputError for what is no string."""
    if isinstance(texts, str):
        raise InputError("texts: expected a list of strings, got one string: put it into a list")
    prepared = []
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise InputError(f"text {number} is of type {type(text).__name__}: expected a string")
        prepared.append(composed(with_rules(text, rules)))
    return prepared


def _load(
    folder: Path, description: ClassifierDescription, member: Member, tokenizer: Tokenizer, batch: int
) -> LoadedClassifier:
    """Load one model in fp32, on the CPU, computing as `Compute` does by default."""
    content = description.model_dump()
    settings = named_settings(content).changed(evaluation_batch=batch)
    task = task_of_model(content, description.labels)
    size = description.vocabulary_size

    def network() -> Network:
        encoder = Encoder(size, description.architecture, settings.dropouts)
        return Network(encoder, task.outputs, settings)

    head = settings.head_units * (3 * description.architecture.embedding_size + task.outputs)
    model = loaded(network, folder / member.file, least_weights(description) + head)
    return LoadedClassifier(
        model.eval(),
        tokenizer,
        list(description.labels),
        member.direction,
        settings,
        task,
        description.backward_order,
    )
