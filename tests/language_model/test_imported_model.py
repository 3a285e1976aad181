"""A model that was trained elsewhere, or with another tokenizer, as the beginning of ours."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_models_for_tests import EMBEDDING, HIDDEN, VOCABULARY, fastai_model, qrnn_state
from pydantic import ValidationError
from recipes_for_tests.tiny import recipe as tiny_recipe
from stages_for_tests import InventedDataset, tiny_classifier, tiny_pretrain

from ulmfit import driver
from ulmfit.assets import File
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.errors import InputError
from ulmfit.files import read_json
from ulmfit.language_model.folder import load_language_model
from ulmfit.language_model.imported import import_into_new_folder, import_model
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings
from ulmfit.language_model.stages import Direction, FineTune, ImportedModel
from ulmfit.runner import Runner
from ulmfit.stage import LOG
from ulmfit.tokens.stages import EncodeTokens, TrainTokenizer
from ulmfit.tokens.tokenizer import load_tokenizer
from ulmfit.training.settings import Phase
from ulmfit.training.weights import read_weights

SIZE = Architecture(embedding_size=EMBEDDING, hidden_size=HIDDEN, layers=3)
ONE_EPOCH = FineTuneSettings(phases=(Phase(learning_rate=1e-3),), batch_size=8, bptt=12)
SPECIAL = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj"]
SYLLABLES = ["▁", "ka", "lo", "mi", "ne", "▁ka", "▁lo", "▁mi", "a", "o", "i", "e", "u", "k", "l", "m", "n"]


def vocabulary(size: int = VOCABULARY) -> list[str]:
    """Return a vocabulary of SentencePiece's pieces, as fastai v2 pads it."""
    return (SPECIAL + SYLLABLES + ["xxfake"] * size)[:size]


def files(folder: Path, state: Any = None, pieces: list[str] | None = None) -> tuple[Path, Path]:
    """Write a pair of files as fastai's releases are."""
    weights, itos = folder / "de_wgts.pth", folder / "de_itos.pkl"
    torch.save(fastai_model().state_dict() if state is None else state, weights)
    itos.write_bytes(pickle.dumps(vocabulary() if pieces is None else pieces))
    return weights, itos


def imported_stage(folder: Path, direction: Direction = "forward", **changes: Any) -> ImportedModel:
    weights, itos = files(folder, changes.pop("state", None))
    return ImportedModel(
        weights=File(path=weights), vocabulary=File(path=itos), direction=direction, **changes
    )


def target_tokens(tokenizer: TrainTokenizer) -> EncodeTokens:
    return EncodeTokens(documents=DatasetTexts(dataset=InventedDataset()), tokenizer=tokenizer)


def classifier(
    language_model: FineTune | ImportedModel, tokenizer: TrainTokenizer, direction: Direction = "forward"
) -> TrainClassifier:
    settings = ClassifierSettings(phases=(Phase(learning_rate=1e-2),), batch_size=8, bptt=8)
    return TrainClassifier(
        dataset=InventedDataset(),
        tokenizer=tokenizer,
        language_model=language_model,
        direction=direction,
        architecture=SIZE,
        settings=settings,
    )


