"""Corpora from text files, tables, archives of extracted text, and several of them together."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from corpus.making import account, left_out, rows, texts
from ulmfit.corpus.card import CorpusCard, read_corpus_card
from ulmfit.corpus.sources import archives
from ulmfit.corpus.stages import CorpusStage, ExtractedCorpus, JoinedCorpus, TextFiles, WikipediaCorpus
from ulmfit.experiments.driver import check_files
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner


def build(tmp_path: Path, stage: CorpusStage) -> Path:
    return Runner(runs=tmp_path / "runs").build(stage)


def tar(path: Path, files: dict[str, str]) -> File:
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as archive:
        for name, text in files.items():
            data = text.encode("utf-8")
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return File(path=path)


def stored_zip() -> bytes:
    """An archive of ASCII bytes alone, but for the checksum."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", "some text\n")
    return content.getvalue()


def text_file(tmp_path: Path, text: str, name: str = "a.txt") -> File:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return File(path=tmp_path / name)


def test_a_file_is_a_document_cut_at_paragraphs(tmp_path: Path) -> None:
    file = text_file(tmp_path, "\ufeffone two\n\nthree four five\nsix\n" + "long " * 9 + "\nend\n")
    whole = build(tmp_path, TextFiles(files=file))
    assert texts(whole) == {"a.txt": "one two\nthree four five\nsix\n" + ("long " * 9).strip() + "\nend"}
    cut = build(tmp_path, TextFiles(files=file, max_words=5))
    assert list(texts(cut).values()) == [
        "one two\nthree four five",
        "six",
        ("long " * 9).strip(),
        "end",
    ]
    assert account(cut)["pages_read"] == 4


def test_a_text_without_spaces_is_cut_at_as_many_words(tmp_path: Path) -> None:
    """A character is a word in these scripts (corpus/words.py); a line is never one."""
    chinese = build(
        tmp_path, TextFiles(files=text_file(tmp_path, "昨天我去看书\n他很好\n我们\n"), max_words=6)
    )
    assert list(texts(chinese).values()) == ["昨天我去看书", "他很好\n我们"]
    assert account(chinese)["words"] == 11


def test_lines_and_groups_of_lines(tmp_path: Path) -> None:
    file = text_file(tmp_path, "one\n\ntwo\nthree\n\n \nfour")
    lines = build(tmp_path, TextFiles(files=file, document="line"))
    assert texts(lines) == {"a.txt:1": "one", "a.txt:3": "two", "a.txt:4": "three", "a.txt:7": "four"}
    assert left_out(lines) == {"empty text": 3}
    groups = build(tmp_path, TextFiles(files=file, document="paragraphs"))
    assert texts(groups) == {"a.txt:1": "one", "a.txt:2": "two\nthree", "a.txt:3": "four"}


def test_no_white_space_is_deleted_between_words(tmp_path: Path) -> None:
    raw = "one\rtwo\vthree\x0cfour\x1cfive\x1dsix\x1eseven\x1feight\x85nine\u2028ten\u2029eleven\u00a0twelve"
    (tmp_path / "a.txt").write_bytes(raw.encode() + b"\r\rlast\r\n")
    (found,) = texts(build(tmp_path, TextFiles(files=File(path=tmp_path / "a.txt")))).values()
    first = ["one", "two", "three", "four", "five", "six", "seven"]
    assert found.split("\n") == [*first[:-1], "seven eight", "nine", "ten", "eleven twelve", "last"]
    lines = build(tmp_path, TextFiles(files=File(path=tmp_path / "a.txt"), document="line"))
    assert list(texts(lines)) == ["a.txt:1", "a.txt:2", "a.txt:4"]
    groups = build(tmp_path, TextFiles(files=File(path=tmp_path / "a.txt"), document="paragraphs"))
    assert texts(groups)["a.txt:2"] == "last"


