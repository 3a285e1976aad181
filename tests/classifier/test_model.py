"""Pooling over true tokens, predictions that do not depend on the batch, batches, frozen layers."""

from __future__ import annotations

from pathlib import Path

import numpy
import pandas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.classifier.inference import predict_probabilities
from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.model import TextClassifier, layer_groups
from ulmfit.classifier.pooling import Pooled
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.folder import load_language_model
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.training.settings import Phase
from ulmfit.training.weights import read_weights

VOCABULARY = 40
SETTINGS = ClassifierSettings(bptt=7)


def classifier(chunk: int = 7) -> TextClassifier:
    torch.manual_seed(3)
    encoder = Encoder(VOCABULARY, Architecture(embedding_size=8, hidden_size=12, layers=2), Dropouts())
    model = TextClassifier(encoder, 3, SETTINGS.changed(bptt=chunk))
    with torch.no_grad():
        for buffer in model.head.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return model.eval()


def documents(count: int = 23, longest: int = 40) -> list[numpy.ndarray]:
    random = numpy.random.default_rng(1)
    return [
        random.integers(2, VOCABULARY, random.integers(1, longest)).astype(numpy.uint16) for _ in range(count)
    ]


def test_concat_pooling_by_hand() -> None:
    outputs = torch.tensor([[[1.0], [4.0], [99.0]], [[-3.0], [-5.0], [-1.0]]])
    lengths = torch.tensor([2, 3])
    pooled = Pooled.of(outputs.transpose(0, 1), lengths, 2).vector(lengths)
    assert pooled.tolist() == [[4.0, 4.0, 2.5], [-1.0, -1.0, -3.0]]


def test_a_prediction_does_not_depend_on_the_batch() -> None:
    model = classifier()
    alone = numpy.concatenate([predict_probabilities(model, [document], 1) for document in documents()])
    together = predict_probabilities(model, documents(), 8)
    numpy.testing.assert_allclose(together, alone, atol=1e-6)
    numpy.testing.assert_allclose(alone.sum(axis=1), 1)


def test_chunks_give_what_one_pass_gives() -> None:
    numpy.testing.assert_allclose(
        predict_probabilities(classifier(7), documents(), 8),
        predict_probabilities(classifier(1000), documents(), 8),
        atol=1e-6,
    )


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 90), batch=st.integers(2, 9), epoch=st.integers(0, 2))
def test_every_document_comes_once_an_epoch(count: int, batch: int, epoch: int) -> None:
    texts = documents(count, 15)
    loader = DocumentLoader(texts, list(range(count)), batch, seed=4)
    batches = list(loader.batches(epoch))
    assert len(batches) == len(loader)
    assert sorted(int(label) for _, _, labels in batches for label in labels) == list(range(count))
    for ids, lengths, labels in batches:
        assert len(labels) > 1, "batch norm cannot train on one document"
        assert lengths.tolist() == sorted(lengths.tolist(), reverse=True)
        for row, label in enumerate(labels):
            assert ids[row, : lengths[row]].tolist() == texts[label].tolist()
            assert (ids[row, lengths[row] :] == 1).all()


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    texts = documents(60)
    first = DocumentLoader(texts, [0] * 60, 8, seed=4)
    again = DocumentLoader(texts, [0] * 60, 8, seed=4)
    other = DocumentLoader(texts, [0] * 60, 8, seed=5)

    def order(loader: DocumentLoader, epoch: int) -> list[int]:
        return numpy.concatenate(loader.order(epoch)).tolist()

    assert order(first, 1) == order(again, 1)
    assert order(first, 1) != order(first, 2)
    assert order(first, 1) != order(other, 1)
    rest = list(first.batches(1, first=3))
    whole = list(first.batches(1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[3:], rest, strict=True))


def test_layer_groups_hold_every_parameter_once() -> None:
    model = classifier()
    groups = layer_groups(model)
    assert len(groups) == 4
    assert sorted(id(p) for group in groups for p in group) == sorted(id(p) for p in model.parameters())


def test_frozen_layers_stay_as_the_language_model_left_them(tmp_path: Path) -> None:
    stage = tiny_classifier(phases=(Phase(epochs=1, trainable_groups=2, learning_rate=1e-2),))
    runner = Runner(tmp_path)
    trained = read_weights(runner.build(stage) / "model.safetensors")
    before = read_weights(runner.folder(tiny_pretrain()) / "model.safetensors")
    names = {
        f"0.{name.removeprefix('encoder.module.')}": name for name in trained if name.startswith("encoder.")
    }
    same = {name for name, ours in names.items() if torch.equal(before[name], trained[ours])}
    moved = set(names) - same
    assert moved == {name for name in names if name.startswith("0.rnns.1.")}
    assert same >= {"0.encoder.weight", "0.rnns.0.weight_hh_l0_raw"}


def test_predictions_are_saved_for_validation_and_test(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(tiny_classifier())
    for split in ("valid", "test"):
        table = pandas.read_parquet(folder / f"predictions-{split}.parquet")
        assert list(table.columns) == ["id", "gold", "predicted", "p0", "p1"]
        assert table["id"].tolist() == [f"{split}-{i}" for i in range(60)]
        best = table[["p0", "p1"]].to_numpy().argmax(axis=1)
        assert table["predicted"].tolist() == [["no", "yes"][i] for i in best]


def test_best_weights_are_those_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    best = tiny_pretrain(
        select="best",
        phases=(Phase(epochs=2, learning_rate=1e-2), Phase(learning_rate=1.0, schedule="constant")),
    )
    history = read_json(runner.build(best) / "history.json")["epochs"]
    losses = [epoch["valid_loss"] for epoch in history]
    assert losses[2] > losses[1], "the last phase spoils the model"
    last = best.changed(settings=best.settings.changed(select="last"))
    scores = {
        stage.settings.select: read_json(runner.build(stage) / "metrics.json")["valid"]["loss"]
        for stage in (best, last)
    }
    assert scores["best"] < scores["last"]


def test_best_weights_are_those_of_the_best_metric_of_the_positive_label(tmp_path: Path) -> None:
    """The metric of each epoch stands in the history and in the log."""
    runner = Runner(tmp_path)
    stage = tiny_classifier(
        phases=(Phase(epochs=2, trainable_groups=1, learning_rate=1e-2), Phase(epochs=4, learning_rate=3e-2))
    )
    stage = stage.changed(
        dataset=stage.dataset.changed(positive_label="yes"),
        settings=stage.settings.changed(select="best", select_metric="binary_f1"),
    )
    folder = runner.build(stage)
    epochs = read_json(folder / "history.json")["epochs"]
    found = [epoch["binary_f1"] for epoch in epochs]
    table = pandas.read_parquet(folder / "predictions-valid.parquet")
    kept = f1_score(table["gold"] == "yes", table["predicted"] == "yes")
    assert kept == pytest.approx(max(found))
    assert len(set(found)) > 2
    assert f"validation binary_f1 {found[-1]:.4f}" in (folder / "log.txt").read_text("utf-8")


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path: Path) -> None:
    stage = tiny_pretrain(phases=(Phase(epochs=1, learning_rate=1e12, schedule="constant"),))
    with pytest.raises(StageFailed, match="lower the learning rate"):
        Runner(tmp_path).build(stage)


def test_a_folder_that_is_no_language_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no language model"):
        load_language_model(tmp_path, Dropouts())
    folder = Runner(tmp_path / "runs").build(tiny_pretrain())
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert load_language_model(tmp_path, Dropouts()).encoder.units == [24, 16]
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_language_model(tmp_path, Dropouts())
