"""Labelled files and data scripts, as stages."""

import bz2
import gzip
import json
import lzma
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stages_for_tests import Tables, tables

from ulmfit.datasets.stages import DataScript, LabelledFiles
from ulmfit.pipeline.assets import Catalogue, File, fetch
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

SCRIPTS = Path(__file__).parents[2] / "data_scripts"


def described(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text("utf-8"))


def texts(folder: Path, split: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{split}.parquet")


def files(tmp_path: Path, **content: bytes | str) -> dict[str, File]:
    result = {}
    for name, data in content.items():
        split, suffix = name.rsplit("_", 1)
        path = tmp_path / f"{split}.{suffix}"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        result[split] = File(path=path)
    return result


TRAIN = "text,label\n" + "".join(f"text {n},{'pos' if n % 2 else 'neg'}\n" for n in range(40))
TEST = 'label,text\npos,"a, ""quoted""\ntext"\nneg,NA\n'


def test_labelled_files(tmp_path):
    stage = LabelledFiles(**files(tmp_path, train_csv=TRAIN, test_csv=TEST), name="mine", language="en")
    folder = Runner(tmp_path / "runs").build(stage)
    train, valid, test = (texts(folder, split) for split in ("train", "valid", "test"))
    assert (len(train), len(valid)) == (36, 4)
    assert valid["label"].value_counts().to_dict() == {"pos": 2, "neg": 2}
    assert test.to_dict("list") == {
        "id": ["test-000001", "test-000002"],
        "text": ['a, "quoted"\ntext', "NA"],
        "label": ["pos", "neg"],
    }
    content = described(folder)
    assert (content["name"], content["language"], content["labels"]) == ("mine", "en", ["neg", "pos"])
    assert content["rows"] == {"train": 36, "valid": 4, "test": 2}
    assert set(content["files"]) == {"train.parquet", "valid.parquet", "test.parquet"}


def test_other_formats_and_columns(tmp_path):
    given = files(
        tmp_path,
        train_tsv='klass\tsatz\n1\tein "Zitat\n2\tzwei\n1\tdrei\n2\tvier\n',
        valid_tsv="klass\tsatz\n1\tfünf\n",
    )
    pd.DataFrame({"satz": ["sechs"], "klass": [2], "id": [7]}).to_parquet(tmp_path / "test.parquet")
    pd.DataFrame({"satz": ["sieben"]}).to_parquet(tmp_path / "more.parquet")
    stage = LabelledFiles(
        **given,
        test=File(path=tmp_path / "test.parquet"),
        unlabelled=File(path=tmp_path / "more.parquet"),
        text_column="satz",
        label_column="klass",
    )
    folder = Runner(tmp_path / "runs").build(stage)
    assert texts(folder, "train")["text"][0] == 'ein "Zitat'
    assert texts(folder, "test").iloc[0].to_dict() == {"id": "7", "text": "sechs", "label": "2"}
    assert list(texts(folder, "unlabelled").columns) == ["id", "text"]


def packed(suffix: str, content: str) -> bytes:
    if suffix != "zst":
        return {"bz2": bz2, "gz": gzip, "xz": lzma}[suffix].compress(content.encode())
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content.encode())
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("suffix", ["bz2", "gz", "xz", "zst"])
def test_compressed_files_are_read_as_their_content_is(tmp_path, suffix):
    (tmp_path / f"train.csv.{suffix}").write_bytes(packed(suffix, TRAIN))
    given = files(tmp_path, test_csv=TEST)
    plain = LabelledFiles(**given, **files(tmp_path, train_csv=TRAIN))
    stage = LabelledFiles(**given, train=File(path=tmp_path / f"train.csv.{suffix}"))
    stage.check_files()
    runner = Runner(tmp_path / "runs")
    assert described(runner.build(stage))["files"] == described(runner.build(plain))["files"]


def test_json_is_labelled_data(tmp_path):
    lines = [{"text": f"text {n}", "label": ["a", "b"] if n % 2 else ["b"]} for n in range(20)]
    given = files(
        tmp_path,
        train_jsonl="".join(json.dumps(line) + "\n" for line in lines),
        test_json=json.dumps(
            [{"text": "x", "label": None, "id": 7}, {"text": None, "label": "a|b", "id": 8}]
        ),
    )
    folder = Runner(tmp_path / "runs").build(LabelledFiles(**given, task="multi_label"))
    test = texts(folder, "test")
    assert test["id"].tolist() == ["7", "8"] and test["text"].tolist() == ["x", ""]
    assert [list(labels) for labels in test["label"]] == [[], ["a", "b"]]
    with pytest.raises(InputError, match=r"train.jsonl, row 1: column 'label' holds lists: only labels may"):
        Runner(tmp_path / "runs").build(LabelledFiles(**given))