def test_archive_folder_and_files_of_the_same_name(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "n.tar.xz", {"b.txt": "bee", "x/a.txt": "ay", "cover.png": "no", ".hidden.txt": "no"}
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    again = text_file(folder, "first", "a.txt")
    stage = TextFiles(files=(archive, File(path=folder), again, text_file(tmp_path, "second", "a.txt")))
    assert texts(build(tmp_path, stage)) == {
        "n.tar.xz/b.txt": "bee",
        "n.tar.xz/x/a.txt": "ay",
        "folder/a.txt": "first",
        "2-a.txt": "first",
        "3-a.txt": "second",
    }


def test_tables(tmp_path: Path) -> None:
    csv = text_file(tmp_path, 'key,body\n7,"two\nlines, quoted"\n8,\n9,plain\n', "t.csv")
    found = build(tmp_path, TextFiles(files=csv, text_column="body", id_column="key"))
    assert texts(found) == {"t.csv:7": "two\nlines, quoted", "t.csv:9": "plain"}
    assert account(found)["left_out"] == {"empty text": {"count": 1, "pages": ["t.csv:8"]}}
    manifest = json.loads((found / "manifest.json").read_text())
    assert (
        manifest["warnings"] == ["t.csv: 1 empty rows were left out"] or "1 empty" in manifest["warnings"][0]
    )
    pq.write_table(pa.table({"text": ["a", None, "c"]}), tmp_path / "t.parquet")
    found = build(tmp_path, TextFiles(files=File(path=tmp_path / "t.parquet")))
    assert texts(found) == {"t.parquet:1": "a", "t.parquet:3": "c"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv.gz", gzip.compress(b"text,id\none,a\ntwo,b\n", mtime=0)),
        ("t.jsonl", b'{"text": "one", "id": "a"}\n{"text": "two", "id": "b"}\n'),
        ("t.json.xz", lzma.compress(b'[{"text": "one", "id": "a"}, {"text": "two", "id": "b"}]')),
        ("t.ndjson.bz2", bz2.compress(b'{"text": "one", "id": "a"}\n{"text": "two", "id": "b"}\n')),
    ],
)
@pytest.mark.parametrize("inside", ["file", "folder", "archive"])
def test_tables_of_every_kind_alone_in_folders_and_in_archives(
    tmp_path: Path, name: str, content: bytes, inside: str
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / name).write_bytes(content)
    file, prefix = folder / name, name
    if inside == "folder":
        file, prefix = folder, f"f/{name}"
    elif inside == "archive":
        file, prefix = tmp_path / "f.tar", f"f.tar/{name}"
        with tarfile.open(file, "w") as archive:
            archive.add(folder / name, name)
    found = build(tmp_path, TextFiles(files=File(path=file), id_column="id"))
    assert texts(found) == {f"{prefix}:a": "one", f"{prefix}:b": "two"}


def test_a_folder_reads_all_of_its_texts_and_names_what_it_does_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    text_file(folder, "plain", "a.txt")
    (folder / "b.txt.xz").write_bytes(lzma.compress(b"packed"))
    pq.write_table(pa.table({"text": ["row"]}), folder / "c.parquet")
    text_file(folder, "a note", "README.rst")
    found = build(tmp_path, TextFiles(files=File(path=folder)))
    assert texts(found) == {"f/a.txt": "plain", "f/b.txt.xz": "packed", "f/c.parquet:1": "row"}
    (warning,) = json.loads((found / "manifest.json").read_text())["warnings"]
    assert warning == "f: files that are no text by their names were not read (1): README.rst"


def test_rows_that_do_not_fit_the_header_are_refused(tmp_path: Path) -> None:
    file = text_file(tmp_path, "id,text\n1,one, and two\n", "t.csv")
    with pytest.raises(InputError, match=r"t\.csv, line 2: 3 fields, but the header has 2; quote"):
        build(tmp_path, TextFiles(files=file))


