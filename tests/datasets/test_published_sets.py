"""The data scripts of published sets, each on a small made file in the published format."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from ulmfit.datasets.expected_counts import check_counts
from ulmfit.datasets.script import load_convert, run_convert, text_rules_of
from ulmfit.datasets.text_rules import TextRule
from ulmfit.pipeline.errors import InputError

SCRIPTS = Path(__file__).parents[2] / "data_scripts"


def convert(script: str, files: Mapping[str, Path], **options: str) -> Mapping[str, pd.DataFrame]:
    path = SCRIPTS / f"{script}.py"
    return run_convert(load_convert(path), path.name, files, {"counts": "any", **options})


def rules(script: str) -> tuple[TextRule, ...]:
    return text_rules_of(load_convert(SCRIPTS / f"{script}.py"), script)


def write_tar(path: Path, members: Mapping[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def write_zip(path: Path, members: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["text"], table["label"], strict=True))


def test_all_differences_from_published_counts_are_told_at_once() -> None:
    table = pd.DataFrame({"label": ["a", "a", "b"]})
    check_counts({"train": table}, {"train": {"a": 2, "b": 1}}, "published")
    with pytest.raises(InputError) as refused:
        check_counts({"train": table, "test": table}, {"train": {"a": 1, "c": 9}, "test": 4}, "published")
    assert str(refused.value).startswith(
        "not the published data set: train has 2 times a, published: 1; train has 1 times b, published: 0; "
        "train has 0 times c, published: 9; test has 3 rows, published: 4; "
    )
    check_counts({"train": table}, {"train": 4}, "any")
    with pytest.raises(InputError, match="counts has to be published or any, not 'none'"):
        check_counts({"train": table}, {"train": 3}, "none")


def test_texts_with_several_labels_are_counted_under_each() -> None:
    table = pd.DataFrame({"label": [["a", "b"], ["b"]]})
    check_counts({"all": table}, {"all": {"a": 1, "b": 2}}, "published")


def xed_lines() -> str:
    good = [f"Rivi {number}.\t{1 + number % 8}, {1 + (number + 3) % 8}" for number in range(40)]
    broken = [
        '"Alku',
        "en/1/2.xml.gz\tfi/1/2.xml.gz\t3\t4\tOne.\tYksi.",
        'en/1/2.xml.gz\tx\t3\t4\ta\tb"\t1, 2',
    ]
    glued = ["Teksti en/1/2.xml.gz fi/1/2.xml.gz 3 4 One.\t6"]
    return "\r\n".join(["phrase\temotion", *good, *broken, *glued, ""])


def test_xed_leaves_out_header_and_broken_lines_and_makes_a_test_split(tmp_path: Path) -> None:
    lines = write(tmp_path / "x.tsv", xed_lines())
    made = convert("xed", {"lines": lines}, language="fi")
    both = pd.concat(made.values())
    assert sorted(both["text"]) == sorted(f"Rivi {number}." for number in range(40))
    assert dict(zip(both["text"], both["label"], strict=True))["Rivi 1."] == ["anticipation", "joy"]
    assert 6 <= len(made["test"]) <= 10 and 2 <= len(made["valid"]) <= 5
    again = convert("xed", {"lines": lines}, language="fi")
    assert list(again["test"]["text"]) == list(made["test"]["text"])
    with pytest.raises(InputError, match="has no language 'xx'"):
        convert("xed", {"lines": lines}, language="xx")
    with pytest.raises(InputError, match="not the published data set: all has 10 times anger"):
        convert("xed", {"lines": lines}, language="fi", counts="published")


def test_xed_keeps_lines_together_that_differ_in_punctuation_alone(tmp_path: Path) -> None:
    twins = "".join(f"- Mitä {number}?\t{1 + number % 8}\nMITÄ {number}!\t2\n" for number in range(60))
    made = convert("xed", {"lines": write(tmp_path / "x.tsv", twins)}, language="fi")
    numbers = [{text.strip("-?! ").split()[1] for text in table["text"]} for table in made.values()]
    assert sum(map(len, numbers)) == 60 and all(numbers)


def test_husst_tests_on_the_published_dev(tmp_path: Path) -> None:
    rows = [{"id": str(n), "Sent": f"Jó film {n}.", "label": "positive"} for n in range(3)]
    files = {name: write(tmp_path / f"{name}.json", json.dumps(rows)) for name in ("train", "dev")}
    made = convert("husst", files)
    assert set(made) == {"train", "test"}
    assert pairs(made["test"])[0] == ("Jó film 0.", "positive")
    write(files["dev"], json.dumps([{"id": "1", "Sent": "Nincs címke."}]))
    with pytest.raises(InputError, match="expected a JSON list of id, Sent and label"):
        convert("husst", files)


def test_trec_is_read_in_latin_1_and_its_labels_are_named(tmp_path: Path) -> None:
    files = {
        "train": write(tmp_path / "train", "0 What is a café ?\n5 How many ?\n", "latin-1"),
        "test": write(tmp_path / "test", "2 What is UN ?\n"),
    }
    made = convert("trec6", files)
    assert pairs(made["train"]) == [("What is a café ?", "description"), ("How many ?", "number")]
    assert pairs(made["test"]) == [("What is UN ?", "abbreviation")]
    write(files["test"], "6 What ?\n")
    with pytest.raises(InputError, match="line 1: begins with '6', expected a number from 0 to 5"):
        convert("trec6", files)


def test_imdb_takes_labels_from_folders(tmp_path: Path) -> None:
    reviews = {
        "aclImdb/README": "x",
        "aclImdb/train/pos/1_9.txt": "Good.<br />Really.",
        "aclImdb/train/neg/0_2.txt": "Bad.",
        "aclImdb/train/unsup/0_0.txt": "Unknown.",
        "aclImdb/train/labeledBow.feat": "x",
        "aclImdb/test/neg/5_1.txt": "Awful.",
    }
    made = convert("imdb", {"reviews": write_tar(tmp_path / "a.tar.gz", reviews)})
    assert pairs(made["train"]) == [("Bad.", "negative"), ("Good.<br />Really.", "positive")]
    assert pairs(made["test"]) == [("Awful.", "negative")]
    assert list(made["unlabelled"].columns) == ["id", "text"]
    with pytest.raises(InputError, match="has no reviews of train"):
        convert("imdb", {"reviews": write_tar(tmp_path / "b.tar.gz", {"other": "x"})})
    with pytest.raises(InputError, match="cannot be read as a tar archive"):
        convert("imdb", {"reviews": write(tmp_path / "c.tar.gz", "no archive")})


def test_news_and_reviews_of_zhang_are_csv_in_an_archive(tmp_path: Path) -> None:
    csv = '"3","A ""title""","First\\nsecond"\n"1","T","B"\n'
    archive = write_tar(tmp_path / "ag.tgz", {"ag_news_csv/train.csv": csv, "ag_news_csv/test.csv": csv})
    train = convert("zhang2015", {"archive": archive}, name="ag")["train"]
    assert train.to_dict("records")[0] == {
        "label": "business",
        "title": 'A "title"',
        "text": "First\\nsecond",
    }
    assert rules("zhang2015") == (("\\n", "\n"),), "line breaks, in training and in a bundle"
    yelp = write_tar(tmp_path / "y.tgz", {"y/train.csv": '"5","Nice."\n', "y/test.csv": '"1","Bad."\n'})
    made = convert("zhang2015", {"archive": yelp}, name="yelp_full")
    assert pairs(made["train"]) == [("Nice.", "5 stars")]
    assert list(made["test"].columns) == ["label", "text"]
    with pytest.raises(InputError, match=r"train\.csv, row 1: 2 fields that begin with \['5'\], expected 3"):
        convert("zhang2015", {"archive": yelp}, name="dbpedia")
    with pytest.raises(InputError, match="train has 1 times business, published: 30,000"):
        convert("zhang2015", {"archive": archive}, name="ag", counts="published")


