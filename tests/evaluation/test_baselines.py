"""The TF-IDF baselines, as functions and as a stage."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pandas
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from ulmfit.classifier.metrics import main_score, score
from ulmfit.classifier.predictions import read_predictions
from ulmfit.datasets.stages import DatasetStage
from ulmfit.evaluation.baselines import (
    FEATURES,
    SHARPEST,
    Choices,
    Setting,
    Split,
    fit_and_predict,
    fit_sharpness,
)
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

LABELS = ["bad", "good"]
STEMS = {"bad": ["zlok", "gorv", "hudan"], "good": ["dobr", "radim", "lepen"]}
ENDINGS = ["a", "u", "om", "ami", "ego"]


def made_up_split(name: str, rows: int, salt: int) -> Split:
    """Texts whose stems tell the label, with endings that vary."""
    labels = [LABELS[index % 2] for index in range(rows)]
    texts = [
        f"to {STEMS[label][(index + salt) % 3]}{ENDINGS[(index * 7 + salt) % 5]} w {index % 4}"
        for index, label in enumerate(labels)
    ]
    return Split([f"{name}{index}" for index in range(rows)], texts, labels)


def made_up_splits() -> dict[str, Split]:
    return {
        "train": made_up_split("train", 60, 0),
        "valid": made_up_split("valid", 20, 1),
        "test": made_up_split("test", 20, 2),
    }


def fit(splits: dict[str, Split], *, labels=LABELS, metric="macro_f1", positive_label=None, **choices):
    chosen = Choices(**{"class_weights": "balanced", "c_grid": (0.3, 3.0), **choices})
    return fit_and_predict(splits, labels, chosen, metric=metric, positive_label=positive_label)


class MadeUpDataset(DatasetStage):
    """A data set that needs no file."""

    stage_name: ClassVar[str] = "made_up_dataset"

    def build(self, work) -> None:
        for name, split in made_up_splits().items():
            table = pandas.DataFrame({"id": split.ids, "text": split.texts, "label": split.labels})
            table.to_parquet(work.folder / f"{name}.parquet")
        description = {"labels": LABELS, "metric": self.metric}
        (work.folder / "dataset.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("किला और काला", {"किला", "और", "काला", "किला और", "और काला"}),
        ("昨天看书。", {"昨", "天", "看", "书", "昨 天", "天 看", "看 书"}),
        ("I said A_b, 3", {"i", "said", "a_b", "3", "i said", "said a_b", "a_b 3"}),
    ],
)
def test_words_are_those_of_the_corpus(text, words):
    """A vowel sign ends no word, and a clause without spaces is none."""
    vectorizer = TfidfVectorizer(**FEATURES["word"]).fit([text])
    assert set(vectorizer.vocabulary_) == words


@pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])
@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_learns_what_the_stems_tell(analyzer, classifier):
    result = fit(made_up_splits(), analyzer=analyzer, classifier=classifier)
    assert np.mean([a == b for a, b in zip(result.test.gold, result.test.predicted, strict=True)]) >= 0.9
    assert [setting.c for setting, _ in result.grid] == [0.3, 3.0]


def test_smallest_of_equal_strengths_is_chosen():
    result = fit(made_up_splits(), c_grid=(30.0, 10.0, 3.0))
    scores = dict(result.grid)
    best = [setting.c for setting, value in scores.items() if value == max(scores.values())]
    assert result.chosen.c == min(best)


def test_both_weights_are_tried_and_equal_ones_are_preferred():
    result = fit(made_up_splits(), class_weights="tuned", c_grid=(3.0, 0.3))
    assert [setting for setting, _ in result.grid] == [
        Setting(0.3, False),
        Setting(0.3, True),
        Setting(3.0, False),
        Setting(3.0, True),
    ]
    values = [value for _, value in result.grid]
    assert result.chosen == result.grid[values.index(max(values))][0]


def test_the_chosen_setting_is_the_best_one_on_validation_by_the_metric():
    """Labels that only weights for the rare one find: the two metrics choose differently."""
    splits = made_up_splits()
    rare = [index for index in range(60) if index % 2 == 0 or index % 20 == 1]
    train = splits["train"]
    splits["train"] = Split(*([part[i] for i in rare] for part in (train.ids, train.texts, train.labels)))
    for metric in ("accuracy", "macro_f1"):
        result = fit(splits, class_weights="tuned", metric=metric, c_grid=(0.3, 1.0))
        by_hand = main_score(metric, result.valid.gold, result.valid.predicted, LABELS)
        assert by_hand == max(value for _, value in result.grid) == dict(result.grid)[result.chosen]


@pytest.mark.parametrize("labels", [LABELS, ["bad", "good", "odd"]], ids=["two labels", "three labels"])
def test_an_svms_labels_are_its_own_and_its_probabilities_are_those_of_a_softmax(labels):
    splits = made_up_splits()
    if len(labels) == 3:
        for name, split in splits.items():
            odd = ["odd" if index % 5 == 0 else label for index, label in enumerate(split.labels)]
            texts = [f"{text} strum" if index % 5 == 0 else text for index, text in enumerate(split.texts)]
            splits[name] = Split(split.ids, texts, odd)
    result = fit(splits, labels=labels, classifier="linear_svm", c_grid=(1.0,))
    vectorizer = TfidfVectorizer(sublinear_tf=True, **FEATURES["char"])
    model = LinearSVC(C=1.0, class_weight="balanced", dual=True, tol=0.01, random_state=0)
    model.fit(vectorizer.fit_transform(splits["train"].texts), splits["train"].labels)
    features = vectorizer.transform(splits["test"].texts)
    assert result.test.predicted == list(model.predict(features))
    decisions = model.decision_function(features)
    if len(labels) == 2:
        expected = 1 / (1 + np.exp(-2 * result.sharpness * decisions))
        np.testing.assert_allclose(result.test.probabilities[:, 1], expected)
    else:
        powers = np.exp(result.sharpness * decisions)
        np.testing.assert_allclose(result.test.probabilities, powers / powers.sum(axis=1, keepdims=True))


def test_sharpness_is_the_most_likely_one():
    """Three of four are right by the same margin of 2 d: sigmoid(2 s d) has to be 3 / 4."""
    decisions = np.array([[-0.5, 0.5]] * 4)
    found = fit_sharpness(decisions, ["good", "good", "good", "bad"], LABELS)
    assert found == pytest.approx(math.log(3), rel=1e-3)
    for gold in (["good"] * 4, ["good", "absent", "good", "good"]):
        assert 10 < fit_sharpness(decisions, gold, LABELS) <= SHARPEST, "as good as certain, and bounded"
    assert 1 / SHARPEST <= fit_sharpness(decisions, ["bad"] * 4, LABELS) < 0.1


@pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])
def test_test_labels_do_not_matter(classifier):
    splits = made_up_splits()
    flipped = [LABELS[1 - LABELS.index(label)] for label in splits["test"].labels]
    other = {**splits, "test": Split(splits["test"].ids, splits["test"].texts, flipped)}
    one, two = fit(splits, classifier=classifier), fit(other, classifier=classifier)
    assert (one.chosen, one.grid, one.sharpness) == (two.chosen, two.grid, two.sharpness)
    assert np.array_equal(one.test.probabilities, two.test.probabilities)


@pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])
def test_label_that_train_lacks_gets_no_probability(classifier):
    result = fit(made_up_splits(), labels=["absent", *LABELS], classifier=classifier)
    assert not result.test.probabilities[:, 0].any()
    np.testing.assert_allclose(result.test.probabilities.sum(axis=1), 1)


def test_weights_help_the_rare_label():
    splits = made_up_splits()
    train = splits["train"]
    rare = [index for index, label in enumerate(train.labels) if label == "good" or index % 20 == 0]
    splits["train"] = Split(*([part[i] for i in rare] for part in (train.ids, train.texts, train.labels)))
    bad = LABELS.index("bad")
    balanced = fit(splits, c_grid=(0.3,)).test.probabilities[:, bad].mean()
    unbalanced = fit(splits, c_grid=(0.3,), class_weights="none").test.probabilities[:, bad].mean()
    assert balanced > unbalanced


@pytest.mark.parametrize(
    ("split", "replacement", "message"),
    [
        ("valid", Split([], [], []), "valid split is empty"),
        ("train", Split(["1", "2"], ["a", "b"], ["bad", "bad"]), "single label"),
        ("train", Split(["1", "2"], ["", "!?"], ["bad", "good"]), "no word features"),
    ],
)
def test_bad_splits(split, replacement, message):
    with pytest.raises(InputError, match=message):
        fit({**made_up_splits(), split: replacement}, analyzer="word")


@pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])
@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_stage_writes_the_same_bytes_twice(tmp_path, analyzer, classifier):
    stage = TfidfBaseline(dataset=MadeUpDataset(metric="macro_f1"), analyzer=analyzer, classifier=classifier)
    folders = [Runner(tmp_path / name).build(stage) for name in ("one", "two")]
    names = ["predictions-valid.parquet", "predictions-test.parquet", "baseline.json"]
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    test = read_predictions(folders[0] / "predictions-test.parquet", LABELS)
    assert test.ids == made_up_splits()["test"].ids
    about = json.loads((folders[0] / "baseline.json").read_text())
    assert about["analyzer"] == analyzer
    assert (about["C"], about["balanced"]) in [(entry["C"], entry["balanced"]) for entry in about["grid"]]
    assert (about["sharpness"] is None) == (classifier == "logistic_regression")
    assert about["features"] > 0


def test_stage_uses_the_positive_label(tmp_path):
    stage = TfidfBaseline(dataset=MadeUpDataset(metric="binary_f1", positive_label="good"))
    about = json.loads((Runner(tmp_path).build(stage) / "baseline.json").read_text())
    assert about["metric"] == "binary_f1"


@pytest.mark.parametrize("c_grid", [(), (0.0,), (-1.0,)])
def test_stage_refuses_an_impossible_grid(c_grid):
    with pytest.raises(ValidationError):
        TfidfBaseline(dataset=MadeUpDataset(), c_grid=c_grid)


def test_modules_that_the_command_line_imports_are_light():
    modules = "ulmfit.evaluation.stages, ulmfit.report.report"
    heavy = "{'torch', 'fastai', 'pandas', 'pyarrow', 'sklearn', 'numpy', 'jinja2', 'matplotlib'}"
    code = f"import sys, {modules}; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def read_published(path, separator: str) -> Split:
    """Read the lines of a published file, whose label stands in front (a blank) or behind (a tab)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if separator == " ":
        cells = [line.split(" ", 1)[::-1] for line in lines]
    else:
        cells = [line.split("\t") for line in lines]
    return Split(
        [str(i) for i in range(len(cells))], [cell[0] for cell in cells], [cell[1] for cell in cells]
    )


