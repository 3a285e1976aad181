"""The estimator trains as a recipe does, and behaves as scikit-learn expects."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import torch
from bundles_for_tests import ROWS, Made, cells
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from ulmfit import LanguageModel, TextClassifier, ULMFiTClassifier
from ulmfit.classifier.predictions import read_predictions
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.experiments import driver
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

TABLE = pandas.DataFrame([cells("train", number, "single_label") for number in range(ROWS)])
TEXTS, LABELS = TABLE["text"].tolist(), TABLE["label"].tolist()
BOTH = numpy.array([["kalomi" in text, "dusapo" in text] for text in TEXTS]).astype(int)
QUICK = {"direction": "forward", "epochs": 1, "finetune_epochs": 1, "batch_size": 8, "device": "cpu"}


@pytest.fixture
def quick(language_model: Path) -> ULMFiTClassifier:
    """Return one that trains in a moment."""
    return ULMFiTClassifier(language_model, **QUICK)


@pytest.fixture(scope="module")
def fitted(language_model: Path) -> ULMFiTClassifier:
    """Return a trained one, which no test may train again."""
    return ULMFiTClassifier(language_model, **QUICK).fit(TEXTS, LABELS)


def test_it_ends_where_a_recipe_ends(single_label: Made, language_model: Path, tmp_path: Path) -> None:
    estimator = ULMFiTClassifier(language_model, epochs=1, batch_size=8, random_state=3, device="cpu")
    TABLE.to_csv(tmp_path / "train.csv", index=False)
    test = pandas.read_csv(single_label.table)
    test.to_csv(tmp_path / "test.csv", index=False)
    files = {split: File(path=tmp_path / f"{split}.csv") for split in ("train", "test")}
    preset = single_label.recipe.settings.changed(
        finetune=estimator._finetune_settings(), classifier=estimator._classifier_settings(4), comparisons=()
    )
    recipe = single_label.recipe.changed(
        language_model=File(path=language_model),
        dataset=LabelledFiles(name="made-up", **files),
        presets={"tiny": preset},
        seeds=(3,),
    )
    driver.run(recipe, tmp_path / "runs")
    runner = Runner(tmp_path / "runs")
    expected = [
        read_predictions(runner.folder(stage) / "predictions-test.parquet", ["no", "yes"]).probabilities
        for stage in recipe.stages().classifiers.values()
    ]
    found = estimator.fit(TEXTS, LABELS).predict_proba(test["text"])
    assert len(expected) == 2
    numpy.testing.assert_allclose(found, sum(expected) / 2, rtol=0, atol=1e-6)


def test_it_is_trained_from_any_column_of_texts(fitted: ULMFiTClassifier) -> None:
    expected = fitted.predict_proba(TEXTS)
    for given in (
        tuple(TEXTS),
        numpy.array(TEXTS),
        numpy.array(TEXTS, dtype=object),
        TABLE["text"],
        TABLE[["text"]],
    ):
        numpy.testing.assert_array_equal(fitted.predict_proba(given), expected)
    assert set(fitted.predict(TABLE["text"])) <= {"no", "yes"}
    assert fitted.predict_proba([]).shape == (0, 2) and fitted.predict([]).shape == (0,)


def test_the_same_seed_gives_the_same_predictions(quick: ULMFiTClassifier, fitted: ULMFiTClassifier) -> None:
    expected = fitted.predict_proba(TEXTS)
    again = clone(quick).fit(TABLE["text"], TABLE["label"])
    numpy.testing.assert_array_equal(again.predict_proba(TEXTS), expected)
    other = clone(quick).set_params(random_state=1).fit(TEXTS, LABELS)
    assert numpy.abs(other.predict_proba(TEXTS) - expected).max() > 1e-3
    drawn = clone(quick).set_params(random_state=numpy.random.RandomState(0), finetune_epochs=0)
    assert drawn.fit(TEXTS, LABELS).score(TEXTS, LABELS) > 0


@pytest.mark.parametrize("labels", [[10, 9], [True, False], ["b", "a"]])
def test_labels_keep_their_type_and_order(quick: ULMFiTClassifier, labels: list[Any]) -> None:
    given = [labels[0] if label == "yes" else labels[1] for label in LABELS]
    quick.set_params(finetune_epochs=0).fit(TEXTS, given)
    assert quick.classes_.tolist() == sorted(labels)
    assert quick.classes_.dtype == numpy.array(labels).dtype == quick.predict(TEXTS).dtype
    best = quick.classes_[quick.predict_proba(TEXTS).argmax(axis=1)]
    numpy.testing.assert_array_equal(quick.predict(TEXTS), best)
    named = quick.classifier_.predict(TEXTS)
    assert named == [str(label) for label in quick.predict(TEXTS)]


def test_several_labels_are_a_matrix(quick: ULMFiTClassifier, tmp_path: Path) -> None:
    columns = pandas.DataFrame(BOTH, columns=["light", "dark"])
    quick.set_params(epochs=3, learning_rate=1e-2).fit(TEXTS, columns)
    predicted = quick.predict(TEXTS)
    assert predicted.shape == BOTH.shape and set(predicted.ravel().tolist()) <= {0, 1}
    assert quick.classes_.tolist() == [0, 1] and 0 <= quick.score(TEXTS, BOTH) <= 1
    assert quick.classifier_.labels == ["dark", "light"]
    quick.save(tmp_path / "bundle")
    named = TextClassifier.load(tmp_path / "bundle", device="cpu").predict(TEXTS)
    assert named == [
        [name for name, yes in zip(("dark", "light"), row[::-1], strict=True) if yes] for row in predicted
    ]
    quick.set_params(validation_fraction=0, epochs=1, finetune_epochs=0).fit(TEXTS, BOTH)
    assert quick.classifier_.description.thresholds == (0.5, 0.5)


def test_its_bundle_predicts_the_same(fitted: ULMFiTClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "bundle")
    bundle = TextClassifier.load(tmp_path / "bundle", device="cpu")
    numpy.testing.assert_allclose(bundle.predict_proba(TEXTS), fitted.predict_proba(TEXTS), atol=1e-6)
    assert bundle.predict(TEXTS) == fitted.predict(TEXTS).tolist()
    assert "how good it is was not measured" in (tmp_path / "bundle" / "README.md").read_text("utf-8")
    fitted.save(tmp_path / "half", weights="fp16")
    sizes = [(tmp_path / name / "forward-0.safetensors").stat().st_size for name in ("bundle", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    numpy.testing.assert_allclose(
        TextClassifier.load(tmp_path / "half", device="cpu").predict_proba(TEXTS),
        fitted.predict_proba(TEXTS),
        atol=0.01,
    )


def test_a_pickle_holds_the_files_of_the_bundle(fitted: ULMFiTClassifier) -> None:
    content = pickle.dumps(fitted)
    copy = pickle.loads(content)
    numpy.testing.assert_array_equal(copy.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert copy.classifier_.explain(TEXTS[0]).words
    named = {str(value) for code, value, _ in pickletools.genops(content) if code.name.endswith("UNICODE")}
    assert "ulmfit.bundle.writing" in named and not [name for name in named if name.startswith("torch")]
    files = 4 * sum(weight.numel() for weight in fitted.classifier_.members[0].model.parameters())
    assert len(content) < files + 40_000


def test_a_clone_is_not_trained(fitted: ULMFiTClassifier) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "classes_")
    with pytest.raises(NotFittedError):
        copy.predict(TEXTS)
    with pytest.raises(NotFittedError):
        copy.save("nowhere")


def test_a_loaded_language_model_is_as_good_as_its_folder(
    language_model: Path, fitted: ULMFiTClassifier
) -> None:
    loaded = LanguageModel.load(language_model, device="cpu")
    estimator = ULMFiTClassifier(loaded, **QUICK)
    assert clone(estimator).language_model is loaded
    numpy.testing.assert_allclose(
        clone(estimator).fit(TEXTS, LABELS).predict_proba(TEXTS), fitted.predict_proba(TEXTS), atol=1e-6
    )
    unpickled = pickle.loads(pickle.dumps(estimator)).language_model
    assert unpickled.score(TEXTS[:2]) == loaded.score(TEXTS[:2])


def test_it_works_in_a_pipeline_and_in_a_search(quick: ULMFiTClassifier) -> None:
    quick.set_params(finetune_epochs=0)
    lowered = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    scores = cross_val_score(make_pipeline(lowered, quick), TEXTS, LABELS, cv=2, error_score="raise")
    assert scores.shape == (2,) and ((scores >= 0) & (scores <= 1)).all()
    search = GridSearchCV(
        Pipeline([("classifier", quick)]), {"classifier__epochs": [1, 2]}, cv=2, error_score="raise"
    )
    search.fit(TABLE["text"], TABLE["label"])
    assert search.best_params_["classifier__epochs"] in (1, 2)
    assert set(search.predict(TEXTS)) <= {"no", "yes"}


@pytest.mark.soak
def test_a_search_in_two_processes_finds_the_same(quick: ULMFiTClassifier) -> None:
    places = {"epochs": [1, 3], "settings": [None, {"classifier.dropouts.multiplier": 0.0}]}
    one, two = (
        GridSearchCV(quick, places, cv=2, n_jobs=jobs, error_score="raise").fit(TEXTS, LABELS)
        for jobs in (None, 2)
    )
    numpy.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    numpy.testing.assert_allclose(one.predict_proba(TEXTS), two.predict_proba(TEXTS), atol=1e-6)


def test_nothing_is_left_behind(
    quick: ULMFiTClassifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    quick.set_params(validation_fraction=0).fit(TEXTS, LABELS)
    assert torch.rand(1) == expected
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]
    assert capsys.readouterr() == ("", "")
    quick.set_params(verbose=True, finetune_epochs=0).fit(TEXTS, LABELS)
    assert "validation loss" in capsys.readouterr().out


def test_unlabelled_texts_are_read_by_the_language_model(
    quick: ULMFiTClassifier, fitted: ULMFiTClassifier
) -> None:
    more = clone(quick).fit(TEXTS, LABELS, unlabelled=TABLE["text"].str.replace("ka", "du"))
    assert numpy.abs(more.predict_proba(TEXTS) - fitted.predict_proba(TEXTS)).max() > 1e-4


def test_settings_come_last(quick: ULMFiTClassifier) -> None:
    quick.set_params(
        unfreezing="gradual",
        settings={
            "classifier.class_weights": "balanced",
            "classifier.dropouts.multiplier": 0.25,
            "finetune.batch_size": 4,
        },
    )
    settings = quick._classifier_settings(4)
    assert [phase.trainable_groups for phase in settings.phases] == [1, 2, 3, 0]
    assert (settings.class_weights, settings.dropouts.multiplier) == ("balanced", 0.25)
    assert (settings.batch_size, quick._finetune_settings().batch_size) == (8, 4)
    assert [phase.epochs for phase in quick._finetune_settings().phases] == [1, 1]
    assert settings.select == "best"
    assert quick.set_params(validation_fraction=0)._classifier_settings(4).select == "last"


@pytest.mark.parametrize(
    ("parameters", "texts", "labels", "message"),
    [
        ({}, TEXTS, ["yes"] * ROWS, "one class only, 'yes': ULMFiTClassifier needs two or more"),
        ({}, TEXTS, [*LABELS[:-1], "rare"], "the label 'rare' has 1 text, expected 2 or more"),
        ({"batch_size": 64}, TEXTS, LABELS, "36 training texts are fewer than a batch of 64: .* set batch_"),
        ({}, [], [], "there are no texts"),
        ({}, [*TEXTS[:-1], None], LABELS, "text 40 of X is of type NoneType: expected a string"),
        ({}, [*TEXTS[:-1], float("nan")], LABELS, "text 40 of X is of type float"),
        ({}, [*TEXTS[:-1], "ka\ud800"], LABELS, "text 40 has half of a surrogate pair at character 3"),
        ({}, TEXTS, ["\ud800", "yes"] * (ROWS // 2), "label 2 has half of a surrogate pair"),
        ({}, "kalomi", ["yes"], "X is one string"),
        ({}, numpy.array([TEXTS, TEXTS]).T, LABELS, "X has 2 columns: expected one column"),
        ({}, 5, LABELS, "X is of type int: expected a list"),
        ({}, TEXTS, None, "requires y to be passed, but the target y is None"),
        ({}, TEXTS, [*LABELS[:-1], None], "y has missing values"),
        ({}, TEXTS, LABELS[:-1], "inconsistent numbers of samples"),
        ({}, TEXTS, numpy.linspace(0, 1, ROWS), "Unknown label type: continuous"),
        ({}, TEXTS, ["\u00e9", "e\u0301"] * (ROWS // 2), "two of them are written alike"),
        ({}, TEXTS, numpy.hstack([BOTH, 0 * BOTH]), "no text has the label '2': leave its column"),
        ({"direction": "up"}, TEXTS, LABELS, "direction 'up': expected all, or one of .* forward, backward"),
        ({"unfreezing": "slow"}, TEXTS, LABELS, "unfreezing 'slow': expected head_first or gradual"),
        ({"epochs": 0}, TEXTS, LABELS, "classifier: epochs: expected 1 or more; got 0"),
        ({"batch_size": 1}, TEXTS, LABELS, "finetune|classifier: batch_size: expected 2 or more; got 1"),
        ({"validation_fraction": 1.5}, TEXTS, LABELS, "validation_fraction 1.5: expected 0"),
        ({"settings": {"pretrain.bptt": 5}}, TEXTS, LABELS, "'pretrain.bptt': expected finetune.FIELD or"),
        ({"settings": {"classifier.bppt": 5}}, TEXTS, LABELS, "classifier: bppt: there is no such field"),
        ({"settings": {"classifier.bptt.x": 5}}, TEXTS, LABELS, "settings: bptt has no field 'x'"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_line(
    quick: ULMFiTClassifier, parameters: dict[str, Any], texts: Any, labels: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        quick.set_params(**parameters).fit(texts, labels)
    assert not hasattr(quick, "classifier_") and not hasattr(quick, "classes_")
    assert isinstance(caught.value, InputError) or "Unknown label" in message or "inconsistent" in message


def test_a_folder_without_a_language_model_is_refused(single_label: Made, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no bundle"):
        ULMFiTClassifier(tmp_path).fit(TEXTS, LABELS)
    with pytest.raises(InputError, match="is a bundle of a classifier: expected one of a language_model"):
        ULMFiTClassifier(single_label.folder).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    "check",
    [
        # The other checks of scikit-learn give matrices of numbers.
        "check_estimator_cloneable",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_get_params_invariance",
        "check_set_params",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_mixin_order",
    ],
)
def test_the_checks_of_scikit_learn_that_need_no_numbers(quick: ULMFiTClassifier, check: str) -> None:
    getattr(estimator_checks, check)("ULMFiTClassifier", quick)