def test_mldoc_reads_texts_that_are_written_as_bytes(tmp_path: Path) -> None:
    written = "Die B\u00f6rse 'f\u00e4llt'".encode()
    files = {
        name: write(tmp_path / name, f"CCAT\t{written!r}\nGCAT\tPlain text\n")
        for name in ("train", "valid", "test", "unlabelled")
    }
    made = convert("mldoc", files)
    assert pairs(made["train"]) == [("Die Börse 'fällt'", "CCAT"), ("Plain text", "GCAT")]
    assert list(made["unlabelled"].columns) == ["text"]
    with pytest.raises(InputError, match="unlabelled has 2 rows, published: 5,216"):
        convert("mldoc", files, language="russian", counts="published")
    for bad, message in (
        ("XCAT\tb''", "expected a tab behind one of CCAT"),
        ("CCAT\tb'\\xff'", "or its bytes"),
    ):
        write(files["test"], bad + "\n")
        with pytest.raises(InputError, match=message):
            convert("mldoc", files)


def cls_item(rating: str, text: str) -> str:
    return (
        f"<item><category>B&uuml;cher</category><rating>{rating}</rating><title>Buch</title>"
        f"<text>\n{text} &amp; mehr\n</text><summary>Kurz</summary></item>\n"
    )


def test_cls_reads_items_that_are_not_well_formed(tmp_path: Path) -> None:
    folder = "cls-acl10-unprocessed/jp/dvd"
    items = f"<items>{cls_item('5.0', 'Gut < toll')}{cls_item('2.0', 'Schlecht')}</items>"
    members = {f"{folder}/{name}.review": items for name in ("train", "test", "unlabeled")}
    members[f"{folder}/processed.review"] = "x"
    archive = write_tar(tmp_path / "cls.tar.gz", members)
    made = convert("cls", {"archive": archive}, language="ja", domain="dvd")
    assert pairs(made["train"]) == [("Gut < toll & mehr", "positive"), ("Schlecht & mehr", "negative")]
    assert list(made["train"]["title"]) == ["Kurz", "Kurz"]
    assert list(made["unlabelled"].columns) == ["title", "text"]
    with pytest.raises(InputError, match="has no reviews for train in cls-acl10-unprocessed/de/books/"):
        convert("cls", {"archive": archive})
    archive = write_tar(tmp_path / "b.tar.gz", {name: items.replace("5.0", "3.0") for name in members})
    with pytest.raises(InputError, match=r"train\.review, item 1: rating '3.0', expected"):
        convert("cls", {"archive": archive}, language="ja", domain="dvd")


