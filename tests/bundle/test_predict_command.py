"""`ulmfit bundle`, `predict` and `evaluate`: from lines and tables to lines, CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas
import pyarrow.parquet
import pytest
from bundles_for_tests import ROWS, Made

from ulmfit import TextClassifier
from ulmfit.bundle import predict as prediction
from ulmfit.bundle.inputs import rows_of
from ulmfit.bundle.predict import predicted
from ulmfit.cli.app import app
from ulmfit.pipeline.errors import InputError


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return what calls a command with some standard input and gives its output and errors."""

    def call(*arguments: object, given: bytes = b"") -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        capsys.readouterr()
        app([str(one) for one in arguments], standalone_mode=False)
        captured = capsys.readouterr()
        return captured.out, captured.err

    return call


def predict(made: Made, *arguments: object) -> list[object]:
    return ["predict", made.folder, "--device", "cpu", *arguments]


def test_lines_of_standard_input_become_labels(single_label: Made) -> None:
    """As a user calls it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ulmfit", "predict", str(single_label.folder)],
        input="kalomi\n\nłódź dusapo\n",
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        encoding="utf-8",
    )
    expected = TextClassifier.load(single_label.folder).predict(["kalomi", "łódź dusapo"])
    first, second, third = done.stdout.splitlines()
    assert [first.split("\t")[0], second, third.split("\t")[0]] == [expected[0], "", expected[1]]
    assert done.stderr.strip() == "no text in row 2: no prediction there"
    assert done.returncode == 0


def test_csv_has_every_probability(every_task: Made, run, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "labels.csv"
    run(*predict(every_task, every_task.table, "--out", out))
    found = pandas.read_csv(out, keep_default_na=False)
    classifier = TextClassifier.load(every_task.folder, device="cpu")
    given = pandas.read_csv(every_task.table)
    expected = classifier.predict(given["text"].tolist())
    assert found["id"].tolist() == given["id"].tolist()
    task = every_task.recipe.dataset.task
    if task == "regression":
        assert found["value"].tolist() == pytest.approx(expected, rel=1e-4)
    elif task == "multi_label":
        assert found["labels"].tolist() == ["|".join(labels) for labels in expected]
    else:
        assert found["label"].tolist() == expected
        assert (found[["p(no)", "p(yes)"]].max(axis=1) == found["probability"]).all()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"])
def test_tables_of_every_kind_give_the_same(single_label: Made, run, tmp_path: Path, suffix: str) -> None:
    table = pandas.read_csv(single_label.table).rename(columns={"text": "body", "id": "number"})
    path = tmp_path / f"texts{suffix}"
    if suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    output, _ = run(
        *predict(single_label, path, "--text-column", "body", "--id-column", "number", "--format", "jsonl")
    )
    rows = [json.loads(line) for line in output.splitlines()]
    labels = TextClassifier.load(single_label.folder, device="cpu").predict(table["body"].tolist())
    assert [row["id"] for row in rows] == table["number"].tolist()
    assert [row["label"] for row in rows] == labels


def test_missing_and_empty_texts_are_told_by_row(single_label: Made, run, tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    pandas.DataFrame({"id": [7, 8, 9], "text": ["kalomi", None, "  "]}).to_parquet(path)
    output, errors = run(*predict(single_label, path, "--format", "jsonl"))
    rows = [json.loads(line) for line in output.splitlines()]
    assert [row.get("error") for row in rows] == [None, "row 2 has no text", "row 3 has no text"]
    assert [row["id"] for row in rows] == ["7", "8", "9"]
    assert errors.strip() == "no text in row 2, 3: no prediction there"
    output, _ = run(*predict(single_label, path, "--format", "csv"))
    assert [len(row) for row in csv.reader(io.StringIO(output))] == [5, 5, 5, 5]


def test_words_are_explained(every_task: Made, run) -> None:
    output, _ = run(*predict(every_task, "--explain"), given=b"kalomi dusapo\n")
    assert [line.split()[-1] for line in output.splitlines()[1:]] == ["kalomi", "dusapo"]
    with pytest.raises(InputError, match="no place for words"):
        run(*predict(every_task, "--explain", "--format", "csv"), given=b"kalomi\n")


def test_a_text_without_words_is_predicted_and_not_explained(single_label: Made, run) -> None:
    output, _ = run(*predict(single_label, "--explain"), given=b"kalomi\n\x01\ndusapo\n")
    assert [line.startswith("  ") for line in output.splitlines()] == [False, True, False, False, True]
    output, _ = run(*predict(single_label, "--explain", "--format", "jsonl"), given=b"kalomi\n\x01\n")
    explained = [json.loads(line) for line in output.splitlines()]
    assert [len(one["words"]) for one in explained] == [1, 0] and explained[1]["explained"] == ""


def test_memory_is_bounded_by_blocks(single_label: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows are read than a block ahead of what was predicted."""
    monkeypatch.setattr(prediction, "MOST_ROWS", 4)
    classifier = TextClassifier.load(single_label.folder, device="cpu")
    read = 0

    def counted():
        nonlocal read
        for row in rows_of(single_label.table, ["text"]):
            read += 1
            yield row

    ends = []
    numbers = []
    for block in predicted(classifier, counted()):
        ends.append(read)
        numbers += [one.number for one in block]
    assert ends == list(range(4, ROWS + 1, 4))
    assert numbers == list(range(1, ROWS + 1))


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.csv", "text,label\nkalomi\n", r"line 2: 1 fields, but the header has 2"),
        ("a.csv", "body\nkalomi\n", "has no column 'text', only body"),
        ("a.txt", "kalomi\n", "is no table: expected a name that ends in .csv"),
        ("a.parquet", "kalomi\n", "cannot be read as Parquet"),
        ("a.jsonl", '{"text": ["a"]}\n', "row 1: the text is a list"),
    ],
)
def test_input_that_is_wrong(
    single_label: Made, run, tmp_path: Path, name: str, content: str, fault: str
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=fault):
        run(*predict(single_label, tmp_path / name, "--out", tmp_path / "labels.csv"))
    assert not (tmp_path / "labels.csv").exists()


