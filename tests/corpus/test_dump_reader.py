"""The reader of exports: old and new forms, histories, memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from corpus.making import export, page, write_dump
from ulmfit.corpus.dump_reader import DumpReader


def test_fields(tmp_path: Path) -> None:
    dump = write_dump(
        tmp_path / "x.xml.bz2",
        page("A & B", "text <b>", number=1),
        page("C", "", number=2, redirect="A & B"),
        dbname="dewiki",
    )
    reader = DumpReader(dump)
    first, second = list(reader)
    assert (first.id, first.title, first.namespace, first.redirect) == ("1", "A & B", 0, None)
    assert (first.text, first.model, first.timestamp) == ("text <b>", "wikitext", "2017-07-01T12:34:56Z")
    assert (second.redirect, second.text) == ("A & B", "")
    assert (reader.site.dbname, reader.site.namespaces[10]) == ("dewiki", "Template")


def test_exports_without_namespace_elements(tmp_path: Path) -> None:
    old = export(page("Talk:A", "x", number=1), page("Kill Bill: Volume 1", "y", number=2)).replace(
        "<ns>0</ns>", ""
    )
    (tmp_path / "x.xml").write_text("\ufeff" + old, encoding="utf-8")
    assert [item.namespace for item in DumpReader(tmp_path / "x.xml")] == [1, 0]


def test_the_last_revision_of_a_history_counts(tmp_path: Path) -> None:
    text = page("A", "old", number=1)
    later = text[text.index("<revision>") : text.index("</page>")].replace("old", "new")
    (tmp_path / "x.xml").write_text(export(text.replace("</page>", later + "</page>")))
    assert [item.text for item in DumpReader(tmp_path / "x.xml")] == ["new"]


def test_memory_is_that_of_a_page(tmp_path: Path) -> None:
    body = "word " * 4000
    dump = write_dump(tmp_path / "x.xml.bz2", *(page(f"P{n}", body, number=n) for n in range(400)))
    tracemalloc.start()
    assert sum(1 for _ in DumpReader(dump)) == 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000  # the dump holds 8 MB
