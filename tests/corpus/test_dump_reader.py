"""The reader of exports: every form of export, chunks, damaged pages, memory."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.making import export, page, write_dump
from corpus.reading import pages_of, titles, written
from ulmfit.corpus.dumps import chunks as dump_chunks
from ulmfit.corpus.dumps import stream as dump_stream
from ulmfit.corpus.dumps.reader import (
    DamagedPage,
    DumpReader,
    Page,
    Site,
    chunk_pages,
    left_out_reason,
)
from ulmfit.pipeline.errors import InputError

XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
)


def zstd(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


def reference_pages(content: bytes) -> Iterator[tuple]:
    """Yield the pages of an export as ElementTree reads them, all at once."""
    root = ElementTree.fromstring(content)
    space = root.tag.removesuffix("mediawiki")
    for element in root.iter(space + "page"):
        redirect = element.find(space + "redirect")
        revision = element.findall(space + "revision")[-1]
        yield (
            element.findtext(space + "id"),
            element.findtext(space + "title"),
            int(element.findtext(space + "ns") or 0),
            None if redirect is None else redirect.get("title", ""),
            revision.findtext(space + "model") or "wikitext",
            revision.findtext(space + "timestamp") or "",
            revision.findtext(space + "text") or "",
        )


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks, blocks and the largest page small."""
    monkeypatch.setattr(dump_chunks, "CHUNK_BYTES", 5_000)
    monkeypatch.setattr(dump_chunks, "LARGEST_PAGE", 50_000)
    monkeypatch.setattr(dump_stream, "BLOCK_BYTES", 1_000)


def test_fields(tmp_path: Path) -> None:
    dump = write_dump(
        tmp_path / "x.xml.bz2",
        page("A & B", "text <b>", number=1),
        page("C", "", number=2, redirect="A & B"),
        dbname="dewiki",
    )
    reader = DumpReader(dump)
    first, second = list(reader)
    assert isinstance(first, Page) and isinstance(second, Page)
    assert (first.id, first.title, first.namespace, first.redirect) == ("1", "A & B", 0, None)
    assert (first.text, first.model, first.timestamp) == ("text <b>", "wikitext", "2017-07-01T12:34:56Z")
    assert (second.redirect, second.text) == ("A & B", "")
    assert (reader.site.dbname, reader.site.namespaces[10]) == ("dewiki", "Template")


def test_exports_without_namespace_elements(tmp_path: Path) -> None:
    old = export(page("Talk:A", "x", number=1), page("Kill Bill: Volume 1", "y", number=2)).replace(
        "<ns>0</ns>", ""
    )
    found = pages_of(written(tmp_path / "x.xml", "\ufeff" + old))
    assert [item.namespace for item in found if isinstance(item, Page)] == [1, 0]


def test_the_last_revision_of_a_history_counts(tmp_path: Path) -> None:
    text = page("A", "old", number=1)
    later = text[text.index("<revision>") : text.index("</page>")].replace("old", "new")
    (found,) = pages_of(written(tmp_path / "x.xml", export(text.replace("</page>", later + "</page>"))))
    assert isinstance(found, Page) and found.text == "new"


@pytest.mark.parametrize(
    "element",
    [
        '<page >\n\t<title>A</title><ns>0</ns><id> 1 </id><revision><text bytes="3">abc</text></revision>'
        "</page \n>",
        "<page a='1'><title>A</title><id>1</id><revision><id>9</id><contributor><id>8</id></contributor>"
        "<text xml:space='preserve'><![CDATA[a]]>bc</text></revision></page>",
        "<page><!-- <x> --><id>1</id><title>A</title><revision><text>&#97;b<?x y?>c</text></revision></page>",
        "<page><title>A</title><ns>0</ns><id>1</id><id>2</id><revision><text>xyz</text></revision>"
        "<revision><text>abc</text><content><text>other slot</text></content></revision></page>",
    ],
    ids=["spaces", "attributes and CDATA", "comments", "slots"],
)
def test_forms_of_a_page(tmp_path: Path, element: str) -> None:
    dump = written(tmp_path / "x.xml", export(element, page("B", "b", number=2)))
    first, second = pages_of(dump)
    assert astuple(first) == ("1", "A", 0, None, "wikitext", "", "abc")
    assert second.title == "B"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings(tmp_path: Path, codec: str, packed: bool, small_chunks: None) -> None:
    texts = [f"zażółć {n} 𝔘𝔫𝔦 " * 300 for n in range(20)]
    content = f"<?xml version='1.0' encoding='{codec[:6].strip('-')}'?>" + export(
        *(page(f"Ł{n}", text, number=n) for n, text in enumerate(texts))
    )
    content = content.replace("utf-16", "UTF-16") if "16" in codec else content
    data = ("\ufeff" if codec == "utf-16-be" else "").encode("utf-16-be") + content.encode(codec)
    dump = written(tmp_path / "x.xml", bz2.compress(data) if packed else data)
    found = pages_of(dump)
    assert [item.text for item in found if isinstance(item, Page)] == texts


