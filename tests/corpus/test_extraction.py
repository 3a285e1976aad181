"""What wikiextractor makes of a shard: with the templates that it needs, and with or without headings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from corpus.making import page, write_dump
from ulmfit.corpus.wikiextractor import extraction, template_closure
from ulmfit.corpus.wikiextractor.extraction import Extraction, Limits, cleaned
from ulmfit.corpus.wikiextractor.page_filling import fill_store
from ulmfit.corpus.wikiextractor.page_store import MIB, Store
from ulmfit.corpus.wikiextractor.wikitext import prepared
from ulmfit.pipeline.errors import StageFailed


def quiet(_: str) -> None:
    """Log nothing."""


def texts_of(store: Store, headings: bool = True) -> dict[str, str | None]:
    """Extract a store and return the texts by title."""
    run = Extraction(store, True, Limits(workers=1), quiet, quiet, headings=headings)
    run.run()
    found: dict[str, str | None] = {}
    for shard in range(store.shards):
        for article, extracted in zip(store.index(shard), run.texts(shard), strict=True):
            assert article.number == extracted.number
            found[article.title] = extracted.text
    return found


def stored(folder: Path, dump: Path, shard_bytes: int = 8 * MIB) -> Store:
    return fill_store(folder, [dump], {}, max_documents=None, shard_bytes=shard_bytes, log=quiet)


def with_all_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give wikiextractor every template, as if all were reachable."""

    def everything(closure: template_closure._Closure, _: object) -> None:
        closure._todo = {name for (name,) in closure._database.execute("SELECT name FROM template")}
        while closure._todo:
            closure._load()

    monkeypatch.setattr(template_closure._Closure, "follow", everything)


TEMPLATES = {
    "Box": "before {{#if:{{{1|}}}|{{yes|{{{1}}}}}|{{No}}}} after",
    "Yes": "yes to {{{1}}}",
    "No": "no",
    "Call": "{{{{{1}}}}}",
    "Country data Poland": "the land {{{1|}}}",
    "Flag": "{{country data {{{1|}}}|Polska}}",
    "Pick": "{{ {{#switch:{{{1}}}|a=Yes|b=No}} |it}}",
    "Old": "#REDIRECT [[Template:Box]]",
    "Round": "round {{Round}}",
    "Doc": "<noinclude>{{Yes|never}}</noinclude>documented{{{{{|safesubst:}}}No}}",
    "Nested": "{{Box|{{Flag|Poland}}}}",
}
CALLS = [
    "{{Box}}",
    "{{box|x}}",
    "{{Call|Yes}}",
    "{{Call|flag}}",
    "{{Flag|Poland}}",
    "{{Pick|a}} {{Pick|b}}",
    "{{Old|y}}",
    "{{Round}}",
    "{{Doc}}",
    "{{Nested}}",
    "{{subst:No}}",
    "{{Missing|z}}",
    "{{#if:x|{{Yes|w}}}}",
]


def test_reachable_templates_give_the_same_text_as_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [
        page(f"Template:{name}", text, number=100 + number, namespace=10)
        for number, (name, text) in enumerate(TEMPLATES.items())
    ]
    pages += [page(f"P{number}", f"Start {call} end.", number=number) for number, call in enumerate(CALLS)]
    dump = write_dump(tmp_path / "x.xml", *pages)
    reachable = texts_of(stored(tmp_path / "a", dump, shard_bytes=1))
    assert reachable["P5"] == "Start yes to it no end."
    assert reachable["P9"] == "Start before yes to the land Polska after end."
    with_all_templates(monkeypatch)
    assert texts_of(stored(tmp_path / "b", dump)) == reachable


@pytest.mark.soak
def test_real_articles_have_the_same_text_as_with_all_templates(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = shared_data / "dumps/ltgwiki-pages-articles.xml.bz2"
    store = stored(tmp_path / "a", dump, shard_bytes=200_000)
    assert store.shards > 5
    reachable = texts_of(store)
    with_all_templates(monkeypatch)
    assert texts_of(stored(tmp_path / "b", dump)) == reachable


ARTICLE = """Intro.
= One =
== Two ==<!-- a comment -->
''' bold''' text: ''it''
=== Three ===
* item
== Empty ==
=== Empty too ===
==== Deep ====
{{Nothing}}
== Last! ==
text of the last
== References ==
<references />
"""


def test_headings_with_text_under_them(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "x.xml", page("A", ARTICLE, number=1))
    kept = 'Intro.\nOne\nTwo\nbold text: "it"\nThree\nitem\nLast!\ntext of the last'
    assert texts_of(stored(tmp_path / "a", dump)) == {"A": kept}
    without = 'Intro.\nbold text: "it"\nitem\ntext of the last'
    assert texts_of(stored(tmp_path / "b", dump), headings=False) == {"A": without}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("== a = b ==", "a = b"),
        ("=== uneven ==", "= uneven"),
        ("======= seven =======", "= seven ="),
        ("== ==", ""),
        ("==", "=="),
        ("=", "="),
        ("== not a heading", "== not a heading"),
        ("<!-- c -->== not at the beginning ==", "<!-- c -->== not at the beginning =="),
    ],
)
def test_forms_of_headings(line: str, text: str) -> None:
    assert cleaned(prepared(f"{line}\nmore", ""), True) == f"{text}\nmore".lstrip("\n")


def test_an_equals_sign_in_a_template_is_no_heading() -> None:
    text = "{{Box|\n= a =\n}}\n== H ==\nx"
    assert prepared(text, "").split("\n")[1] == "= a ="
    assert cleaned(prepared(text, ""), False) == "{{Box|\n= a =\n}}\nx"


def reserved_at_a_time(memory: extraction._SharedMemory, sizes: Sequence[int]) -> int:
    """Reserve memory in as many threads; return how many of them had some at one time."""
    lock = threading.Lock()
    now = most = 0
    barrier = threading.Event()

    def use(size: int) -> None:
        nonlocal now, most
        with memory.reserved(size):
            with lock:
                now += 1
                most = max(most, now)
            barrier.wait(0.2)
            with lock:
                now -= 1

    threads = [threading.Thread(target=use, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def test_no_more_templates_at_a_time_than_shared_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    free = 10 * MIB
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    if not extraction.SHARED_MEMORY.is_dir():
        pytest.skip("there is no /dev/shm here")
    memory = extraction._SharedMemory()
    assert reserved_at_a_time(memory, [3 * MIB] * 6) == 2
    with pytest.raises(StageFailed, match="need 13 MiB of /dev/shm, which has 10"), memory.reserved(10 * MIB):
        pass
    assert reserved_at_a_time(memory, [7 * MIB]) == 1
