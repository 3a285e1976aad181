"""A data set with more training texts, whose labels trained classifiers have predicted. Light."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.subsets import DerivedDataset
from ulmfit.datasets.task import check_one_label
from ulmfit.pipeline.stage import Work


class PseudoLabelled(DerivedDataset):
    """`dataset` and, in train, the texts of a pool that classifiers are sure of (Lee 2013, pseudo-labels).

    The classifiers were trained on `dataset`; their probabilities are averaged. Labels that the pool may have
    are not used for this; validation and test stay as they are, texts that are not taken are unlabelled ones,
    which the language model is fine-tuned on as well. Files beside the tables: `pseudo-labels.parquet` (id in
    the pool, label, confidence), `pseudo-labels.json` (counts), and where the pool has labels, as
    information, `pseudo-labels-gold.json`: how many of the predicted ones are right.
    """

    stage_name: ClassVar[str] = "pseudo-labelled"
    stage_version: ClassVar[int] = 2

    classifiers: tuple[TrainClassifier, ...] = Field(
        min_length=1, description="classifiers that predict, such as both directions and several seeds"
    )
    pool: DatasetStage | None = Field(
        None,
        description="whose training texts are the pool, those of `dataset` left out; None: the unlabelled "
        "texts of `dataset`",
    )
    threshold: float = Field(
        0.9, ge=0, le=1, description="averaged probability from which on a text is taken; 0: off"
    )
    per_label: int | None = Field(
        None,
        ge=1,
        description="most texts taken per predicted label, those of the highest probability first; None: all",
    )

    @model_validator(mode="after")
    def _pool_has_one_label_a_text(self) -> Self:
        if self.pool is not None:
            check_one_label(self.pool.task, type(self).__name__)
        return self

    @model_validator(mode="after")
    def _classifiers_know_no_more_than_the_data_set(self) -> Self:
        for number, classifier in enumerate(self.classifiers, 1):
            # In a second round the classifiers were trained on the pseudo-labels of the first.
            learned = classifier.dataset
            while learned != self.dataset and isinstance(learned, PseudoLabelled):
                learned = learned.dataset
            if learned != self.dataset:
                raise ValueError(
                    f"classifiers: number {number} was trained on another data set, which may hold the "
                    f"pool's labels: expected classifiers of `dataset`"
                )
        return self

    @property
    def record_label(self) -> str:
        """What records and tables have to say about it."""
        count = len(self.classifiers)
        limits = [f"probability {self.threshold:g} or more"] if self.threshold else []
        limits += [f"at most {self.per_label} per label"] if self.per_label else []
        who = "1 classifier" if count == 1 else f"{count} classifiers"
        return f"pseudo-labels of {', '.join([who, *limits])}"

    def build(self, work: Work) -> None:
        """Predict the pool and write the tables."""
        from ulmfit.classifier.pseudo_labelling import build

        build(self, work)
