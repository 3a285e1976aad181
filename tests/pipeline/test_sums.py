"""SHA256SUMS: what is listed is what is there, and everything else is told in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.sums import SUMS, check_sums, read_sums, write_sums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a name").write_text("a")
    (tmp_path / "b").write_text("b")
    write_sums(tmp_path)
    return tmp_path


def test_what_is_there_fits(folder: Path) -> None:
    sums = read_sums(folder)
    assert list(sums) == ["b", "below/a name"]
    check_sums(folder, list(sums), sums)


def test_what_does_not_fit_is_named(folder: Path) -> None:
    sums = read_sums(folder)
    (folder / "b").write_text("c")
    with pytest.raises(InputError, match="b is not the file that SHA256SUMS names"):
        check_sums(folder, ["b"], sums)
    (folder / "b").unlink()
    with pytest.raises(InputError, match="b cannot be read"):
        check_sums(folder, ["b"], sums)
    with pytest.raises(InputError, match="does not name c"):
        check_sums(folder, ["c"], sums)


@pytest.mark.parametrize("content", [b"", b"abc  b\n", b"\xff", b"x" * 2_000_000])
def test_a_damaged_list(folder: Path, content: bytes) -> None:
    (folder / SUMS).write_bytes(content)
    with pytest.raises(InputError, match="SHA256SUMS"):
        read_sums(folder)
