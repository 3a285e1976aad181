"""Settings that are chosen inside the labelled texts themselves."""

from __future__ import annotations

import numpy as np
import pytest
from stages_for_tests import InventedDataset

from ulmfit.classifier.predictions import read_predictions
from ulmfit.datasets.stages import DatasetStage
from ulmfit.evaluation.baselines import Choices, Chosen, Setting, Split, fit_and_predict
from ulmfit.evaluation.cross_validation import choose_inside, folds_of
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.evaluation.tfidf import probabilities_of, read_split
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

LABELS = ["bad", "good"]


def texts(rows: int) -> Split:
    labels = [LABELS[number % 2] for number in range(rows)]
    found = [
        f"{'zlok' if label == 'bad' else 'dobr'}{number % 7}a w {number % 5}"
        for number, label in enumerate(labels)
    ]
    return Split([str(number) for number in range(rows)], found, labels)


def test_every_text_is_held_out_once_and_labels_are_spread():
    labels = ["a"] * 50 + ["b"] * 10
    folds = folds_of(labels)
    assert sorted(place for fold in folds for place in fold.held_out) == list(range(60))
    for fold in folds:
        assert sorted([*fold.fitted, *fold.held_out]) == list(range(60))
        assert [labels[place] for place in fold.held_out].count("b") == 2


def test_a_fold_of_a_single_label_is_left_out():
    assert folds_of(["a", "b"]) == []
    assert len(folds_of(["a", "a", "b"])) == 2, "without the one b there is nothing to tell apart"


@pytest.mark.parametrize("learner", ["logistic_regression", "linear_svm"])
def test_the_setting_with_the_best_score_on_held_out_texts_is_chosen(learner):
    choices = Choices(classifier=learner, c_grid=(1e-6, 1.0))
    chosen = choose_inside(texts(40), LABELS, choices, metric="accuracy", positive_label=None)
    scores = {(one.c, one.balanced): value for one, value in chosen.grid}
    assert set(scores) == {(1e-6, False), (1e-6, True), (1.0, False), (1.0, True)}
    assert scores[chosen.setting.c, chosen.setting.balanced] == max(scores.values()) == 1.0
    assert (chosen.sharpness is None) == (learner == "logistic_regression")


def test_two_texts_have_the_setting_in_the_middle():
    chosen = choose_inside(texts(2), LABELS, Choices(), metric="accuracy", positive_label=None)
    assert chosen == Chosen(Setting(1.0, False), None, [])


def test_a_label_that_a_fold_lacks_has_no_say_in_the_sharpness():
    train = texts(40)
    train.labels[0] = "rare"
    choices = Choices(classifier="linear_svm", c_grid=(1.0,))
    chosen = choose_inside(train, [*LABELS, "rare"], choices, metric="accuracy", positive_label=None)
    assert chosen.sharpness is not None and 0.01 <= chosen.sharpness <= 100


def test_with_a_chosen_setting_validation_is_only_predicted():
    train, wrong = texts(40), texts(20)
    wrong.labels[:] = wrong.labels[::-1]
    splits = {"train": train, "valid": texts(20), "test": texts(20)}
    chosen = choose_inside(train, LABELS, Choices(), metric="accuracy", positive_label=None)
    made = [
        fit_and_predict({**splits, "valid": valid}, LABELS, Choices(), metric="accuracy", chosen=chosen)
        for valid in (splits["valid"], wrong)
    ]
    assert np.array_equal(made[0].test.probabilities, made[1].test.probabilities)
    assert made[0].chosen == chosen.setting


def test_a_finished_baseline_is_fitted_again_for_other_texts(tmp_path):
    for learner in ("logistic_regression", "linear_svm"):
        stage = TfidfBaseline(dataset=InventedDataset(), choice="cross_validation", classifier=learner)
        runner = Runner(tmp_path)
        folder = runner.build(stage)
        assert "cross_validation" in read_json(folder / "baseline.json")["grid"][0]
        data = runner.folder(stage.dataset)
        test = read_split(data / "test.parquet")
        labels = ["no", "yes"]
        again = probabilities_of(stage, folder, read_split(data / "train.parquet"), labels, test.texts)
        written = read_predictions(folder / "predictions-test.parquet", labels)
        assert again == pytest.approx(written.probabilities, abs=1e-6)


class SeveralLabels(DatasetStage):
    task: str = "multi_label"


def test_cross_validation_is_for_one_label_a_text():
    with pytest.raises(InputError, match="choice cross_validation is defined for texts with one label"):
        TfidfBaseline(dataset=SeveralLabels(), choice="cross_validation")
