"""The parts of a bundle that are loaded: its tokenizer and its weights; nothing in them is ever run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ulmfit.language_model.bundle_format import TOKENIZER, BundleDescription, Member
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.weights import load_weights, read_weights


def read_tokenizer(folder: Path, description: BundleDescription) -> Tokenizer:
    """Load a bundle's tokenizer; raises InputError where it is not the one that its models know."""
    tokenizer = load_tokenizer(folder / TOKENIZER)
    if tokenizer.size != description.vocabulary_size or tokenizer.fingerprint() != description.vocabulary:
        raise InputError(
            f"the tokenizer in {folder / TOKENIZER} has other pieces ({tokenizer.size:,}) than the models in "
            f"{folder} know ({description.vocabulary_size:,}): copy the folder again"
        )
    return tokenizer


def load_member(model: nn.Module, path: Path) -> None:
    """Copy the weights in a bundle's file into `model`; raises InputError where they do not fit."""
    load_weights(model, read_weights(path), str(path))


def check_shapes(shapes: Mapping[str, Tensor], path: Path) -> None:
    """Raise InputError where the tensors in a file are not of these shapes; nothing is read but its header.

    `shapes` are tensors without content (torch's device `meta`): a description that lies about its size is
    refused before memory is taken for it. Names that are missing or too many are `load_weights`' to tell.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                found = tuple(file.get_slice(name).get_shape())
                if name in shapes and found != tuple(shapes[name].shape):
                    expected = tuple(shapes[name].shape)
                    raise InputError(f"{path}: {name} has shape {found}, bundle.json expects {expected}")
            # The decoder's weight is the embedding's, stored once.
            missing = sorted(n for n in shapes.keys() - set(file.keys()) if "decoder" not in n)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
    if missing:
        raise InputError(f"{path} has no weights for {missing[0]} (and {len(missing) - 1} more)")


def load_bundled_language_model(
    folder: Path, description: BundleDescription, member: Member, dropouts: Dropouts | None = None
) -> LanguageModel:
    """Load one language model of a checked bundle, in fp32, on the CPU; `dropouts` None: none."""
    dropouts = dropouts or Dropouts(multiplier=0.0)
    path = folder / member.file
    with torch.device("meta"):
        shapes = LanguageModel(description.vocabulary_size, description.architecture, dropouts).state_dict()
    check_shapes(shapes, path)
    model = LanguageModel(description.vocabulary_size, description.architecture, dropouts)
    load_member(model, path)
    return model
