"""Settings of a classifier and its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ulmfit.classifier.schedules import read_schedule
from ulmfit.datasets.stages import Task
from ulmfit.errors import InputError
from ulmfit.language_model.settings import Dropouts, Probability
from ulmfit.training.settings import TrainingSettings

ClassWeight = Annotated[float, Field(gt=0)]


class ClassifierSettings(TrainingSettings):
    """The head, the dropouts, the loss, and the phases."""

    bptt: int = Field(70, ge=2, description="tokens of a chunk that the encoder reads at once")
    maximum_tokens: int = Field(
        1400, ge=0, description="tokens of a document that are read, the rest is cut; 0: no limit"
    )
    gradient_window: int = Field(
        0,
        ge=0,
        description="tokens at a document's end, in whole chunks, that gradients flow through, from chunk to "
        "chunk as well; 0: every chunk has gradients, which stay inside of it",
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
    evaluation_batch: int = Field(
        256, ge=1, description="documents predicted at once; changes nothing but rounding"
    )
    batch_size: int = Field(64, ge=2, description="documents a step; batch norm needs two")

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

    def check_task(self, task: Task) -> None:
        """Raise InputError for a setting of classes where the task has none."""
        if task != "regression":
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
