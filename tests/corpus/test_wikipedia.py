"""A dump becomes documents: every page accounted for, nothing lost that wikiextractor would lose."""

from __future__ import annotations

import bz2
import json
import random
from pathlib import Path

import pytest

from corpus.making import account, export, left_out, page, rows, texts, write_dump
from ulmfit.corpus import sampling
from ulmfit.corpus.extract import extract
from ulmfit.corpus.stages import WikipediaCorpus
from ulmfit.corpus.wikiextractor.extraction import Limits
from ulmfit.corpus.wikipedia import LEFT_BY_WIKIEXTRACTOR, dump_files, site_language
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

ENGINES = ["wikiextractor", "fast"]
NAMED = ["ltgwiki-tiny", "ltgwiki", "dewiki-20170701-sample", "enwiki-206", "enwiki-table-markup"]


def quiet(_: str) -> None:
    """Log nothing."""


def extracted(tmp_path: Path, *pages: str, **head: str | None) -> Path:
    """Extract the given pages and return the folder."""
    dump = write_dump(tmp_path / "xxwiki.xml.bz2", *pages, **head)
    extract(dump, tmp_path / "out", engine="wikiextractor", log=quiet)
    return tmp_path / "out"


def test_every_fate_is_accounted_for(tmp_path: Path) -> None:
    out = extracted(
        tmp_path,
        page("Alpha", "Text of alpha.", number=1),
        page("Talk:Alpha", "chatter", number=2, namespace=1),
        page("Template:Box", "{| a\n| table\n|}", number=3, namespace=10),
        page("Beta", "#REDIRECT [[Alpha]]", number=4),
        page("Gamma", "#PRZEKIERUJ [[Alpha]]", number=5),
        page("Delta", "something", number=6, redirect="Alpha"),
        page("Epsilon", "{{Box}}", number=7),
        page("Zeta", "  \n ", number=8),
        page("Alpha", "Text of alpha once more.", number=1),
        page("Eta", "Text of eta.", number=9),
    )
    assert texts(out) == {"1": "Text of alpha.", "9": "Text of eta."}
    content = account(out)
    assert content["pages_read"] == 10
    assert {reason: entry["pages"] for reason, entry in content["left_out"].items()} == {
        "other namespace": ["2", "3"],
        "redirect": ["4", "5", "6"],
        "empty page": ["8"],
        "empty after extraction": ["7"],
        "duplicate id": ["1"],
    }
    assert sorted(path.name for path in out.iterdir()) == ["account.json", "documents.parquet"]


def test_an_id_used_by_two_articles_costs_neither(tmp_path: Path) -> None:
    out = extracted(
        tmp_path, *(page(name, f"Text of {name}.", number=18) for name in ("Riga", "Rome", "Riga"))
    )
    assert texts(out) == {"18": "Text of Riga.", "18#2": "Text of Rome."}
    assert left_out(out) == {"duplicate id": 1}


def test_lists_survive(tmp_path: Path) -> None:
    text = (
        "Intro.\n== Works ==\n* first\n** second {{nothing}}\n# third\n:* fourth\n; term : meaning\n"
        "* (in brackets)\n"
        "{| class=x\n|-\n| cell\n* item of a table\n|}\n<ref>\n* note\n</ref>\nEnd."
    )
    out = extracted(tmp_path, page("Alpha", text, number=1))
    assert texts(out)["1"].split("\n") == [
        "Intro.",
        "Works",
        "first",
        "second",
        "third",
        "fourth",
        "term: meaning",
        "(in brackets)",
        "End.",
    ]


def test_titles_that_begin_with_the_template_word_survive(tmp_path: Path) -> None:
    out = extracted(
        tmp_path,
        page("Szablonowanie", "{{PAGENAME}} is a word. {{Wzór|tu}}", number=1),
        page("Szablon:Wzór", "Expanded {{{1}}}.", number=2, namespace=10),
        template_name="Szablon",
    )
    assert [(row["title"], row["text"]) for row in rows(out)] == [
        ("Szablonowanie", "Szablonowanie is a word. Expanded tu.")
    ]