def test_a_split_in_several_files(tmp_path):
    given = files(tmp_path, a_csv="text,label\na,x\nb,y\n", b_jsonl='{"text": "c", "label": "x"}\n')
    given |= files(tmp_path, c_csv="text,label,id\nd,x,1\n", test_csv="text,label\ne,x\nf,y\n")
    valid = File(path=tmp_path / "test.csv")
    stage = LabelledFiles(train=(given["a"], given["b"]), valid=valid, test=given["test"])
    found = texts(Runner(tmp_path / "runs").build(stage), "train")
    assert found["text"].tolist() == ["a", "b", "c"]
    assert found["id"].tolist() == ["train-000001", "train-000002", "train-000003"]
    mixed = stage.changed(train=(given["a"], given["c"]))
    with pytest.raises(InputError, match=r"c.csv has ids, a.csv has none: give every file of a split ids"):
        Runner(tmp_path / "runs").build(mixed)
    with pytest.raises(ValueError, match="train is an empty list"):
        stage.changed(train=())


def test_files_without_a_header(tmp_path):
    given = files(tmp_path, train_tsv="x\ta\ny\tb\nx\tc\ny\td\n", test_tsv="x\te\n")
    stage = LabelledFiles(**given, columns=("label", "text"))
    stage.check_files()
    assert texts(Runner(tmp_path / "runs").build(stage), "test")["text"].tolist() == ["e"]
    with pytest.raises(InputError, match=r"no column 'text', only x, a: .* if the first line is no header"):
        LabelledFiles(**given).check_files()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.xlsx", b"PK", "train.xlsx is of no known kind: expected a name that ends in .csv, .tsv"),
        ("train.parquet.gz", b"", "Parquet files compress themselves: unpack it"),
        ("train.parquet", b"PAR1", "cannot be read as Parquet"),
        ("train.csv", b"words,label\na,b\n", "has no column 'text', only words, label"),
        ("train.csv", b"text,label\na,b,c\n", "line 2: 3 fields"),
        ("train.json", b"{}", "line 1 has no column 'text', only none"),
        ("train.csv.gz", b"text,label\na,b\n", "train.csv.gz is damaged or cut off"),
    ],
)
def test_files_of_a_wrong_kind_are_seen_without_building(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    stage = LabelledFiles(train=File(path=tmp_path / name), **files(tmp_path, test_csv=TEST))
    with pytest.raises(InputError, match=message):
        stage.check_files()
    catalogued = LabelledFiles(train=File(name="a.zip", sha256="0" * 64), test=stage.test)
    with pytest.raises(InputError, match=r"a\.zip is of no known kind"):
        catalogued.check_files()


COMPOSED, DECOMPOSED = "sch\u00f6n", "scho\u0308n"


def test_labels_are_composed_and_spellings_that_merge_are_told(tmp_path):
    train = {"text": ["a", "b", "c", "d"], "label": [COMPOSED, DECOMPOSED, "x", "x"]}
    test = {"text": ["e"], "label": [DECOMPOSED]}
    folder = Runner(tmp_path).build(tables(train=train, valid=test, test=test))
    assert described(folder)["labels"] == [COMPOSED, "x"]
    told = f"labels that differ in Unicode's composition alone are one label each: {COMPOSED!r} (2 spellings)"
    assert told in described(folder)["warnings"]
    several = {"text": ["a", "b"], "label": [f"{COMPOSED}|x", [DECOMPOSED]]}
    multi = tables(train=several, valid=several, test=several).changed(task="multi_label")
    folder = Runner(tmp_path).build(multi)
    assert described(folder)["labels"] == [COMPOSED, "x"] and told in described(folder)["warnings"]
    positive = tables().changed(metric="binary_f1", positive_label=DECOMPOSED)
    assert positive.positive_label == COMPOSED


def test_one_spelling_is_not_told(tmp_path):
    rows = {"text": ["a", "b"], "label": [DECOMPOSED, "x"]}
    folder = Runner(tmp_path).build(tables(train=rows, valid=rows, test=rows))
    assert not any("composition" in warning for warning in described(folder)["warnings"])


def test_texts_have_plain_white_space(tmp_path):
    rows = {"text": ["a\rb\x85c\u00a0d\te\r\n", "f"], "label": ["x", "y"]}
    folder = Runner(tmp_path).build(tables(train=rows, valid=rows, test=rows))
    assert texts(folder, "train")["text"][0] == "a\nb\nc d\te\n"


def test_a_test_split_without_any_text_is_refused(tmp_path):
    rows = {"text": ["a", "b"], "label": ["x", "y"]}
    with pytest.raises(InputError, match="test holds no text"):
        Runner(tmp_path).build(
            tables(train=rows, valid=rows, test={"text": [" ", None], "label": ["x", "y"]})
        )


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (False, ["gut sehr gern", "nur Titel", "nur Text"]),
        (True, ["xxfld 1 gut xxfld 2 sehr gern", "xxfld 1 nur Titel xxfld 2 ", "xxfld 1  xxfld 2 nur Text"]),
    ],
)
def test_a_text_may_stand_in_several_columns(tmp_path, marks, expected):
    rows = "title,body,label\ngut,sehr gern,a\nnur Titel,,b\n,nur Text,a\n,,b\n"
    stage = LabelledFiles(
        **files(tmp_path, train_csv=rows, valid_csv=rows, test_csv=rows),
        text_column=("title", "body"),
        field_marks=marks,
    )
    folder = Runner(tmp_path / "runs").build(stage)
    assert texts(folder, "train")["text"].tolist() == expected, "a row without any text is dropped"
    with pytest.raises(InputError, match=r"train.csv.* no column 'head', .* in text_column"):
        Runner(tmp_path / "runs").build(stage.changed(text_column=("title", "head")))


