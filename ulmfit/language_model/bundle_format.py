"""What a bundle's `bundle.json` says, and how it is read; light, because recipes may name a bundle.

A bundle is a folder:

- `bundle.json`: a `BundleDescription`, of a classifier with more fields (`ulmfit.bundle.description`);
- `tokenizer/`: a tokenizer folder;
- one `.safetensors` per direction and seed, with fastai's parameter names;
- `record.json` where there is one, `README.md` (the model card), `SHA256SUMS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from ulmfit.language_model.settings import Architecture, BackwardOrder, Direction
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.settings import Settings, first_fault
from ulmfit.pipeline.sums import check_sums, read_sums

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
    licences: dict[str, str] = Field({}, description="licence of each source of texts that it learned from")
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


def read_description(
    folder: Path, expected: type[Description], kind: Kind, *, sums: bool = True
) -> Description:
    """Read and check `bundle.json`, and with `sums` those of the files that loading reads.

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
    if not sums:
        return description
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
