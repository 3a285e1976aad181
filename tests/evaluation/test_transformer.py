"""Fine-tuning of a transformer: it learns, repeats to the byte, goes on when killed, says what it did."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy
import pandas
import pytest
import torch

if find_spec("transformers") is None:
    pytest.skip("pip install 'ulmfit[transformers]' for these tests", allow_module_level=True)

from transformers_for_tests import (
    ShortTexts,
    classifier,
    tiny_bert,
    tiny_roberta,
    tiny_xlm_roberta,
)

from ulmfit.classifier.predictions import read_predictions
from ulmfit.evaluation import transformer
from ulmfit.evaluation.transformer import learning_rate, parameter_groups
from ulmfit.evaluation.transformer_model import load_transformer
from ulmfit.evaluation.transformer_stages import (
    HubModel,
    TransformerClassifier,
    TransformerModel,
    TransformerSettings,
)
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

LABELS = ["no", "yes"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("runs"))


def result(runner: Runner, stage: TransformerClassifier) -> dict:
    return read_json(runner.build(stage) / "transformer.json")


@pytest.mark.parametrize("make", [tiny_bert, tiny_roberta, tiny_xlm_roberta])
def test_it_learns_what_is_easy(tmp_path: Path, runner: Runner, make) -> None:
    stage = classifier(make(tmp_path / "model"), epochs=12, learning_rate=2e-2)
    folder = runner.build(stage)
    content = read_json(folder / "transformer.json")
    for split in ("valid", "test"):
        predictions = read_predictions(folder / f"predictions-{split}.parquet", LABELS)
        right = [gold == one for gold, one in zip(predictions.gold, predictions.predicted, strict=True)]
        assert numpy.mean(right) > 0.9
        table = pandas.read_parquet(runner.folder(stage.dataset) / f"{split}.parquet")
        assert (predictions.ids, predictions.gold) == (table["id"].tolist(), table["label"].tolist())
    assert content["epochs"][-1]["train_loss"] < content["epochs"][0]["train_loss"]
    assert max(content["unknown_share"].values()) == 0
    assert content["cut_texts"] == {"train": 0, "valid": 0, "test": 0}


def test_what_is_written_down(runner: Runner, bert: Path) -> None:
    stage = classifier(bert, seed=3)
    content = result(runner, stage)
    assert (content["model"], content["revision"], content["licence"]) == ("tiny-bert", None, "mit")
    assert (content["kind"], content["seed"], content["metric"]) == ("bert", 3, "accuracy")
    assert content["settings"]["learning_rate"] == 1e-2 and "device" not in content["settings"]
    assert set(content["files"]) == {"config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}
    # The model was published without pooler and classifier.
    new = ["bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias", "classifier.weight"]
    assert content["new_weights"] == new
    assert [epoch["epoch"] for epoch in content["epochs"]] == [1, 2, 3, 4]
    assert content["chosen_epoch"] == 4
    manifest = runner.manifest(stage)
    assert manifest is not None
    assert manifest["measures"]["training_seconds"] > 0
    assert manifest["inputs"]["tiny-bert"] == runner.keys.file_hash(stage.pretrained)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    tmp_path: Path, runner: Runner, bert: Path
) -> None:
    first, again = runner.build(classifier(bert)), Runner(tmp_path).build(classifier(bert))
    names = ["predictions-test.parquet", "predictions-valid.parquet", "transformer.json"]
    assert [(first / name).read_bytes() for name in names] == [(again / name).read_bytes() for name in names]
    other = result(runner, classifier(bert, seed=1))
    assert other["weights_sha256"] != read_json(first / "transformer.json")["weights_sha256"]


KILLED = """
import os, signal, sys
from pathlib import Path
from ulmfit.evaluation.transformer import Training
from ulmfit.pipeline.runner import Runner
from transformers_for_tests import classifier

validate = Training._validate

def killed(self, epoch, loss):
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    validate(self, epoch, loss)

Training._validate = killed
Runner(Path(sys.argv[1])).build(classifier(Path(sys.argv[2]), select="best"))
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, bert: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(bert)]
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    stage = classifier(bert, select="best")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        killed, whole = Runner(tmp_path / "killed"), Runner(tmp_path / "whole")
        assert sorted(path.name for path in killed.folder(stage).glob("scratch/checkpoints/*")) == [
            "step-000000001",
            "step-000000002",
        ]
        resumed = killed.build(stage)
        assert "going on after epoch 2" in (resumed / "log.txt").read_text("utf-8")
        whole.build(stage)
    finally:
        torch.set_num_threads(threads)
    manifests = [one.manifest(stage) for one in (killed, whole)]
    assert manifests[0]["outputs"] == manifests[1]["outputs"]
    assert not (resumed / "scratch").exists()


