"""A finished classifier, loaded from its folder, predicts what training predicted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy
import pandas
import pytest
from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.classifier.folder import LoadedClassifier, load_classifier
from ulmfit.classifier.predictions import read_predictions
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.experiments.explain import explain_text
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.text_form import Rules
from ulmfit.tokens.words_tokenizer import WordsTokenizer, reserved_pieces


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def trained(runner: Runner) -> TrainClassifier:
    stage = tiny_classifier()
    runner.build(stage)
    return stage


def loaded(runner: Runner, stage: TrainClassifier) -> LoadedClassifier:
    return load_classifier(runner.folder(stage), runner.folder(stage.tokenizer), device="cpu")


def backward(**changes) -> TrainClassifier:
    return tiny_classifier(**changes).changed(language_model=None, direction="backward")


@pytest.mark.parametrize(
    "stage",
    [
        tiny_classifier(),
        tiny_classifier(maximum_tokens=9),
        backward(maximum_tokens=11),
        tiny_classifier(maximum_tokens=9, reads="last"),
    ],
    ids=["forward", "cut", "backward, cut", "last tokens"],
)
def test_it_predicts_what_training_predicted(runner: Runner, stage: TrainClassifier) -> None:
    runner.build(stage)
    classifier = loaded(runner, stage)
    texts = pandas.read_parquet(runner.folder(stage.dataset) / "test.parquet")["text"].tolist()
    written = read_predictions(runner.folder(stage) / "predictions-test.parquet", classifier.labels)
    numpy.testing.assert_allclose(classifier.probabilities(texts), written.probabilities, atol=1e-6)


def test_what_is_read_of_a_text(runner: Runner) -> None:
    stage = backward(maximum_tokens=4)
    runner.build(stage)
    classifier = loaded(runner, stage)
    whole = classifier.tokenizer.encode(["kalomi dusapo kalomi"])[0]
    bos, first, second, third = whole[:4].tolist()
    assert bos == classifier.tokenizer.bos_id
    assert classifier.documents(["kalomi dusapo kalomi"])[0].tolist() == [bos, third, second, first]


def test_all_of_a_text_is_read_where_its_last_tokens_are_pooled(runner: Runner) -> None:
    stage = backward(maximum_tokens=4, reads="last")
    runner.build(stage)
    classifier = loaded(runner, stage)
    whole = classifier.tokenizer.encode(["kalomi dusapo kalomi"])[0].tolist()
    assert len(whole) > 4
    assert classifier.documents(["kalomi dusapo kalomi"])[0].tolist() == [whole[0], *whole[:0:-1]]
    assert classifier.model.encoder.pooled_tokens == 4
    assert "only the last ones are pooled" in (runner.folder(stage) / "log.txt").read_text("utf-8")


def test_all_words_are_explained_where_the_last_tokens_are_pooled(runner: Runner) -> None:
    text = "kalomi dusapo kalomi rilone"
    shown = {}
    for reads in ("first", "last"):
        stage = tiny_classifier(maximum_tokens=4, reads=reads)
        runner.build(stage)
        explained = explain_text([loaded(runner, stage)], text)
        shown[reads] = (" ".join(word.text for word in explained.words), explained.cut)
    assert shown["last"] == (text, False)
    assert shown["first"][0] != text
    assert shown["first"][1]


def test_another_tokenizer_of_the_same_size_is_refused(
    runner: Runner, trained: TrainClassifier, tmp_path: Path
) -> None:
    rules = Rules(language="toy")
    reserved = reserved_pieces(rules)
    size = loaded(runner, trained).tokenizer.size
    words = [f"▁w{number}" for number in range(size - len(reserved))]
    WordsTokenizer([*reserved, *words], rules).save(tmp_path)
    with pytest.raises(InputError, match=r"has other pieces than that of the classifier in .*: expected the"):
        load_classifier(runner.folder(trained), tmp_path, device="cpu")


def test_texts_that_are_none(runner: Runner, trained: TrainClassifier) -> None:
    classifier = load_classifier(
        str(runner.folder(trained)), str(runner.folder(trained.tokenizer)), device="cpu"
    )
    for texts in ("kalomi", [None], ["kalomi", 3]):
        with pytest.raises(TypeError, match="expected a sequence of strings"):
            classifier.probabilities(texts)


def test_no_texts_are_refused(runner: Runner, trained: TrainClassifier) -> None:
    with pytest.raises(InputError, match="no texts"):
        loaded(runner, trained).probabilities([])


def test_folders_that_hold_no_classifier(runner: Runner, trained: TrainClassifier, tmp_path: Path) -> None:
    tokenizer = runner.folder(trained.tokenizer)
    with pytest.raises(InputError, match=r"holds no classifier: model\.json is missing"):
        load_classifier(tmp_path, tokenizer)
    with pytest.raises(InputError, match="of kind 'awd_lstm': expected a classifier"):
        load_classifier(runner.folder(tiny_pretrain()), tokenizer)
    with pytest.raises(InputError, match="no tokenizer folder"):
        load_classifier(runner.folder(trained), tmp_path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"vocabulary_size": 79}, "the tokenizer .* has 80: expected the tokenizer"),
        ({"labels": ["no", "yes", "perhaps"]}, r"has shape \(2,"),
        ({"head_units": 7}, "has shape"),
        ({"head_units": 0}, "is damaged"),
        ({"direction": "sideways"}, "expected forward or backward"),
        ({"direction": None}, "is damaged"),
        ({"architecture": {"layers": "many"}}, "is damaged"),
        ({"kind": "a zebra"}, "of kind 'a zebra'"),
        ({"task": "ranking"}, "task 'ranking': expected single_label"),
        ({"task": "regression"}, "'target_mean' is missing"),
        ({"task": "multi_label", "thresholds": [0.5]}, "1 thresholds for 2 labels"),
        ({"labels": ["no", "no"]}, "expected two or more, each once"),
    ],
)
def test_descriptions_that_do_not_fit(
    runner: Runner, trained: TrainClassifier, tmp_path: Path, change: dict, fault: str
) -> None:
    folder = tmp_path / "classifier"
    shutil.copytree(runner.folder(trained), folder)
    content = json.loads((folder / "model.json").read_text("utf-8"))
    (folder / "model.json").write_text(json.dumps(content | change), "utf-8")
    with pytest.raises(InputError, match=fault):
        load_classifier(folder, runner.folder(trained.tokenizer), device="cpu")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x80\x04pickled"])
def test_a_damaged_description(
    runner: Runner, trained: TrainClassifier, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.json"):
        load_classifier(tmp_path, runner.folder(trained.tokenizer))


def test_a_missing_field_is_named(runner: Runner, trained: TrainClassifier, tmp_path: Path) -> None:
    content = json.loads((runner.folder(trained) / "model.json").read_text("utf-8"))
    del content["bptt"]
    (tmp_path / "model.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(InputError, match="'bptt' is missing"):
        load_classifier(tmp_path, runner.folder(trained.tokenizer))


def test_weights_that_are_missing_or_pickled(
    runner: Runner, trained: TrainClassifier, tmp_path: Path
) -> None:
    folder = tmp_path / "classifier"
    shutil.copytree(runner.folder(trained), folder)
    (folder / "model.safetensors").write_bytes(b"\x80\x04N.")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_classifier(folder, runner.folder(trained.tokenizer), device="cpu")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_classifier(folder, runner.folder(trained.tokenizer), device="cpu")
