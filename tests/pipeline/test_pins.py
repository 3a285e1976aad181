"""Notes beside a recipe: written whole, read again, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.pipeline.assets import Catalogue, File, fetch
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import sha256_of
from ulmfit.pipeline.pins import DUMPS, FILES, PINS, Pins, pin_file

URL = "https://example.org/a.txt"
UNSEEN = File(name="a.txt", url=URL)


def quiet(_: str) -> None:
    """Log nothing."""


def mirrored(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text(text, encoding="utf-8")
    return folder


def test_what_is_noted_is_read_again(tmp_path: Path) -> None:
    pins = Pins(tmp_path)
    assert pins.get(DUMPS, "pl") == ""
    pins.add(DUMPS, "pl", "20240101")
    pins.add(FILES, 'https://example.org/"ü', "0" * 64)
    again = Pins(tmp_path)
    assert again.get(DUMPS, "pl") == "20240101"
    assert again.get(FILES, 'https://example.org/"ü') == "0" * 64


def test_notes_of_another_run_are_kept(tmp_path: Path) -> None:
    first, second = Pins(tmp_path), Pins(tmp_path)
    first.add(DUMPS, "pl", "20240101")
    second.add(DUMPS, "de", "20240201")
    assert [Pins(tmp_path).get(DUMPS, language) for language in ("pl", "de")] == ["20240101", "20240201"]


def test_notes_that_cannot_be_written_end_the_run_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / PINS).mkdir()
    with pytest.raises(InputError, match=r"pins\.toml cannot be read"):
        Pins(tmp_path)
    with pytest.raises(InputError, match="copy the recipe into a folder of your own, or name pl = 20240101"):
        Pins(tmp_path / "gone").add(DUMPS, "pl", "20240101")


@pytest.mark.parametrize("text", ["[dumps", "dumps = 1", "[dumps]\npl = 1"])
def test_damaged_notes_are_refused_with_their_place(text: str, tmp_path: Path) -> None:
    (tmp_path / PINS).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"pins\.toml cannot be read: .*; mend it, or remove it"):
        Pins(tmp_path)


def test_a_file_of_unknown_hash_is_held_to_its_first_copy(tmp_path: Path) -> None:
    mirror = mirrored(tmp_path / "mirror", "first")
    pinned = pin_file(UNSEEN, Pins(tmp_path), tmp_path / "cache", mirror, quiet)
    assert pinned.sha256 == sha256_of(mirror / "a.txt")
    assert fetch(pinned, tmp_path / "cache", mirror, quiet).read_text() == "first"
    mirrored(mirror, "other")
    assert pin_file(UNSEEN, Pins(tmp_path), tmp_path / "cache", mirror, quiet) == pinned


def test_a_file_of_unknown_hash_is_never_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.txt: its SHA-256 is not known before its first download"):
        fetch(UNSEEN, tmp_path / "cache", mirrored(tmp_path / "mirror", "first"), quiet)


def test_a_catalogue_may_leave_out_the_hash_of_a_file_with_an_address(tmp_path: Path) -> None:
    path = tmp_path / "assets.toml"
    path.write_text(f'[a]\nfile = "a.txt"\nurl = "{URL}"\n', encoding="utf-8")
    assert Catalogue(path)["a"] == UNSEEN
    path.write_text('[a]\nfile = "a.txt"\nbytes = 1\n', encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        Catalogue(path)


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    file = File(path=tmp_path / "none.txt", source="ask its authors for it")
    with pytest.raises(InputError, match=r"none\.txt does not exist; ask its authors for it"):
        fetch(file, tmp_path, None, quiet)