def test_a_dump_that_does_not_name_the_template_namespace(tmp_path: Path) -> None:
    out = extracted(
        tmp_path,
        page("Vorlagenkunde", "Eins {{X}}.", number=1),
        page("Vorlage:X", "zwei", number=2, namespace=10),
        page("Template matching", "Drei.", number=3),
        template_name=None,
    )
    assert texts(out) == {"1": "Eins zwei.", "3": "Drei."}


def test_characters_are_unescaped_exactly_once(tmp_path: Path) -> None:
    text = "AT&T &lt;b&gt; &amp;lt; it&apos;s &nbsp;x &#xD800;&#0; cafe\u0301 <code>a < b</code>"
    out = extracted(tmp_path, page("AT&T <x>", text, number=1))
    assert rows(out)[0]["title"] == "AT&T <x>"
    assert texts(out)["1"].startswith("AT&T <b> &lt; it's ")
    assert "café" in texts(out)["1"]


def test_leftovers_of_templates_are_removed(tmp_path: Path) -> None:
    text = "Rome ({{lang|it}}) is ({{a}}; {{b}}) old ({{x}}, born 1950) and f() stays.\n\n\n{{PAGENAME}}"
    out = extracted(tmp_path, page("Rome", text, number=1))
    assert texts(out)["1"] == "Rome is old (born 1950) and f() stays.\nRome"


def test_the_clock_does_not_reach_the_text(tmp_path: Path) -> None:
    out = extracted(
        tmp_path,
        page("A", "{{CURRENTYEAR}}-{{currentmonth}} {{Now}}", number=1, timestamp="2016-02-03T04:05:06Z"),
        page("Template:Now", "{{safesubst:CURRENTDAY}} {{ CURRENTTIME }}", number=2, namespace=10),
        page("B", "b", number=3, timestamp="2017-07-08T09:10:11Z"),
    )
    assert texts(out)["1"] == "2016-02 08 09:10:11"


def test_template_redirects_of_other_languages(tmp_path: Path) -> None:
    out = extracted(
        tmp_path,
        page("A", "{{Alt}}", number=1),
        page("Vorlage:Alt", "#WEITERLEITUNG [[Vorlage:Neu]]", number=2, namespace=10, redirect="Vorlage:Neu"),
        page("Vorlage:Neu", "new text", number=3, namespace=10),
        template_name="Vorlage",
    )
    assert texts(out)["1"] == "new text"


@pytest.mark.parametrize(
    "call",
    ["{{#expr: 9**9**9}}", "{{padleft:x|99999999999}}{{#expr: 9**9**9}}"],
    ids=["endless", "and memory"],
)
def test_an_endless_template_costs_its_page_alone(tmp_path: Path, call: str) -> None:
    pages = [page(f"P{n}", f"Text {n}.", number=n) for n in range(1, 8)]
    pages[3] = page("Evil", call, number=4)
    dump = write_dump(tmp_path / "xx.xml", *pages)
    extract(
        dump,
        tmp_path / "out",
        engine="wikiextractor",
        limits=Limits(page_seconds=1.0, idle_seconds=5.0),
        log=quiet,
    )
    assert list(texts(tmp_path / "out")) == ["1", "2", "3", "5", "6", "7"]
    assert account(tmp_path / "out")["left_out"] == {"extraction failed": {"count": 1, "pages": ["4"]}}


