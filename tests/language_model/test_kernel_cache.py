"""Where the compiled kernels come from, and what happens where they cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ulmfit.language_model.compute import choose_compute
from ulmfit.language_model.engines import compiled
from ulmfit.language_model.engines.compiled import COMPILERS, KernelsUnavailable

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
    lines: list[str] = []
    assert choose_compute("fp32", "plain", torch.device("cpu"), lines.append).engine == "plain" and not lines


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


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder; in place of the kernels a library is compiled that takes no time."""
    source = tmp_path / "small.cpp"
    source.write_text('extern "C" int answer() { return 42; }')
    monkeypatch.setattr(compiled, "SOURCES", (source,))
    monkeypatch.setattr(compiled, "HEADERS", ())
    folder = tmp_path / "above" / "cache"
    assert compiled._load(folder).answer() == 42
    return folder


def compilations(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Path]:
    """Load from a cache folder; return where something was compiled."""
    places: list[Path] = []
    compile_into = compiled._compiled

    def counted(command: list[str], place: Path, key: str) -> Path:
        places.append(place)
        return compile_into(command, place, key)

    monkeypatch.setattr(compiled, "_compiled", counted)
    assert compiled._load(folder).answer() == 42
    return places


@needs_compiler
def test_a_cache_of_this_user_alone_is_used_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compilations(monkeypatch, made) == []


@needs_compiler
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
@pytest.mark.parametrize("which", ["folder", "above"])
def test_no_folder_on_the_way_may_be_written_by_others(
    made: Path, monkeypatch: pytest.MonkeyPatch, mode: int, which: str
) -> None:
    (library,) = made.glob("*.so")
    library.write_bytes(b"what lies there could be anybody's")
    (made if which == "folder" else made.parent).chmod(mode)
    (place,) = compilations(monkeypatch, made)
    assert not place.is_relative_to(made.parent)
    assert library.read_bytes().startswith(b"what lies there"), "neither read nor replaced"


@needs_compiler
def test_others_may_write_where_they_cannot_rename(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.parent.chmod(0o1777)
    assert compilations(monkeypatch, made) == []
    made.chmod(0o1777)
    assert compilations(monkeypatch, made) != [made], "but never in the folder itself"


@needs_compiler
def test_a_folder_of_another_user_above_is_not_trusted(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = Path.lstat

    def another_users(path: Path) -> os.stat_result:
        found = status(path)
        return os.stat_result([*found[:4], 54321, *found[5:]]) if path == made.parent else status(path)

    monkeypatch.setattr(Path, "lstat", another_users)
    (place,) = compilations(monkeypatch, made)
    assert not place.is_relative_to(made.parent)


@needs_compiler
@pytest.mark.parametrize("change", ["link", "mode", "content", "folder"])
def test_a_library_that_others_could_have_put_there_is_compiled_again(
    made: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    (library,) = made.glob("*.so")
    if change == "link":
        library.symlink_to(library.rename(made.parent / "elsewhere.so"))
    elif change == "mode":
        library.chmod(0o777)
    elif change == "content":
        library.write_bytes(library.read_bytes() + b"x")
    else:
        library.unlink()
        library.mkdir()
        with pytest.raises(KernelsUnavailable, match="cannot be written"):
            compiled._load(made)
        return
    assert compilations(monkeypatch, made) == [made]
    assert not library.is_symlink() and not library.stat().st_mode & 0o022


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="descriptors have names on Linux alone")
def test_what_is_loaded_is_what_was_checked(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name leads to another file by the time that the library is loaded."""
    load = compiled._opened

    def swapped(path: Path):
        for library in made.glob("*.so"):
            library.unlink()
            library.write_bytes(b"another library")
        return load(path)

    monkeypatch.setattr(compiled, "_opened", swapped)
    assert compiled._load(made).answer() == 42


@needs_compiler
def test_without_a_safe_temporary_folder_there_are_no_kernels(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unsafe = tmp_path / "unsafe"
    unsafe.mkdir()
    unsafe.chmod(0o777)
    monkeypatch.setattr(compiled.tempfile, "tempdir", str(unsafe))
    with pytest.raises(KernelsUnavailable, match="others may write to the folders above"):
        compiled._load(None)
    assert not list(unsafe.iterdir())