def test_json_under_the_name_of_a_text_is_no_text(tmp_path: Path) -> None:
    file = text_file(tmp_path, '{"text": "one"}\n{"text": "two"}\n', "t.txt")
    with pytest.raises(InputError, match=r"t\.txt holds JSON, .* a name that ends in \.jsonl"):
        build(tmp_path, TextFiles(files=file, document="line"))
    text_file(tmp_path, "{Curly} texts are texts\n", "t.txt")
    assert len(texts(build(tmp_path, TextFiles(files=file)))) == 1


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_missing_column_names_those_that_are_there(tmp_path: Path, name: str) -> None:
    if name == "t.csv":
        text_file(tmp_path, "id,tekst\n1,x\n", name)
    else:
        pq.write_table(pa.table({"id": [1], "tekst": ["x"]}), tmp_path / name)
    with pytest.raises(InputError, match=f"{name} has no column 'text', only id, tekst: name the"):
        build(tmp_path, TextFiles(files=File(path=tmp_path / name)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (stored_zip(), "a.txt is a zip archive .*, expected UTF-8 text; unpack or convert it"),
        (gzip.compress(b"x"), "a.txt is compressed with gzip, expected UTF-8 text"),
        (bz2.compress(b"x"), "a.txt is compressed with bzip2"),
        (lzma.compress(b"x"), "a.txt is compressed with xz"),
        ("Zażółć".encode("utf-16"), "a.txt is UTF-16, expected UTF-8 text; convert it: iconv -f utf-16"),
    ],
    ids=["zip", "gzip", "bzip2", "xz", "UTF-16"],
)
def test_what_is_no_text_is_told_by_its_first_bytes(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        build(tmp_path, TextFiles(files=File(path=tmp_path / "a.txt")))


@pytest.mark.parametrize(("name", "content"), [("t.csv", "id;text\n1;x, y\n"), ("t.tsv", "id,text\n1,x\n")])
def test_another_separator_is_named(tmp_path: Path, name: str, content: str) -> None:
    text_file(tmp_path, content, name)
    with pytest.raises(InputError, match=f"{name}: the columns seem to be separated by '[;,]'; expected "):
        build(tmp_path, TextFiles(files=File(path=tmp_path / name)))


def test_another_encoding_names_file_and_offset(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("Zażółć\nM".encode() + b"\xfcnchen")
    with pytest.raises(InputError, match=r"l\.txt: byte 0xfc at offset 12 \(line 2\) is not UTF-8"):
        build(tmp_path, TextFiles(files=File(path=tmp_path / "l.txt")))


@pytest.mark.parametrize("name", ["x.tar.xz", "x.tar.gz", "x.parquet", "empty.txt"])
def test_files_that_are_not_what_their_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"" if name == "empty.txt" else b"nonsense" * 300)
    with pytest.raises(InputError, match=name) as caught:
        build(tmp_path, TextFiles(files=File(path=tmp_path / name)))
    assert "\n" not in str(caught.value)


def test_a_truncated_archive(tmp_path: Path) -> None:
    file = tar(tmp_path / "n.tar.xz", {f"{n}.txt": f"text {n} " * 5000 for n in range(50)})
    assert file.path
    file.path.write_bytes(file.path.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"n\.tar\.xz.* is damaged"):
        build(tmp_path, TextFiles(files=file))


def test_a_member_that_claims_more_than_the_archive_holds(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "n.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
        large = tarfile.TarInfo("b.png")
        large.pax_headers = {"size": str(10**30)}
        archive.addfile(large)
    with pytest.raises(InputError, match=r"n\.tar is damaged or no tar archive: .* longer than the archive"):
        build(tmp_path, TextFiles(files=File(path=tmp_path / "n.tar")))


def packed(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> File:
    with tarfile.open(path, f"w:{path.suffix[1:]}") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return File(path=path)


@pytest.mark.parametrize("suffix", ["xz", "gz", "bz2"])
@pytest.mark.parametrize("name", ["a.txt", "not-wanted.png"])
def test_an_archive_that_unpacks_to_more_than_text_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, name: str
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 100_000)
    bomb = [(tarfile.TarInfo("b.txt"), b"text"), (tarfile.TarInfo(name), bytes(10_000_000))]
    file = packed(tmp_path / f"n.tar.{suffix}", bomb)
    with pytest.raises(InputError, match=r"unpacks to more than [\d,]+ bytes, 200 times its own"):
        build(tmp_path, TextFiles(files=file))


def test_a_real_archive_of_much_text_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 0)
    text = " ".join(f"word{n}" for n in range(20_000)).encode()
    file = packed(tmp_path / "n.tar.xz", [(tarfile.TarInfo("a.txt"), text)])
    assert list(texts(build(tmp_path, TextFiles(files=file)))) == ["n.tar.xz/a.txt"]


def test_long_remarks_before_a_file_are_refused(tmp_path: Path) -> None:
    remark = tarfile.TarInfo("x")
    remark.type = tarfile.XHDTYPE
    file = packed(tmp_path / "n.tar.xz", [(remark, bytes(2_000_000)), (tarfile.TarInfo("a.txt"), b"text")])
    with pytest.raises(InputError, match=r"the remarks before a file in it have 2,000,000 bytes"):
        build(tmp_path, TextFiles(files=file))


@pytest.mark.parametrize("second", ["a.txt", "./a.txt"])
def test_two_files_of_one_name_in_an_archive_are_refused(tmp_path: Path, second: str) -> None:
    file = packed(
        tmp_path / "n.tar.gz", [(tarfile.TarInfo("a.txt"), b"one"), (tarfile.TarInfo(second), b"two")]
    )
    with pytest.raises(InputError, match=r"n\.tar\.gz has two files called a\.txt: rename one"):
        build(tmp_path, TextFiles(files=file))


def test_two_files_of_a_folder_whose_names_cannot_be_written_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in (b"\xfe.txt", b"\xff.txt"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text("text")
    with pytest.raises(InputError, match=r"two files called \?\.txt"):
        list(archives.open_files(folder, lambda name: True))


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    archive = tar(tmp_path / "n.tar.gz", {"\udcff.txt": "first", "b.txt": "second", "\udcff.png": "no"})
    assert texts(build(tmp_path, TextFiles(files=archive))) == {
        "n.tar.gz/?.txt": "first",
        "n.tar.gz/b.txt": "second",
    }


def test_damage_in_the_middle_of_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": [f"text {n} " * 50 for n in range(5000)]}), path, compression="gzip")
    content = path.read_bytes()
    path.write_bytes(content[:1000] + bytes(2000) + content[3000:])
    with pytest.raises(InputError, match=r"t\.parquet is no readable Parquet file with text in 'text'"):
        build(tmp_path, TextFiles(files=File(path=path)))


BLOCKS = """<doc id="1" url="https://de.wikipedia.org/wiki?curid=1" title="AT&amp;T &quot;x&quot;">
AT&amp;T "x"

Text of one (; ) &amp;amp; more.

Second paragraph.

</doc>
<doc id="2" url="u" title="Empty">
Empty

</doc>
<doc id="3" url="u" title="Open">
Open
never closed
<doc id="4" url="u" title="Four">
Four is the number.
</doc>
"""
LINES = (
    json.dumps({"id": "9", "revid": "", "url": "u", "title": "A&amp;B", "text": "Nine.\n&lt;b&gt; \ud800"})
    + "\n"
)


def test_extracted_archive(tmp_path: Path) -> None:
    archive = tar(tmp_path / "w.tar.gz", {"AA/wiki_01": BLOCKS, "AA/wiki_00": LINES})
    folder = build(tmp_path, ExtractedCorpus(archive=archive))
    assert [(row["id"], row["title"], row["text"]) for row in rows(folder)] == [
        ("1", 'AT&T "x"', "Text of one &amp; more.\nSecond paragraph."),
        ("4", "Four", "Four is the number."),
        ("9", "A&B", "Nine.\n<b>"),
    ]
    assert account(folder)["left_out"] == {
        "empty after extraction": {"count": 1, "pages": ["2"]},
        "block not closed": {"count": 1, "pages": ["3"]},
    }


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ('<doc id="1" url="u" title="a "b" c">', 'a "b" c'),
        ('<doc id="1" title="a" language="de" revision="2">', "a"),
        ('<doc id="1" title="a b="c">', 'a b="c'),
        ('<doc id="1" title="">', ""),
        ('<doc id="1"' + ' title="x"' * 100_000 + ">", "x"),
    ],
)
def test_titles_of_blocks(tmp_path: Path, line: str, title: str) -> None:
    archive = text_file(tmp_path, f"{line}\nText.\n</doc>\n", "wiki_00")
    (row,) = rows(build(tmp_path, ExtractedCorpus(archive=archive)))
    assert (row["title"], row["text"]) == (title, "Text.")