def bad_inputs(folder: Path) -> dict[str, bytes]:
    """Return files that are no usable dump, with the word that the message must hold as their name."""
    good = export(*(page(f"A{n}", "text " * 200, number=n) for n in range(50))).encode()
    packed = bz2.compress(good)
    return {
        "truncated.xml.bz2": packed[: len(packed) // 2],
        "truncated.xml": good[: len(good) // 2],
        "damaged.xml.bz2": packed[:200] + bytes(60) + packed[260:],
        "neither.xml.bz2": b"just some words",
        "empty.xml.bz2": b"",
        "no MediaWiki export.xml": b"<html><body/></html>",
        "not well-formed.xml": b"<mediawiki><page></mediawiki>",
        "holds no articles.xml": export(page("Talk:X", "y", number=1, namespace=1)).encode(),
        "holds no documents.xml": export(page("X", "{{y}}", number=1)).encode(),
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", list(bad_inputs(Path())))
def test_bad_input_is_one_clear_line_and_leaves_nothing(tmp_path: Path, name: str, engine: str) -> None:
    dump = tmp_path / name
    dump.write_bytes(bad_inputs(tmp_path)[name])
    with pytest.raises(InputError, match=name.partition(".")[0]) as caught:
        extract(dump, tmp_path / "out", engine=engine, log=quiet)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_dump_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        dump_files(tmp_path / "none.xml.bz2")
    with pytest.raises(InputError, match=r"no \*\.xml\.bz2"):
        dump_files(tmp_path)


def test_what_a_killed_extraction_was_writing_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".documents.parquet.77.tmp", ".account.json.77.tmp", ".mine.tmp"):
        (out / name).write_text("half")
    extract(write_dump(tmp_path / "x.xml", page("A", "Text.", number=1)), out, engine="fast", log=quiet)
    assert sorted(path.name for path in out.iterdir()) == [".mine.tmp", "account.json", "documents.parquet"]


@pytest.mark.parametrize("name", ["\udcff.xml", "a\nb.xml"])
def test_names_that_no_account_can_hold(tmp_path: Path, name: str) -> None:
    write_dump(tmp_path / name, page("A", "Text.", number=1))
    with pytest.raises(InputError, match=r"\.xml has a name that is not UTF-8 .*; rename it"):
        extract(tmp_path, tmp_path / "out", engine="fast", log=quiet)


def test_parts_of_a_dump_are_packed_or_not_each_for_itself(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.mkdir()
    names = ["a1.xml", "a2.xml-p6p9.bz2", "a3.xml-p10p11", "a10.xml.xz", "a11.xml.zst"]
    for name in [*names, "a1.xml.sha1", "a2.xml.bz2-rss.xml", "list.txt", ".a4.xml.bz2.1.tmp"]:
        (dump / name).write_bytes(b"")
    assert [path.name for path in dump_files(dump)] == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.xml.bz2", "b.xml.7z"], r"b\.xml\.7z looks like a part of a dump and cannot be read: expected"),
        (["a.xml.bz2", "b.xml.bz2.part"], r"b\.xml\.bz2\.part looks like a part"),
        (["a.xml.bz2", "a.xml"], r"a\.xml and a\.xml\.bz2 are one part of a dump twice: move one away"),
    ],
)
def test_parts_that_would_be_passed_over_or_read_twice_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=message):
        dump_files(tmp_path)


@pytest.mark.parametrize("engine", ENGINES)
def test_parts_of_a_dump_are_read_in_their_order(tmp_path: Path, engine: str) -> None:
    for number in (10, 2, 1):
        text = page(f"P{number}", f"Text {number} {{{{T}}}} ends.", number=number)
        more = [page("Template:T", "t", number=99, namespace=10)] if number == 10 else []
        write_dump(tmp_path / f"xxwiki-pages-articles{number}.xml.bz2", text, *more)
    extract(tmp_path, tmp_path / "out", engine=engine, log=quiet)
    expanded = "t " if engine == "wikiextractor" else ""
    assert texts(tmp_path / "out") == {str(n): f"Text {n} {expanded}ends." for n in (1, 2, 10)}
    assert account(tmp_path / "out")["source"].count(" + ") == 2


