"""Classifiers of several labels a text and of a number a text, from files to predictions."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy
import pandas
import pytest
import torch
from cli_for_tests import ulmfit_here
from stages_for_tests import InventedCorpus, invented_text

from ulmfit.classifier.metrics import scores
from ulmfit.classifier.multi_label import tune_thresholds
from ulmfit.classifier.predictions import (
    MultiLabelPredictions,
    Predictions,
    RegressionPredictions,
    read_predictions,
)
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.classifier.tasks import MultiLabel, Regression, SingleLabel, task_kind
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.datasets.task import task_of
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.stages import TrainTokenizer
from ulmfit.training.settings import Phase
from ulmfit.training.weights import read_weights

WORDS = {"animal": "kalomi", "building": "dusapo", "colour": "vevene"}
FEW_ROWS = 24


def multi_label_rows(seed: int, rows: int) -> list[tuple[str, str]]:
    """Return texts and the labels whose word stands in them; `colour` is rare."""
    chance = random.Random(seed)
    made = []
    for row in range(rows):
        labels = [label for label in WORDS if chance.random() < (0.25 if label == "colour" else 0.4)]
        words = [*invented_text(1000 * seed + row, 2).split(), *(WORDS[label] for label in labels)]
        chance.shuffle(words)
        made.append((" ".join(words), "|".join(labels)))
    return made


def regression_rows(seed: int, rows: int) -> list[tuple[str, str]]:
    """Return texts and 100 + 25 for every `kalomi` - 25 for every `dusapo` in them."""
    chance = random.Random(seed)
    made = []
    for row in range(rows):
        more, less = chance.randrange(4), chance.randrange(4)
        words = [*invented_text(1000 * seed + row, 3).split(), *["kalomi"] * more, *["dusapo"] * less]
        chance.shuffle(words)
        made.append((" ".join(words), str(100 + 25 * (more - less))))
    return made


def write_rows(path: Path, rows: list[tuple[str, str]]) -> File:
    pandas.DataFrame(rows, columns=["text", "label"]).to_csv(path, index=False)
    return File(path=path)


def dataset(folder: Path, task: str, rows: tuple[int, int, int] = (240, 80, 80)) -> LabelledFiles:
    make = multi_label_rows if task == "multi_label" else regression_rows
    train, valid, test = (
        write_rows(folder / f"{split}.csv", make(seed, count))
        for seed, (split, count) in enumerate(zip(("train", "valid", "test"), rows, strict=True))
    )
    return LabelledFiles(train=train, valid=valid, test=test, task=task)


def classifier(data: LabelledFiles, **changes: object) -> TrainClassifier:
    """Return a classifier from scratch, small enough to train in seconds."""
    settings = ClassifierSettings(
        phases=(Phase(epochs=16, learning_rate=3e-2, discriminative=1),),
        dropouts=Dropouts(multiplier=0.0),
        batch_size=16,
    )
    return TrainClassifier(
        dataset=data,
        tokenizer=TrainTokenizer(corpus=InventedCorpus(), language="qaa", vocab_size=80),
        architecture=Architecture(embedding_size=16, hidden_size=32, layers=1),
        settings=settings.changed(**changes),
    )


def predictions(runner: Runner, stage: TrainClassifier, split: str) -> Predictions:
    description = read_json(runner.folder(stage.dataset) / "dataset.json")
    path = runner.folder(stage) / f"predictions-{split}.parquet"
    return read_predictions(path, description["labels"], task_of(description))


def test_several_labels_are_learned(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    stage = classifier(dataset(tmp_path, "multi_label"), class_weights="balanced", label_smoothing=0.05)
    folder = runner.build(stage)
    description = read_json(folder / "model.json")
    valid, test = (predictions(runner, stage, split) for split in ("valid", "test"))
    assert isinstance(valid, MultiLabelPredictions) and isinstance(test, MultiLabelPredictions)
    assert description["task"] == "multi_label"
    assert description["labels"] == valid.labels == sorted(WORDS)
    assert description["thresholds"] == valid.thresholds == test.thresholds
    assert valid.thresholds == tune_thresholds(valid.gold_indicators, valid.probabilities)
    assert [row != [] for row in test.gold].count(False) > 5, "texts without a label are among them"
    everything = MultiLabelPredictions.from_probabilities(
        test.ids, test.gold, numpy.ones((len(test.ids), 3)), test.labels, [0.5] * 3
    )
    assert scores(everything)["macro_f1"] < 0.6
    assert scores(test)["macro_f1"] > 0.8


def test_numbers_are_learned(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    stage = classifier(dataset(tmp_path, "regression"))
    folder = runner.build(stage)
    test = predictions(runner, stage, "test")
    assert isinstance(test, RegressionPredictions)
    train = pandas.read_parquet(runner.folder(stage.dataset) / "train.parquet")["label"].to_numpy()
    description = read_json(folder / "model.json")
    assert description["task"] == "regression"
    assert (description["target_mean"], description["target_sd"]) == (train.mean(), train.std())
    assert read_weights(folder / "model.safetensors")["head.layers.6.weight"].shape[0] == 1
    found = scores(test)
    assert found["r2"] > 0.7, "always predicting the mean gives 0"
    assert found["mae"] < 0.6 * numpy.abs(numpy.array(test.gold) - train.mean()).mean(), (
        "in the labels' units"
    )


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_test_labels_change_nothing(tmp_path: Path, task: str) -> None:
    """Weights, thresholds, probabilities and predictions are the same with other test labels."""
    results = []
    for number in range(2):
        data = dataset(tmp_path, task, (FEW_ROWS, FEW_ROWS, FEW_ROWS))
        if number:
            texts = pandas.read_csv(tmp_path / "test.csv")["text"]
            others = (
                ["colour"] * len(texts) if task == "multi_label" else [f"-{n}e5" for n in range(len(texts))]
            )
            rows = list(zip(texts, others, strict=True))
            data = data.changed(test=write_rows(tmp_path / "other.csv", rows))
        runner = Runner(tmp_path / f"runs {number}")
        stage = classifier(data, phases=(Phase(learning_rate=1e-2),))
        folder = runner.build(stage)
        tables = [pandas.read_parquet(folder / f"predictions-{split}.parquet") for split in ("valid", "test")]
        results.append((read_json(folder / "model.json"), read_weights(folder / "model.safetensors"), tables))
    (model, weights, (valid, test)), (other_model, other_weights, (other_valid, other_test)) = results
    assert model == other_model
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    pandas.testing.assert_frame_equal(valid, other_valid)
    assert list(map(str, test["gold"])) != list(map(str, other_test["gold"]))
    pandas.testing.assert_frame_equal(test.drop(columns="gold"), other_test.drop(columns="gold"))


def test_a_label_that_is_in_no_validation_text_keeps_the_middle_threshold(tmp_path: Path) -> None:
    data = dataset(tmp_path, "multi_label", (FEW_ROWS, FEW_ROWS, FEW_ROWS))
    rows = [(text, "animal") for text, _ in multi_label_rows(1, FEW_ROWS)]
    runner = Runner(tmp_path / "runs")
    stage = classifier(
        data.changed(valid=write_rows(tmp_path / "valid.csv", rows)), phases=(Phase(learning_rate=1e-2),)
    )
    runner.build(stage)
    valid = predictions(runner, stage, "valid")
    assert isinstance(valid, MultiLabelPredictions)
    assert valid.thresholds[1:] == [0.5, 0.5]
    assert scores(valid)["macro_f1"] <= 1 / 3 + 1e-9


RECIPE = """
from stages_for_tests import InventedCorpus
from ulmfit.pipeline.assets import File
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.datasets.task import task_of
from ulmfit.language_model.settings import Architecture, FineTuneSettings, PretrainSettings
from ulmfit.experiments.presets import Preset, VocabularySettings
from ulmfit.experiments.recipe import Recipe

