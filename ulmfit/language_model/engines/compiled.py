"""The kernels of the C++ files beside this one: compiled on first use, called through ctypes.

The library is kept in the user's cache folder under a hash of source, compiler, flags and processor; if
that folder cannot be written, or others may write to it or to a folder above it, every process compiles anew.
The file that is loaded is the one that was opened and checked, even if its name leads elsewhere by then (on
Linux; on other systems it is loaded by its name, from a folder that nobody else can change). It includes no
header of torch, so that it compiles in seconds, and uses the OpenMP runtime that torch has loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ulmfit.pipeline.child_processes import safe_environment

FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math"),
    # By default compilers use half of an AVX-512 register; the LSTM cell is a quarter faster with all of it.
    *(("-mprefer-vector-width=512",) if platform.machine() in ("x86_64", "AMD64") else ()),
)
LIBRARY_FLAGS = ("-fPIC", "-shared")
COMPILERS = ("g++", "clang++", "c++")
HUGE_PAGE, MADV_HUGEPAGE = 2 << 20, 14  # Linux's
SECONDS_TO_COMPILE = 120
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
SOURCES = tuple(
    Path(__file__).with_name(name) for name in ("kernels.cpp", "amx_steps.cpp", "amx_gradients.cpp")
)
HEADERS = tuple(Path(__file__).with_name(name) for name in ("threads.h", "amx.h"))


class KernelsUnavailable(Exception):
    """The kernels cannot be compiled or loaded here; the message says why, in one line."""


class Kernels:
    """The functions of the compiled library for one type of storage; they take addresses (`data_ptr`).

    The caller keeps the tensors alive. They are contiguous, on the CPU, with the shapes in `kernels.cpp`.
    """

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        name, pointer, size = NAMES[dtype], ctypes.c_void_p, ctypes.c_int64
        self.cell_forward = library[f"cell_forward_{name}"]
        self.cell_forward.argtypes = [size, size, *[pointer] * 6, ctypes.c_int]
        self.cell_backward = library[f"cell_backward_{name}"]
        self.cell_backward.argtypes = [size, size, *[pointer] * 7, ctypes.c_int]
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

        With `bias_gradient` (V), to which its sum over rows is added, the logits are overwritten by the
        gradient of `scale` times the sum of the losses.
        """
        rows, vocabulary = logits.shape
        if rows and not (int(targets.min()) >= 0 and int(targets.max()) < vocabulary):
            raise IndexError(
                f"targets from {int(targets.min())} to {int(targets.max())}; expected 0 to {vocabulary - 1}"
            )
        threads = torch.get_num_threads()
        losses, space = bias.new_empty(rows), bias.new_empty(threads, vocabulary)
        sums = None if bias_gradient is None else bias.new_zeros(threads, vocabulary)
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
            None if sums is None else sums.data_ptr(),
            threads,
        )
        if bias_gradient is not None and sums is not None:
            bias_gradient += sums.sum(0)
        return losses


class FusedKernels:
    """All time steps of a layer at once, in bf16; as with `Kernels`, the caller keeps the tensors alive."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
        self.pack_forward, self.pack_backward = library.amx_pack_forward, library.amx_pack_backward
        self.forward, self.backward = library.amx_forward, library.amx_backward
        for pack in (self.pack_forward, self.pack_backward):
            pack.argtypes = [size, pointer, pointer, pointer, number]
        self.forward.argtypes = [*[size] * 3, *[pointer] * 4, size, size, pointer, number, pointer, number]
        self.backward.argtypes = [*[size] * 3, *[pointer] * 7, number, pointer, number]
        self.weight_gradient = library.amx_weight_gradient
        self.weight_gradient.argtypes = [*[size] * 3, *[pointer] * 5, number]
        for function in (self.pack_forward, self.pack_backward, self.forward, self.backward):
            function.restype = None
        self.weight_gradient.restype = None
        self.weight_gradient_space = library.amx_weight_gradient_space
        self.weight_gradient_space.argtypes, self.weight_gradient_space.restype = [size, size, number], size


@cache
def kernels() -> dict[torch.dtype, Kernels]:
    """Return the kernels by type of storage; raises KernelsUnavailable."""
    return {dtype: Kernels(_library(), dtype) for dtype in NAMES}


@cache
def fused_kernels() -> FusedKernels | None:
    """Return the kernels for processors with AMX, or None on others; raises KernelsUnavailable."""
    return FusedKernels(_library()) if _library().amx_is_there() else None


@cache
def kernels_or_none() -> dict[torch.dtype, Kernels] | None:
    """Return the kernels, or None if they are unavailable; the answer is cached."""
    try:
        return kernels()
    except KernelsUnavailable:
        return None


def large_empty(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return new memory for a large tensor, on the CPU in huge pages.

    The system gives memory page by page: with pages of 4 KB this would take a tenth of a product's time.
    """
    tensor = like.new_empty(*shape, dtype=dtype)
    if tensor.device.type == "cpu" and sys.platform == "linux":
        begin = -(-tensor.data_ptr() // HUGE_PAGE) * HUGE_PAGE
        end = (tensor.data_ptr() + tensor.nbytes) // HUGE_PAGE * HUGE_PAGE
        if end > begin:
            ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_HUGEPAGE)
    return tensor