@pytest.mark.parametrize(
    ("text_column", "marks", "expected"),
    [
        ("text", True, "xxfld 1 a"),
        (("head", "text"), True, "xxfld 1 H xxfld 2 a"),
        (("text", "head"), False, "a H"),
    ],
)
def test_the_texts_of_a_script_may_stand_in_several_columns(tmp_path, text_column, marks, expected):
    script = SCRIPT.replace('rows["label"]', 'rows["head"] = "H"\n    rows["label"]')
    stage = script_stage(tmp_path, script).changed(text_column=text_column, field_marks=marks)
    assert texts(Runner(tmp_path / "runs").build(stage), "test")["text"][0] == expected
    with pytest.raises(InputError, match="has no column 'tail', only text, head, label"):
        Runner(tmp_path / "runs").build(stage.changed(text_column="tail"))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("text,klass\na,b\n", r"train.csv has no column 'label', only text, klass"),
        (
            "text,label\nMünchen,x\n".encode("latin1"),
            r"csv: byte 0xfc at offset 12 \(line 2\) is not UTF-8.*iconv",
        ),
        ("text,label\na,b,c\n", r"line 2: 3 fields, but the header has 2"),
        ('text,label\n"a,b\n', r"train.csv, line 2: unexpected end of data"),
        ("", "first line has to name the columns"),
        ("text;label\na;b\n", r"train.csv: the columns seem to be separated by ';'; expected ','"),
        ('"text";"label"\n"a, b";"c"\n', r"train.csv: the columns seem to be separated by ';'"),
        ("text\tlabel\na\tb\n", r"train.csv: the columns seem to be separated by '\\t'; expected ','"),
        (
            "text,label\na,b\n".encode("utf-16"),
            r"train.csv is UTF-16, expected UTF-8 text; convert it: iconv",
        ),
        (b"PK\x03\x04 xl/workbook", r"train.csv is a zip archive \(as .xlsx and .docx are\), expected UTF-8"),
        ("text,label\n", "train holds no text"),
        ("text,label\na,b\nc,\n", "id 'train-000002': the label is missing"),
        ("text,label\na,pos\nb,pos\n", "label 'neg' in test .* does not occur in train, which has pos"),
        ("text,label,id\na,pos,1\nb,neg,1\n", "id '1' stands twice"),
        ("text,label\na,pos\nb,neg\n", "too small to make a validation split"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path, train, message):
    stage = LabelledFiles(**files(tmp_path, train_csv=train, test_csv=TEST))
    with pytest.raises(InputError, match=message) as error:
        Runner(tmp_path / "runs").build(stage)
    assert "\n" not in str(error.value)


def test_damaged_and_unknown_files_are_refused(tmp_path):
    given = files(tmp_path, train_parquet="PAR1 garbage", test_xlsx="x")
    with pytest.raises(InputError, match=r"train.parquet cannot be read as Parquet"):
        Runner(tmp_path / "runs").build(LabelledFiles(**given))
    with pytest.raises(InputError, match=r"test.xlsx is of no known kind"):
        Runner(tmp_path / "runs").build(LabelledFiles(train=given["test"], test=given["test"]))