def test_bytes_do_not_depend_on_workers_or_shards(tmp_path: Path) -> None:
    pages = [page(f"P{n}", f"== H ==\n* Text {n}. " + "word " * 4000, number=n) for n in range(120)]
    dump = File(path=write_dump(tmp_path / "xxwiki.xml.bz2", *pages))
    results = []
    for workers, megabytes in ((1, 32), (2, 2), (3, 1)):
        stage = WikipediaCorpus(
            dump=dump, language="xx", engine="wikiextractor", workers=workers, shard_megabytes=megabytes
        )
        folder = Runner(runs=tmp_path / f"runs{workers}").build(stage)
        results.append([(folder / name).read_bytes() for name in ("documents.parquet", "account.json")])
        assert not (folder / "scratch").exists()
        assert [row["id"] for row in rows(folder)] == [str(n) for n in range(120)]
    assert results[0] == results[1] == results[2]
    content = account(folder)
    assert (content["engine"], content["headings"], content["templates"]) == ("wikiextractor", True, True)
    assert content["words"] == sum(len(row["text"].split()) for row in rows(folder))


def test_the_sample_is_the_smallest_hashes_and_is_accounted_for(tmp_path: Path) -> None:
    pages = [page(f"P{n}", f"Text {n}.", number=n) for n in range(60)]
    dump = File(path=write_dump(tmp_path / "xxwiki.xml.bz2", *pages))
    stage = WikipediaCorpus(dump=dump, language="xx", engine="wikiextractor", max_documents=10)
    folder = Runner(runs=tmp_path / "runs").build(stage)
    smallest = sorted(range(60), key=lambda n: sampling.salted_hash("ulmfit sample", str(n)))[:10]
    assert [row["id"] for row in rows(folder)] == [str(n) for n in sorted(smallest)]
    assert left_out(folder) == {"outside the sample": 50}
    assert {row["split"] for row in rows(folder)} == {"train", "valid", "test"}


def test_a_sample_by_words_for_wikiextractor(tmp_path: Path) -> None:
    pages = [
        page(f"P{n}", "{{Box}}" if n % 3 == 0 else f"Text {n}. " + "word " * (n % 40), number=n)
        for n in range(300)
    ]
    dump = File(path=write_dump(tmp_path / "xxwiki.xml.bz2", *pages))
    whole = Runner(runs=tmp_path / "runs").build(
        WikipediaCorpus(dump=dump, language="xx", engine="wikiextractor")
    )
    stage = WikipediaCorpus(dump=dump, language="xx", engine="wikiextractor", max_tokens=500)
    folder = Runner(runs=tmp_path / "runs").build(stage)
    order = sorted(texts(whole), key=lambda name: sampling.salted_hash("ulmfit sample", name))
    kept = order[: len(rows(folder))]
    assert set(texts(folder)) == set(kept)
    words = [len(texts(whole)[name].split()) for name in kept]
    assert sum(words) == account(folder)["words"] >= 500 > sum(words[:-1])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("counted_in", ["words", "runs"])
def test_a_sample_without_short_articles(
    tmp_path: Path, engine: str, counted_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "FEWEST_MERGED", 1)
    pages = [page(f"P{n}", f"Text {n}, " + "word " * (n % 12) + "end", number=n) for n in range(300)]
    dump = File(path=write_dump(tmp_path / "xxwiki.xml.bz2", *pages))
    whole = Runner(runs=tmp_path / "runs").build(WikipediaCorpus(dump=dump, language="xx", engine=engine))
    limits = {"min_words": 10, "max_documents": 40, "counted_in": counted_in}
    stage = WikipediaCorpus(dump=dump, language="xx", engine=engine, **limits)
    folder = Runner(runs=tmp_path / "runs").build(stage)
    count = sampling.counter(counted_in)
    long_enough = [name for name, text in texts(whole).items() if count(text) >= 10]
    kept = sorted(long_enough, key=lambda name: sampling.salted_hash("ulmfit sample", name))[:40]
    assert set(texts(folder)) == set(kept)
    assert account(folder)[counted_in] == sum(count(text) for text in texts(folder).values())