recipe = Recipe(
    name="test/tasks",
    title="Tasks",
    language="qaa",
    corpus=InventedCorpus(documents=20, words=30),
    dataset=LabelledFiles(
        train=File(path="train.csv"), valid=File(path="valid.csv"), test=File(path="test.csv"), task="TASK"
    ),
    presets={
        "tiny": Preset(
            vocabulary=VocabularySettings(size=80, byte_fallback=False),
            pretrain=PretrainSettings(
                architecture=Architecture(embedding_size=8, hidden_size=8, layers=1), batch_size=4, bptt=12
            ),
            finetune=FineTuneSettings(batch_size=4, bptt=12),
            classifier=ClassifierSettings(batch_size=8),
            directions=("forward",),
        )
    },
    seeds=(0,),
)
"""


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_from_the_command_line(tmp_path: Path, task: str) -> None:
    dataset(tmp_path, task, (FEW_ROWS, FEW_ROWS, FEW_ROWS))
    (tmp_path / "recipe.py").write_text(RECIPE.replace("TASK", task), encoding="utf-8")
    status, errors = run_recipe(tmp_path)
    assert status == 0, errors
    made = sorted((tmp_path / "runs" / "stages" / "classifier").glob("*/predictions-test.parquet"))
    assert len(made) == 2, "on the language model and from scratch"
    labels = sorted(WORDS) if task == "multi_label" else []
    for path in made:
        assert len(read_predictions(path, labels, task).ids) == FEW_ROWS
    if task == "multi_label":
        setting = 'class_weights={"animal": 2, "building": 1, "house": 3}'
        said = "class_weights: 'house' is no label and 'colour' has no weight; .* animal, building, colour"
    else:
        setting, said = "focal_gamma=2", "focal_gamma 2.0: a regression task has no classes; set .*=0.0"
    status, errors = run_recipe(tmp_path, "--set", f"classifier.{setting}")
    assert status == 2
    assert re.search(said, errors.splitlines()[-1])
    assert "Traceback" not in errors


def run_recipe(folder: Path, *options: str) -> tuple[int, str]:
    """Run the recipe up to its classifiers; return the exit status and the errors."""
    command = ("run", folder / "recipe.py", "--until", "classifier", "--runs", folder / "runs", *options)
    status, _, errors = ulmfit_here(*command)
    return status, errors


# --- The kinds of task by themselves ------------------------------------------------------------------------


def test_kinds_of_task_by_hand() -> None:
    single = task_kind({"labels": ["a", "b"]}, ["b", "a"])
    assert isinstance(single, SingleLabel) and single.outputs == 2
    assert single.targets(["b", "a"]).tolist() == [1, 0]
    assert single.description() == {}
    several = task_kind({"task": "multi_label", "labels": ["a", "b"]}, [["b"], []])
    assert isinstance(several, MultiLabel) and several.outputs == 2
    assert several.targets([["b"], [], ["b", "a"]]).tolist() == [[0, 1], [0, 0], [1, 1]]
    assert several.activation(torch.tensor([[0.0, 1000.0]])).tolist() == [[0.5, 1.0]]
    number = task_kind({"task": "regression", "labels": []}, [1.0, 3.0])
    assert isinstance(number, Regression) and (number.mean, number.sd, number.outputs) == (2.0, 1.0, 1)
    number = Regression(10.0, 4.0)
    assert number.targets([10.0, 18.0]).tolist() == [0.0, 2.0]
    assert number.activation(torch.tensor([[2.0]])).tolist() == [[18.0]]
    assert number.predictions(["x"], [18], numpy.array([[17.5]])).predicted == [17.5]
    with pytest.raises(InputError, match="label 'c' is not one of a, b"):
        several.targets([["c"]])


@pytest.mark.parametrize(("task", "metric"), [("multi_label", "samples_f1"), ("regression", "spearman")])
def test_the_epoch_with_the_best_metric_is_kept(tmp_path: Path, task: str, metric: str) -> None:
    """Thresholds of several labels are tuned in each epoch, as they are at the end."""
    runner = Runner(tmp_path / "runs")
    spoiling = Phase(epochs=2, learning_rate=1.0, schedule="constant", discriminative=1)
    stage = classifier(
        dataset(tmp_path, task, (FEW_ROWS, FEW_ROWS, FEW_ROWS)),
        select="best",
        select_metric=metric,
        phases=(Phase(epochs=4, learning_rate=3e-2, discriminative=1), spoiling),
    )
    folder = runner.build(stage)
    found = [epoch[metric] for epoch in read_json(folder / "history.json")["epochs"]]
    assert len(found) == 6
    assert found[-1] < max(found), "the last phase spoils the model"
    assert scores(predictions(runner, stage, "valid"))[metric] == pytest.approx(max(found), abs=1e-6)


def test_a_metric_that_the_task_does_not_have_is_refused_in_one_line(tmp_path: Path) -> None:
    for task, metric, fault in (
        ("regression", "macro_f1", "a regression task has no such metric; expected one of loss, pearson"),
        ("multi_label", "accuracy", "a multi_label task has no such metric; expected one of loss, macro_f1"),
        ("single_label", "samples_f1", "a single_label task has no such metric; expected one of loss, acc"),
        ("single_label", "binary_f1", "the data set has no positive_label; expected one of loss, accuracy"),
    ):
        with pytest.raises(InputError, match=f"select_metric {metric}: {fault}") as refused:
            ClassifierSettings(select_metric=metric).check_task(task)
        assert "\n" not in str(refused.value)
    ClassifierSettings(select_metric="binary_f1").check_task("single_label", "OFFENSE")
    with pytest.raises(InputError, match="select_metric micro_f1: a regression task"):
        classifier(dataset(tmp_path, "regression"), select_metric="micro_f1")


def test_settings_of_classes_do_not_fit_numbers() -> None:
    settings = ClassifierSettings(class_weights={"a": 2.0})
    settings.check_task("multi_label")
    for name, value in (("label_smoothing", 0.1), ("focal_gamma", 2.0), ("class_weights", "balanced")):
        with pytest.raises(InputError, match=f"{name} {value}: a regression task has no classes"):
            ClassifierSettings(**{name: value}).check_task("regression")
    with pytest.raises(
        InputError, match=r"class_weights .*: a regression task has no classes; set classifier"
    ):
        settings.check_task("regression")
