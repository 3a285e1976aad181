"""Compressed files and lines of text, as streams that are bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import pyarrow as pa
import pytest

from ulmfit.pipeline import streams
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.streams import decoded_lines, unpacked


def zstd(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


PACKERS = {".bz2": bz2.compress, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_files_are_read_and_what_is_cut_off_is_refused(suffix: str) -> None:
    content = "".join(f"line {n} Łódź\n" for n in range(5000)).encode()
    packed = PACKERS[suffix](content)
    assert unpacked(io.BytesIO(packed), f"a.txt{suffix.upper()}").read() == content
    assert unpacked(io.BytesIO(packed * 2), f"a.txt{suffix}").read() == content * 2, "two streams in one file"
    with pytest.raises(InputError, match=f"a.txt{suffix} is damaged or cut off"):
        unpacked(io.BytesIO(packed[:-20]), f"a.txt{suffix}").read()
    with pytest.raises(InputError, match="is damaged or cut off"):
        unpacked(io.BytesIO(b"nonsense" * 9), f"a.txt{suffix}").read()


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_unpacks_to_far_more_than_its_size_is_refused(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALWAYS_ALLOWED", 1 << 20)
    packed = PACKERS[suffix](bytes(1 << 23))
    monkeypatch.setattr(streams, "LARGEST_RATIO", 20)
    stream = unpacked(io.BytesIO(packed), f"a.csv{suffix}")
    with pytest.raises(InputError, match=f"a.csv{suffix} unpacks to more than 20 times its size"):
        stream.read()


def test_lines_end_at_every_kind_of_line_end() -> None:
    content = "\ufeffone\rtwo\r\n\rthree\u2028still\nfour".encode()
    lines = list(decoded_lines(io.BytesIO(content), "a.txt"))
    assert lines == ["one\r", "two\r\n", "\r", "three\u2028still\n", "four"]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LARGEST_LINE", 1 << 20)
    with pytest.raises(InputError, match=r"a\.txt has a line of more than 1 MiB"):
        list(decoded_lines(io.BytesIO(b"x" * (1 << 20)), "a.txt"))
