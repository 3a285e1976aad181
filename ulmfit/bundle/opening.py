"""The first step of loading a bundle of either kind: it is found, checked, and given a place to compute."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

import torch

from ulmfit.bundle.hub import local_folder
from ulmfit.language_model.bundle_format import BundleDescription, read_description
from ulmfit.language_model.bundle_weights import read_tokenizer
from ulmfit.language_model.compute import Compute, choose_compute
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.distribution import choose_device
from ulmfit.training.precision import resolve_precision

Precision = Literal["run", "auto", "fp32", "bf16"]
Engine = Literal["auto", "fast", "plain"]
Description = TypeVar("Description", bound=BundleDescription)


class Opened(NamedTuple, Generic[Description]):
    """A bundle whose description and tokenizer are read, and whose weights are not."""

    folder: Path
    description: Description
    tokenizer: Tokenizer
    compute: Compute
    device: torch.device


def opened(
    reference: Path | str,
    expected: type[Description],
    kind: Literal["classifier", "language_model"],
    *,
    device: str,
    precision: Precision,
    engine: Engine,
) -> Opened[Description]:
    """Open the bundle in a folder, or at `hf:owner/name@revision`; raises InputError where it does not fit.

    `precision` run is that of the run that made the bundle.
    """
    folder = local_folder(reference)
    description = read_description(folder, expected, kind)
    chosen = description.precision if precision == "run" else resolve_precision(precision, device)
    where = choose_device(device)
    compute = choose_compute(chosen, engine, where, lambda line: None)
    return Opened(folder, description, read_tokenizer(folder, description), compute, where)
