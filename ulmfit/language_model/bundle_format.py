"""What a bundle's `bundle.json` says, and how a bundle is read: checked first, and never run.

A bundle is a folder:

- `bundle.json`: a `BundleDescription`, of a classifier with more fields (`ulmfit.bundle.description`);
- `tokenizer/`: a tokenizer folder;
- one `.safetensors` per direction and seed, with fastai's parameter names;
- `record.json` where there is one, `README.md` (the model card), `SHA256SUMS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.language_model.stages import BackwardOrder, Direction
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.settings import Settings, first_fault
from ulmfit.pipeline.sums import check_sums, read_sums
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.weights import load_weights, read_weights

FORMAT_VERSION = 1
BUNDLE, TOKENIZER = "bundle.json", "tokenizer"
LARGEST_DESCRIPTION = 16_000_000
"""Bytes of a bundle.json; that of a classifier with 1,000 labels has about 100,000."""
MOST_LAYERS = 100

Kind = Literal["language_model", "classifier"]


class Member(Settings):
    """One trained model of a bundle."""

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.safetensors$", description="its weights")
    direction: Direction
    seed: int = Field(0, description="seed of its training")


class BundleDescription(Settings):
    """What every bundle says."""

    format_version: Literal[1] = Field(
        description="of this file; other programs refuse what they do not know"
    )
    kind: Kind
    name: str = Field(description="the recipe that made it, such as de/germeval2018")
    row: str = Field("", description="the row of the recipe's table; empty: no row, as for a language model")
    language: str = Field(description="language code")
    architecture: Architecture
    vocabulary_size: int = Field(ge=4, description="pieces of the tokenizer, special tokens included")
    vocabulary: str = Field(description="fingerprint of the tokenizer's pieces and reading of texts")
    backward_order: BackwardOrder = "bos-first"
    members: tuple[Member, ...] = Field(min_length=1, max_length=1_000)
    weights: Literal["fp16", "fp32"] = Field(
        description="how matrices are stored; they are computed with in fp32 or bf16"
    )
    precision: Literal["fp32", "bf16"] = Field(
        description="in which the run computed its predictions; loading computes in the same"
    )
    commit: str = Field("", description="of the program that wrote it; empty: not from a checkout")
    versions: dict[str, str] = Field({}, description="library -> version")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len({member.file for member in self.members}) < len(self.members):
            raise ValueError("members: a file is named twice")
        if self.architecture.layers > MOST_LAYERS:
            raise ValueError(
                f"architecture.layers {self.architecture.layers}: expected {MOST_LAYERS} at most"
            )
        return self

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions of its members, in their order."""
        return tuple(dict.fromkeys(member.direction for member in self.members))


Description = TypeVar("Description", bound=BundleDescription)


def kind_of_bundle(folder: Path) -> Kind:
    """Return the kind of the bundle in a folder; raises InputError where there is none."""
    return _content(folder)["kind"]


def read_description(folder: Path, expected: type[Description], kind: Kind) -> Description:
    """Read and check `bundle.json`, and the sums of the files that loading reads.

    Raises InputError for what is no bundle, of another kind or format, incomplete or altered.
    """
    content = _content(folder)
    if content["kind"] != kind:
        raise InputError(f"{folder} is a bundle of a {content['kind']}: expected one of a {kind}")
    try:
        description = expected.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"{folder / BUNDLE} is damaged: {first_fault(error)}; copy the folder again"
        ) from error
    parts = [path.relative_to(folder).as_posix() for path in sorted((folder / TOKENIZER).glob("*"))]
    files = [member.file for member in description.members]
    check_sums(folder, [BUNDLE, *parts, *files], read_sums(folder))
    return description


def _content(folder: Path) -> dict[str, Any]:
    """Return the content of bundle.json, whose version and kind are known."""
    path = folder / BUNDLE
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            raise ValueError("it is too large")
        content = read_json(path)
    except OSError as error:
        raise InputError(
            f"{folder} is no bundle ({error.strerror or error}): expected a folder that ulmfit bundle wrote, "
            f"with {BUNDLE} in it"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): copy the folder again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no description of a bundle: expected a JSON object")
    if (version := content.get("format_version")) != FORMAT_VERSION:
        raise InputError(
            f"{path} has format_version {version!r}, this program reads {FORMAT_VERSION}: "
            f"use the version of ulmfit that wrote it, or bundle the model again"
        )
    if content.get("kind") not in ("language_model", "classifier"):
        raise InputError(f"{path}: kind {content.get('kind')!r}: expected language_model or classifier")
    return content


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
