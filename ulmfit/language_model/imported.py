"""Turns weights of other programs into a language model folder; `foreign` says which weights can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from ulmfit.datasets.reading import read_lines
from ulmfit.language_model.folder import MODEL, VOCABULARY, WEIGHTS, check_architecture, describe_model
from ulmfit.language_model.foreign import foreign_language_model, read_foreign_weights
from ulmfit.language_model.foreign_reading import describe_reading, never_written
from ulmfit.language_model.foreign_vocabulary import read_vocabulary
from ulmfit.language_model.settings import Architecture
from ulmfit.language_model.stages import BackwardOrder, Direction
from ulmfit.language_model.vocabulary import Vocabulary
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_folder, read_json, write_json
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.weights import save_weights

DIRECTION_WORDS = {"forward": "forward", "fwd": "forward", "backward": "backward", "bwd": "backward"}


def import_model(
    weights: Path,
    vocabulary: Path,
    folder: Path,
    direction: Direction,
    *,
    description: Path | None = None,
    backward_order: BackwardOrder = "bos-first",
    architecture: Architecture | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> None:
    """Write `model.safetensors`, `model.json` and `vocabulary.json` into an existing folder.

    `log` also gets the settings with which texts fit the vocabulary. `model.json` has the `backward_order`.
    `description` is the model.json that came with the weights: its direction, size and vocabulary have to be
    those of the weights. So has `architecture`, the expected size. If not: InputError with the numbers.
    """
    pieces = read_vocabulary(vocabulary)
    found, model = foreign_language_model(read_foreign_weights(weights), f"weights {weights}")
    rows = model.encoder.encoder.num_embeddings
    if rows != len(pieces):
        raise InputError(
            f"vocabulary {vocabulary} has {len(pieces):,} entries, the embedding in {weights} has {rows:,} "
            f"rows: take the vocabulary that came with the weights"
        )
    if architecture is not None:
        check_architecture(found, architecture, f"weights {weights}")
    if description is not None:
        _check_description(description, direction, backward_order, rows)
    save_weights(model, folder / WEIGHTS)
    write_json(folder / MODEL, describe_model(found, rows, direction, backward_order))
    write_json(folder / VOCABULARY, pieces)
    size = f"{found.layers} layers of {found.hidden_size} units, embedding of {found.embedding_size}"
    log(f"imported a {found.kind} of {size}, {rows:,} pieces, {direction}")
    log(describe_reading(pieces))


def import_into_new_folder(
    weights: Path,
    vocabulary: Path,
    out: Path,
    direction: str,
    description: Path | None,
    log: Callable[[str], None],
    backward_order: str = "bos-first",
    tokenizer: Path | None = None,
    text: Path | None = None,
) -> None:
    """Import a model into `out`, which appears whole or not at all; InputError where something is there.

    With a `tokenizer` folder and a `text` file, `log` is told which frequent pieces that tokenizer never
    writes there.
    """
    if (tokenizer is None) != (text is None):
        raise InputError("--tokenizer and --text belong together: give both, or none")
    if direction not in get_args(Direction):
        raise InputError(f"--direction {direction}: expected {' or '.join(get_args(Direction))}")
    if backward_order not in get_args(BackwardOrder) or (
        direction == "forward" and backward_order != "bos-first"
    ):
        raise InputError(
            f"--backward-order {backward_order}: expected {', '.join(get_args(BackwardOrder))}, "
            f"and bos-first for a model that reads forward"
        )
    if not out.name or out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InputError(f"{out} exists and is no empty folder of its own: name a new one, or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror}") from error
    with atomic_folder(out) as folder:
        import_model(
            weights,
            vocabulary,
            folder,
            cast(Direction, direction),
            description=description,
            backward_order=cast(BackwardOrder, backward_order),
            log=log,
        )
        if tokenizer is not None and text is not None:
            for warning in _pieces_never_written(folder, load_tokenizer(tokenizer), text):
                log(f"warning: {warning}")


def _pieces_never_written(folder: Path, tokenizer: Tokenizer, text: Path) -> list[str]:
    """Compare the vocabulary in `folder` with what a tokenizer makes of the lines of a file."""
    counts = np.zeros(tokenizer.size, np.int64)
    for ids in tokenizer.encode(read_lines(text)):
        counts += np.bincount(ids, minlength=tokenizer.size)
    pieces = read_json(folder / VOCABULARY)
    return never_written(Vocabulary.of_foreign(pieces), Vocabulary.of(tokenizer), counts)


def _check_description(path: Path, direction: Direction, backward_order: BackwardOrder, rows: int) -> None:
    """Compare with the given model.json; fields that it does not have are not compared."""
    try:
        content: Any = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no description of a model: expected a JSON object")
    said: Any = content.get("direction")
    if isinstance(content.get("backwards"), bool):
        said = "backward" if content["backwards"] else "forward"
    if said is not None and DIRECTION_WORDS.get(str(said)) != direction:
        raise InputError(f"direction {direction} was given, but {path} says {said}: they have to agree")
    order = content.get("backward_order", backward_order)
    if order != backward_order:
        raise InputError(
            f"backward_order {backward_order} was given, but {path} says {order}: they have to agree"
        )
    size = content.get("vocabulary_size", rows)
    if size != rows:
        raise InputError(f"{path} says vocabulary_size {size}, the embedding has {rows:,} rows")
