"""Writes the files of a bundle: tokenizer, weights, description, card and sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor

from ulmfit.language_model.bundle_format import BUNDLE, TOKENIZER, BundleDescription
from ulmfit.pipeline import provenance
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_folder, write_json, write_text
from ulmfit.pipeline.sums import write_sums
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.weights import write_tensors

CARD = "README.md"
LARGEST_FP16 = 65_504.0

Weights = Literal["fp16", "fp32"]
Files = dict[str, bytes]
"""The files of a bundle, by their path inside of it."""


def check_place(out: Path) -> None:
    """Raise InputError where something is at `out` that is neither an empty folder nor a bundle.

    The current folder and a link cannot be replaced by a folder, so they are refused too.
    """
    if not out.name or out.is_symlink():
        kind = "a link" if out.is_symlink() else "the current folder, or the root"
        raise InputError(f"{out} is {kind}, which a bundle cannot replace: name a new folder")
    if out.exists() and not (out.is_dir() and ((out / BUNDLE).exists() or not any(out.iterdir()))):
        raise InputError(f"{out} exists and is no bundle: name a new folder, or remove it")


def save_bundle(
    out: Path,
    description: BundleDescription,
    tokenizer: Tokenizer,
    tensors: Sequence[Mapping[str, Tensor]],
    card: str,
    weights: Weights,
) -> None:
    """Write a bundle into the folder `out`, which appears whole or not at all; one that is there is replaced.

    `tensors` are those of each member of the description, in their order. What the description says of
    weights, program and versions is written anew. Raises InputError for anything else at `out`.
    """
    check_place(out)
    if weights not in ("fp16", "fp32"):
        raise InputError(f"weights {weights!r}: expected fp16 or fp32")
    described = description.changed(
        weights=weights, commit=provenance.commit(), versions=provenance.versions()
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as folder:
        (folder / TOKENIZER).mkdir()
        tokenizer.save(folder / TOKENIZER)
        for member, own in zip(described.members, tensors, strict=True):
            write_tensors(own if weights == "fp32" else in_fp16(own, member.file), folder / member.file)
        write_json(folder / BUNDLE, described.model_dump(mode="json"))
        write_text(folder / CARD, card)
        write_sums(folder)


def in_fp16(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the tensors with matrices in half precision; vectors, a thousandth of them, stay in fp32.

    Raises InputError for a number that half precision does not hold.
    """
    halved = {}
    for name, tensor in tensors.items():
        if tensor.dim() < 2 or not tensor.is_floating_point():
            halved[name] = tensor
            continue
        if not bool((tensor.abs() <= LARGEST_FP16).all()):
            raise InputError(f"{source}: {name} has numbers that fp16 cannot hold: use --precision fp32")
        halved[name] = tensor.to(torch.float16)
    return halved


def packed(save: Callable[[Path], Any]) -> Files:
    """Return the files of the bundle that `save` writes into a folder."""
    with TemporaryDirectory(prefix="ulmfit-") as name:
        folder = Path(name) / "bundle"
        save(folder)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def unpacked(files: Files) -> Iterator[Path]:
    """Lend a temporary folder with these files."""
    with TemporaryDirectory(prefix="ulmfit-") as name:
        for path, content in files.items():
            place = Path(name) / path
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)
        yield Path(name)


def load_packed(kind: type, files: Files, options: dict[str, Any]) -> Any:
    """Return what `kind.load` makes of a bundle's files: how a pickle of a loaded bundle is read."""
    with unpacked(files) as folder:
        return kind.load(folder, **options)  # type: ignore[attr-defined]
