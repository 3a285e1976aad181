"""Settings of a classifier and its training."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ulmfit.classifier.schedules import read_schedule
from ulmfit.datasets.metric_table import ranking_metrics
from ulmfit.datasets.task import Task, has_numbers
from ulmfit.language_model.settings import Dropouts, Probability
from ulmfit.pipeline.errors import InputError
from ulmfit.training.settings import TrainingSettings

ClassWeight = Annotated[float, Field(gt=0)]


class ClassifierSettings(TrainingSettings):
    """The head, the dropouts, the loss, and the phases."""

    bptt: int = Field(70, ge=2, description="tokens of a chunk that the encoder reads at once")
    maximum_tokens: int = Field(
        1400, ge=0, description="tokens of a document that are read, or pooled (reads); 0: no limit"
    )
    reads: Literal["first", "last"] = Field(
        "first",
        description="of a text longer than maximum_tokens. first: its first tokens are read; last: all of it "
        "is read, and the last tokens are pooled and trained, in whole chunks (the originals)",
    )
    gradient_window: int = Field(
        0,
        ge=0,
        description="tokens at the end of a document, in whole chunks, through which gradients flow, also "
        "from chunk to chunk; 0: gradients in every chunk, but not from chunk to chunk",
    )
    ar: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="activation regularization of the encoder's outputs (alpha), such as 2; 0: off",
    )
    tar: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="temporal activation regularization of the encoder's outputs (beta), such as 1; 0: off",
    )
    head_units: int = Field(50, ge=1, description="units of the head's hidden layer")
    head_dropout: Probability = Field(0.1, description="before the head's last layer; 0: off")
    dropouts: Dropouts = Dropouts(output=0.4, hidden=0.3, input=0.4, embedding=0.05, weight=0.5)
    class_weights: Literal["none", "balanced"] | dict[str, ClassWeight] = Field(
        "none",
        description="balanced: rare labels weigh more, n / (classes x count), in multi-label tasks texts "
        "without the label / texts with it; or a factor above 0 for every label name; none: all weigh 1",
    )
    smoothing_divided_by_classes: bool = Field(
        False, description="label_smoothing is divided by the number of classes (MultiFiT); false: it is not"
    )
    focal_gamma: float = Field(
        0.0,
        ge=0,
        description="exponent of the focal loss (Lin et al. 2017, arXiv 1708.02002), such as 2: texts that "
        "are classified well weigh less; 0: off",
    )
    select_metric: str = Field(
        "loss",
        description="by what select=best and early stopping compare epochs on validation: loss, lower is "
        "better, or a metric of the task, higher is better; binary_f1 is that of the positive label",
    )
    evaluation_batch: int = Field(256, ge=1, description="documents predicted at once; changes only rounding")
    batch_size: int = Field(64, ge=2, description="documents per step; batch norm needs two")

    least_steps: int = Field(
        0,
        ge=0,
        description="a training set so small that all phases have fewer batches than this is read several "
        "times an epoch, in other batches every time; subword sampling still cuts it once an epoch; 0: off",
    )

    @field_validator("phases", mode="before")
    @classmethod
    def _are_phases_or_a_schedule(cls, value: Any) -> Any:
        """Read the name of a schedule, such as `layered:8`."""
        return read_schedule(value) if isinstance(value, str) else value

    @property
    def read_tokens(self) -> int:
        """Tokens after which a text is cut; 0: all of it is read."""
        return self.maximum_tokens if self.reads == "first" else 0

    @property
    def pooled_tokens(self) -> int:
        """Tokens at the end of a text that are pooled; 0: all that are read."""
        return self.maximum_tokens if self.reads == "last" else 0

    @field_validator("class_weights", mode="after")
    @classmethod
    def _names_are_composed(cls, weights: Any) -> Any:
        """Put the labels' names into NFC, as data sets have them."""
        if not isinstance(weights, dict):
            return weights
        composed = {unicodedata.normalize("NFC", name): weight for name, weight in weights.items()}
        if len(composed) < len(weights):
            raise ValueError("two names of class_weights are one label in two spellings: give it one weight")
        return composed

    def passes(self, steps: int) -> int:
        """Return how often an epoch reads the training set, of which one pass is so many steps."""
        epochs = sum(phase.epochs for phase in self.phases)
        return max(1, -(-self.least_steps // (epochs * steps)))

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raise InputError when `class_weights` has weights, and not those of exactly these labels."""
        if not isinstance(self.class_weights, dict):
            return
        unknown = [name for name in self.class_weights if name not in labels]
        missing = [name for name in labels if name not in self.class_weights]
        if unknown or missing:
            faults = [
                *([f"{_listed(unknown)} is no label"] if unknown else []),
                *([f"{_listed(missing)} has no weight"] if missing else []),
            ]
            raise InputError(
                f"class_weights: {' and '.join(faults)}; give each of the data set's labels a weight: "
                f"{', '.join(labels)}"
            )

    def check_task(self, task: Task, positive_label: str | None = None) -> None:
        """Raise InputError for a metric that the task does not have, or a setting of classes without any."""
        fitting = ranking_metrics(task, positive_label=positive_label is not None)
        if self.select_metric not in ("loss", *fitting):
            why = (
                "the data set has no positive_label"
                if self.select_metric in ranking_metrics(task)
                else f"a {task} task has no such metric"
            )
            raise InputError(
                f"select_metric {self.select_metric}: {why}; expected one of loss, {', '.join(fitting)}"
            )
        if not has_numbers(task):
            return
        for name in ("label_smoothing", "class_weights", "focal_gamma"):
            off = type(self).model_fields[name].default
            if getattr(self, name) != off:
                raise InputError(
                    f"{name} {getattr(self, name)}: a regression task has no classes; "
                    f"set classifier.{name}={off}"
                )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