def test_half_of_a_surrogate_pair_costs_its_page(tmp_path: Path) -> None:
    content = export(page("A", "one", number=1), page("B", "tw\ud800o", number=2), page("C", "x", number=3))
    data = b"\xff\xfe" + content.encode("utf-16-le", "surrogatepass")
    assert titles(pages_of(written(tmp_path / "x.xml", data))) == ["A", "[B]", "C"]


@given(st.lists(st.tuples(XML_TEXT, XML_TEXT), min_size=1, max_size=6))
def test_any_text_comes_back(pairs: list[tuple[str, str]]) -> None:
    data = "".join(page(title, text, number=n) for n, (title, text) in enumerate(pairs)).encode("utf-8")
    found = list(chunk_pages(data, Site()))
    expected = list(reference_pages(b"<mediawiki>" + data + b"</mediawiki>"))
    assert [(item.title, item.text) for item in found if isinstance(item, Page)] == [
        (title or "", text) for _, title, *_, text in expected
    ]


def test_real_dumps_agree_with_elementtree(shared_data: Path) -> None:
    for dump in sorted((shared_data / "dumps").rglob("*.bz2")):
        content = bz2.decompress(dump.read_bytes())
        assert [astuple(item) for item in DumpReader(dump)] == list(reference_pages(content)), dump.name


def test_chunks_depend_on_the_content_alone(tmp_path: Path, small_chunks: None) -> None:
    generator = random.Random(3)
    content = export(
        *(page(f"P{n}", "wörd " * generator.randrange(1500), number=n) for n in range(60))
    ).encode("utf-8")
    plain = written(tmp_path / "x.xml", content)
    packed = written(tmp_path / "y.xml.bz2", bz2.compress(content, 1))
    wide = written(tmp_path / "z.xml", content.decode("utf-8").encode("utf-16"))
    chunks = list(DumpReader(plain).chunks())
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
        assert content[chunk.start : chunk.start + len(chunk.data)] == chunk.data
        assert chunk.data.lstrip().startswith(b"<page>") and chunk.data.rstrip().endswith(b"</page>")
        assert following is None or following.start == chunk.start + len(chunk.data)
        assert following is None or 5_000 <= len(chunk.data) < 5_000 + 12_000
    for path, threads in ((packed, 1), (packed, 2), (packed, 3), (wide, 1)):
        assert list(DumpReader(path, threads).chunks()) == chunks
    assert list(DumpReader(packed).chunks(skip=4)) == chunks[4:]
    assert not list(DumpReader(packed).chunks(skip=len(chunks)))


SOUND = page("A", "one", number=1), page("B", "two", number=2), page("C", "three", number=3)
DAMAGES = {
    "a NUL byte": ("two", "t\0o"),
    "a control character": ("two", "t\x02o"),
    "an element without end": ("two", "<b>two"),
    "an unknown entity": ("two", "&nbsp;"),
    "a bare ampersand": ("two", "A&T"),
    "a DOCTYPE": ("<title>B", '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><title>B'),
    "no end of the page": ("two</text></revision></page>", "two</text></revision>"),
    "no beginning of the page": ("<page><title>B", "<pbge><title>B"),
    "no character": ("two", "&#xFFFF;"),
}


@pytest.mark.parametrize("name", list(DAMAGES))
def test_a_damaged_page_costs_itself(tmp_path: Path, name: str) -> None:
    good, bad = DAMAGES[name]
    found = pages_of(written(tmp_path / "x.xml", export(*SOUND).replace(good, bad, 1)))
    damaged = [item for item in found if isinstance(item, DamagedPage)]
    assert [item.title for item in found if isinstance(item, Page)] == ["A", "C"]
    assert [astuple(item) for item in damaged] == [("2", "B", "not well-formed")]


