"""`export`: a bundle's classifier as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.models import BundleArgument
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.printing import show


def export(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Argument(help="the file to write; its name ends in .onnx")],
) -> None:
    """Write a classifier as an ONNX file, for programs without PyTorch; needs ulmfit[onnx]."""
    from ulmfit.bundle.classifier import TextClassifier
    from ulmfit.bundle.onnx_export import export_onnx

    if out.suffix.lower() != ".onnx":
        raise InputError(f"{out}: expected a name that ends in .onnx")
    if out.is_dir():
        raise InputError(f"{out} is a folder: expected the name of a file that can be written")
    classifier = TextClassifier.load(bundle, device="cpu", precision="fp32")
    difference = export_onnx(classifier, out)
    members = len(classifier.members)
    show(
        f"{out}: {members} model{'s' if members > 1 else ''}, {out.stat().st_size / 1e6:.1f} MB; predictions "
        f"in onnxruntime differ from PyTorch's by {difference:.1g} at most"
    )
