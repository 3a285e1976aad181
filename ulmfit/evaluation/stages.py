"""The stages of step 5: baselines. Light: scikit-learn is imported when a stage is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.subsets import check_single_label
from ulmfit.errors import InputError
from ulmfit.files import read_json, write_json
from ulmfit.stage import Stage, Work

if TYPE_CHECKING:
    from ulmfit.evaluation.baselines import BaselineResult, Split

Analyzer = Literal["word", "char"]
Classifier = Literal["logistic_regression", "linear_svm"]


class TfidfBaseline(Stage):
    """TF-IDF with a linear classifier: predictions on valid and test, and `baseline.json`."""

    stage_name: ClassVar[str] = "tfidf-baseline"
    stage_version: ClassVar[int] = 2

    dataset: DatasetStage = Field(description="the labelled texts")
    analyzer: Analyzer = Field(
        "char", description="word: 1-2-grams of words; char: 2-5-grams of characters within words"
    )
    classifier: Classifier = Field("logistic_regression", description="what is fitted to the features")
    class_weights: Literal["tuned", "balanced", "none"] = Field(
        "tuned",
        description="balanced: labels weigh by inverse frequency; none: all alike; tuned: whichever is "
        "better on the validation split",
    )
    c_grid: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        min_length=1,
        description="inverse strengths of regularisation to choose from on the validation split; None: 0.3 "
        "to 30 for logistic regression, 0.03 to 3 for the SVM",
    )

    @model_validator(mode="after")
    def _has_one_label_a_text(self) -> Self:
        check_single_label(self.dataset, "a TF-IDF baseline (`tfidf` among comparisons)")
        return self

    def build(self, work: Work) -> None:
        """Fit on train, choose C and weights on valid, predict valid and test."""
        from ulmfit.classifier.predictions import write_predictions
        from ulmfit.evaluation.baselines import Choices, fit_and_predict

        folder = work.input(self.dataset)
        description = read_json(folder / "dataset.json")
        labels = description["labels"]
        if len(labels) < 2:
            raise InputError(f"{folder / 'dataset.json'}: {len(labels)} labels; expected at least two")
        result = fit_and_predict(
            {split: _read_split(folder / f"{split}.parquet") for split in ("train", "valid", "test")},
            labels,
            Choices(self.analyzer, self.classifier, self.class_weights, self.c_grid),
            metric=description["metric"],
            positive_label=self.dataset.positive_label,
        )
        write_predictions(work.folder / "predictions-valid.parquet", result.valid)
        write_predictions(work.folder / "predictions-test.parquet", result.test)
        write_json(work.folder / "baseline.json", self._describe(result, description["metric"]))
        weights = "balanced" if result.chosen.balanced else "equal"
        work.log(
            f"{self.analyzer} n-grams: {result.features} features, C = {result.chosen.c:g}, {weights} weights"
        )

    def _describe(self, result: BaselineResult, metric: str) -> dict:
        from ulmfit.evaluation.baselines import FEATURES

        return {
            "analyzer": self.analyzer,
            "ngrams": list(FEATURES[self.analyzer]["ngram_range"]),
            "classifier": self.classifier,
            "features": result.features,
            "balanced": result.chosen.balanced,
            "C": result.chosen.c,
            "sharpness": result.sharpness,
            "metric": metric,
            "grid": [
                {"C": setting.c, "balanced": setting.balanced, "valid": value}
                for setting, value in result.grid
            ],
        }


def _read_split(path: Path) -> Split:
    import pyarrow.parquet

    from ulmfit.evaluation.baselines import Split

    table = pyarrow.parquet.read_table(path, columns=["id", "text", "label"])
    return Split(
        ids=table["id"].to_pylist(), texts=table["text"].to_pylist(), labels=table["label"].to_pylist()
    )
