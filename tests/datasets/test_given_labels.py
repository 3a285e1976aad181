"""Training labels from another classifier's file: what is replaced, dropped, refused and told."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from ulmfit.datasets.given_labels import GivenLabels
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

TRAIN = [("t1", "gut", "pos"), ("t2", "schlecht", "neg"), ("t3", "schön", "pos"), ("t4", "übel", "neg")]
VALID = [("v1", "fein", "pos"), ("v2", "mies", "neg")]
TEST = [("x1", "toll", "pos"), ("x2", "öde", "neg")]
ALL_IDS = "id,label\nt1,pos\nt2,pos\nt3,neg\nt4,neg\n"


def written(path: Path, rows: list[tuple[str, str, str]]) -> File:
    pd.DataFrame(rows, columns=["id", "text", "label"]).to_csv(path, index=False)
    return File(path=path)


@pytest.fixture
def dataset(tmp_path: Path) -> LabelledFiles:
    parts = {"train": TRAIN, "valid": VALID, "test": TEST}
    return LabelledFiles(**{name: written(tmp_path / f"{name}.csv", rows) for name, rows in parts.items()})


def stage(dataset: LabelledFiles, tmp_path: Path, content: str | bytes, **settings) -> GivenLabels:
    path = tmp_path / settings.pop("file", "teacher.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return GivenLabels.of(dataset, labels=File(path=path), **settings)


def built(runner: Runner, one: GivenLabels) -> dict[str, list[tuple[str, str, str]]]:
    folder = runner.build(one)
    return {
        split: list(pd.read_parquet(folder / f"{split}.parquet").itertuples(index=False, name=None))
        for split in ("train", "valid", "test")
    }


def test_training_labels_are_the_files(dataset: LabelledFiles, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    one = stage(dataset, tmp_path, ALL_IDS)
    splits = built(runner, one)
    assert splits["train"] == [
        ("t1", "gut", "pos"),
        ("t2", "schlecht", "pos"),
        ("t3", "schön", "neg"),
        ("t4", "übel", "neg"),
    ]
    assert (splits["valid"], splits["test"]) == (VALID, TEST)
    assert one.record_label == "labels from teacher.csv"
    folder = runner.folder(one)
    described = read_json(folder / "dataset.json")
    assert described["labels"] == ["neg", "pos"]
    assert described["name"].endswith("labels from teacher.csv")
    assert described["rows"] == {"train": 4, "valid": 2, "test": 2}
    assert read_json(folder / "given-labels.json") == {
        "labels": "teacher.csv",
        "minimum_confidence": 0.0,
        "train": {"texts": 4, "dropped": 0, "counts": {"neg": 2, "pos": 2}, "agreement": 0.5},
    }


def test_texts_without_a_label_are_counted_and_left_to_the_language_model(
    dataset: LabelledFiles, tmp_path: Path
) -> None:
    runner = Runner(tmp_path / "runs")
    content = "id,label,probability\nt1,pos,0.9\nt2,neg,0.4\nt3,,\nt4,neg,0.5\n"
    one = stage(dataset, tmp_path, content, minimum_confidence=0.5)
    assert [row[0] for row in built(runner, one)["train"]] == ["t1", "t4"]
    manifest = runner.manifest(one)
    assert manifest is not None and manifest["warnings"] == [
        "train: 2 of 4 texts are unlabelled now, teacher.csv has no label for them of probability 0.5 or more"
    ]
    assert manifest["warnings"][0] in read_json(runner.folder(one) / "dataset.json")["warnings"]
    unlabelled = pd.read_parquet(runner.folder(one) / "unlabelled.parquet")
    assert unlabelled.to_dict("list") == {"id": ["train/t2", "train/t3"], "text": ["schlecht", "schön"]}
    assert one.record_label == "labels from teacher.csv, probability 0.5 or more"
    report = read_json(runner.folder(one) / "given-labels.json")
    assert report["train"] == {"texts": 2, "dropped": 2, "counts": {"neg": 1, "pos": 1}, "agreement": 1.0}


def test_unlabelled_texts_stay(dataset: LabelledFiles, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("id,text\nu1,mehr\n")
    dataset = dataset.changed(unlabelled=File(path=tmp_path / "more.csv"))
    runner = Runner(tmp_path / "runs")
    for content, expected in (
        (ALL_IDS, ["u1"]),
        ("id,label\nt1,pos\nt2,neg\n", ["u1", "train/t3", "train/t4"]),
    ):
        folder = runner.build(stage(dataset, tmp_path, content))
        assert pd.read_parquet(folder / "unlabelled.parquet")["id"].tolist() == expected
        assert read_json(folder / "dataset.json")["rows"]["unlabelled"] == len(expected)


def test_validation_by_choice_and_other_columns(dataset: LabelledFiles, tmp_path: Path) -> None:
    content = "nr\tklasse\nt1\tpos\nt2\tneg\nv1\tneg\nx1\tneg\n"
    names = {"id_column": "nr", "label_column": "klasse", "file": "teacher.tsv"}
    runner = Runner(tmp_path / "runs")
    splits = built(runner, stage(dataset, tmp_path, content, validation=True, **names))
    assert [(row[0], row[2]) for row in splits["train"]] == [("t1", "pos"), ("t2", "neg")]
    assert splits["valid"] == [("v1", "fein", "neg")]
    # A label for a test text is known, and not used.
    assert splits["test"] == TEST
    assert built(runner, stage(dataset, tmp_path, content, **names))["valid"] == VALID


def test_texts_are_matched_in_nfc(dataset: LabelledFiles, tmp_path: Path) -> None:
    content = unicodedata.normalize("NFD", "text,label\nschön,neg\ngut,pos\nschön,neg\n")
    splits = built(Runner(tmp_path / "runs"), stage(dataset, tmp_path, content, match="text"))
    assert splits["train"] == [("t1", "gut", "pos"), ("t3", "schön", "neg")]


def test_parquet_with_numbers(dataset: LabelledFiles, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"id": ["t1", "t2", "t3"], "label": ["pos", "neg", None], "probability": [1, 0.25, None]}
    )
    table.to_parquet(tmp_path / "teacher.parquet")
    one = stage(dataset, tmp_path, (tmp_path / "teacher.parquet").read_bytes(), file="teacher.parquet")
    assert [row[0] for row in built(Runner(tmp_path / "runs"), one)["train"]] == ["t1", "t2"]


def test_the_data_sets_own_training_labels_change_nothing_but_the_report(tmp_path: Path) -> None:
    folders = []
    for name, train in (
        ("a", TRAIN),
        ("b", [(i, t, "neg" if label == "pos" else "pos") for i, t, label in TRAIN]),
    ):
        where = tmp_path / name
        where.mkdir()
        parts = {"train": train, "valid": VALID, "test": TEST}
        files = {split: written(where / f"{split}.csv", rows) for split, rows in parts.items()}
        content = "id,label\n" + "".join(f"{name},{label}\n" for name, _, label in TRAIN)
        folders.append(Runner(where / "runs").build(stage(LabelledFiles(**files), where, content)))
    for name in ("train.parquet", "valid.parquet", "test.parquet"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert [read_json(folder / "given-labels.json")["train"]["agreement"] for folder in folders] == [1, 0]


@pytest.mark.parametrize(
    ("content", "settings", "fault"),
    [
        ("id,label\nt1,pos\nt9,neg\n", {}, r"row 2: id 't9' does not occur in the data set"),
        ("id,label\nt1,pos\nt2,so\n", {}, r"row 2: label 'so' is not one of neg, pos"),
        ("id,label\nt1,pos\nt1,pos\n", {}, r"row 2: id 't1' stands twice"),
        ("text,label\ngut,pos\ngut,neg\n", {"match": "text"}, r"row 2: text 'gut' stands twice"),
        ("text,label\ngutt,pos\n", {"match": "text"}, "text 'gutt' does not occur"),
        ("id,label\nt1,pos\nt2,pos\n", {}, "gives label 'neg' to no training text"),
        ("id,label\n", {}, "gives label 'neg' to no training text"),
        ("id,label\nt1,pos\nt2,neg\n", {"validation": True}, "no label for any valid text"),
        ("id,label\nt1,pos\n", {"minimum_confidence": 0.5}, "has no column 'probability'"),
        ("id,label,probability\nt1,pos,1.5\n", {}, "row 1: the probability is '1.5'"),
        ("id,label,probability\nt1,pos,nan\n", {}, "row 1: the probability is 'nan'"),
        ("id,label,probability\nt1,pos,\n", {}, "row 1: the probability is ''"),
        ("id,label,probability\nt1,pos,high\n", {}, "row 1: the probability is 'high'"),
        ("id,klasse\nt1,pos\n", {}, "has no column 'label'"),
        ("label\npos\n", {}, "has no column 'id'"),
        ("", {}, "the first line has to name the columns"),
        (b"id,label\nt1,\xff\n", {}, "is not UTF-8"),
        ("{}", {"file": "teacher.doc"}, "of no known kind"),
        ("{}", {"file": "teacher.json"}, "teacher.json, line 1 has no column 'id', only none"),
    ],
)
def test_what_is_refused(dataset: LabelledFiles, tmp_path: Path, content, settings: dict, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        Runner(tmp_path / "runs").build(stage(dataset, tmp_path, content, **settings))
    assert "\n" not in str(caught.value)


def test_an_id_of_two_splits_is_ambiguous(tmp_path: Path) -> None:
    parts = {"train": TRAIN, "valid": [("t1", "fein", "pos"), ("v2", "mies", "neg")], "test": TEST}
    files = {name: written(tmp_path / f"{name}.csv", rows) for name, rows in parts.items()}
    with pytest.raises(InputError, match="id 't1' stands in train and valid: set match to text"):
        Runner(tmp_path / "runs").build(stage(LabelledFiles(**files), tmp_path, ALL_IDS))


def test_settings_that_have_no_effect(dataset: LabelledFiles, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="text_column has no effect on match id"):
        stage(dataset, tmp_path, ALL_IDS, text_column="satz")
    with pytest.raises(ValidationError, match="id_column has no effect on match text"):
        stage(dataset, tmp_path, ALL_IDS, match="text", id_column="nr")
