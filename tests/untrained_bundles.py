"""Bundles of classifiers with random weights: they are as good as trained ones for asking over HTTP."""

from __future__ import annotations

from pathlib import Path

import torch
from stages_for_tests import InventedCorpus

from ulmfit.bundle.description import ClassifierDescription
from ulmfit.classifier.folder import named_settings, task_of_model
from ulmfit.classifier.model import TextClassifier as Network
from ulmfit.language_model.bundle_format import BUNDLE, TOKENIZER, Member
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.settings import Architecture
from ulmfit.pipeline.files import write_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.sums import write_sums
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.stages import TrainTokenizer
from ulmfit.training.weights import save_weights

LABELS = {"single_label": ("no", "yes"), "multi_label": ("dark", "light", "loud"), "regression": ()}
METRICS = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "pearson"}
SIZE = Architecture(embedding_size=16, hidden_size=24, layers=2)


def make_tokenizer(runs: Path) -> Path:
    """Return the folder of a tokenizer with 80 pieces."""
    stage = TrainTokenizer(corpus=InventedCorpus(documents=30), language="qaa", vocab_size=80)
    return Runner(runs).build(stage)


def make_bundle(folder: Path, tokenizer: Path, task: str = "single_label", **fields: object) -> Path:
    """Write a bundle of two directions."""
    loaded = load_tokenizer(tokenizer)
    description = ClassifierDescription(
        **{
            "format_version": 1,
            "name": f"test/{task}",
            "language": "qaa",
            "architecture": SIZE,
            "vocabulary_size": loaded.size,
            "vocabulary": loaded.fingerprint(),
            "members": tuple(
                Member(file=f"{direction}-0.safetensors", direction=direction)
                for direction in ("forward", "backward")
            ),
            "weights": "fp32",
            "precision": "fp32",
            "task": task,
            "labels": LABELS[task],
            "thresholds": (0.5,) * len(LABELS[task]) if task == "multi_label" else (),
            "temperature": 2.0 if task == "single_label" else None,
            "bptt": 8,
            "maximum_tokens": 200,
            "reads": "first",
            "head_units": 10,
            "dataset": "made-up",
            "metric": METRICS[task],
            **fields,
        }
    )
    (folder / TOKENIZER).mkdir(parents=True)
    loaded.save(folder / TOKENIZER)
    content = description.model_dump(mode="json")
    torch.manual_seed(0)
    for member in description.members:
        settings = named_settings(description.model_dump())
        outputs = task_of_model(description.model_dump(), description.labels).outputs
        network = Network(Encoder(loaded.size, SIZE, settings.dropouts), outputs, settings)
        with torch.no_grad():
            # Labels and probabilities that differ from text to text.
            network.encoder.module.encoder.weight.mul_(50)
            for weights in network.head.parameters():
                weights.mul_(2)
        save_weights(network, folder / member.file)
    write_json(folder / BUNDLE, content)
    write_sums(folder)
    return folder
