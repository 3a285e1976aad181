"""`doctor`: what this machine has, and what is missing for which command. Bug reports begin with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ulmfit.cli.options import RunsOption
from ulmfit.pipeline.assets import MIRROR_VARIABLE
from ulmfit.pipeline.load import usable_cores
from ulmfit.pipeline.printing import printable, show
from ulmfit.pipeline.provenance import PACKAGES, commit, hardware, versions
from ulmfit.training.openmp import THREADS_VARIABLE
from ulmfit.training.precision import resolve_precision

EXTRAS = {
    "hub": ("huggingface_hub", "ulmfit push, ulmfit pull and hf:OWNER/NAME"),
    "onnx": ("onnxruntime", "ulmfit export"),
    "serve": ("uvicorn", "ulmfit serve"),
    "slurm": ("submitit", "ulmfit run --launcher slurm"),
    "encoders": ("transformers", "frozen encoders that read the texts themselves"),
    "transformers": ("transformers", "recipes with rows of transformers"),
}
"""Extra -> the package that it brings, and what needs it."""


def doctor(runs: RunsOption = Path("runs")) -> None:
    """Show device, versions, threads, compiler and disk, and what is missing for which command."""
    facts: dict[str, Callable[[], str]] = {
        "ulmfit": _own_version,
        "packages": _packages,
        "processor": _processor,
        "device": _device,
        "threads": _threads,
        "compiler": _compiler,
        "disk": lambda: _disk(runs),
        "mirror": lambda: os.environ.get(MIRROR_VARIABLE) or f"none ({MIRROR_VARIABLE} is not set)",
    }
    for name, find in facts.items():
        show(f"{name:<12}  {printable(_found(find))}")
    for extra in EXTRAS:
        show(f"{extra:<12}  {_extra(extra)}")


def _found(find: Callable[[], str]) -> str:
    """Return a fact, or why it cannot be found out: a broken library must not hide the other facts."""
    try:
        return find()
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        return f"not found out: {type(error).__name__}: {reason}"


def _own_version() -> str:
    number, at = versions().get("ulmfit", "not installed"), commit()
    return f"{number}, commit {at}" if at else number


def _packages() -> str:
    found = versions()
    listed = [f"{name} {number}" for name, number in found.items() if name != "ulmfit"]
    return ", ".join([*listed, *(f"{name} missing" for name in PACKAGES if name not in found)])


def _processor() -> str:
    here = hardware()
    name = here["processor"] or here["machine"]
    return f"{name}, {here['cores']} cores, {here['memory_gib']} GiB memory, load {here['load_average']}"


def _device() -> str:
    """Return the device that `auto` means, and the precision there."""
    import torch

    precision = f"computes in {resolve_precision('auto', 'auto')}"
    if torch.cuda.is_available():
        gpus = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        return ", ".join([f"cuda, {precision}", *map(_gpu, gpus)])
    advice = "; nvidia-smi is here, but torch finds no GPU: install torch for its CUDA version"
    return f"cpu, {precision}{advice if shutil.which('nvidia-smi') else ''}"


def _gpu(gpu: Any) -> str:
    return f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)"


def _threads() -> str:
    import torch

    given = os.environ.get(THREADS_VARIABLE, "not set")
    return f"{torch.get_num_threads()} in torch, {usable_cores()} cores to use ({THREADS_VARIABLE}: {given})"


def _compiler() -> str:
    """Compile the kernels for a CPU, or find them compiled."""
    from ulmfit.language_model.engines.compiled import KernelsUnavailable, kernels

    try:
        kernels()
    except KernelsUnavailable as error:
        return f"{error}; language models are trained by plain torch, more slowly"
    return "the kernels for a CPU are compiled"


def _disk(runs: Path) -> str:
    there = next(folder for folder in (runs.resolve(), *runs.resolve().parents) if folder.exists())
    return f"{shutil.disk_usage(there).free / 1e9:.1f} GB free for {runs}"


def _extra(extra: str) -> str:
    package, needed_by = EXTRAS[extra]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"missing, needed by {needed_by}: pip install 'ulmfit[{extra}]'"
