"""The stages of step 5: baselines. Light: scikit-learn is imported when a stage is built."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.task import Task
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Stage, Work

Analyzer = Literal["word", "char"]
Learner = Literal["logistic_regression", "linear_svm", "ridge", "linear_svr"]
LEARNERS: dict[Task, tuple[Learner, ...]] = {
    "single_label": ("logistic_regression", "linear_svm"),
    "multi_label": ("logistic_regression", "linear_svm"),
    "regression": ("ridge", "linear_svr"),
}
"""What can be fitted to the features in each kind of task; the first is the default."""


class TfidfBaseline(Stage):
    """TF-IDF with a linear model: predictions on valid and test, and `baseline.json`."""

    stage_name: ClassVar[str] = "tfidf-baseline"
    stage_version: ClassVar[int] = 3

    dataset: DatasetStage = Field(description="the labelled texts")
    analyzer: Analyzer = Field(
        "char", description="word: 1-2-grams of words; char: 2-5-grams of characters within words"
    )
    classifier: Learner = Field(
        "logistic_regression",
        description="what is fitted to the features, in multi-label tasks once per label; ridge and "
        "linear_svr are for regression",
    )
    class_weights: Literal["tuned", "balanced", "none"] = Field(
        "tuned",
        description="balanced: labels weigh by inverse frequency; none: all alike; tuned: whichever is "
        "better on the validation split; without effect in regression",
    )
    c_grid: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        min_length=1,
        description="inverse strengths of regularisation to choose from on the validation split; None: 0.3 "
        "to 30 for logistic regression, 0.1 to 10 for ridge regression (1 / alpha), 0.03 to 3 for the others",
    )

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        fitting = LEARNERS[self.dataset.task]
        if self.classifier not in fitting:
            raise InputError(
                f"TF-IDF baseline: classifier {self.classifier} does not fit task {self.dataset.task}: "
                f"expected one of {', '.join(fitting)}"
            )
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        return (f"{self.analyzer}, {self.classifier}", *self.dataset.details)

    def build(self, work: Work) -> None:
        """Fit on train, choose C, weights and thresholds on valid, predict valid and test."""
        from ulmfit.evaluation.baselines import build

        build(self, work)
