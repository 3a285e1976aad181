"""A language model's folder: its files, its description, and how it is loaded for a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ulmfit.language_model.bundle_format import TOKENIZER
from ulmfit.language_model.bundled import BundledModel
from ulmfit.language_model.foreign_reading import never_written
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.language_model.stages import BackwardOrder, Direction, FineTune, ImportedModel, Pretrain
from ulmfit.language_model.vocabulary import Vocabulary, VocabularyMatch, adapt_vocabulary
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.arrays import TokenArray, id_counts
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.weights import load_weights, read_weights

WEIGHTS, MODEL, VOCABULARY = "model.safetensors", "model.json", "vocabulary.json"


def describe_model(
    architecture: Architecture,
    vocabulary_size: int,
    direction: Direction,
    backward_order: BackwardOrder = "bos-first",
) -> dict[str, Any]:
    """Return the content of `model.json`; the order of backward texts is named where it is not our own."""
    return {
        "kind": f"awd_{architecture.kind}",
        "vocabulary_size": vocabulary_size,
        "architecture": architecture.model_dump(),
        "direction": direction,
        **described_order(backward_order),
    }


def described_order(backward_order: BackwardOrder) -> dict[str, Any]:
    """Return the order of backward texts in a description."""
    return {} if backward_order == "bos-first" else {"backward_order": backward_order}


def check_architecture(found: Architecture, expected: Architecture, source: str) -> None:
    """Raise InputError, with the numbers, when a model is not of the expected size."""
    for name in Architecture.model_fields:
        if getattr(found, name) != getattr(expected, name):
            raise InputError(
                f"{source}: {name}: expected {getattr(expected, name)}, found {getattr(found, name)}; "
                f"set architecture.{name} to that, or take other weights"
            )


def load_language_model(
    folder: Path,
    dropouts: Dropouts,
    direction: Direction | None = None,
    expected: Architecture | None = None,
) -> LanguageModel:
    """Load the language model in a folder.

    Raises InputError when it is none, reads in another direction, or is not of the expected size.
    """
    try:
        description = read_json(folder / MODEL)
        architecture = Architecture(**description["architecture"])
        vocabulary_size, kind = description["vocabulary_size"], description["kind"]
        reads = description["direction"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no language model: {MODEL} is missing or damaged") from error
    if kind != f"awd_{architecture.kind}":
        raise InputError(
            f"{folder / MODEL} says kind {kind}, its architecture {architecture.kind}: "
            f"expected awd_{architecture.kind}"
        )
    if direction is not None and reads != direction:
        raise InputError(f"{folder / MODEL}: expected a model that reads {direction}, found {reads}")
    if expected is not None:
        check_architecture(architecture, expected, str(folder / MODEL))
    weights = read_weights(folder / WEIGHTS)
    rows = len(weights["0.encoder.weight"]) if "0.encoder.weight" in weights else vocabulary_size
    if rows != vocabulary_size:
        raise InputError(
            f"{folder / MODEL} says vocabulary_size {vocabulary_size}, "
            f"the embedding in {WEIGHTS} has {rows:,} rows"
        )
    model = LanguageModel(vocabulary_size, architecture, dropouts)
    load_weights(model, weights, str(folder / WEIGHTS))
    return model


def load_for_tokenizer(
    stage: Pretrain | FineTune | ImportedModel | BundledModel,
    tokenizer: Tokenizer,
    dropouts: Dropouts,
    work: Work,
    counts: np.ndarray | None = None,
    expected: Architecture | None = None,
) -> tuple[LanguageModel, VocabularyMatch | None]:
    """Load the language model that `stage` built, for texts that `tokenizer` cuts.

    Where it was trained with another tokenizer, its rows are sorted by the new vocabulary, which is logged;
    the match is None where nothing had to be done. `counts` (pieces,) as `adapt_vocabulary` takes them,
    `expected` as `load_language_model` does.
    """
    folder = work.input(stage)
    model = load_language_model(folder, dropouts, stage.direction, expected)
    old, new = _vocabulary(stage, folder, work), Vocabulary.of(tokenizer)
    match = adapt_vocabulary(model, old, new, counts)
    if match is not None:
        work.log(str(match))
    if counts is not None and isinstance(stage, ImportedModel):
        for warning in never_written(old, new, counts):
            work.warn(warning)
    return model, match


def piece_counts(tokens_folder: Path, size: int) -> np.ndarray:
    """Return how often each piece occurs in the training documents of token arrays: int64, shape (size,)."""
    return id_counts(TokenArray.open(tokens_folder, "train").tokens, size)


def _vocabulary(
    stage: Pretrain | FineTune | ImportedModel | BundledModel, folder: Path, work: Work
) -> Vocabulary:
    if isinstance(stage, BundledModel):
        return Vocabulary.of(load_tokenizer(work.file(stage.bundle) / TOKENIZER))
    if isinstance(stage, ImportedModel):
        return Vocabulary.of_foreign(read_json(folder / VOCABULARY))
    return Vocabulary.of(load_tokenizer(work.input(stage.tokens.tokenizer)))
