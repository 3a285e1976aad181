"""The parts of a bundle that are loaded: its tokenizer and its weights; nothing in them is ever run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn
from torch.overrides import TorchFunctionMode

from ulmfit.language_model.bundle_format import TOKENIZER, BundleDescription, Member
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.weights import load_weights, read_weights

BYTES_PER_WEIGHT = 2
"""In fp16."""
GATES = 3
"""Matrices of a QRNN's layer; an LSTM's has four."""

Network = TypeVar("Network", bound=nn.Module)


def read_tokenizer(folder: Path, description: BundleDescription) -> Tokenizer:
    """Load a bundle's tokenizer; raises InputError where it is not the one that its models know."""
    tokenizer = load_tokenizer(folder / TOKENIZER)
    if tokenizer.size != description.vocabulary_size or tokenizer.fingerprint() != description.vocabulary:
        raise InputError(
            f"the tokenizer in {folder / TOKENIZER} has other pieces ({tokenizer.size:,}) than the models in "
            f"{folder} know ({description.vocabulary_size:,}): copy the folder again"
        )
    return tokenizer


class WithoutInitialization(TorchFunctionMode):
    """Inside of it new modules have whatever stands in memory: their weights are read from a file at once."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def loaded(make: Callable[[], Network], path: Path, least: int) -> Network:
    """Return the model that `make` makes, with the weights in a bundle's file, in fp32, on the CPU.

    `least` is a number of weights that the model has at least: a description that lies about its size is
    refused before memory is taken for it. Raises InputError where the weights do not fit the model.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if BYTES_PER_WEIGHT * least > size:
        raise InputError(
            f"{path} has {size:,} bytes, too few for the {least:,} weights that bundle.json describes: copy "
            f"the folder again"
        )
    with WithoutInitialization():
        model = make()
    load_weights(model, read_weights(path), str(path))
    return model


def least_weights(description: BundleDescription) -> int:
    """Return how many weights an encoder of the described size has at least."""
    size = description.architecture
    units = [size.hidden_size] * (size.layers - 1) + [size.embedding_size]
    inputs = [size.embedding_size, *units[:-1]]
    recurrent = sum(GATES * given * made for given, made in zip(inputs, units, strict=True))
    if size.kind == "lstm":
        recurrent += sum(GATES * made * made for made in units)
    return description.vocabulary_size * size.embedding_size + recurrent


def load_bundled_language_model(
    folder: Path, description: BundleDescription, member: Member, dropouts: Dropouts | None = None
) -> LanguageModel:
    """Load one language model of a checked bundle, in fp32, on the CPU; `dropouts` None: none."""
    return loaded(
        lambda: LanguageModel(
            description.vocabulary_size, description.architecture, dropouts or Dropouts(multiplier=0.0)
        ),
        folder / member.file,
        least_weights(description),
    )