@pytest.mark.parametrize("more", [' title="x"', ' a="b"', " ", '" title="', '"'])
def test_lines_that_only_look_like_a_block_are_passed_over_quickly(tmp_path: Path, more: str) -> None:
    archive = text_file(tmp_path, '<doc id="1" ' + more * 100_000 + "\n" + BLOCKS, "wiki_00")
    assert list(texts(build(tmp_path, ExtractedCorpus(archive=archive)))) == ["1", "4"]


def test_extracted_folder_and_bad_lines(tmp_path: Path) -> None:
    (tmp_path / "AA").mkdir()
    text_file(tmp_path / "AA", BLOCKS, "wiki_00")
    assert list(texts(build(tmp_path, ExtractedCorpus(archive=File(path=tmp_path / "AA"))))) == ["1", "4"]
    with pytest.raises(InputError, match="wiki_01 line 2 is no JSON document"):
        build(tmp_path, ExtractedCorpus(archive=text_file(tmp_path, LINES + '{"id": 1\n', "wiki_01")))
    with pytest.raises(InputError, match="holds no <doc"):
        build(tmp_path, ExtractedCorpus(archive=text_file(tmp_path, "just text\n", "wiki_02")))


def test_compressed_output_of_wikiextractor_is_read(tmp_path: Path) -> None:
    (tmp_path / "AA").mkdir()
    (tmp_path / "AA" / "wiki_00.bz2").write_bytes(bz2.compress(BLOCKS.encode()))
    text_file(tmp_path / "AA", LINES, "wiki_01")
    folder = build(tmp_path, ExtractedCorpus(archive=File(path=tmp_path / "AA")))
    assert list(texts(folder)) == ["1", "4", "9"]


