"""Damaged files of exports: truncated, altered, mutated ones give their pages or one line."""

from __future__ import annotations

import bz2
import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from corpus.making import export, page
from corpus.reading import pages_of, titles, written
from ulmfit.pipeline.errors import InputError


def streams(count: int) -> tuple[list[bytes], bytes]:
    """Return the compressed streams of a small multistream export, and its content."""
    words = random.Random(4)
    content = export(
        *(page(f"P{n}", " ".join(str(words.random()) for _ in range(15)), number=n) for n in range(count))
    ).encode()
    bounds = [0, *(match.end() for match in re.finditer(b"</page>\n", content)), len(content)]
    return [bz2.compress(content[start:end]) for start, end in pairwise(bounds)], content


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("where", [[0], [0, 0], [1, 3], [2, 2, 2], [5], [0, 5, 5]])
def test_empty_streams_are_no_damage(tmp_path: Path, threads: int, where: list[int]) -> None:
    packed = streams(4)[0]
    for place in reversed(where):
        packed.insert(place, bz2.compress(b""))
    assert outcome(written(tmp_path / "x.xml.bz2", b"".join(packed)), threads) == "P0 P1 P2 P3"


def outcome(dump: Path, threads: int) -> str:
    """Return the message of the error that reading ends with, or `titles` of what was read."""
    try:
        return " ".join(titles(pages_of(dump, threads)))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_truncated_file_says_so_wherever_it_ends(tmp_path: Path, threads: int) -> None:
    data = b"".join(streams(4)[0])
    for length in range(4, len(data)):
        dump = written(tmp_path / "x.xml.bz2", data[:length])
        assert "truncated" in outcome(dump, threads), length
    assert outcome(written(tmp_path / "x.xml.bz2", data + b"more"), threads) == "P0 P1 P2 P3"


UNREADABLE = ("damaged", "truncated", "the beginning is missing")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("form", ["multistream", "one stream"])
def test_no_damage_goes_unnoticed(tmp_path: Path, threads: int, form: str) -> None:
    packed, content = streams(4)
    data = b"".join(packed) if form == "multistream" else bz2.compress(content)
    sound = "P0 P1 P2 P3"
    unharmed = 0
    for place in range(4, len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        found = outcome(written(tmp_path / "x.xml.bz2", bytes(changed)), threads)
        assert found == sound or any(word in found for word in UNREADABLE), (place, found)
        unharmed += found == sound
    assert unharmed < 5 * len(packed)  # bits that bz2 ignores: the randomised flag, what fills a last byte


def test_blocks_that_the_decoder_skips_are_missed(tmp_path: Path) -> None:
    words = random.Random(4)
    content = export(
        *(page(f"P{n}", " ".join(str(words.random()) for _ in range(4000)), number=n) for n in range(6))
    ).encode()
    data = bytearray(bz2.compress(content, 1))
    marks = [match.start() for match in re.finditer(re.escape(bytes.fromhex("314159265359")), data)]
    for bits in range(1, 8):
        shifted = (int.from_bytes(data, "big") >> bits & ((1 << 8 * len(data)) - 1)).to_bytes(
            len(data), "big"
        )
        marks += [m.start() for m in re.finditer(re.escape(bytes.fromhex("314159265359")), shifted)]
    place = sorted(marks)[2]
    data[place + 2] ^= 0xFF
    for threads in (1, 2):
        assert "damaged" in outcome(written(tmp_path / "x.xml.bz2", bytes(data)), threads)


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Return an export with one kind of damage at a place drawn by `generator`."""
    data = bytearray(content)
    start = generator.randrange(len(data))
    kind = generator.randrange(7)
    if kind == 0:
        return bytes(data[:start])
    if kind == 1:
        for _ in range(generator.randrange(1, 30)):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    elif kind == 2:
        data[start:start] = generator.choice([b"<a>", b"{{", b"[[", b"<page>", b"&lt;div&gt;"]) * 10_000
    elif kind == 3:
        data[start:start] = bytes(generator.randrange(1, 2000))
    elif kind == 4:
        entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
        data[: generator.choice([0, start])] = (
            b"<!DOCTYPE mediawiki [<!ENTITY a0 'x'>" + entities + b"]>&a11;"
        )
    elif kind == 5:
        place = data.find(b"<title>", start) + 7
        data[place:place] = b"T" * generator.randrange(300_000)
    else:
        del data[start : start + generator.randrange(1, 5000)]
    return bytes(data)


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.soak)])
def test_mutated_dumps_give_pages_or_one_line(tmp_path: Path, count: int) -> None:
    generator = random.Random(11)
    content = export(*(page(f"P{n}", f"text {n} & <b> " * 60, number=n) for n in range(30))).encode()
    unread = 0
    for _ in range(count):
        data = mutated(content, generator)
        if generator.random() < 0.3:
            data = bz2.compress(data)
            data = mutated(data, generator) if generator.random() < 0.5 else data
        dump = written(tmp_path / "x.xml", data)
        try:
            assert len(pages_of(dump, 1)) < 30_000
        except InputError as error:
            unread += 1
            assert "\n" not in str(error)
    assert 0 < unread < count
