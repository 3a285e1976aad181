"""Cuts the first pages out of a dump, without reading more of it."""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ulmfit.corpus.dumps.download import first_file
from ulmfit.corpus.dumps.stream import DumpStream
from ulmfit.pipeline.download import BLOCK, MEGABYTE, read_beginning
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path

BEGINNING = "beginning.xml"
PAGE_END, DUMP_END = b"</page>", b"\n</mediawiki>\n"


def wikipedia_beginning(
    language: str,
    date: str,
    base_url: str,
    folder: Path,
    megabytes: int,
    log: Callable[[str], None],
    mirror: Path | None = None,
) -> None:
    """Write the first pages of a Wikipedia's dump into `folder`, from the mirror where it has the dump."""
    source = first_file(language, date, base_url, log, mirror)
    target = folder / BEGINNING
    if isinstance(source, Path):
        log(f"reading the first {megabytes} MB of {source.name} of the mirror")
        write_beginning(DumpStream(source).blocks(), target, megabytes, source.name)
        return
    name = source.rpartition("/")[2]
    log(f"downloading the beginning of {name}, {megabytes} MB of XML")

    def write(blocks: Iterator[bytes]) -> None:
        write_beginning(_unpacked(blocks), target, megabytes, name)

    read_beginning(source, write, log=log)


def write_beginning(blocks: Iterable[bytes], target: Path, megabytes: int, name: str) -> None:
    """Write the whole pages among the first `megabytes` of XML as a dump; InputError where there is none."""
    data, most = bytearray(), megabytes * MEGABYTE
    for block in blocks:
        data += block
        if len(data) >= most:
            break
    end = data.rfind(PAGE_END, 0, most)
    if end < 0:
        raise InputError(f"{name}: no whole page in its first {megabytes} MB: expected a MediaWiki export")
    with atomic_path(target) as temporary:
        temporary.write_bytes(bytes(data[: end + len(PAGE_END)]) + DUMP_END)


def _unpacked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of a .bz2 of one or more streams, as far as its blocks go."""
    decoder = bz2.BZ2Decompressor()
    for block in blocks:
        rest = block
        while rest or not (decoder.needs_input or decoder.eof):
            if decoder.eof:
                decoder = bz2.BZ2Decompressor()
            # A block may unpack to a thousand times its size: no more than this at once.
            yield decoder.decompress(rest, BLOCK)
            rest = decoder.unused_data
