"""Sentence encoders in the layout of sentence-transformers, of which no code is run."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers_for_tests import ShortTexts, tiny_bert

from ulmfit.classifier.predictions import read_predictions
from ulmfit.evaluation.encoder_stages import FrozenEncoder
from ulmfit.evaluation.sentence_encoder import download_encoder, load_sentence_encoder
from ulmfit.evaluation.transformer_model import _transformers
from ulmfit.evaluation.transformer_stages import HubModel
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

TEXTS = ["kalomi", "dusapo kalomi neturi", "sapovedu"]
NAMES = ("Transformer", "Pooling", "Dense", "Normalize")


def sentence_encoder(folder: Path, mode: str = "mean_tokens", **changes: Any) -> Path:
    """Write a tiny encoder with a dense layer and normalization."""
    tiny_bert(folder)
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": f"{number}_{name}" if number else "",
            "type": f"sentence_transformers.models.{name}",
        }
        for number, name in enumerate(NAMES)
    ]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    settings = {"max_seq_length": 6, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "1_Pooling").mkdir()
    pooling = {
        "word_embedding_dimension": 16,
        "pooling_mode_mean_tokens": False,
        f"pooling_mode_{mode}": True,
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    (folder / "2_Dense").mkdir()
    dense = {"in_features": 16, "out_features": 5, "bias": True}
    dense["activation_function"] = "torch.nn.modules.activation.Tanh"
    (folder / "2_Dense" / "config.json").write_text(json.dumps(dense | changes), "utf-8")
    generator = torch.Generator().manual_seed(0)
    weights = {
        "linear.weight": torch.randn(5, 16, generator=generator),
        "linear.bias": torch.randn(5, generator=generator),
    }
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    return folder


@pytest.mark.parametrize("mode", ["mean_tokens", "cls_token", "max_tokens"])
def test_vectors_are_pooled_transformed_and_normalized_as_the_folder_says(tmp_path: Path, mode: str) -> None:
    folder = sentence_encoder(tmp_path / "model", mode)
    found = load_sentence_encoder(folder, "cpu").encode(TEXTS, lambda count: None)
    with _transformers() as library:
        model = library.AutoModel.from_pretrained(folder).eval()
        tokenizer = library.AutoTokenizer.from_pretrained(folder)
    dense = torch.nn.Linear(16, 5)
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    dense.load_state_dict({key.removeprefix("linear."): value for key, value in weights.items()})
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=6)
            outputs = model(**encoded).last_hidden_state[0]
            pooled = {"mean_tokens": outputs.mean(0), "cls_token": outputs[0], "max_tokens": outputs.amax(0)}
            expected = torch.nn.functional.normalize(torch.tanh(dense(pooled[mode])), dim=0)
        assert vector == pytest.approx(expected.numpy(), abs=1e-5), "alone and among others"
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_transformer_alone_is_averaged(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "model")
    found = load_sentence_encoder(folder, "cpu").encode(TEXTS, lambda count: None)
    assert found.shape == (3, 16)
    assert load_sentence_encoder(folder, "cpu").encode([], lambda count: None).shape == (0, 16)


def change(folder: Path, name: str, edit: Any) -> None:
    content = read_json(folder / name)
    (folder / name).write_text(json.dumps(edit(content)), "utf-8")


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("modules.json", lambda c: [*c[:3], c[3] | {"type": "code.Evil"}], "names the class 'code.Evil'"),
        (
            "modules.json",
            lambda c: [c[0], c[1] | {"path": "../1_Pooling"}],
            r"names the folder '../1_Pooling'",
        ),
        ("modules.json", lambda c: c[1:], "lists Pooling, Dense, Normalize: expected Transformer"),
        ("modules.json", lambda c: {"a": 1}, "modules.json is damaged"),
        (
            "1_Pooling/config.json",
            lambda c: c | {"pooling_mode_cls_token": True},
            "a pooling that is not known",
        ),
        ("1_Pooling/config.json", lambda c: {"pooling_mode_lasttoken": True}, "a pooling that is not known"),
        (
            "2_Dense/config.json",
            lambda c: c | {"activation_function": "os.system"},
            "the activation 'system'",
        ),
        ("2_Dense/config.json", lambda c: c | {"in_features": 3}, "cannot be loaded"),
        ("1_Pooling/config.json", lambda c: [c], "config.json is damaged: expected a JSON object"),
        ("2_Dense/config.json", lambda c: "x", "config.json is damaged: expected a JSON object"),
        ("sentence_bert_config.json", lambda c: [1], "config.json is damaged: expected a JSON object"),
        ("sentence_bert_config.json", lambda c: c | {"max_seq_length": -1}, "max_seq_length is -1"),
    ],
)
def test_what_would_run_code_or_is_not_known_is_refused(
    tmp_path: Path, name: str, edit: Any, message: str
) -> None:
    folder = sentence_encoder(tmp_path / "model")
    change(folder, name, edit)
    with pytest.raises(InputError, match=message) as error:
        load_sentence_encoder(folder, "cpu")
    assert "\n" not in str(error.value)


def test_pickled_weights_of_a_dense_layer_are_refused(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "model")
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(InputError, match="expected the weights of a dense layer as safetensors"):
        load_sentence_encoder(folder, "cpu")


def test_a_frozen_encoder_is_a_classifier_of_the_texts(tmp_path: Path) -> None:
    data = ShortTexts(rows=24)
    folder = sentence_encoder(tmp_path / "model")
    encoder = FrozenEncoder(name="tiny", model=File(path=folder), prefix="kalomi ")
    runner = Runner(tmp_path / "runs")
    stage = encoder.classifier(data, data)
    test = read_predictions(runner.build(stage) / "predictions-test.parquet", ["no", "yes"])
    assert len(test.ids) == 24
    about = read_json(runner.folder(stage.vectors) / "vectors.json")
    assert about["dimensions"] == 5 and about["maximum_tokens"] == 6
    assert about["note"].startswith("frozen encoder, model, weights sha256 ")
    assert about["note"].endswith("prefix 'kalomi '")
    assert set(about["files"]) >= {"config.json", "model.safetensors", "vocab.txt"}
    plain = FrozenEncoder(name="tiny", model=File(path=folder)).text_vectors(data)
    assert runner.keys.key(plain) != runner.keys.key(stage.vectors)


def test_of_a_model_of_the_hub_the_files_that_are_read_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def snapshot(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert download_encoder(HubModel(name="owner/e5", revision="0123456789" * 4)) == tmp_path
    assert (asked["name"], asked["revision"]) == ("owner/e5", "0123456789" * 4)
    wanted = ("modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors", "model.safetensors")
    unwanted = ("pytorch_model.bin", "2_Dense/pytorch_model.bin", "onnx/model.onnx", "modeling_e5.py")
    patterns = asked["allow_patterns"]
    assert all(any(fnmatch(name, pattern) for pattern in patterns) for name in wanted)
    assert not any(fnmatch(name, pattern) for pattern in patterns for name in unwanted)
