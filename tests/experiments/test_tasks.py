"""Several labels per text, and one number per text: the real command from CSV files to record and report."""

from __future__ import annotations

import random
from pathlib import Path

import numpy
import pandas
import pytest
from cli_for_tests import ulmfit_here
from sklearn.metrics import f1_score
from stages_for_tests import hash_of, invented_text

from ulmfit.classifier.multi_label import indicators, tune_thresholds
from ulmfit.evaluation.record import Record, read_record
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage

RECIPE = """
from recipes_for_tests.tiny import TINY
from stages_for_tests import InventedCorpus
from ulmfit.pipeline.assets import File
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.experiments.recipe import Recipe

recipe = Recipe(
    name="test/{task}",
    title="Tiny {task}",
    language="qaa",
    corpus=InventedCorpus(documents=40),
    dataset=LabelledFiles(
        name="made-up {task}",
        task="{task}",
        train=File(path="train.csv"),
        valid=File(path="valid.csv"),
        test=File(path="test.csv"),
    ),
    presets={{"tiny": TINY.changed(directions={directions})}},
    seeds={seeds},
)
"""
ROWS = 60
LABELS = ["dark", "light"]
EPOCHS = "classifier.phases.0.epochs=6"


def write_inputs(folder: Path, task: str) -> Path:
    """Write the recipe, and texts in which one or two telling words stand or not."""
    for split in ("train", "valid", "test"):
        chance = random.Random(split)
        rows = []
        for number in range(ROWS):
            text = invented_text(hash_of(split, number), 6)
            first, second = chance.randrange(2), chance.randrange(2)
            if task == "multi_label":
                text += " kalomi" * first + " dusapo" * second
                label = "|".join(["dark"] * first + ["light"] * second)
            else:
                count = chance.randrange(5)
                text, label = f"{text}{' kalomi' * count}", str(10 + 1.5 * count)
            rows.append({"id": f"{split}-{number}", "text": text, "label": label})
        pandas.DataFrame(rows).to_csv(folder / f"{split}.csv", index=False)
    path = folder / f"{task}.py"
    # Several labels: both directions are averaged. Numbers: the seeds are.
    directions, seeds = (("forward", "backward"), (0,)) if task == "multi_label" else (("forward",), (0, 1))
    path.write_text(RECIPE.format(task=task, directions=directions, seeds=seeds), "utf-8")
    return path


class Run:
    """A finished run of the command."""

    def __init__(self, folder: Path, task: str) -> None:
        self.recipe, self.runs = write_inputs(folder, task), folder / "runs"
        status, self.output, errors = ulmfit_here("run", self.recipe, "--runs", self.runs, "--set", EPOCHS)
        assert status == 0, errors
        recipe = load_recipe(str(self.recipe)).with_overrides([EPOCHS])
        self.folder = self.runs / recipe.run_name
        self.record: Record = read_record(self.folder / "record.json")
        self.table = (self.folder / "report.md").read_text("utf-8")
        self.page = (self.folder / "report.html").read_text("utf-8")
        self.experiment = recipe.stages()

    def predictions(self, stage: Stage, split: str) -> pandas.DataFrame:
        return pandas.read_parquet(Runner(self.runs).folder(stage) / f"predictions-{split}.parquet")

    def cells(self, name: str) -> list[str]:
        (line,) = [line for line in self.table.splitlines() if line.startswith(f"| {name} |")]
        return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("several"), "multi_label")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("numbers"), "regression")


def tfidf(*learners: str) -> list[str]:
    features = ("words 1-2", "characters 2-5")
    return [f"TF-IDF, {feature} + {learner}" for learner in learners for feature in features]


def test_the_record_of_several_labels(several: Run) -> None:
    record = several.record
    assert record.dataset is not None
    assert (record.dataset.task, record.dataset.labels) == ("multi_label", tuple(LABELS))
    assert (record.dataset.metric, record.dataset.rows["test"]) == ("macro_f1", ROWS)
    assert [row.name for row in record.rows] == [
        "ULMFiT, forward",
        "ULMFiT, backward",
        "ULMFiT, forward + backward",
        "from scratch, forward",
        *tfidf("logistic regression", "linear SVM"),
        "ULMFiT and TF-IDF together",
    ]
    for row in record.rows:
        assert set(row.metrics) == set(row.valid_metrics)
        assert set(row.metrics) >= {"macro_f1", "micro_f1", "samples_f1", "subset_accuracy", "hamming_loss"}
        assert not (row.label_metrics or row.confusion or row.calibration)
        assert row.metrics["macro_f1"].interval is not None
    assert {one.metric for one in record.comparisons} == {"macro_f1"}
    assert len(record.comparisons) == len(record.rows) - 1
    best = {row.name: row.metrics["macro_f1"].mean for row in record.rows}
    assert best["TF-IDF, words 1-2 + logistic regression"] > 0.95, "a word tells the label"


def test_averages_of_several_labels_have_thresholds_of_their_own(several: Run) -> None:
    stages = list(several.experiment.classifiers.values())
    assert len(stages) == 2
    means = {}
    for split in ("valid", "test"):
        runs = [several.predictions(stage, split)[["p0", "p1"]].to_numpy() for stage in stages]
        means[split] = numpy.mean([run.astype(float) for run in runs], axis=0)
    gold = {split: indicators(several.predictions(stages[0], split)["gold"], LABELS) for split in means}
    thresholds = tune_thresholds(gold["valid"], means["valid"])
    predicted = means["test"].astype("f4") >= thresholds
    expected = f1_score(gold["test"], predicted, average="macro", zero_division=0)
    (row,) = [row for row in several.record.rows if row.kind == "ensemble"]
    assert row.metrics["macro_f1"].values == pytest.approx([expected])


