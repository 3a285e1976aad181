"""Weights of fastai's AWD_LSTM: the same names, plus second names for tensors that are stored once here."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ulmfit.language_model.model import LanguageModel
from ulmfit.training.weights import load_weights


def is_alias(name: str) -> bool:
    """Return whether fastai uses `name` for a tensor that has another name already.

    These are the embedding inside its dropout, the tied decoder, and (in older files) the recurrent weight as
    it was after the last weight drop.
    """
    return name.endswith((".encoder_dp.emb.weight", ".module.weight_hh_l0", "1.decoder.weight"))


def load_fastai_weights(model: LanguageModel, state: Mapping[str, Tensor], source: str) -> None:
    """Load the state dict of fastai's AWD_LSTM language model; raises InputError where it does not fit."""
    load_weights(model, {name: tensor for name, tensor in state.items() if not is_alias(name)}, source)
