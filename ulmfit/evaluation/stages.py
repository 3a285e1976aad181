"""The stages of step 5: baselines. Light: scikit-learn is imported when a stage is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ulmfit.datasets.stages import DatasetStage
from ulmfit.errors import InputError
from ulmfit.files import read_json, write_json
from ulmfit.stage import Stage, Work

if TYPE_CHECKING:
    from ulmfit.evaluation.baselines import BaselineResult, Split


class TfidfBaseline(Stage):
    """TF-IDF with logistic regression: predictions on valid and test, and `baseline.json`."""

    stage_name: ClassVar[str] = "tfidf-baseline"

    dataset: DatasetStage = Field(description="the labelled texts")
    analyzer: Literal["word", "char"] = Field(
        "char", description="word: 1-2-grams of words; char: 2-5-grams of characters within words"
    )
    balanced: bool = Field(True, description="weigh labels by inverse frequency; False: all alike")
    c_grid: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.3, 1.0, 3.0, 10.0, 30.0),
        min_length=1,
        description="inverse strengths of regularisation to choose from on the validation split",
    )

    def build(self, work: Work) -> None:
        """Fit on train, choose C on valid, predict valid and test."""
        from ulmfit.classifier.predictions import write_predictions
        from ulmfit.evaluation.baselines import fit_and_predict

        folder = work.input(self.dataset)
        description = read_json(folder / "dataset.json")
        labels = description["labels"]
        if len(labels) < 2:
            raise InputError(f"{folder / 'dataset.json'}: {len(labels)} labels; expected at least two")
        result = fit_and_predict(
            {split: _read_split(folder / f"{split}.parquet") for split in ("train", "valid", "test")},
            labels,
            analyzer=self.analyzer,
            balanced=self.balanced,
            c_grid=self.c_grid,
            metric=description["metric"],
            positive_label=self.dataset.positive_label,
        )
        write_predictions(work.folder / "predictions-valid.parquet", result.valid)
        write_predictions(work.folder / "predictions-test.parquet", result.test)
        write_json(work.folder / "baseline.json", self._describe(result, description["metric"]))
        work.log(f"{self.analyzer} n-grams: {result.features} features, C = {result.chosen:g}")

    def _describe(self, result: BaselineResult, metric: str) -> dict:
        from ulmfit.evaluation.baselines import FEATURES

        return {
            "analyzer": self.analyzer,
            "ngrams": list(FEATURES[self.analyzer]["ngram_range"]),
            "features": result.features,
            "balanced": self.balanced,
            "C": result.chosen,
            "metric": metric,
            "grid": [{"C": strength, "valid": value} for strength, value in result.grid],
        }


def _read_split(path: Path) -> Split:
    import pyarrow.parquet

    from ulmfit.evaluation.baselines import Split

    table = pyarrow.parquet.read_table(path, columns=["id", "text", "label"])
    return Split(
        ids=table["id"].to_pylist(), texts=table["text"].to_pylist(), labels=table["label"].to_pylist()
    )
