"""Where the compiled kernels come from, and what happens where they cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ulmfit.language_model.engines.compiled import COMPILERS

PROGRAM = """
import torch
from ulmfit.language_model.compute import Compute, choose_compute
lines = []
compute = choose_compute("fp32", "{engine}", "cpu", lines.append)
print(compute.engine, len(lines), *lines)
"""
needs_compiler = pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler")


def chosen(cache: Path, engine: str = "auto", **variables: str) -> str:
    """Return what a fresh process says: the engine, the number of notices and the notice."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), **variables}
    command = [sys.executable, "-c", PROGRAM.format(engine=engine)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@needs_compiler
def test_kernels_are_compiled_once_and_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    assert chosen(tmp_path) == "fast 0"
    (library,) = (tmp_path / "ulmfit" / "kernels").iterdir()
    before = library.stat()
    assert chosen(tmp_path, CXX="") == "fast 0"
    assert library.stat().st_mtime_ns == before.st_mtime_ns, "the second process found it in the cache"
    whole = library.read_bytes()
    library.write_bytes(whole[: len(whole) // 2])
    assert chosen(tmp_path) == "fast 0"
    assert library.read_bytes() == whole


@needs_compiler
def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM.format(engine="fast")]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["fast 0", "fast 0"]
    assert not [path for path in (tmp_path / "ulmfit" / "kernels").iterdir() if path.suffix != ".so"]


def test_without_a_compiler_the_plain_engine_takes_over_with_one_line(tmp_path: Path) -> None:
    line = chosen(tmp_path, CXX="no-such-compiler")
    assert line.startswith("plain 1 the plain engine takes over")
    assert "no-such-compiler" in line
    assert "\n" not in line
    assert chosen(tmp_path, "plain", CXX="no-such-compiler") == "plain 0"


def test_a_compiler_that_fails(tmp_path: Path) -> None:
    line = chosen(tmp_path, "fast", CXX="false")
    assert line.startswith("plain 1")
    assert "false failed" in line
    assert "\n" not in line


@needs_compiler
def test_without_a_cache_every_process_compiles(tmp_path: Path) -> None:
    (tmp_path / "ulmfit").write_text("a file where a folder should be")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert chosen(tmp_path, "fast", TMPDIR=str(temporary)) == "fast 0"
    assert not list(temporary.iterdir()), "what was compiled for one process is gone with it"
    nowhere = chosen(tmp_path, "fast", TMPDIR=str(tmp_path / "missing"), CXX="false")
    assert nowhere.startswith("plain 1")


def test_the_loss_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    from ulmfit.language_model import linear_cross_entropy as module

    arguments = torch.randn(5, 4), torch.randn(7, 4), torch.randn(7), torch.randint(7, (5,))
    expected = module.linear_cross_entropy(*arguments)
    monkeypatch.setattr(module, "kernels_or_none", lambda: None)
    torch.testing.assert_close(module.linear_cross_entropy(*arguments), expected)


FEW_THREADS = """
import torch
from ulmfit.language_model.linear_cross_entropy import token_losses
torch.set_num_threads(4)
hidden, weight, bias = torch.randn(64, 8), torch.randn(50, 8), torch.randn(50)
targets = torch.randint(50, (64,))
fast, plain = (token_losses(hidden, weight, bias, targets, engine=engine) for engine in ("fast", "plain"))
torch.testing.assert_close(fast, plain)
"""


@needs_compiler
@pytest.mark.parametrize(
    "limit", [{"OMP_THREAD_LIMIT": "1"}, {"OMP_THREAD_LIMIT": "2"}, {"OMP_DYNAMIC": "true"}]
)
def test_fewer_threads_than_asked_for_compute_everything(limit: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", FEW_THREADS], env={**os.environ, **limit}, check=True)


@needs_compiler
def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    """What lies there could be anybody's: a library of that name that is none would be refused, or run."""
    assert chosen(tmp_path) == "fast 0"
    folder = tmp_path / "ulmfit" / "kernels"
    folder.chmod(0o777)
    (library,) = folder.iterdir()
    library.write_bytes(b"no library")
    assert chosen(tmp_path) == "fast 0"
    assert library.read_bytes() == b"no library", "neither read nor replaced"
