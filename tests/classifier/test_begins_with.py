"""A classifier that begins with the weights of another: ULMFiT that has learnt from soft labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from stages_for_tests import tiny_classifier

from ulmfit.classifier import fit
from ulmfit.language_model.folder import WEIGHTS
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.training.settings import Phase
from ulmfit.training.weights import read_weights

FIRST = tiny_classifier(phases=(Phase(epochs=1, learning_rate=1e-2),))


def test_training_begins_with_the_other_classifiers_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(tmp_path)
    learnt = read_weights(runner.build(FIRST) / WEIGHTS)
    found: dict[str, torch.Tensor] = {}

    def stop(model: torch.nn.Module, *arguments: Any, **options: Any) -> None:
        found.update(model.state_dict())
        raise InputError("seen enough")

    monkeypatch.setattr(fit, "train", stop)
    for begins_with in (FIRST, None):
        with pytest.raises(InputError, match="seen enough"):
            runner.build(FIRST.changed(begins_with=begins_with, seed=7))
        same = [torch.equal(found[name], tensor) for name, tensor in learnt.items()]
        assert all(same) == (begins_with is not None)


def test_only_a_classifier_of_the_same_kind_fits() -> None:
    from_scratch = FIRST.changed(language_model=None)
    with pytest.raises(ValidationError, match="begins_with has another language_model: expected the same"):
        FIRST.changed(begins_with=from_scratch)


def test_without_it_a_classifier_has_the_key_that_it_had(tmp_path: Path) -> None:
    keys = Runner(tmp_path).keys
    assert keys.key(FIRST.changed(begins_with=FIRST)) != keys.key(FIRST)
    assert "begins_with" not in FIRST.model_dump(exclude_defaults=True)