def test_parquet_columns_are_read_as_they_are(tmp_path):
    train = pa.table(
        {
            "text": pa.array([f"Straße {n}".encode() for n in range(20)], pa.binary()),
            "label": pa.array(["a", "b"] * 10).dictionary_encode(),
            "id": pa.array([f"n{n}" for n in range(20)], pa.large_string()),
        }
    ).replace_schema_metadata({b"pandas": b'{"index_columns": ["id"], "columns": []}'})
    folder = tmp_path / "label=x"
    folder.mkdir()
    pq.write_table(train, folder / "train.parquet")
    stage = LabelledFiles(
        train=File(path=folder / "train.parquet"), **files(tmp_path, test_csv="text,label\nc,a\n")
    )
    found = texts(Runner(tmp_path / "runs").build(stage), "train")
    assert set(found["label"]) == {"a", "b"}
    assert found["id"][0] == "n" + found["text"][0].removeprefix("Straße ")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"\xff\xfe"] * 4, pa.binary()), "UTF8|utf8|UTF-8"),
        (pa.array([["a"]] * 4), "list"),
        (
            pa.Array.from_buffers(
                pa.string(), 4, [None, pa.py_buffer(bytes(16) + b"\1\0\0\0"), pa.py_buffer(b"\xff")]
            ),
            "UTF8|utf8|UTF-8",
        ),
    ],
    ids=["bytes", "lists", "damaged strings"],
)
def test_columns_that_hold_no_text_are_refused(tmp_path, column, message):
    pq.write_table(pa.table({"text": column, "label": ["a", "b"] * 2}), tmp_path / "train.parquet")
    stage = LabelledFiles(train=File(path=tmp_path / "train.parquet"), **files(tmp_path, test_csv=TEST))
    with pytest.raises(InputError, match=rf"train.parquet cannot be read as Parquet: .*({message})") as error:
        Runner(tmp_path / "runs").build(stage)
    assert "\n" not in str(error.value)


def test_positive_label_is_checked(tmp_path):
    with pytest.raises(ValueError, match="binary_f1 needs positive_label"):
        Tables(content="{}", metric="binary_f1")
    stage = tables(train=ROWS, valid=ROWS, test=ROWS).changed(metric="binary_f1", positive_label="z")
    with pytest.raises(InputError, match="positive_label 'z' is no label"):
        Runner(tmp_path).build(stage)


ROWS = {"text": ["e\u0301", "b", " "], "label": [1, 2, 1]}


def test_texts_are_composed_and_empty_ones_dropped_but_from_test_with_a_warning(tmp_path):
    folder = Runner(tmp_path).build(tables(train=ROWS, valid=ROWS, test=ROWS))
    assert texts(folder, "train").to_dict("list") == {
        "id": ["train-000001", "train-000002"],
        "text": ["é", "b"],
        "label": ["1", "2"],
    }
    warnings = described(folder)["warnings"]
    assert "train: 1 of 3 rows dropped, they have no text: train-000003" in warnings
    assert "test: 1 of 3 rows are predicted as empty texts, they have no text: test-000003" in warnings
    assert texts(folder, "test")["id"].tolist() == ["test-000001", "test-000002", "test-000003"]
    assert "test: 2 of 3 texts stand in train as well" in warnings


SCRIPT = """
import pandas as pd

def convert(files, twice="no"):
    text = files["all"].read_text()
    rows = pd.DataFrame({"text": text.split() * (2 if twice == "yes" else 1)})
    rows["label"] = rows["text"].str.len()
    return {"train": rows, "test": rows}
"""


def script_stage(tmp_path: Path, script: str = SCRIPT, **options: str) -> DataScript:
    (tmp_path / "odd-name 1.py").write_text(script, "utf-8")
    (tmp_path / "all.txt").write_text("a bb cc d", "utf-8")
    return DataScript(
        script=File(path=tmp_path / "odd-name 1.py"),
        files={"all": File(path=tmp_path / "all.txt")},
        options=options,
    )


