"""Files as they are written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.pipeline.files import atomic_path, compact_json, read_bytes, read_json, sha256_of

RECORDS = sorted((Path(__file__).parents[2] / "recipes").glob("*/records/*.json"))
SINGLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
JSON = st.recursive(
    SINGLE, lambda part: st.lists(part) | st.dictionaries(st.text(max_size=9), part), max_leaves=40
)


def test_what_fits_stands_on_one_line() -> None:
    content = {
        "values": [0.1, 1e-05],
        "matrix": [[10_000 * row + column for column in range(20)] for row in range(2)],
        "name": "ż" * 70,
        "bins": [{"count": 3, "confidence": None}],
    }
    first, second = ([str(10_000 * row + column) for column in range(20)] for row in range(2))
    assert compact_json(content).splitlines() == [
        "{",
        '  "values": [0.1, 1e-05],',
        '  "matrix": [',
        f"    [{', '.join(first)}],",
        f"    [{', '.join(second)}]",
        "  ],",
        f'  "name": "{"ż" * 70}",',
        '  "bins": [{"count": 3, "confidence": null}]',
        "}",
    ]


@settings(deadline=None, derandomize=True)
@given(JSON)
def test_compact_json_changes_no_value_and_no_order(content) -> None:
    assert json.dumps(json.loads(compact_json(content))) == json.dumps(content)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_records_are_written_compactly(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert compact_json(json.loads(text)) == text


def test_what_might_never_end_is_not_read(tmp_path: Path) -> None:
    pipe, endless = tmp_path / "pipe.json", tmp_path / "endless.json"
    os.mkfifo(pipe)
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        for read in (read_bytes, read_json, sha256_of):
            with pytest.raises(OSError, match="it is a pipe or a device, expected a file"):
                read(path)


def test_a_folder_in_the_place_of_a_file_is_named_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError) as error, atomic_path(tmp_path / "out"):
        pytest.fail("nothing is to be written")
    assert error.value.filename == str(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