def test_one_run_of_several_labels_is_scored_as_it_was_written(several: Run) -> None:
    row = several.record.rows[0]
    for seed, value in zip(row.seeds, row.metrics["micro_f1"].values, strict=True):
        run = several.predictions(several.experiment.classifiers["forward", seed], "test")
        gold, predicted = indicators(run["gold"], LABELS), indicators(run["predicted"], LABELS)
        assert value == pytest.approx(f1_score(gold, predicted, average="micro", zero_division=0))


def test_the_table_of_several_labels(several: Run) -> None:
    header = [
        "model",
        "macro F1",
        "micro F1",
        "samples F1",
        "subset accuracy",
        "validation",
        "difference",
        "p",
    ]
    assert several.cells("model") == [*header, "seeds"]
    assert "test split, percent" in several.table
    assert "Difference: row minus ULMFiT" in several.table and "percentage points" in several.table
    row = several.record.rows[0]
    metrics = ("micro_f1", "samples_f1", "subset_accuracy")
    assert several.cells(row.name)[2:5] == [f"{100 * row.metrics[name].mean:.2f}" for name in metrics]
    assert row.name in several.output and "subset accuracy" in several.output


def test_the_record_of_numbers(numbers: Run) -> None:
    record = numbers.record
    assert record.dataset is not None
    assert (record.dataset.task, record.dataset.labels, record.dataset.metric) == (
        "regression",
        (),
        "pearson",
    )
    assert [row.name for row in record.rows] == [
        "ULMFiT, forward",
        "ULMFiT, ensemble of 2 seeds",
        "from scratch, forward",
        *tfidf("ridge regression", "linear SVR"),
        "ULMFiT and TF-IDF together",
    ]
    for row in record.rows:
        assert set(row.metrics) == {"pearson", "spearman", "r2", "mae", "rmse"} == set(row.valid_metrics)
        assert not (row.label_metrics or row.confusion or row.calibration)
    found = {row.name: row.metrics["pearson"].mean for row in record.rows}
    assert found["TF-IDF, words 1-2 + ridge regression"] > 0.7, "a word tells the number"
    stages = [numbers.experiment.classifiers["forward", seed] for seed in (0, 1)]
    runs = [numbers.predictions(stage, "test") for stage in stages]
    mean = numpy.mean([run["predicted"] for run in runs], axis=0)
    error = numpy.abs(mean - runs[0]["gold"]).mean()
    assert record.rows[1].metrics["mae"].values[0] == pytest.approx(error)
    pearson = numpy.corrcoef(mean, runs[0]["gold"])[0, 1]
    assert record.rows[1].metrics["pearson"].values[0] == pytest.approx(pearson)


def test_the_table_of_numbers_is_not_in_percent(numbers: Run) -> None:
    header = ["model", "Pearson r", "Spearman rho", "mean absolute error", "root mean squared error"]
    assert numbers.cells("model") == [*header, "validation", "difference", "p", "seeds"]
    assert "percent" not in numbers.table
    assert "correlations as they are, errors in the labels' units" in numbers.table
    assert "Difference: row minus ULMFiT" in numbers.table and "percentage points" not in numbers.table
    row = numbers.record.rows[0]
    main, *others = numbers.cells(row.name)[1:5]
    assert main.startswith(f"{row.metrics['pearson'].mean:.4f} ± {row.metrics['pearson'].sd:.4f} ")
    for cell, metric in zip(others, ("spearman", "mae", "rmse"), strict=True):
        assert cell == f"{row.metrics[metric].mean:.4f} ± {row.metrics[metric].sd:.4f}"


def test_pages_leave_out_what_is_not_defined(several: Run, numbers: Run) -> None:
    for run in (several, numbers):
        for section in ("confusion", "calibration", "errors"):
            assert f'id="{section}"' not in run.page
        assert 'id="results"' in run.page and run.record.rows[0].name in run.page
    assert "percentage points" in several.page and "percentage points" not in numbers.page
    assert f"{numbers.record.rows[0].metrics['mae'].mean:.4f}" in numbers.page


def test_reports_are_written_again_and_compared(several: Run, numbers: Run) -> None:
    for run in (several, numbers):
        status, _, errors = ulmfit_here("report", run.recipe, "--runs", run.runs, "--set", EPOCHS)
        assert status == 0, errors
        assert (run.folder / "report.md").read_text("utf-8") == run.table
    status, output, errors = ulmfit_here(
        "leaderboard", *(run.folder / "record.json" for run in (several, numbers)), "--out", numbers.runs
    )
    assert status == 0, errors
    assert f"{numbers.record.rows[0].metrics['pearson'].mean:.4f} ± " in output


def test_explaining_is_refused_in_one_line(several: Run) -> None:
    status, _, errors = ulmfit_here(
        "explain", several.recipe, "--document", "test-1", "--runs", several.runs, "--set", EPOCHS
    )
    assert status == 2 and errors.count("\n") == 1
    assert "texts with one label each" in errors


def test_curves_are_refused_in_one_line(several: Run) -> None:
    status, _, errors = ulmfit_here(
        "plan", several.recipe, "--runs", several.runs, "--set", "train_sizes=[10]"
    )
    assert status == 2 and "defined for texts with one label each" in errors


def test_weights_of_other_labels_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    recipe = write_inputs(tmp_path, "multi_label")
    weights = 'classifier.class_weights={"dark": 2, "bright": 1}'
    status, _, errors = ulmfit_here("run", recipe, "--runs", tmp_path / "runs", "--set", weights)
    assert status == 2
    assert "class_weights: 'bright' is no label and 'light' has no weight" in errors
    assert [path.name for path in (tmp_path / "runs" / "stages").iterdir()] == ["labelled-files"]
