"""The stages of step 5: baselines. Light: scikit-learn is imported when a stage is built."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.task import Task, check_one_label
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
        "better where it is chosen; without effect in regression",
    )
    c_grid: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        min_length=1,
        description="inverse strengths of regularisation to choose from; None: 0.3 to 30 for logistic "
        "regression, 0.1 to 10 for ridge regression (1 / alpha), 0.03 to 3 for the others",
    )
    choice: Literal["validation", "cross_validation"] = Field(
        "validation",
        description="what C, weights and an SVM's probabilities are chosen on. validation: the whole split; "
        "cross_validation: the training texts in five folds, and no other label (texts with one label each)",
    )

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        fitting = LEARNERS[self.dataset.task]
        if self.classifier not in fitting:
            raise InputError(
                f"TF-IDF baseline: classifier {self.classifier} does not fit task {self.dataset.task}: "
                f"expected one of {', '.join(fitting)}"
            )
        if self.choice == "cross_validation":
            check_one_label(self.dataset.task, "TF-IDF baseline: choice cross_validation")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        inside = ("cross-validated",) if self.choice == "cross_validation" else ()
        return (f"{self.analyzer}, {self.classifier}", *inside, *self.dataset.details)

    def build(self, work: Work) -> None:
        """Fit on train, choose C, weights and thresholds, predict valid and test."""
        from ulmfit.evaluation.tfidf import build

        build(self, work)
