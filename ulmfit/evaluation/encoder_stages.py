"""Frozen encoders: vectors of texts, and a linear model on them. Light: the work is imported at the build."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.task import check_one_label
from ulmfit.evaluation.transformer_stages import HubModel, origin_of
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.settings import NOT_IN_KEY, Settings
from ulmfit.pipeline.stage import Stage, Work

VECTOR_C = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class TextVectors(Stage):
    """A vector for every text of a data set: taken from a table, or made with a sentence encoder.

    Files: `vectors-SPLIT.parquet` (id, vector) of train, valid, test and unlabelled texts, and
    `vectors.json`: what made them.
    """

    stage_name: ClassVar[str] = "text-vectors"

    dataset: DatasetStage = Field(description="whose texts have vectors")
    vectors: File | None = Field(None, description="as for FrozenEncoder")
    model: File | HubModel | None = Field(None, description="as for FrozenEncoder")
    prefix: str = Field("", description="as for FrozenEncoder")
    device: Annotated[str, NOT_IN_KEY] = Field("auto", description="auto: cuda where there is one, else cpu")

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        source = self.vectors or self.model
        return (*([origin_of(source)] if source else []), *self.dataset.details)

    def build(self, work: Work) -> None:
        """Write the vectors; InputError where a text has none."""
        from ulmfit.evaluation.text_vectors import build

        build(self, work)


class EncoderClassifier(Stage):
    """Logistic regression on the vectors of a frozen encoder.

    Its settings are chosen in cross-validation of the training texts: no other label is used. Files:
    `predictions-valid.parquet`, `predictions-test.parquet`, `encoder.json`.
    """

    stage_name: ClassVar[str] = "encoder-classifier"

    dataset: DatasetStage = Field(description="the labelled texts, each with one label")
    vectors: TextVectors = Field(description="vectors of these texts, which it finds by split and id")
    c_grid: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        VECTOR_C,
        min_length=1,
        description="inverse strengths of regularisation to choose from, for vectors of length 1 on average",
    )

    @model_validator(mode="after")
    def _has_one_label_a_text(self) -> Self:
        check_one_label(self.dataset.task, "a classifier on a frozen encoder")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        return tuple(dict.fromkeys((*self.vectors.details, *self.dataset.details)))

    def build(self, work: Work) -> None:
        """Fit on train, predict valid and test."""
        from ulmfit.evaluation.encoder_classifier import build

        build(self, work)


class FrozenEncoder(Settings):
    """A row of the table and a line of every curve: vectors of texts, with logistic regression."""

    name: str = Field(min_length=1, description="name in tables, such as multilingual-e5-small")
    vectors: File | None = Field(
        None,
        description="Parquet table with a vector for every text of the data set: columns id and vector, and "
        "split (train, valid, test, unlabelled) where two splits share an id; None: `model` makes them",
    )
    model: File | HubModel | None = Field(
        None,
        description="folder in the layout of sentence-transformers, weights as safetensors, or a model of "
        "the hub; None: `vectors` has them",
    )
    prefix: str = Field(
        "", description="what stands before every text that `model` reads, such as `query: `; empty: nothing"
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.vectors is None) == (self.model is None):
            raise ValueError(f"encoder {self.name}: expected either vectors or a model: give one of them")
        if self.prefix and self.vectors is not None:
            raise ValueError(f"encoder {self.name}: prefix has no effect on finished vectors: leave it out")
        return self

    def text_vectors(self, dataset: DatasetStage) -> TextVectors:
        """Return the stage that has the vectors of a data set's texts."""
        return TextVectors(dataset=dataset, vectors=self.vectors, model=self.model, prefix=self.prefix)

    def classifier(self, dataset: DatasetStage, texts: DatasetStage) -> EncoderClassifier:
        """Return the classifier of `dataset`, whose texts are among those of `texts`."""
        return EncoderClassifier(dataset=dataset, vectors=self.text_vectors(texts))
