"""Catalogued files: from a mirror by name and hash, from the cache, or downloaded again when damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ulmfit.pipeline import download
from ulmfit.pipeline.assets import Catalogue, File, fetch
from ulmfit.pipeline.errors import InputError

CONTENT = b"published bytes"
FILE = File(
    name="data.txt",
    url="http://localhost/data.txt",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
)


def quiet(line: str) -> None:
    """Say nothing."""


def test_a_mirror_is_searched_by_name_and_hash(tmp_path: Path) -> None:
    for folder, content in (("a", b"other bytes !!!"), ("b", CONTENT)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.txt").write_bytes(content)
    assert fetch(FILE, tmp_path / "cache", tmp_path, quiet) == tmp_path / "b" / "data.txt"


def test_other_bytes_in_a_mirror_are_named_and_not_used(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_bytes(CONTENT[::-1])
    lines: list[str] = []
    with pytest.raises(InputError, match="cannot be downloaded"):
        fetch(FILE.changed(url=""), tmp_path / "cache", tmp_path, lines.append)
    assert [line.partition(" is not ")[0] for line in lines] == [str(tmp_path / "data.txt")]


def test_names_in_a_mirror_are_no_patterns_and_folders_no_files(tmp_path: Path) -> None:
    (tmp_path / "data[1].txt").write_bytes(CONTENT)
    (tmp_path / "a" / "data[1].txt").mkdir(parents=True)
    found = fetch(FILE.changed(name="data[1].txt"), tmp_path / "cache", tmp_path, quiet)
    assert found == tmp_path / "data[1].txt"


def test_a_damaged_copy_in_the_cache_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fake(url: str, target: Path, **checks: object) -> None:
        calls.append(url)
        target.write_bytes(CONTENT)

    monkeypatch.setattr(download, "download", fake)
    path = fetch(FILE, tmp_path, None, quiet)
    assert fetch(FILE, tmp_path, None, quiet) == path
    assert len(calls) == 1
    path.write_bytes(CONTENT[::-1])
    assert fetch(FILE, tmp_path, None, quiet).read_bytes() == CONTENT
    assert len(calls) == 2


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name that with --mirror"):
        fetch(FILE.changed(url=""), tmp_path, None, quiet)
    with pytest.raises(InputError, match="is not a folder"):
        fetch(FILE, tmp_path, tmp_path / "nowhere", quiet)
    (tmp_path / "assets.toml").write_text("[a]\nfile = 'x'\n")
    with pytest.raises(InputError, match="cannot be read"):
        Catalogue(tmp_path / "assets.toml")


@pytest.mark.parametrize("name", ["\udcff.txt", "a\nb.csv", "\x1b[2J"])
def test_names_that_no_record_can_hold(name: str) -> None:
    with pytest.raises(ValueError, match="is not UTF-8 or has control characters: rename the file"):
        File(path=Path("folder") / name)
    assert File(path=Path("folder") / "Łąka\u202f\u200b\u00a0x.txt").label.startswith("Łąka")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\\b", "\x1b[2J", "a\nb"])
def test_names_of_a_catalogue_are_those_of_files(name: str) -> None:
    """They become places in the cache."""
    with pytest.raises(ValueError, match=r"name|rename"):
        FILE.changed(name=name)
