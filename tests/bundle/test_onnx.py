"""An exported classifier gives in onnxruntime what torch gives, for texts and batches of any size."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import onnx
import onnxruntime
import pytest
import torch
from bundles_for_tests import RULES, Made

from ulmfit import TextClassifier
from ulmfit.bundle import onnx_export
from ulmfit.bundle.onnx_export import export_onnx, onnx_model, padded
from ulmfit.classifier.folder import LoadedClassifier
from ulmfit.classifier.inference import predict_logits
from ulmfit.classifier.model import TextClassifier as Network
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.tasks import SingleLabel
from ulmfit.cli.app import app
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.settings import Architecture, BackwardOrder
from ulmfit.pipeline.errors import InputError


def loaded(folder: Path) -> TextClassifier:
    return TextClassifier.load(folder, device="cpu", precision="fp32")


def documents(lengths: list[int], size: int, bos_id: int) -> list[numpy.ndarray]:
    """Texts of these lengths, of any tokens but xxbos."""
    random = numpy.random.default_rng(len(lengths))
    found = []
    for length in lengths:
        ids = random.integers(bos_id + 1, size, length).astype(numpy.uint16)
        ids[0] = bos_id
        found.append(ids)
    return found


def from_onnx(model: onnx.ModelProto | Path, texts: list[numpy.ndarray]) -> numpy.ndarray:
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, padded(texts))[0]


@pytest.mark.parametrize("lengths", [[1], [9, 1, 8, 16, 17, 2], [3] * 40, [400, 5, 64, 65]], ids=str)
def test_it_predicts_what_torch_does(every_task: Made, lengths: list[int], tmp_path: Path) -> None:
    classifier = loaded(every_task.folder)
    scale = classifier.description.target_sd
    assert export_onnx(classifier, tmp_path / "model.onnx") <= 1e-4 * scale
    texts = documents(lengths, classifier.description.vocabulary_size, classifier.tokenizer.bos_id)
    found = from_onnx(tmp_path / "model.onnx", texts)
    numpy.testing.assert_allclose(found, classifier.values_of(texts), atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize("order", ["bos-first", "bos-last", "eos-first"])
@pytest.mark.parametrize(("kind", "pooled"), [("lstm", 0), ("lstm", 12), ("qrnn", 0), ("qrnn", 12)], ids=str)
def test_layers_orders_and_what_is_pooled(
    single_label: Made, kind: Any, pooled: int, order: BackwardOrder
) -> None:
    """With random weights, so large that every token counts."""
    classifier = loaded(single_label.folder)
    torch.manual_seed(0)
    settings = ClassifierSettings(bptt=5, maximum_tokens=pooled or 20, reads="last" if pooled else "first")
    size = classifier.description.vocabulary_size
    sizes = Architecture(kind=kind, embedding_size=6, hidden_size=7, layers=3, window=2)
    model = Network(Encoder(size, sizes, settings.dropouts), 2, settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    task = SingleLabel(["no", "yes"])
    member = LoadedClassifier(
        model.eval(), classifier.tokenizer, task.labels, "backward", settings, task, order
    )
    other = replace(classifier, members=[member])
    texts = documents([1, 2, 5, 6, 11, 12, 13, 14, 16, 19, 20, 21, 43], size, classifier.tokenizer.bos_id)
    with torch.no_grad():  # probabilities in the middle, where they differ most
        logits = predict_logits(model, [member.as_read(text) for text in texts], 64)
        model.head.layers[-1].bias -= torch.from_numpy(logits.mean(axis=0))
    expected = other.values_of(texts)
    assert expected.std(axis=0).min() > 0.02
    numpy.testing.assert_allclose(from_onnx(onnx_model(other), texts), expected, atol=1e-5, rtol=0)


def test_padding_changes_nothing(single_label: Made) -> None:
    classifier = loaded(single_label.folder)
    texts = documents([3, 30], classifier.description.vocabulary_size, classifier.tokenizer.bos_id)
    model = onnx_model(classifier)
    together = from_onnx(model, texts)
    numpy.testing.assert_allclose(together[:1], from_onnx(model, texts[:1]), atol=1e-6)


def test_the_file_says_what_its_user_needs(single_label: Made, tmp_path: Path, capsys) -> None:
    out = tmp_path / "new folder" / "model.onnx"
    app(["export", str(single_label.folder), str(out)], standalone_mode=False)
    assert "4 models" in (said := capsys.readouterr().out) and "model.onnx" in said
    told = {one.key: one.value for one in onnx.load(out).metadata_props}
    assert json.loads(told["labels"]) == ["no", "yes"]
    assert json.loads(told["text_rules"]) == [list(RULES[0]), RULES[1]]
    assert told["vocabulary"] == loaded(single_label.folder).tokenizer.fingerprint()
    assert "load_tokenizer" in told["tokens"]


def test_what_cannot_be_exported(
    single_label: Made, language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.onnx"
    classifier = loaded(single_label.folder)
    with pytest.raises(InputError, match="is a bundle of a language_model: expected one of a classifier"):
        app(["export", str(language_model), str(out)], standalone_mode=False)
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="its predictions differ from those of the bundle by"):
        export_onnx(classifier, out)
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    with pytest.raises(InputError, match=r"folder\.onnx is a folder: expected the name of a file"):
        app(["export", str(single_label.folder), str(folder)], standalone_mode=False)
    folder.rmdir()
    monkeypatch.setattr(onnx_export, "LARGEST", 10)
    with pytest.raises(InputError, match="bundle fewer with --row or --seed"):
        export_onnx(classifier, out)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r'onnx is not installed: pip install "ulmfit\[onnx\]"'):
        export_onnx(classifier, out)
    assert not list(tmp_path.iterdir())


def test_the_tokenizer_is_read_without_torch() -> None:
    program = "import sys, ulmfit.tokens.loading, ulmfit.datasets.text_rules; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