def test_invalid_utf8_costs_its_page(tmp_path: Path) -> None:
    data = export(*SOUND).encode("utf-8").replace(b"two", b"tw\xe4o").replace(b"three", b"dr\xc3\xa4i")
    assert titles(pages_of(written(tmp_path / "x.xml", data))) == ["A", "[B]", "C"]


def test_names_longer_than_any_wiki_allows_are_damage(tmp_path: Path) -> None:
    found = pages_of(written(tmp_path / "x.xml", export(page("x" * 100_000, "text", number=1), *SOUND)))
    assert astuple(found[0]) == ("1", "x" * 1024, "title too long")
    assert titles(found)[1:] == ["A", "B", "C"]


@pytest.mark.parametrize("number", ["", "x", "²", "9" * 5000])
def test_a_namespace_that_is_no_number_is_inferred(tmp_path: Path, number: str) -> None:
    content = export(page("Talk:A", "text", number=1)).replace("<ns>0</ns>", f"<ns>{number}</ns>")
    (found,) = pages_of(written(tmp_path / "x.xml", content))
    assert isinstance(found, Page) and found.namespace == 1


def test_a_page_that_is_too_large_costs_itself(tmp_path: Path, small_chunks: None) -> None:
    later = [page(f"D{n}", "x " * 2000, number=n) for n in range(9, 14)]
    content = export(SOUND[0], page("Huge", "word " * 40_000, number=7), *SOUND[1:], *later)
    dump = written(tmp_path / "x.xml.bz2", bz2.compress(content.encode()))
    found = pages_of(dump)
    assert titles(found) == ["A", "[Huge]", "B", "C", "D9", "D10", "D11", "D12", "D13"]
    assert astuple(found[1]) == ("7", "Huge", "page too large")
    chunks = list(DumpReader(dump, 1).chunks())
    assert len(chunks) > 2
    assert max(len(chunk.data) for chunk in chunks) < 10_000
    for chunk in chunks[1:]:
        assert content[chunk.start :].startswith(chunk.data.decode())


def test_what_is_no_page_costs_no_page(tmp_path: Path, small_chunks: None) -> None:
    comment = f"<!-- {'x' * 200_000} -->"
    content = export(
        SOUND[0], page("Long", "word " * 500, number=8), comment, *SOUND[1:], "<logitem>x</logitem>"
    )
    found = pages_of(written(tmp_path / "x.xml", content))
    assert titles(found) == ["A", "Long", "[]", "B", "C"]
    assert isinstance(found[2], DamagedPage) and found[2].reason == "page too large"


def test_pages_without_end_do_not_pile_up(tmp_path: Path, small_chunks: None) -> None:
    content = export(*(page(f"P{n}", "word " * 100, number=n) for n in range(400))).replace("</page>", "")
    reader = DumpReader(written(tmp_path / "x.xml", content), 1)
    assert max(len(chunk.data) for chunk in reader.chunks()) < 10_000
    assert titles(list(reader)) == [f"[P{n}]" for n in range(400)]