def test_an_epoch_with_the_lowest_score_there_is_can_be_the_best(
    runner: Runner, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Kappa and Matthews' coefficient reach -1.
    monkeypatch.setattr(transformer.Task, "score", lambda task, predictions: -1.0)
    assert result(runner, classifier(bert, seed=2, epochs=2, select="best"))["chosen_epoch"] == 1


def test_the_best_epoch_predicts(runner: Runner, bert: Path) -> None:
    # A rate at which the last epochs are worse than an earlier one.
    content = result(runner, classifier(bert, seed=1, epochs=6, learning_rate=5e-2, select="best"))
    scores = [epoch["score"] for epoch in content["epochs"]]
    assert content["chosen_epoch"] == scores.index(max(scores)) + 1
    folder = runner.folder(classifier(bert, seed=1, epochs=6, learning_rate=5e-2, select="best"))
    valid = read_predictions(folder / "predictions-valid.parquet", LABELS)
    right = [gold == one for gold, one in zip(valid.gold, valid.predicted, strict=True)]
    assert numpy.mean(right) == max(scores)


def test_predictions_do_not_depend_on_the_batch(runner: Runner, bert: Path) -> None:
    some, one = (
        read_predictions(
            runner.build(classifier(bert, evaluation_batch=size)) / "predictions-test.parquet", LABELS
        )
        for size in (64, 1)
    )
    numpy.testing.assert_allclose(some.probabilities, one.probabilities, atol=1e-5)


def test_long_texts_are_cut_before_the_last_special_piece(bert: Path) -> None:
    loaded = load_transformer(bert, LABELS, 6)
    encoded = loaded.encode(["kalo mi", "kalomi dusapo kalomi dusapo kalomi", "xyz"], 6)
    pieces = [loaded.tokenizer.convert_ids_to_tokens(document) for document in encoded.documents]
    assert pieces == [
        ["[CLS]", "ka", "##lo", "mi", "[SEP]"],
        ["[CLS]", "kalomi", "dusapo", "kalomi", "dusapo", "[SEP]"],
        ["[CLS]", "[UNK]", "[SEP]"],
    ]
    assert encoded.lengths.tolist() == [5, 6, 3]
    # Of 5 + 7 + 3 pieces before anything is cut.
    assert (encoded.cut, encoded.unknown_share) == (1, 1 / 15)


def test_cut_texts_are_a_warning(runner: Runner, bert: Path) -> None:
    stage = classifier(bert, maximum_tokens=5, epochs=1)
    counts = result(runner, stage)["cut_texts"]
    manifest = runner.manifest(stage)
    assert manifest is not None and sum(counts.values()) > 100
    assert manifest["warnings"] == [
        f"{sum(counts.values())} texts are longer than 5 pieces; the rest of them is not read"
    ]


@pytest.mark.parametrize(("steps", "warm_up"), [(40, 0.1), (7, 0.5), (3, 0.0), (1, 0.1), (12, 0.99)])
def test_the_schedule_is_the_reference_implementations(steps: int, warm_up: float) -> None:
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
    reference = get_linear_schedule_with_warmup(optimizer, round(steps * warm_up), steps)
    settings = TransformerSettings(warm_up=warm_up)
    for step in range(steps):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(step, steps, settings) == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        reference.step()


def test_only_matrices_decay(bert: Path) -> None:
    model = load_transformer(bert, LABELS, 32).model
    decaying, others = parameter_groups(model, 0.01)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {id(one) for group in (decaying, others) for one in group["params"]} == set(names)
    assert all(names[id(one)].endswith("bias") or "LayerNorm" in names[id(one)] for one in others["params"])
    assert not any("LayerNorm" in names[id(one)] for one in decaying["params"])


def test_balanced_weights_and_bf16_change_what_is_learned(runner: Runner, bert: Path) -> None:
    plain = result(runner, classifier(bert))["weights_sha256"]
    assert result(runner, classifier(bert, precision="bf16"))["weights_sha256"] != plain
    # As many texts of each label: weights of 1 change nothing.
    assert result(runner, classifier(bert, class_weights="balanced"))["weights_sha256"] == plain


def test_a_loss_that_is_no_number_ends_training_with_advice(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(StageFailed, match=r"loss of step \d+ is not finite: lower learning_rate"):
        Runner(tmp_path).build(classifier(bert, learning_rate=1e30, gradient_clip=0, warm_up=0))


def test_other_tasks_are_refused(tmp_path: Path, bert: Path) -> None:
    class Multi(ShortTexts):
        stage_name = "multi_label"

        def build(self, work) -> None:
            super().build(work)
            content = read_json(work.folder / "dataset.json")
            transformer.write_json(work.folder / "dataset.json", content | {"task": "multi_label"})

    stage = classifier(bert).changed(dataset=Multi())
    with pytest.raises(InputError, match="one label each, the data set's task is multi_label"):
        Runner(tmp_path).build(stage)


def test_a_row_of_the_table_makes_a_stage_a_seed(bert: Path) -> None:
    stage = classifier(bert, seed=2)
    row = TransformerModel(name="tiny BERT", pretrained=stage.pretrained, settings=stage.settings)
    assert row.classifier(ShortTexts(rows=48), 2) == stage


def test_keys(runner: Runner, bert: Path, tmp_path: Path) -> None:
    def key(stage: TransformerClassifier) -> str:
        return runner.keys.key(stage)

    stage = classifier(bert)
    moved = tmp_path / "elsewhere"
    shutil.copytree(bert, moved)
    assert key(classifier(moved)) == key(stage)
    assert key(stage.changed(settings=stage.settings.changed(device="auto"))) == key(stage)
    (moved / "vocab.txt").write_text("[PAD]\n", "utf-8")
    assert key(classifier(moved)) != key(stage)
    pinned = stage.changed(pretrained=HubModel(name="a/b", revision="0" * 40))
    assert key(pinned) != key(stage.changed(pretrained=HubModel(name="a/b", revision="1" * 40)))