def test_a_sample_that_turns_out_too_small_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "FEWEST_MERGED", 1)
    pages = [page(f"P{n}", "{{Box}}" if n % 9 else f"Text {n}.", number=n) for n in range(400)]
    dump = File(path=write_dump(tmp_path / "xxwiki.xml.bz2", *pages))
    stage = WikipediaCorpus(dump=dump, language="xx", engine="wikiextractor", max_documents=40)
    folder = Runner(runs=tmp_path / "runs").build(stage)
    left, warning = json.loads((folder / "manifest.json").read_text())["warnings"]
    assert left == LEFT_BY_WIKIEXTRACTOR
    assert warning.startswith(f"the sample has only {len(rows(folder))} documents")
    assert len(rows(folder)) < 40


@pytest.mark.parametrize("engine", ENGINES)
def test_headings_without_text_are_never_kept_others_by_choice(tmp_path: Path, engine: str) -> None:
    text = "Begin.\n== One ==\nText.\n== Two ==\n=== Three ===\n* item\n== Four ==\n"
    dump = write_dump(tmp_path / "x.xml", page("A", text, number=1))
    for headings, expected in (
        (True, ["Begin.", "One", "Text.", "Two", "Three", "item"]),
        (False, ["Begin.", "Text.", "item"]),
    ):
        out = tmp_path / str(headings)
        extract(dump, out, engine=engine, headings=headings, log=quiet)
        assert texts(out)["1"].split("\n") == expected
        assert account(out)["headings"] is headings


def test_language_of_a_database_name() -> None:
    names = ["dewiki", "zh_yuewiki", "plwiktionary", "tmp-wp", ""]
    assert [site_language(name) for name in names] == ["de", "zh-yue", "pl", "", ""]


def check_dump(dump: Path, out: Path, engine: str) -> None:
    """Extract a real dump: the account closes, or there is a message that says why not."""
    try:
        extract(dump, out, engine=engine, log=quiet, workers=1)
    except InputError as error:
        assert "holds no" in str(error)
        assert not out.exists()
        return
    assert account(out)["engine"] == engine
    assert not left_out(out).keys() & {"extraction failed", "damaged page"}
    for row in rows(out):
        assert row["text"].strip() == row["text"] != ""
        assert "\n\n" not in row["text"]
        assert not any(
            "\ue000" <= character <= "\uf8ff" for character in row["text"] if character in "\ue5a0\ue5a1"
        )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMED)
def test_real_dumps(shared_data: Path, tmp_path: Path, name: str, engine: str) -> None:
    (dump,) = (
        (shared_data / "dumps").glob(f"{name}*.bz2")
        if name != "ltgwiki"
        else [shared_data / "dumps/ltgwiki-pages-articles.xml.bz2"]
    )
    check_dump(dump, tmp_path / "out", engine)
    assert account(tmp_path / "out")["documents_written"] > 0


def minidumps(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "dumps/minidumps").glob("*.bz2"))


def test_a_tenth_of_the_minidumps(shared_data: Path, tmp_path: Path) -> None:
    chosen = random.Random(5).sample(minidumps(shared_data), 12)
    for dump in [*chosen, shared_data / "dumps/minidumps/si.wiki.xml.bz2"]:
        for engine in ENGINES:
            check_dump(dump, tmp_path / engine / dump.name, engine)


@pytest.mark.soak
@pytest.mark.parametrize("engine", ENGINES)
def test_all_minidumps(shared_data: Path, tmp_path: Path, engine: str) -> None:
    dumps = minidumps(shared_data)
    assert len(dumps) == 123
    for dump in dumps:
        check_dump(dump, tmp_path / dump.name, engine)