def test_a_model_meets_another_tokenizer_and_becomes_a_classifier(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    pretrain = tiny_pretrain()
    other = pretrain.tokens.tokenizer.changed(vocab_size=60, model_type="bpe")
    # No rate at all: what comes out is what went in.
    still = ONE_EPOCH.changed(phases=(Phase(learning_rate=1e-30, schedule="constant"),), weight_decay=0)
    finetune = FineTune(pretrained=pretrain, tokens=target_tokens(other), settings=still)
    stage = classifier(finetune, other).changed(architecture=pretrain.settings.architecture)
    classified = runner.build(stage)
    folder = runner.folder(finetune)

    old_pieces = load_tokenizer(runner.folder(pretrain.tokens.tokenizer)).vocabulary
    new_pieces = load_tokenizer(runner.folder(other)).vocabulary
    old = read_weights(runner.folder(pretrain) / "model.safetensors")["0.encoder.weight"]
    new = read_weights(folder / "model.safetensors")["0.encoder.weight"]
    assert new.shape == (len(new_pieces), 16)
    shared = [piece for piece in new_pieces if piece in old_pieces]
    assert 6 < len(shared) < len(new_pieces), "the tokenizers share some pieces, but not all"
    for index, piece in enumerate(new_pieces):
        expected = old[old_pieces.index(piece)] if piece in old_pieces else old.mean(0)
        torch.testing.assert_close(new[index], expected, rtol=1e-5, atol=1e-7)

    match = read_json(folder / "metrics.json")["vocabulary"]
    assert (match["matched"], match["pieces"]) == (len(shared), len(new_pieces))
    assert match["matched_share"] < 1 and 0 < match["matched_token_share"] <= 1
    assert f"{len(shared)} of {len(new_pieces)} pieces" in (folder / LOG).read_text(encoding="utf-8")
    assert read_json(folder / "model.json")["vocabulary_size"] == len(new_pieces)
    assert read_json(classified / "model.json")["vocabulary_size"] == len(new_pieces)


def test_the_same_tokenizer_changes_nothing_and_says_nothing(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    pretrain = tiny_pretrain()
    stage = FineTune(pretrained=pretrain, tokens=target_tokens(pretrain.tokens.tokenizer), settings=ONE_EPOCH)
    folder = runner.build(stage)
    assert "vocabulary" not in read_json(folder / "metrics.json")
    assert "another vocabulary" not in (folder / LOG).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["lstm", "qrnn"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_released_weights_are_fine_tuned_and_classify(
    tmp_path: Path, kind: str, direction: Direction
) -> None:
    runner = Runner(tmp_path / "runs")
    model = imported_stage(tmp_path, direction, state=qrnn_state() if kind == "qrnn" else None)
    tokenizer = tiny_pretrain().tokens.tokenizer
    finetune = FineTune(pretrained=model, tokens=target_tokens(tokenizer), settings=ONE_EPOCH)
    folder = runner.build(classifier(finetune, tokenizer, direction))
    assert (folder / "predictions-test.parquet").exists()
    assert read_json(runner.folder(model) / "model.json") == {
        "kind": f"awd_{kind}",
        "vocabulary_size": VOCABULARY,
        "architecture": SIZE.changed(kind=kind).model_dump(),
        "direction": direction,
    }
    assert read_json(runner.folder(model) / "vocabulary.json") == vocabulary()
    tuned = read_json(runner.folder(finetune) / "model.json")
    assert (tuned["kind"], tuned["direction"]) == (f"awd_{kind}", direction)
    assert 0 < read_json(runner.folder(finetune) / "metrics.json")["vocabulary"]["matched_share"] < 1


def test_a_classifier_can_begin_with_released_weights_at_once(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    tokenizer = tiny_pretrain().tokens.tokenizer
    folder = runner.build(classifier(imported_stage(tmp_path), tokenizer))
    assert "pieces (" in (folder / LOG).read_text(encoding="utf-8")
    size = read_json(folder / "model.json")["vocabulary_size"]
    assert len(read_weights(folder / "model.safetensors")["encoder.module.encoder.weight"]) == size


def test_a_recipe_begins_with_released_weights(tmp_path: Path) -> None:
    model = imported_stage(tmp_path)
    overrides = [
        "pretrain.architecture.embedding_size=12",
        "pretrain.architecture.hidden_size=20",
        "classifier.phases=[{}]",
    ]
    recipe = tiny_recipe.changed(preset="forward", pretrained={"forward": model}, seeds=(0,))
    with pytest.raises(InputError, match="embedding_size: expected 16, found 12"):
        driver.run(recipe, tmp_path / "runs")
    recipe = recipe.with_overrides([*overrides, "pretrain.architecture.layers=3"])
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    record = read_json(folder / "record.json")
    assert [row["name"] for row in record["rows"]][:2] == ["ULMFiT, forward", "from scratch, forward"]
    assert [model["name"] for model in record["language_models"]] == ["fine-tuned, seed 0"] * 2
    assert 0 < record["language_models"][0]["trained"]["matched_vocabulary"] < 1
    assert {"de_wgts.pth", "de_itos.pkl"} <= record["inputs"].keys()
    assert str(tmp_path) not in json.dumps(record)
    assert not list((tmp_path / "runs" / "stages").glob("pretrain*"))


def test_recipes_that_cannot_begin_with_these_weights_are_refused(tmp_path: Path) -> None:
    model = imported_stage(tmp_path)
    with pytest.raises(ValidationError, match="there is no model that reads backward"):
        tiny_recipe.changed(pretrained={"forward": model})
    with pytest.raises(ValidationError, match="backward holds a model that reads forward"):
        tiny_recipe.changed(pretrained={"backward": model})
    with pytest.raises(ValidationError, match="there is nothing to train"):
        tiny_recipe.changed(preset="forward", pretrained={"forward": model}, dataset=None)


def test_a_classifier_fits_its_language_model() -> None:
    stage = tiny_classifier()
    with pytest.raises(ValidationError, match="direction backward, but the language model reads forward"):
        stage.changed(direction="backward")
    pretrain = tiny_pretrain()
    tokens = target_tokens(pretrain.tokens.tokenizer)
    other = pretrain.tokens.tokenizer.changed(vocab_size=60)
    with pytest.raises(ValidationError, match="expected the one that the language model was fine-tuned with"):
        classifier(FineTune(pretrained=pretrain, tokens=tokens), other)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (vocabulary(49), "has 49 entries, the embedding in .* has 50 rows"),
        (vocabulary(51), "has 51 entries, the embedding in .* has 50 rows"),
        ([f"w{i}" for i in range(60_001)], "has 60,001 entries"),
    ],
)
def test_a_vocabulary_of_another_size_is_refused_with_the_numbers(
    tmp_path: Path, pieces: list[str], message: str
) -> None:
    weights, itos = files(tmp_path, pieces=pieces)
    with pytest.raises(InputError, match=message):
        import_model(weights, itos, tmp_path, "forward")
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"direction": "backward"}, "direction forward was given, but .* says backward"),
        ({"direction": "bwd"}, "says bwd"),
        ({"backwards": True}, "says backward"),
        ({"direction": 7}, "says 7"),
        ({"vocabulary_size": 60_000}, "says vocabulary_size 60000, the embedding has 50 rows"),
        ([], "expected a JSON object"),
    ],
)
def test_a_description_that_says_otherwise_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    weights, itos = files(tmp_path)
    (tmp_path / "given.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        import_model(weights, itos, tmp_path, "forward", description=tmp_path / "given.json")


def test_a_description_that_agrees_or_says_nothing_is_taken(tmp_path: Path) -> None:
    weights, itos = files(tmp_path)
    for content in ({"direction": "fwd"}, {"backwards": False}, {"lang": "de"}, {"vocabulary_size": 50}):
        (tmp_path / "given.json").write_text(json.dumps(content))
        import_model(weights, itos, tmp_path, "forward", description=tmp_path / "given.json")


def test_the_command_writes_a_folder_that_loads(tmp_path: Path) -> None:
    weights, itos = files(tmp_path)
    out = tmp_path / "new" / "model"
    command = [sys.executable, "-m", "ulmfit.cli", "import", str(weights), str(itos), str(out)]
    done = subprocess.run([*command, "--direction", "backward"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "imported a lstm of 3 layers of 20 units" in done.stdout + done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "model.json",
        "model.safetensors",
        "vocabulary.json",
    ]
    model = load_language_model(out, Dropouts(multiplier=0), "backward").eval()
    ids = torch.arange(2, 12)[None]
    torch.testing.assert_close(model(ids).logits, fastai_model()(ids)[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="expected a model that reads forward, found backward"):
        load_language_model(out, Dropouts(), "forward")
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2 and "is no empty folder" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_a_failed_import_leaves_nothing(tmp_path: Path) -> None:
    weights, itos = files(tmp_path, pieces=vocabulary(49))
    with pytest.raises(InputError, match="has 49 entries"):
        import_into_new_folder(weights, itos, tmp_path / "out", "forward", None, print)
    with pytest.raises(InputError, match="--direction up: expected forward or backward"):
        import_into_new_folder(weights, itos, tmp_path / "out", "up", None, print)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["de_itos.pkl", "de_wgts.pth"]


def test_an_imported_folder_can_be_imported_again(tmp_path: Path) -> None:
    weights, itos = files(tmp_path)
    import_model(weights, itos, tmp_path, "forward")
    (tmp_path / "again").mkdir()
    import_model(
        tmp_path / "model.safetensors",
        tmp_path / "vocabulary.json",
        tmp_path / "again",
        "forward",
        description=tmp_path / "model.json",
    )
    for name in ("model.safetensors", "model.json", "vocabulary.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary_size": 51}, "says vocabulary_size 51, the embedding in model.safetensors has 50 rows"),
        ({"kind": "awd_qrnn"}, "says kind awd_qrnn, its architecture lstm"),
        (
            {"architecture": SIZE.changed(hidden_size=1152).model_dump()},
            r"has shape \(80, 20\), the model's is \(4608, 1152\)",
        ),
    ],
)
def test_a_folder_whose_files_disagree_is_refused_with_the_numbers(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    weights, itos = files(tmp_path)
    import_model(weights, itos, tmp_path, "forward")
    content = read_json(tmp_path / "model.json")
    (tmp_path / "model.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError, match=message) as caught:
        load_language_model(tmp_path, Dropouts())
    assert not re.search(r"\n", str(caught.value))