def test_a_history_above_the_limit_keeps_its_last_revision(tmp_path: Path, small_chunks: None) -> None:
    text = page("A", "now", number=1)
    start, end = text.index("<revision>"), text.index("</page>")
    revisions = [text[start:end].replace("now", f"{n} " + "word " * 2000) for n in range(40)]
    history = "".join([text[:start], *revisions, text[start:end], text[end:]])
    dump = written(tmp_path / "x.xml", export(page("B", "b", number=2), history, page("C", "c", number=3)))
    assert [(item.title, item.text) for item in pages_of(dump) if isinstance(item, Page)] == [
        ("B", "b"),
        ("A", "now"),
        ("C", "c"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html><body/></html>", "no MediaWiki export: its root is <html>"),
        ("<mediawiki><siteinfo></mediawiki>", "not well-formed XML: mismatched tag"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + export(*SOUND), "has a DOCTYPE"),
        ("<?xml version='1.0' encoding='ISO-8859-2'?>" + export(*SOUND), "declares the encoding ISO-8859-2"),
        ("<page><title>A</title></page>", "the beginning is missing"),
        ("<mediawiki><siteinfo>", "truncated"),
        (export(*SOUND)[:-14], "truncated"),
        (export(*SOUND).replace("</mediawiki>", "</mediawik>"), "truncated"),
        ("<mediawiki>" + " " * (17 << 20), r"no <page> in its first 16 MiB"),
        ("{}", "neither XML nor XML in bz2"),
        ("", "is empty"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_export(tmp_path: Path, content: str, message: str, packed: bool) -> None:
    data = content.encode()
    dump = written(tmp_path / "x.xml", bz2.compress(data) if packed else data)
    if packed and content in ("", "{}"):
        message = "truncated" if not content else "not well-formed"
    with pytest.raises(InputError, match=message) as caught:
        pages_of(dump)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, zstd], ids=["xz", "gz", "zst"])
def test_other_compressions_are_read_and_what_is_cut_off_is_refused(tmp_path: Path, pack) -> None:
    packed = pack(export(*SOUND).encode())
    dump = written(tmp_path / "x.xml", packed)
    plain = written(tmp_path / "y.xml", export(*SOUND).encode())
    assert titles(list(DumpReader(dump))) == titles(list(DumpReader(plain)))
    dump.write_bytes(packed[:-12])
    with pytest.raises(InputError, match=r"x\.xml is damaged or cut off"):
        list(DumpReader(dump))


def test_an_export_without_pages(tmp_path: Path) -> None:
    reader = DumpReader(write_dump(tmp_path / "x.xml", dbname="dewiki"))
    assert list(reader) == []
    assert reader.site.dbname == "dewiki"


def test_a_failing_disk_is_not_taken_for_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = bz2.compress(export(*SOUND).encode())
    dump = written(tmp_path / "x.xml.bz2", packed[: len(packed) // 2])
    opened = []

    def failing(self: Path, *arguments: str):
        opened.append(self)
        if len(opened) > 1:
            raise OSError(5, "Input/output error")
        return open(self, *arguments)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(OSError, match="Input/output error"):
        pages_of(dump)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files and threads in /proc")
def test_a_reader_that_is_left_early_leaves_nothing_open(tmp_path: Path) -> None:
    words = random.Random(4)
    pages = (page(f"P{n}", str(words.randbytes(30_000)), number=n) for n in range(100))
    dump = write_dump(tmp_path / "x.xml.bz2", *pages)
    pages_of(dump)
    before = [len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task")]
    chunks = DumpReader(dump, 2).chunks()
    next(chunks)
    chunks.close()
    assert [len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task")] == before


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    pages = (page(f"P{n}", "word " * 20_000, number=n) for n in range(500))
    dump = write_dump(tmp_path / "x.xml", *pages)
    assert dump.stat().st_size > 50_000_000
    tracemalloc.start()
    assert sum(1 for _ in DumpReader(dump)) == 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * dump_chunks.CHUNK_BYTES


@pytest.mark.parametrize(
    ("text", "model", "namespace", "redirect", "reason"),
    [
        ("text", "wikitext", 0, None, ""),
        ("text", "wikitext", 4, None, "other namespace"),
        ("text", "wikitext", 0, "", "redirect"),
        ("#redirect [[A]]", "wikitext", 0, None, "redirect"),
        ("#WEITERLEITUNG: [[A|b]]", "wikitext", 0, None, "redirect"),
        ("# पुनर्प्रेषित [[क]]", "wikitext", 0, None, "redirect"),
        ("#تغییر_مسیر [[آ]]", "wikitext", 0, None, "redirect"),
        ("#გადამისამართება [[ა]]", "wikitext", 0, None, "redirect"),
        ("＃転送 [[東京]] [[Category:Y]] {{R from X}}", "wikitext", 0, None, "redirect"),
        ("#weiterleitung [[A#b]]\n<!-- c -->", "wikitext", 0, None, "redirect"),
        ("# Erstens [[A]]\n# Zweitens [[B]]", "wikitext", 0, None, ""),
        ("# Erstens [[A]] und mehr", "wikitext", 0, None, ""),
        ("# 1984 [[A]]", "wikitext", 0, None, ""),
        ("{}", "json", 0, None, "not wikitext"),
        (" \n", "wikitext", 0, None, "empty page"),
    ],
)
def test_what_is_no_article(text: str, model: str, namespace: int, redirect: str | None, reason: str) -> None:
    assert left_out_reason(Page("1", "A", namespace, redirect, model, "", text)) == reason