def test_data_script(tmp_path):
    before = set(sys.modules)
    runner = Runner(tmp_path / "runs")
    once, twice = runner.build(script_stage(tmp_path)), runner.build(script_stage(tmp_path, twice="yes"))
    assert described(once)["rows"]["test"] == 4
    assert described(twice)["rows"]["test"] == 8
    assert described(once)["labels"] == ["1", "2"]
    assert not [name for name in set(sys.modules) - before if "data_script" in name or "odd" in name]


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        (SCRIPT, {"thrice": "yes"}, "no option 'thrice'; it has twice"),
        ("x = 1", {}, "no function convert"),
        ("x = ", {}, "odd-name 1.py failed: SyntaxError"),
        ("def convert(files): return {'train': files['no']}", {}, "failed: KeyError: 'no'"),
        ("import pandas\ndef convert(files): return {'dev': pandas.DataFrame()}", {}, "no split 'dev'"),
        ("def convert(files): return {}", {}, "no train split"),
        ("def convert(files): return {'train': 5}", {}, "has to return a pandas table"),
    ],
)
def test_wrong_scripts_are_refused_in_one_line(tmp_path, script, options, message):
    with pytest.raises(InputError, match=message) as error:
        Runner(tmp_path / "runs").build(script_stage(tmp_path, script, **options))
    assert "\n" not in str(error.value)


def published(name: str, assets: tuple[str, ...], **options: str) -> DataScript:
    catalogue = Catalogue(SCRIPTS / "assets.toml")
    given = {key.split("/")[1]: catalogue[key] for key in assets}
    return DataScript(script=File(path=SCRIPTS / f"{name}.py"), files=given, options=options)


def test_every_catalogued_file_is_the_published_one(shared_data, tmp_path):
    catalogue = Catalogue(SCRIPTS / "assets.toml")
    for key in catalogue:
        file = catalogue[key]
        assert file.licence and file.source
        # A hash that nobody here has seen is noted at the first download.
        assert file.sha256 or file.url
        if file.sha256:
            assert fetch(file, tmp_path, shared_data, print).is_relative_to(shared_data)
        assert not file.url or file.url.endswith(f"/{file.name}")
    assert not list(tmp_path.iterdir())


def test_germeval2018(tmp_path, shared_data):
    assets = ("germeval2018/train", "germeval2018/test")
    runner = Runner(tmp_path, mirror=shared_data)
    coarse = runner.build(published("germeval2018", assets))
    fine = runner.build(published("germeval2018", assets, task="fine"))
    assert described(coarse)["rows"] == described(fine)["rows"] == {"train": 4508, "valid": 501, "test": 3532}
    assert described(coarse)["labels"] == ["OFFENSE", "OTHER"]
    assert described(fine)["labels"] == ["ABUSE", "INSULT", "OTHER", "PROFANITY"]
    assert described(coarse)["licence"] == "CC BY 4.0"
    every = pd.concat([texts(coarse, split) for split in ("train", "valid", "test")])
    assert every["text"].str.contains("\n").sum() > 500
    assert not every["text"].str.contains("|LBR|", regex=False).any()
    assert every["id"].is_unique


@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [
        ("wccrs_hotels", {"train": 12435, "valid": 1555, "test": 1554}, 4),
        ("8tags", {"train": 40001, "valid": 5000, "test": 4372}, 8),
    ],
)
def test_polish_sets(tmp_path, shared_data, name, rows, labels):
    key = name.replace("_", "-")
    stage = published(name, (f"{key}/train", f"{key}/valid", f"{key}/test"))
    folder = Runner(tmp_path, mirror=shared_data).build(stage)
    assert described(folder)["rows"] == rows
    assert described(folder)["labels"] == [str(label) for label in range(labels)]
    if name == "wccrs_hotels":
        test = "test: 1 of 1554 texts stand in train as well"
        assert test in described(folder)["warnings"]


def test_ylilauta(tmp_path, shared_data):
    runner = Runner(tmp_path, mirror=shared_data)
    for size in (100, 316, 1000):
        files = ("ylilauta/valid", "ylilauta/test")
        stage = published("ylilauta", (f"ylilauta/train-{size}", *files))
        given = {"train": stage.files[f"train-{size}"], **{n: stage.files[n] for n in ("valid", "test")}}
        folder = runner.build(stage.changed(files=given))
        assert described(folder)["rows"] == {"train": size * 10, "valid": 10_000, "test": 10_000}
        assert set(texts(folder, "test")["label"].value_counts()) == {1000}


def test_ylilauta_names_a_line_that_has_no_topic(tmp_path):
    (tmp_path / "train.txt").write_text("__label__sota yksi kaksi\nkolme\n", encoding="utf-8")
    stage = DataScript(
        script=File(path=SCRIPTS / "ylilauta.py"), files={"train": File(path=tmp_path / "train.txt")}
    )
    with pytest.raises(InputError, match=r"train.txt, line 2: expected __label__TOPIC and a text"):
        Runner(tmp_path / "runs").build(stage)
