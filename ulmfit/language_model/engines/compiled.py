"""The kernels of `kernels.cpp`: compiled on first use by the system's compiler, called through ctypes.

The library is kept in the user's cache folder under a hash of source, compiler, flags and processor. It uses
no headers of torch, so that it compiles in seconds, and the OpenMP runtime that torch has loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math")
LIBRARY_FLAGS = ("-fPIC", "-shared")
COMPILERS = ("g++", "clang++", "c++")
SECONDS_TO_COMPILE = 120
NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
SOURCE = Path(__file__).with_name("kernels.cpp")


class KernelsUnavailable(Exception):
    """The kernels cannot be had here; the message says why, in one line."""


class Kernels:
    """The functions of the compiled library for one type of storage; they take addresses (`data_ptr`).

    A caller has to hold the tensors, of the shapes that `kernels.cpp` states, contiguous and on the CPU.
    """

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        name, pointer, size = NAMES[dtype], ctypes.c_void_p, ctypes.c_int64
        self.cell_forward = library[f"cell_forward_{name}"]
        self.cell_forward.argtypes = [size, size, *[pointer] * 6, ctypes.c_int]
        self.cell_backward = library[f"cell_backward_{name}"]
        self.cell_backward.argtypes = [size, size, *[pointer] * 6, ctypes.c_int]
        self._cross_entropy = library[f"cross_entropy_{name}"]
        scalars = [ctypes.c_double, ctypes.c_double]
        self._cross_entropy.argtypes = [size, size, *[pointer] * 3, *scalars, *[pointer] * 3, ctypes.c_int]
        for function in (self.cell_forward, self.cell_backward, self._cross_entropy):
            function.restype = None

    def cross_entropy(
        self,
        logits: Tensor,
        bias: Tensor,
        targets: Tensor,
        smoothing: float,
        scale: float,
        bias_gradient: Tensor | None,
    ) -> Tensor:
        """Return the loss of each row of logits (N, V) + bias (V) against targets (N).

        With `bias_gradient` (threads, V), the logits are overwritten by the gradient of `scale` times the
        sum of the losses, and its sums over rows are added to `bias_gradient`.
        """
        rows, vocabulary = logits.shape
        threads = torch.get_num_threads()
        losses, space = bias.new_empty(rows), bias.new_empty(threads, vocabulary)
        self._cross_entropy(
            rows,
            vocabulary,
            logits.data_ptr(),
            bias.data_ptr(),
            targets.data_ptr(),
            smoothing,
            scale,
            losses.data_ptr(),
            space.data_ptr(),
            None if bias_gradient is None else bias_gradient.data_ptr(),
            threads,
        )
        return losses


@cache
def kernels() -> dict[torch.dtype, Kernels]:
    """Return the kernels by type of storage; raises KernelsUnavailable."""
    library = _load(_cache_folder())
    process = ctypes.CDLL(None)
    try:
        runtime = (process.GOMP_parallel, process.omp_get_thread_num)
    except AttributeError:
        runtime = None  # a torch without OpenMP: one thread
    if runtime is not None:
        library.set_runtime(*(ctypes.cast(function, ctypes.c_void_p) for function in runtime))
    return {dtype: Kernels(library, dtype) for dtype in NAMES}


@cache
def kernels_or_none() -> dict[torch.dtype, Kernels] | None:
    """Return the kernels, or None where they cannot be had; asked again, the answer is the same."""
    try:
        return kernels()
    except KernelsUnavailable:
        return None


def _load(folder: Path) -> ctypes.CDLL:
    """Load the library from the cache, or compile it into the cache first."""
    command = _compiler()
    key = _key(command)
    for path in sorted(folder.glob(f"{key}-*.so")):
        if path.stem == f"{key}-{_digest(path)}":
            return _opened(path)
    return _opened(_compiled(command, folder, key))


def _opened(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelsUnavailable(f"the compiled kernels cannot be loaded: {error}") from error


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    except OSError:
        return "unreadable"


def _cache_folder() -> Path:
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise KernelsUnavailable("there is no home folder to keep compiled kernels in") from error
    return Path(root) / "ulmfit" / "kernels"


def _compiler() -> list[str]:
    """Return the compiler's command: the variable CXX, or the first of the usual names that is there."""
    command = shlex.split(os.environ.get("CXX", "")) or [n for n in COMPILERS if shutil.which(n)][:1]
    if not command or not shutil.which(command[0]):
        wanted = command[0] if command else ", ".join(COMPILERS)
        raise KernelsUnavailable(f"no C++ compiler ({wanted}) was found; install one or set CXX")
    return command


def _key(command: list[str]) -> str:
    version = _run([*command, "--version"])
    parts = [SOURCE.read_text(encoding="utf-8"), *command, version, *FLAGS, *LIBRARY_FLAGS, _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Return what `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))


def _compiled(command: list[str], folder: Path, key: str) -> Path:
    """Compile into the cache; the file appears whole, under a name that holds its content's hash."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / "kernels.so"
            _run([*command, *FLAGS, *LIBRARY_FLAGS, str(SOURCE), "-o", str(built)])
            path = folder / f"{key}-{_digest(built)}.so"
            return built.replace(path)
    except OSError as error:
        raise KernelsUnavailable(f"the cache of compiled kernels cannot be written: {error}") from error


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_COMPILE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailable(f"the C++ compiler {command[0]} does not run: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        raise KernelsUnavailable(f"the C++ compiler {command[0]} failed: {lines[0].strip()}")
    return done.stdout
