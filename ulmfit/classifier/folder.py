"""A finished classifier, loaded from its folder; it maps texts to probabilities, or to numbers.

This module imports neither fastai nor pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy
from pydantic import ValidationError

from ulmfit.classifier.inference import predict_values
from ulmfit.classifier.model import TextClassifier
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.tasks import MultiLabel, Regression, SingleLabel, TaskKind
from ulmfit.language_model.compute import choose_compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.folder import MODEL, WEIGHTS
from ulmfit.language_model.loader import reading_order
from ulmfit.language_model.settings import Architecture
from ulmfit.language_model.stages import BackwardOrder, Direction
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.settings import first_fault
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.distribution import choose_device
from ulmfit.training.precision import resolve_precision
from ulmfit.training.weights import load_weights, read_weights

KIND = "awd_lstm_classifier"


@dataclass(frozen=True, eq=False)
class LoadedClassifier:
    """A classifier in evaluation mode, on its device, with the tokenizer that it was trained with."""

    model: TextClassifier
    tokenizer: Tokenizer
    labels: list[str]
    """In the order of the probabilities' columns; none in regression."""
    direction: Direction
    settings: ClassifierSettings
    """Those that the folder names. The others have their defaults, which do not matter for prediction."""
    task: TaskKind
    backward_order: BackwardOrder = "bos-first"

    def documents(self, texts: Sequence[str]) -> list[numpy.ndarray]:
        """Return the token ids that the model reads of each text, in its direction."""
        return [self.as_read(ids) for ids in self.tokenizer.encode(texts)]

    def as_read(self, ids: numpy.ndarray) -> numpy.ndarray:
        """Return what the model reads of an encoded text, which begins with xxbos, in its direction."""
        return reading_order(
            ids[: self.settings.read_tokens or None],
            self.tokenizer.bos_id,
            backward=self.direction == "backward",
            order=self.backward_order,
        )

    def probabilities(self, texts: Sequence[str]) -> numpy.ndarray:
        """Return the probabilities (texts, labels), as training wrote them for its validation and test texts.

        In regression the numbers (texts, 1). Equal up to rounding: the last digits depend on how texts are
        batched. Raises InputError where there are no texts, and TypeError for what is no sequence of strings,
        such as one string.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("texts: expected a sequence of strings, such as a list of one")
        return self.values(self.tokenizer.encode(texts))

    def values(self, encoded: Sequence[numpy.ndarray]) -> numpy.ndarray:
        """Return what `probabilities` does, of texts that the tokenizer has encoded."""
        documents = [self.as_read(ids) for ids in encoded]
        return predict_values(self.model, documents, self.settings.evaluation_batch, self.task.activation)


def load_classifier(
    folder: Path | str,
    tokenizer_folder: Path | str,
    *,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    engine: Literal["auto", "fast", "plain"] = "auto",
    evaluation_batch: int = 64,
    log: Callable[[str], object] = print,
) -> LoadedClassifier:
    """Load what `TrainClassifier` wrote into `folder`; `tokenizer_folder` is its tokenizer's.

    No code in the files is run: JSON, safetensors, and the tokenizer's own formats. Raises InputError when
    a file is missing or damaged, when the two folders do not belong together, and for an unknown device.
    """
    folder, tokenizer_folder = Path(folder), Path(tokenizer_folder)
    description = _description(folder)
    try:
        settings = named_settings(description).changed(evaluation_batch=evaluation_batch)
        architecture = Architecture(**description["architecture"])
        labels = [str(label) for label in description["labels"]]
        task = task_of_model(description, labels)
        direction, size = description["direction"], int(description["vocabulary_size"])
        if direction not in ("forward", "backward"):
            raise ValueError(f"direction {direction!r}: expected forward or backward")
        order = description.get("backward_order", "bos-first")
        if order not in get_args(BackwardOrder):
            raise ValueError(f"backward_order {order!r}: expected {', '.join(get_args(BackwardOrder))}")
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        fault = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        fault = first_fault(error) if isinstance(error, ValidationError) else fault
        raise InputError(f"{folder / MODEL} is damaged ({fault}): train the classifier again") from error
    tokenizer = _own_tokenizer(folder, tokenizer_folder, size, description.get("vocabulary"))
    where = choose_device(device)
    encoder = Encoder(size, architecture, settings.dropouts)
    encoder.compute = choose_compute(resolve_precision(precision, device), engine, where, log)
    model = TextClassifier(encoder, task.outputs, settings)
    load_weights(model, read_weights(folder / WEIGHTS), str(folder / WEIGHTS))
    return LoadedClassifier(model.to(where).eval(), tokenizer, labels, direction, settings, task, order)


def task_of_model(description: Mapping[str, Any], labels: Sequence[str]) -> TaskKind:
    """Return the kind of task that a description of a trained model names, with what was tuned.

    Raises ValueError, KeyError or TypeError where the description does not fit the labels.
    """
    task = description.get("task", "single_label")
    if task == "single_label":
        if len(set(labels)) != len(labels) or len(labels) < 2:
            raise ValueError(f"labels {labels!r}: expected two or more, each once")
        return SingleLabel(labels)
    if task == "multi_label":
        kind = MultiLabel(labels)
        kind.thresholds = [float(threshold) for threshold in description["thresholds"]]
        if len(kind.thresholds) != len(labels) or len(set(labels)) != len(labels) or not labels:
            raise ValueError(f"{len(kind.thresholds)} thresholds for {len(labels)} labels: expected one each")
        return kind
    if task == "regression":
        return Regression(float(description["target_mean"]), float(description["target_sd"]))
    raise ValueError(f"task {task!r}: expected single_label, multi_label or regression")


def _own_tokenizer(folder: Path, tokenizer_folder: Path, size: int, vocabulary: str | None) -> Tokenizer:
    """Load the tokenizer; raises InputError when it has other pieces than that of the classifier in `folder`.

    Folders of earlier versions have no `vocabulary`; only its size is checked then.
    """
    tokenizer = load_tokenizer(tokenizer_folder)
    if tokenizer.size != size:
        raise InputError(
            f"{folder / MODEL} says vocabulary_size {size:,}, the tokenizer in {tokenizer_folder} has "
            f"{tokenizer.size:,}: expected the tokenizer that the classifier was trained with"
        )
    if vocabulary not in (None, tokenizer.fingerprint()):
        raise InputError(
            f"the tokenizer in {tokenizer_folder} has other pieces than that of the classifier in {folder}: "
            f"expected the tokenizer that the classifier was trained with"
        )
    return tokenizer


def _description(folder: Path) -> dict[str, Any]:
    try:
        description = read_json(folder / MODEL)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no classifier: {MODEL} is missing or damaged") from error
    kind = description.get("kind") if isinstance(description, dict) else None
    if kind != KIND:
        raise InputError(f"{folder / MODEL} is of kind {kind!r}: expected a classifier, {KIND}")
    return description


def named_settings(description: Mapping[str, Any]) -> ClassifierSettings:
    """Return the settings that a description names.

    Raises KeyError where one that the model's shape needs is missing.
    """
    named = {name: description[name] for name in ("bptt", "maximum_tokens", "head_units")}
    others = {name: description[name] for name in ClassifierSettings.model_fields if name in description}
    return ClassifierSettings(**{**others, **named})