@cache
def _library() -> ctypes.CDLL:
    library = _load(_cache_folder())
    process = ctypes.CDLL(None)
    try:
        runtime = (process.GOMP_parallel, process.omp_get_thread_num, process.omp_get_num_threads)
    except AttributeError:
        return library  # a torch without OpenMP: one thread
    library.set_runtime(*(ctypes.cast(function, ctypes.c_void_p) for function in runtime))
    return library


def _load(folder: Path | None) -> ctypes.CDLL:
    """Load the library from the cache, or compile it: into the cache where that can be used."""
    command = _compiler()
    key = _key(command)
    private = None if folder is None else _private(folder)
    if private is None:
        with tempfile.TemporaryDirectory(prefix="ulmfit-kernels-") as scratch:
            if (private := _private(Path(scratch))) is None:
                raise KernelsUnavailable(
                    f"others may write to the folders above {scratch}: set TMPDIR to one of your own"
                )
            return _checked(_compiled(command, private, key), key)
    for path in sorted(private.glob(f"{key}-*.so")):
        with contextlib.suppress(_Altered):
            return _checked(path, key)
    return _checked(_compiled(command, private, key), key)


def _private(folder: Path) -> Path | None:
    """Return the folder, without links in its path, if nobody else can change it; else None.

    It is made where it is missing. Every folder above it belongs to this user or root, and others cannot
    write to it, or, as in /tmp, not remove or rename what they do not own.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve(strict=True)
        if not (is_safe_folder(folder, own=True) and os.access(folder, os.W_OK)):
            return None
        return folder if all(map(is_safe_folder, folder.parents)) else None
    except (OSError, RuntimeError):
        return None


def is_safe_folder(folder: Path, own: bool = False) -> bool:
    """Return whether no other user except root can replace what is in a folder.

    `own`: the folder belongs to this user, and nobody else can add anything.
    """
    found = folder.lstat()
    mine = (os.getuid(),) if own else (os.getuid(), 0)
    sealed = not found.st_mode & OTHERS_WRITE or (not own and bool(found.st_mode & stat.S_ISVTX))
    return stat.S_ISDIR(found.st_mode) and found.st_uid in mine and sealed


class _Altered(KernelsUnavailable):
    """A file differs from what was compiled under its name."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the compiled kernels were altered: {path}")


def _checked(path: Path, key: str) -> ctypes.CDLL:
    """Load a library whose name holds its content's hash; _Altered where it is not this user's or another.

    The descriptor stays open: the system knows a loaded library by its name, so no other file may get it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _Altered(path) from error
    found = os.fstat(descriptor)
    own = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & OTHERS_WRITE
    if not own or path.stem != f"{key}-{_digest(descriptor)}":
        os.close(descriptor)
        raise _Altered(path)
    return _opened(Path(f"/proc/self/fd/{descriptor}") if sys.platform == "linux" else path)


def _opened(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelsUnavailable(f"the compiled kernels cannot be loaded: {error}") from error


def _digest(path: Path | int) -> str:
    """Return the hash of a file's content, given by its name or an open descriptor, which stays open."""
    with open(path, "rb", closefd=not isinstance(path, int)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _cache_folder() -> Path | None:
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no home folder
        return None
    return Path(root) / "ulmfit" / "kernels"


def _compiler() -> list[str]:
    """Return the compiler's command: the variable CXX, or the first of the usual names that is installed."""
    command = shlex.split(os.environ.get("CXX", "")) or [n for n in COMPILERS if shutil.which(n)][:1]
    if not command or not shutil.which(command[0]):
        wanted = command[0] if command else ", ".join(COMPILERS)
        raise KernelsUnavailable(f"no C++ compiler ({wanted}) was found; install one or set CXX")
    return command


def _key(command: list[str]) -> str:
    version = _run([*command, "--version"])
    texts = (path.read_text(encoding="utf-8") for path in (*SOURCES, *HEADERS))
    parts = [*texts, *command, version, *FLAGS, *LIBRARY_FLAGS, _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Return the facts about the processor on which `-march=native` depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))


def _compiled(command: list[str], folder: Path, key: str) -> Path:
    """Compile into a folder; the file appears whole, under a name that holds its content's hash."""
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / "kernels.so"
            _run([*command, *FLAGS, *LIBRARY_FLAGS, *map(str, SOURCES), "-o", str(built)])
            path = folder / f"{key}-{_digest(built)}.so"
            built.chmod(0o700)  # whatever rights the user's umask gives to others
            return built.replace(path)
    except OSError as error:
        raise KernelsUnavailable(f"compiled kernels cannot be written to {folder}: {error}") from error


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS_TO_COMPILE,
            env={**safe_environment(), "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailable(f"the C++ compiler {command[0]} does not run: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        raise KernelsUnavailable(f"the C++ compiler {command[0]} failed: {lines[0].strip()}")
    return done.stdout
