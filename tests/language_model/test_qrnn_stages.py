"""The whole method with a QRNN: pretraining, fine-tuning, classifier, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest
from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.experiments.presets import MULTIFIT, MULTIFIT_FP16
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings
from ulmfit.language_model.stages import FineTune
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.training.settings import Phase
from ulmfit.training.weights import read_weights

QRNN = Architecture(kind="qrnn", embedding_size=16, hidden_size=24, layers=2)


@pytest.mark.parametrize("direction", ("forward", "backward"))
def test_from_text_to_labels(tmp_path: Path, direction: str) -> None:
    runner = Runner(tmp_path)
    dropouts = Dropouts(multiplier=0.2, zoneout=0.1)
    phases = (Phase(epochs=4, learning_rate=2e-2, discriminative=1),)
    pretrained = tiny_pretrain(architecture=QRNN, dropouts=dropouts, phases=phases).changed(
        direction=direction
    )
    settings = FineTuneSettings(phases=(Phase(learning_rate=1e-2),), batch_size=8, bptt=12, dropouts=dropouts)
    finetuned = FineTune(tokens=pretrained.tokens, pretrained=pretrained, settings=settings)
    # One rate for all layers: with lower ones below, the backward model has hardly begun after 14 epochs.
    learning = (Phase(epochs=14, learning_rate=2e-2, discriminative=1),)
    classifier = tiny_classifier(dropouts=dropouts, phases=learning).changed(
        language_model=finetuned, architecture=QRNN, direction=direction
    )
    runner.build(classifier)
    first, second = (read_json(runner.folder(stage) / "metrics.json") for stage in (pretrained, finetuned))
    # 80 pieces in equal shares would be 4.4 nats; syllables follow one another in 60 words.
    assert second["valid"]["loss"] < first["valid"]["loss"] < 3.5
    assert read_json(runner.folder(finetuned) / "model.json")["kind"] == "awd_qrnn"
    names = read_weights(runner.folder(finetuned) / "model.safetensors")
    assert {name for name in names if "rnns.0" in name} == {
        "0.rnns.0.layers.0.linear.weight_raw",
        "0.rnns.0.layers.0.linear.module.bias",
    }
    epochs = read_json(runner.folder(classifier) / "history.json")["epochs"]
    assert epochs[-1]["valid_loss"] < 0.5 < epochs[0]["valid_loss"]


def test_presets_are_those_of_multifit() -> None:
    paper, half = MULTIFIT.pretrain, MULTIFIT_FP16.pretrain
    assert (paper.architecture.kind, paper.architecture.layers, paper.architecture.hidden_size) == (
        "qrnn",
        4,
        1550,
    )
    assert half.architecture == paper.architecture.changed(hidden_size=1552)
    assert paper.dropouts.scaled() == Dropouts(
        output=0, hidden=0, input=0, embedding=0, weight=0, multiplier=1
    )
    assert half.phases[0].learning_rate == pytest.approx(1e-2 * half.batch_size / 48)
    phase = MULTIFIT.classifier.phases[0]
    assert (phase.learning_rate, phase.lowest_rate) == (2e-2, pytest.approx(1e-2 / 2.6**4))
