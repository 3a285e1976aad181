"""Soft labels: what teachers of few labels say of the other texts of a task. Light."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.subsets import DerivedDataset
from ulmfit.evaluation.encoder_stages import EncoderClassifier
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.pipeline.stage import Work

Teacher = TfidfBaseline | EncoderClassifier | TrainClassifier


class SoftLabels(DerivedDataset):
    """Texts without a label, with the probabilities of teachers in place of one (MultiFiT, zero-shot).

    MultiFiT (Eisenschlos et al. 2019, arXiv 1909.04761) bootstraps a classifier from the labels of one of
    another kind. The teachers were trained on `dataset`; their probabilities are averaged. Train are all
    training and unlabelled texts of `texts` that `dataset` has in no split; its labels are not read for
    this. Column `probabilities` (one per label) is what a classifier learns from, column `label` the most
    probable one. Validation and test are those of `dataset`. `soft-labels.json` has the counts and, as
    information, the share of most probable labels that are right, where `texts` has them.
    """

    stage_name: ClassVar[str] = "soft-labels"

    teachers: tuple[Teacher, ...] = Field(min_length=1, description="what gives the probabilities")
    texts: DatasetStage = Field(description="the data set with the other texts of the task")

    @model_validator(mode="after")
    def _teachers_know_no_more_than_the_data_set(self) -> Self:
        for number, teacher in enumerate(self.teachers, 1):
            if teacher.dataset != self.dataset:
                raise ValueError(
                    f"teachers: number {number} was trained on another data set, which may hold more labels: "
                    f"expected teachers of `dataset`"
                )
            if isinstance(teacher, EncoderClassifier) and teacher.vectors.dataset != self.texts:
                raise ValueError(
                    f"teachers: number {number} has vectors of another data set: expected those of `texts`"
                )
        return self

    @property
    def record_label(self) -> str:
        """What records and tables have to say about it."""
        count = len(self.teachers)
        return f"soft labels of {count} teacher{'s' if count > 1 else ''}"

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        names = " and ".join(teacher.stage_name for teacher in self.teachers)
        return (*self.dataset.details, f"taught by {names}")

    def build(self, work: Work) -> None:
        """Predict the texts and write the tables."""
        from ulmfit.evaluation.teaching import build

        build(self, work)