def test_joined_corpora_keep_ids_apart_and_splits(tmp_path: Path) -> None:
    one = TextFiles(
        files=text_file(tmp_path, "".join(f"line {n}\n" for n in range(20)) + "\n"), document="line"
    )
    two = ExtractedCorpus(archive=text_file(tmp_path, BLOCKS, "wiki_00"))
    folder = build(tmp_path, JoinedCorpus(parts=(one, two, one)))
    expected = {}
    for place, part in enumerate((one, two, one)):
        for row in rows(build(tmp_path, part)):
            expected[f"{place}:{row['id']}"] = (row["text"], row["split"])
    assert {row["id"]: (row["text"], row["split"]) for row in rows(folder)} == expected
    assert account(folder)["left_out"]["empty text"]["pages"] == ["0:a.txt:21", "2:a.txt:21"]
    assert len(account(folder)["parts"]) == 3
    small = build(tmp_path, JoinedCorpus(parts=(one, two), max_documents=5))
    assert len(rows(small)) == 5
    taken = [part["taken"] for part in account(small)["parts"]]
    assert sum(part["documents"] for part in taken) == 5
    assert sum(part["words"] for part in taken) == sum(len(row["text"].split()) for row in rows(small))
    joined = JoinedCorpus(parts=(one, two), max_documents=5)
    card = build(tmp_path, CorpusCard(corpus=joined, language_documents=0))
    found = read_corpus_card(card, build(tmp_path, joined)).parts
    parts = [(part.source, part.available, part.documents, part.words) for part in found]
    assert parts == [
        ("a.txt", 20, taken[0]["documents"], taken[0]["words"]),
        ("wiki_00", 2, taken[1]["documents"], taken[1]["words"]),
    ]
    single = CorpusCard(corpus=one, language_documents=0)
    assert read_corpus_card(build(tmp_path, single), build(tmp_path, one)).parts == ()


@pytest.mark.parametrize(
    "corpus",
    [
        lambda file: TextFiles(files=(file, file)),
        lambda file: ExtractedCorpus(archive=file),
        lambda file: WikipediaCorpus(dump=file, language="xx"),
        lambda file: JoinedCorpus(parts=(TextFiles(files=file),)),
    ],
)
def test_a_file_of_a_wrong_kind_is_refused_by_a_plan(
    corpus: Callable[[File], CorpusStage], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(stored_zip())
    runner = Runner(tmp_path / "runs")
    with pytest.raises(InputError, match=r"a\.txt is a zip archive"):
        check_files(runner.order(corpus(File(path=tmp_path / "a.txt"))), runner)


def test_a_joined_part_can_be_read_several_times(tmp_path: Path) -> None:
    one = TextFiles(files=text_file(tmp_path, "a\nb\nc\nd\ne\nf\n", "one.txt"), document="line")
    two = TextFiles(files=text_file(tmp_path, "u\nv\nw\nx\ny\nz\n", "two.txt"), document="line")
    once = rows(build(tmp_path, JoinedCorpus(parts=(one, two))))
    folder = build(tmp_path, JoinedCorpus(parts=(one, two), times=(1, 3)))
    copies = [row for row in once if row["id"].startswith("1:") and row["split"] == "train"]
    expected = once + [{**row, "id": f"{row['id']}#{n}"} for n in (2, 3) for row in copies]
    assert sorted(rows(folder), key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])
    content = account(folder)
    assert content["pages_read"] == content["documents_written"] == len(expected)
    with pytest.raises(ValidationError, match="times has 1 numbers for 2 parts"):
        JoinedCorpus(parts=(one, two), times=(2,))