def test_evaluate_says_the_metrics_of_the_table(single_label: Made, run, tmp_path: Path) -> None:
    output, _ = run("evaluate", single_label.folder, single_label.table, "--device", "cpu")
    assert output.split()[0] == "accuracy"
    (tmp_path / "other.csv").write_text("text,label\nkalomi,maybe\n", "utf-8")
    with pytest.raises(InputError, match=r"row 1: label 'maybe' is none of the classifier's.*no, yes"):
        run("evaluate", single_label.folder, tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("text,label\n", "utf-8")
    with pytest.raises(InputError, match="has no rows"):
        run("evaluate", single_label.folder, tmp_path / "empty.csv")


def test_options_that_do_not_fit(single_label: Made, run) -> None:
    for arguments, fault in (
        (["--format", "xml"], "--format xml: expected lines, csv, jsonl"),
        (["--precision", "fp8"], "--precision fp8: expected run"),
        (["--text-column", "body"], "standard input has lines, no columns"),
    ):
        with pytest.raises(InputError, match=fault):
            run(*predict(single_label, *arguments), given=b"kalomi\n")


def test_bytes_of_a_table_are_read_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "bytes.parquet"
    pandas.DataFrame({"text": ["zażółć".encode()], "id": [b"a"]}).to_parquet(path)
    assert [(row.id, row.text) for row in rows_of(path, ("text",))] == [("a", "zażółć")]
    pandas.DataFrame({"text": [b"\xff"]}).to_parquet(path)
    with pytest.raises(InputError, match="cannot be read as Parquet: 'utf-8' codec can't decode"):
        list(rows_of(path, ("text",)))


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    pyarrow.parquet.write_table(pyarrow.table([["a"], ["b"]], names=["text", "text"]), path)
    with pytest.raises(InputError, match="has the column 'text' twice: expected one"):
        list(rows_of(path, ("text",)))
