"""The one reader of CSV, TSV and JSON: what it reads, and what it refuses with its line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from ulmfit.datasets.table_files import column_places, table_rows
from ulmfit.pipeline.errors import InputError

COLUMNS = {"text": "text", "label": "label", "id": "id"}


def rows(name: str, content: str | bytes, header: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    data = content if isinstance(content, bytes) else content.encode()
    return list(table_rows(io.BytesIO(data), name, COLUMNS, ("id",), header))


WANTED = [{"text": "a, b", "label": "x"}, {"text": "ü\nc", "label": "y"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'label,text\nx,"a, b"\ny,"ü\nc"\n'),
        ("T.CSV", '\ufefflabel,text\n\nx,"a, b"\n\ny,"ü\nc"'),
        ("t.csv.gz", 'label,text\rx,"a, b"\ry,"ü\nc"\r'),
        ("t.json", json.dumps([{"label": "x", "text": "a, b"}, {"text": "ü\nc", "label": "y"}])),
        ("t.json", json.dumps([{"text": "a, b", "label": "x"}, {"text": "ü\nc", "label": "y"}], indent=1)),
        ("t.jsonl", '{"text": "a, b", "label": "x"}\n\n{"text": "ü\\nc", "label": "y", "more": {}}'),
        ("t.ndjson.bz2", '{"text": "a, b", "label": "x"}\r\n{"text": "ü\\nc", "label": "y"}\r\n'),
    ],
)
def test_tables_are_read_whatever_they_are_written_in(name: str, content: str) -> None:
    assert rows(name, content) == WANTED


def test_columns_are_found_in_any_composition_of_their_letters() -> None:
    data = io.BytesIO("gro\u0308\u00dfe,text\n5,a\n".encode())
    assert list(table_rows(data, "t.csv", {"text": "text", "label": "grö\u00dfe"})) == [
        {"text": "a", "label": "5"}
    ]


def test_columns_of_a_file_without_header_are_named() -> None:
    assert rows("t.tsv", 'x\tein "Wort\ny\tzwei\n', ("label", "text"))[0] == {
        "text": 'ein "Wort',
        "label": "x",
    }
    with pytest.raises(InputError, match=r"t.tsv has no column 'text', only 5, gut: .* put one before it"):
        rows("t.tsv", "5\tgut\n1\tschlecht\n")
    with pytest.raises(InputError, match="its first line names the columns itself: leave columns out"):
        rows("t.tsv", "label\ttext\nx\ta\n", ("label", "text"))
    with pytest.raises(InputError, match="line 1: 2 fields, but columns names 3"):
        rows("t.tsv", "x\ta\n", ("label", "text", "id"))
    with pytest.raises(InputError, match="objects name their fields themselves"):
        rows("t.jsonl", "{}", ("label", "text"))


def test_values_of_json_are_kept_and_halves_of_pairs_are_replaced() -> None:
    line = '{"text": "a\\ud83d b\\ud83d\\ude00", "label": ["x", "y"], "id": 7}'
    assert rows("t.jsonl", line) == [{"text": "a\ufffd b\U0001f600", "label": ["x", "y"], "id": 7}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "text,label\na,x\nb,c,y\n", "t.csv, line 3: 3 fields, but the header has 2"),
        ("t.csv", "text,label\na\n", "line 2: 1 fields, but the header has 2"),
        ("t.csv", 'text,label\n"a"b,x\n', "line 2: .*check the quotes"),
        ("t.csv", "text,text\na,x\n", "each once"),
        ("t.csv", "text,label\na\0,x\n", "line 2: holds a NUL character"),
        ("t.csv", "text,label\na,x\n".encode("utf-16-le"), "line 1: holds a NUL character"),
        ("t.csv", b"text,label\na,x\nM\xfcnchen,x\n", r"byte 0xfc at offset 16 \(line 3\) is not UTF-8"),
        ("t.tsv", "text,label\na,x\n", "seem to be separated by ','"),
        ("t.jsonl", '{"text": "a", "label": 1}\n{"text": "a"\n', "t.jsonl, line 2: is no JSON"),
        ("t.jsonl", '{"text": "a", "label": 1}\n{"text": "a"}\n', "line 2 has no column 'label', only text"),
        ("t.jsonl", '{"text": "a", "text": "b", "label": 1}', "a field stands twice"),
        ("t.jsonl", '{"text": {"a": 1}, "label": 1}', "line 1: 'text' is an object"),
        ("t.jsonl", "5\n", "line 1: 5 is no object; expected an object a line"),
        ("t.json", '[{"text": "a", "label": 1}, 5]', "t.json, item 2: 5 is no object"),
        ("t.json", '{\n  "text": ["a"]\n}', "t.json, line 1: is no JSON"),
        ("t.json", "[" * 100_000, "t.json: is no JSON"),
    ],
)
def test_what_is_refused_with_its_place(name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        rows(name, content)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_named_twice_in_nfc_is_refused() -> None:
    header = ["caf\u00e9", "cafe\u0301", "label"]
    with pytest.raises(InputError, match=r"t\.csv has the column 'café' twice: expected one"):
        column_places("t.csv", {"text": "caf\u00e9"}, (), header)
    assert column_places("t.csv", {"label": "label"}, (), header) == {"label": 2}
