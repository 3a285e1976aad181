"""Vocabulary pickles: every list of strings is read, everything else is one line, and nothing is ever run."""

from __future__ import annotations

import collections
import os
import pickle
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.language_model import restricted_pickle
from ulmfit.language_model.foreign_vocabulary import read_vocabulary
from ulmfit.language_model.restricted_pickle import read_string_list
from ulmfit.pipeline.errors import InputError

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "itos.pkl"
    path.write_bytes(content)
    return path


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_string_list(written(folder, content))
    message = str(caught.value)
    assert "\n" not in message and "itos.pkl" in message
    return message


@settings(max_examples=60, deadline=None)
@given(strings=st.lists(words, max_size=40), repeat=st.integers(1, 3), protocol=st.integers(0, 5))
def test_every_list_of_strings_is_read(
    strings: list[str], repeat: int, protocol: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = strings * repeat
    path = written(tmp_path_factory.mktemp("pickle"), pickle.dumps(expected, protocol))
    assert read_string_list(path) == expected


def test_a_real_vocabulary_is_read_quickly(tmp_path: Path) -> None:
    vocabulary = ["xxunk", "xxpad", *(f"wort{number}" for number in range(60_000)), *["xxfake"] * 7]
    began = time.process_time()
    assert read_string_list(written(tmp_path, pickle.dumps(vocabulary))) == vocabulary
    assert time.process_time() - began < 2


class Command:
    """Unpickling this would make a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: ["xxunk", one], lambda one: [one, "xxunk"]])
def test_a_command_is_not_run(tmp_path: Path, protocol: int, wrap: Any) -> None:
    proof = tmp_path / "proof"
    content = pickle.dumps(wrap(Command(proof)), protocol)
    message = refusal(tmp_path, content)
    assert f"{os.system.__module__}.system" in message and "nothing in it was run" in message
    assert not proof.exists()
    function, arguments = Command(proof).__reduce__()
    function(*arguments)
    assert proof.exists(), "the command that the pickle names works"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (collections.defaultdict(int, {"a": 1}), "collections.defaultdict"),
        ({"a": 1}, "EMPTY_DICT"),
        (("a", "b"), "instruction"),
        (["a", 3], "BININT1"),
        (["a", None], "NONE"),
        (["a", b"b"], "BYTES"),
        ([["a", "b"], ["x"]], "a list within a list"),
        ("a", "something else than one list"),
        (Path("a"), "pathlib"),
        ({"a", "b"}, "EMPTY_SET"),
    ],
)
def test_other_values_are_refused_by_what_they_are(tmp_path: Path, value: Any, named: str) -> None:
    assert named in refusal(tmp_path, pickle.dumps(value, 4))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_cut_off_anywhere_is_refused(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps(["xxunk", "xxpad", "łódź", "łódź"], protocol)
    for end in range(len(whole)):
        refusal(tmp_path, whole[:end])
    assert "goes on for 3 bytes" in refusal(tmp_path, whole + b"abc")


@settings(max_examples=300, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda tail: b"\x80\x04]" + tail))
)
def test_any_bytes_give_a_list_of_strings_or_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("bytes"), content)
    try:
        strings = read_string_list(path)
    except InputError:
        return
    assert all(isinstance(string, str) for string in strings)


RECURSION = b"\x80\x04]\x94h\x00a."
HOSTILE = {
    "huge LONG": b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\xff" * 1_000,
    "huge string": b"\x80\x04\x8d" + (2**63).to_bytes(8, "little") + b"a",
    "huge frame": b"\x80\x04\x95" + b"\xff" * 8,
    "a list that holds itself": RECURSION,
    "a number of 10 MB": b"]p" + b"9" * 10_000_000 + b"\n.",
    "marks without end": b"(" * 10_000_000,
    "memo without end": b"\x80\x04]" + b"\x94" * 10_000_000,
    "appending to a mark": b"((e.",
    "appending to nothing": b"\x80\x04\x8c\x01aa.",
    "lists within lists": b"(" * 40_000 + b"l" * 40_000 + b".",
    "a class with a line break in its name": b"\x80\x04\x8c\x02a\n\x8c\x01b\x93.",
    "a place far away": b"]r\xff\xff\xff\xff.",
    "a place far away, written": b"]p4000000000\n.",
    "a negative place": b"]p-9\n.",
    "recall of nothing": b"\x80\x04h\x07.",
    "keeping nothing": b"\x80\x04\x94.",
    "stopping at once": b".",
    "no bytes": b"",
    "a later protocol": b"\x80\x09].",
    "half a surrogate": b"\x80\x04]\x8c\x03\xed\xa0\x80a.",
    "half a surrogate, escaped": b"]V\\ud800\na.",
    "a long word": b"\x80\x04]X" + (2_000).to_bytes(4, "little") + b"a" * 2_000 + b"a.",
    "persistent id": b"Pabc\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "no pickle": b"xxunk\nxxpad\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_in_bounded_time_and_memory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 100_000
    monkeypatch.setattr(restricted_pickle, "MOST_STEPS", steps)
    tracemalloc.start()
    refusal(tmp_path, HOSTILE[name])
    assert tracemalloc.get_traced_memory()[1] < 3 * len(HOSTILE[name]) + 200 * steps
    tracemalloc.stop()


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restricted_pickle, "MOST_CHARACTERS", 50)
    repeated = b"\x80\x04]\x94(\x8c\x0aabcdefghij\x94" + b"h\x01" * 5 + b"e."
    assert "more than 50 characters" in refusal(tmp_path, repeated)
    monkeypatch.setattr(restricted_pickle, "LARGEST_FILE", 10)
    assert "more than the 10" in refusal(tmp_path, repeated)


def test_other_formats_of_vocabularies(tmp_path: Path) -> None:
    for name, content in (("v.json", '["xxunk", "▁a"]'), ("v.vocab", "xxunk\t0\n▁a\t-1.5\n")):
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert read_vocabulary(tmp_path / name) == ["xxunk", "▁a"]
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(["a"]))
    assert read_vocabulary(tmp_path / "v.pkl") == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.json", b'{"a": 1}', "expected a list of strings"),
        ("v.json", b"[1]", "expected a list of strings"),
        ("v.json", b"[", "damaged"),
        ("v.json", b"[" * 200_000, "damaged"),
        ("v.json", b"[]", "is empty"),
        ("v.json", b'["\xff"]', "damaged"),
        ("v.model", b"no model", "no SentencePiece model"),
        ("v.txt", b"a", "the suffix says what it is"),
        ("v.pkl", pickle.dumps([]), "is empty"),
    ],
)
def test_other_formats_are_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_vocabulary(tmp_path / name)


def test_a_missing_vocabulary_is_one_line(tmp_path: Path) -> None:
    for suffix in (".pkl", ".json", ".model"):
        with pytest.raises(InputError, match="cannot be read"):
            read_vocabulary(tmp_path / f"none{suffix}")
