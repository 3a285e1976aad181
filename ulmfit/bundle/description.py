"""What `bundle.json` says of a classifier, beside what every bundle says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.datasets.metric_table import ranking_metrics
from ulmfit.datasets.task import Task
from ulmfit.datasets.text_rules import TextRule
from ulmfit.language_model.bundle_format import BundleDescription, Member
from ulmfit.language_model.settings import Direction
from ulmfit.pipeline.settings import Settings


class PredictionCheck(Settings):
    """How the predictions of the bundle differ from those of the run, on the test split."""

    texts: int = Field(ge=1)
    flipped: int = Field(ge=0, description="texts whose predicted label is another one; regression: 0")
    largest_difference: float = Field(
        ge=0, description="largest absolute difference of a probability, or of a number in regression"
    )


class ClassifierDescription(BundleDescription):
    """A classifier: its labels, what it reads of a text, and what was tuned on validation."""

    kind: Literal["classifier"] = "classifier"
    task: Task
    labels: tuple[str, ...] = Field(description="in the order of the probabilities; (): numbers")
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (), description="several labels: the probability from which each is predicted; (): other tasks"
    )
    temperature: float | None = Field(
        None,
        gt=0,
        description="divides the logarithms of the averaged probabilities, where calibrated ones are asked "
        "for; fitted on validation; None: not fitted",
    )
    target_mean: float = Field(0.0, description="regression: of the training numbers")
    target_sd: float = Field(1.0, gt=0, description="regression: of the training numbers")
    bptt: int = Field(ge=2, description="tokens that the encoder reads at once")
    maximum_tokens: int = Field(ge=0, description="tokens of a text that are read, or pooled; 0: no limit")
    reads: Literal["first", "last"]
    head_units: int = Field(ge=1, le=1_000_000)
    dataset: str = Field(description="name of the data set that it learned from")
    metric: str = Field(description="headline metric of the data set")
    positive_label: str | None = Field(None, description="the label that binary_f1 counts")
    text_rules: tuple[TextRule, ...] = Field((), description="what is done to a text first")
    text_columns: tuple[str, ...] = Field(
        ("text",), min_length=1, description="columns of a table that a text is made of"
    )
    field_marks: bool = Field(False, description="whether each column begins with xxfld and its number")
    check: PredictionCheck | None = Field(None, description="None: not compared with the run")

    @classmethod
    def of_language_model(cls, model: BundleDescription, **fields: Any) -> Self:
        """Describe a classifier that began with a language model, whose tokenizer and size it has."""
        common = {name: getattr(model, name) for name in BundleDescription.model_fields}
        return cls(**{**common, "kind": "classifier", "row": "", **fields})

    @model_validator(mode="after")
    def _tells_one_task(self) -> Self:
        many = self.task == "multi_label"
        if len(self.thresholds) != (len(self.labels) if many else 0):
            raise ValueError(f"{len(self.thresholds)} thresholds do not fit {len(self.labels)} labels")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: one of them stands twice")
        least = {"single_label": 2, "multi_label": 1, "regression": 0}[self.task]
        if len(self.labels) < least or (self.task == "regression" and self.labels):
            raise ValueError(f"{len(self.labels)} labels do not fit task {self.task}")
        if self.metric not in ranking_metrics(self.task):
            raise ValueError(f"metric {self.metric} does not fit task {self.task}")
        return self


def new_classifier(
    model: BundleDescription, direction: Direction, labels: Sequence[str], several: bool
) -> ClassifierDescription:
    """Describe a classifier on one language model with the default settings; `several`: labels per text."""
    settings = ClassifierSettings()
    task: Task = "multi_label" if several else "single_label"
    return ClassifierDescription.of_language_model(
        model,
        name=f"{model.language}/texts",
        members=(Member(file=f"{direction}-0.safetensors", direction=direction),),
        precision="fp32",
        task=task,
        labels=tuple(labels),
        thresholds=(0.5,) * len(labels) if several else (),
        bptt=settings.bptt,
        maximum_tokens=settings.maximum_tokens,
        reads=settings.reads,
        head_units=settings.head_units,
        dataset="texts",
        metric=ranking_metrics(task)[0],
    )