def test_poleval_2019_pairs_texts_and_labels_of_zip_archives(tmp_path: Path) -> None:
    train = {
        "training_set_clean_only_text.txt": "Tak jest\r\nTy głąbie \n",
        "training_set_clean_only_tags.txt": "0\n1\n",
    }
    test = {
        "Task6/task 01/test_set_clean_only_text.txt": "Dobrze\n",
        "Task6/task 01/test_set_clean_only_tags.txt": "0\n",
        "__MACOSX/Task6/task 01/._test_set_clean_only_tags.txt": "x",
        "Task6/task 02/test_set_only_text.txt": "Inny\n",
        "Task6/task 02/test_set_only_tags.txt": "2\n",
    }
    files = {"train": write_zip(tmp_path / "a.zip", train), "test": write_zip(tmp_path / "b.zip", test)}
    made = convert("poleval2019", files)
    assert pairs(made["train"]) == [("Tak jest", "0"), ("Ty głąbie", "1")]
    assert pairs(made["test"]) == [("Dobrze", "0")]
    assert pairs(convert("poleval2019", files, task="6-2")["test"]) == [("Inny", "2")]
    write_zip(files["train"], {**train, "training_set_clean_only_tags.txt": "0\n"})
    with pytest.raises(InputError, match="2 texts and 1 labels, expected as many"):
        convert("poleval2019", files)
    with pytest.raises(InputError, match="cannot be read as a zip archive"):
        convert("poleval2019", {**files, "train": write(tmp_path / "c.zip", "no archive")})


