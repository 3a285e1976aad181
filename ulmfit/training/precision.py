"""What `precision = auto` means on this machine.

Stage keys depend on it, so it is found without importing torch.
"""

from __future__ import annotations

import ctypes
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

CPUINFO = Path("/proc/cpuinfo")
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Intel's and AMD's vectors, Intel's matrix unit, Arm's."""

FIRST_GENERATION_WITH_BF16 = 8
"""Major compute capability of NVIDIA's Ampere."""

Precision = Literal["fp32", "bf16"]


def resolve_precision(precision: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """Return what `precision` means for a `device` setting (auto, cpu, cuda, cuda:N) here.

    `auto` is bf16 on GPUs and CPUs that compute in it, fp32 elsewhere.
    """
    if precision != "auto":
        return precision
    generations = [] if device == "cpu" else gpu_generations()
    if generations:
        return "bf16" if min(generations) >= FIRST_GENERATION_WITH_BF16 else "fp32"
    return "bf16" if cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Return whether the first CPU lists an instruction set with bf16; False where nothing lists them."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return bool(flags and CPU_FLAGS & set(flags[1].split()))


def gpu_generations() -> list[int]:
    """Return the major compute capability of each GPU; empty where the installed torch cannot use any.

    NVIDIA's management library is asked: unlike the driver it leaves nothing behind that would keep a
    forked process from using the GPU.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1") or not torch_is_built_for_cuda():
        return []
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if library.nvmlInit_v2() != 0:
        return []
    try:
        return _generations(library)
    finally:
        library.nvmlShutdown()


def _generations(library: ctypes.CDLL) -> list[int]:
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return []
    found = []
    for index in range(count.value):
        gpu, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(gpu)) == 0:
            library.nvmlDeviceGetCudaComputeCapability(gpu, ctypes.byref(major), ctypes.byref(minor))
            found.append(major.value)
    return found


def torch_is_built_for_cuda() -> bool:
    """Return whether the installed torch is a build for CUDA, without importing it."""
    spec = find_spec("torch")
    if spec is None or not spec.origin:
        return False
    try:
        version = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=]*=\s*'", version, re.MULTILINE) is not None