@pytest.mark.soak
def test_floor_of_germeval_2018(shared_data):
    """The published macro F1 of characters and balanced weights, 70.4, comes from all of train."""
    folder = shared_data / "de-germeval2018"
    train, test = (read_published(folder / f"germeval2018.{name}.txt", "\t") for name in ("training", "test"))
    tenth = Split(train.ids[::10], train.texts[::10], train.labels[::10])
    result = fit({"train": train, "valid": tenth, "test": test}, labels=["OFFENSE", "OTHER"], c_grid=(3.0,))
    macro_f1 = score(result.test.gold, result.test.predicted, ["OFFENSE", "OTHER"])["macro_f1"]
    assert macro_f1 == pytest.approx(0.704, abs=0.01)


@pytest.mark.soak
@pytest.mark.parametrize(("folder", "floor"), [("pl-8tags", 0.724), ("pl-wccrs-hotels", 0.822)])
def test_floor_of_polish_tasks(shared_data, folder, floor):
    splits = {
        split: read_published(shared_data / folder / f"{name}.txt", " ")
        for split, name in (("train", "train"), ("valid", "dev"), ("test", "test"))
    }
    labels = sorted(set(splits["train"].labels))
    result = fit(splits, labels=labels, metric="accuracy", class_weights="tuned", c_grid=(3.0, 10.0))
    accuracy = score(result.test.gold, result.test.predicted, labels)["accuracy"]
    assert accuracy > floor - 0.01