XML = """<?xml version="1.0" encoding="UTF-8"?>
<Documents>
  <Document id="http://a/1"><Options><Opinion category="A#B"/></Options><relevance>true</relevance>
    <sentiment>negative</sentiment><text>Zug &amp; Bahn zu spät</text></Document>
  <Document id="2"><relevance>false</relevance><sentiment>neutral</sentiment><text>Bahn</text></Document>
</Documents>
"""


def test_line_breaks_of_germeval_2018_are_a_rule_that_bundles_know(tmp_path: Path) -> None:
    lines = write(tmp_path / "lines.txt", "Erst|LBR|dann\tOTHER\tOTHER\n")
    made = run_convert(load_convert(SCRIPTS / "germeval2018.py"), "germeval2018.py", {"test": lines}, {})
    assert pairs(made["test"]) == [("Erst|LBR|dann", "OTHER")]
    assert rules("germeval2018") == (("|LBR|", "\n"),)


TSV = "http://a/1\tZug & Bahn zu spät\ttrue\tnegative\tA#B:negative\n2\tBahn\tfalse\tneutral\n"


def test_germeval_2017_is_read_from_xml_and_tsv_alike(tmp_path: Path) -> None:
    header = "SOURCE\tTEXT\tRELEVANCE\tSENTIMENT\tCATEGORY:SENTIMENT\n"
    files = {
        "train": write(tmp_path / "train.xml", XML),
        "valid": write(tmp_path / "dev.tsv", TSV),
        "test": write(tmp_path / "test.tsv", header + TSV),
    }
    made = convert("germeval2017", files)
    for table in made.values():
        assert pairs(table) == [("Zug & Bahn zu spät", "negative"), ("Bahn", "neutral")]
    write(files["train"], '<!DOCTYPE d [<!ENTITY a "b">]>' + XML.partition("\n")[2])
    with pytest.raises(InputError, match="defines entities"):
        convert("germeval2017", files)
    with pytest.raises(InputError, match="has no test3, version 2017-09-15"):
        convert("germeval2017", files, test="test3")


@pytest.mark.parametrize(("suffix", "neutral"), [("xml", "1,670"), ("tsv", "1,681")])
def test_germeval_2017_has_other_counts_in_xml_than_in_tsv(suffix: str, neutral: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"all.{suffix}", XML if suffix == "xml" else TSV)
    with pytest.raises(InputError, match=f"test has 1 times neutral, published: {neutral}"):
        convert("germeval2017", dict.fromkeys(("train", "valid", "test"), path), counts="published")


@pytest.mark.parametrize("language", ["cs", "de", "fi", "hr", "hu", "pl", "tr"])
def test_xed_as_published(language: str, shared_data: Path) -> None:
    lines = shared_data / "xed" / f"{language}-projections{'2' if language == 'tr' else ''}.tsv"
    made = convert("xed", {"lines": lines}, language=language, counts="published")
    assert 0.18 < len(made["test"]) / sum(map(len, made.values())) < 0.23
    labels = [Counter(label for cell in table["label"] for label in cell) for table in made.values()]
    assert all(len(found) == 8 for found in labels)


def test_husst_and_trec_as_published(shared_data: Path) -> None:
    folder = shared_data / "hu-husst"
    files = {"train": folder / "sst_train.json", "dev": folder / "sst_dev.json"}
    assert len(convert("husst", files, counts="published")["test"]) == 1_165
    folder = shared_data / "en-trec6"
    files = {"train": folder / "TREC.train.all", "test": folder / "TREC.test.all"}
    assert len(convert("trec6", files, counts="published")["train"]) == 5_452