def test_fractions_that_leave_nothing_to_train() -> None:
    with pytest.raises(ValidationError, match="must be below 1"):
        TextFiles(files=File(path=Path("x")), valid_fraction=0.5, test_fraction=0.5)


def first_files(archive: Path, count: int, path: Path) -> list[bytes]:
    """Write the first files of an archive into another one, `path`; return what is in them."""
    contents = []
    with tarfile.open(archive) as whole, tarfile.open(path, "w") as made:
        for _, member in zip(range(count), filter(tarfile.TarInfo.isfile, whole), strict=False):
            contents.append(whole.extractfile(member).read())
            made.addfile(member, io.BytesIO(contents[-1]))
    return contents


def test_real_extracted_wikipedia(shared_data: Path, tmp_path: Path) -> None:
    archive = shared_data / "de-wikipedia-extracted/dewiki-extracted.tar.xz"
    contents = first_files(archive, 5, tmp_path / "some.tar")
    folder = build(tmp_path, ExtractedCorpus(archive=File(path=tmp_path / "some.tar")))
    pages = b"".join(contents).count(b"<doc id=")
    assert account(folder)["pages_read"] == pages > 100
    first = rows(folder)[0]
    assert first["title"] == "Hans Moritz Hauke"
    assert first["text"].startswith("Graf Hans Johann Moritz Hauke (* 26. Oktober 1775")


@pytest.mark.soak
def test_all_of_a_real_extracted_wikipedia(shared_data: Path, tmp_path: Path) -> None:
    archive = File(path=shared_data / "de-wikipedia-extracted/dewiki-extracted.tar.xz")
    assert account(build(tmp_path, ExtractedCorpus(archive=archive)))["pages_read"] == 28_693


def test_real_novels(shared_data: Path, tmp_path: Path) -> None:
    """Ten of them: reading all hundred takes ten times as long."""
    first_files(shared_data / "pl-novels/pl-novels.tar.xz", 10, tmp_path / "novels.tar")
    folder = build(tmp_path, TextFiles(files=File(path=tmp_path / "novels.tar"), max_words=1000))
    found = rows(folder)
    assert len({row["title"] for row in found}) == 10
    words = [len(row["text"].split()) for row in found]
    assert sum(words) > 100_000
    assert 800 < sum(words) / len(words) <= 1000


@pytest.mark.soak
def test_all_real_novels(shared_data: Path, tmp_path: Path) -> None:
    novels = TextFiles(files=File(path=shared_data / "pl-novels/pl-novels.tar.xz"), max_words=1000)
    found = rows(build(tmp_path, novels))
    assert len({row["title"] for row in found}) == 100
    assert 8_000_000 < sum(len(row["text"].split()) for row in found) < 9_000_000


def test_a_part_of_a_joined_corpus_may_be_the_published_test_split(tmp_path: Path) -> None:
    parts = []
    for name in ("train", "test"):
        path = tmp_path / f"{name}.txt"
        path.write_text("".join(f"{name} line {number}\n" for number in range(60)), encoding="utf-8")
        parts.append(TextFiles(files=File(path=path), document="line", test_fraction=0.1, valid_fraction=0.1))
    runner = Runner(tmp_path / "runs")
    found = rows(runner.build(JoinedCorpus(parts=tuple(parts), test_part=1)))
    assert {row["split"] for row in found if row["text"].startswith("test")} == {"test"}
    assert {row["split"] for row in found if row["text"].startswith("train")} == {"train", "valid"}
    assert len(found) == 120
    with pytest.raises(ValidationError, match="test_part 2: the parts are numbered 0 to 1"):
        JoinedCorpus(parts=tuple(parts), test_part=2)
    with pytest.raises(ValidationError, match="part 1 is the test split, which is read once"):
        JoinedCorpus(parts=tuple(parts), test_part=1, times=(1, 2))
