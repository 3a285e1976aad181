"""Data sets of several labels a text, and of a number a text: files, checks, the validation split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.datasets.stages import DataScript, DatasetStage, LabelledFiles, write_dataset
from ulmfit.datasets.tables import check_splits, split_off_validation
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner


class Tables(DatasetStage):
    """A data set of given rows: split -> columns -> values."""

    stage_name: ClassVar[str] = "tables-of-a-task"
    content: str

    def build(self, work):
        """Write what `content` holds as JSON."""
        splits = {split: pd.DataFrame(table) for split, table in json.loads(self.content).items()}
        write_dataset(work, self, splits)


def described(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text("utf-8"))


def labels(folder: Path, split: str) -> list:
    column = pq.read_table(folder / f"{split}.parquet")["label"]
    return column.to_pylist()


def text_file(path: Path, content: str) -> File:
    path.write_text(content, "utf-8")
    return File(path=path)


def multi_stage(tmp_path: Path, train: str, test: str = "text,label\nx,a\n", **fields) -> LabelledFiles:
    return LabelledFiles(
        task="multi_label",
        train=text_file(tmp_path / "train.csv", train),
        test=text_file(tmp_path / "test.csv", test),
        **fields,
    )


MULTI_TRAIN = "text,label\n" + "".join(f"text {n},{['a|b', 'b', '', ' b | a '][n % 4]}\n" for n in range(40))


def test_cells_hold_labels_with_a_separator_between_them(tmp_path):
    stage = multi_stage(tmp_path, MULTI_TRAIN, "text,label\nx,b|a\ny,\n")
    folder = Runner(tmp_path / "runs").build(stage)
    assert labels(folder, "test") == [["a", "b"], []]
    assert set(map(tuple, labels(folder, "train"))) == {("a", "b"), ("b",), ()}
    for split in ("train", "valid", "test"):
        schema = pq.read_schema(folder / f"{split}.parquet")
        assert schema.names == ["id", "text", "label"]
        assert schema.field("label").type == pa.list_(pa.string())
    content = described(folder)
    assert (content["task"], content["labels"], content["metric"]) == ("multi_label", ["a", "b"], "macro_f1")
    assert content["rows"] == {"train": 36, "valid": 4, "test": 2}


def test_another_separator_and_tsv(tmp_path):
    train = text_file(tmp_path / "train.tsv", "text\tlabel\n1\ta|b; c\n2\tc;a|b\n3\t\n")
    stage = LabelledFiles(train=train, valid=train, test=train, task="multi_label", label_separator=";")
    folder = Runner(tmp_path / "runs").build(stage)
    assert labels(folder, "train") == [["a|b", "c"], ["a|b", "c"], []]


def test_no_test_text_has_a_label(tmp_path):
    """The type of a column of empty lists is stated all the same."""
    folder = Runner(tmp_path / "runs").build(multi_stage(tmp_path, MULTI_TRAIN, "text,label\nx,\n"))
    assert pq.read_schema(folder / "test.parquet").field("label").type == pa.list_(pa.string())
    assert labels(folder, "test") == [[]]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.int64())]
)
def test_parquet_lists(tmp_path, kind):
    values = [[1, 2], [], [2], None] if kind.value_type == pa.int64() else [["1", "2"], [], ["2"], None]
    table = pa.table({"text": ["p", "q", "r", "s"], "label": pa.array(values, kind)})
    pq.write_table(table, tmp_path / "all.parquet")
    file = File(path=tmp_path / "all.parquet")
    stage = LabelledFiles(train=file, valid=file, test=file, task="multi_label")
    folder = Runner(tmp_path / "runs").build(stage)
    assert labels(folder, "test") == [["1", "2"], [], ["2"], []]
    assert described(folder)["labels"] == ["1", "2"]


def test_a_data_script_may_return_lists_or_cells(tmp_path):
    script = (
        "import pandas\n"
        "def convert(files):\n"
        "    rows = pandas.DataFrame({'text': ['p', 'q', 'r'], 'label': [['y', 'x'], 'x|z', None]})\n"
        "    return {'train': rows, 'valid': rows, 'test': rows}\n"
    )
    stage = DataScript(script=text_file(tmp_path / "made.py", script), files={}, task="multi_label")
    folder = Runner(tmp_path / "runs").build(stage)
    assert labels(folder, "train") == [["x", "y"], ["x", "z"], []]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (MULTI_TRAIN, "text,label\nx,a\ny,b|c\n", r"label 'c' in test \(id 'test-000002'\) does not occur"),
        ("text,label\np,a||b\nq,b\n", "text,label\nx,a\n", r"train, id 'train-000001': one of the labels is"),
        ("text,label\np,a\nq,b|\n", "text,label\nx,a\n", r"id 'train-000002': one of the labels is empty"),
        ("text,label\np,a|b|a\n", "text,label\nx,a\n", r"id 'train-000001': label 'a' stands twice"),
        ("text,label\np,a\nq,a\nr,\n", "text,label\nx,a\n", r"train has one label only, a"),
        ("text,label\np,\nq,\n", "text,label\nx,\n", r"train has no label at all"),
    ],
)
def test_wrong_label_lists_are_refused_in_one_line(tmp_path, train, test, message):
    with pytest.raises(InputError, match=message) as error:
        Runner(tmp_path / "runs").build(multi_stage(tmp_path, train, test))
    assert "\n" not in str(error.value)


def test_lists_where_none_belong(tmp_path):
    table = pa.table({"text": ["p", "q"], "label": [["a"], ["b"]]})
    pq.write_table(table, tmp_path / "all.parquet")
    file = File(path=tmp_path / "all.parquet")
    for task in ("single_label", "regression"):
        with pytest.raises(InputError, match=r"all.parquet .* column 'label' holds lists.*multi_label"):
            Runner(tmp_path / "runs").build(LabelledFiles(train=file, valid=file, test=file, task=task))
    frame = pd.DataFrame({"text": ["p", "q"], "label": [["a", "b"], ["b"]]})
    splits = {"train": frame, "valid": frame, "test": frame}
    with pytest.raises(InputError, match=r"id 'train-000001': the label is a list.*multi_label"):
        check_splits(splits, 0.1, print)
    with pytest.raises(InputError, match=r"id 'train-000001': the label \['a', 'b'\] is no finite number"):
        check_splits(splits, 0.1, print, task="regression")
    nested = frame.assign(label=[[["a"], "b"], ["b"]])
    with pytest.raises(InputError, match=r"id 'train-000001': a label is a list itself"):
        check_splits({"train": nested, "test": nested}, 0.1, print, task="multi_label")


# --- Regression ---------------------------------------------------------------------------------------------


def test_numbers(tmp_path):
    train = text_file(tmp_path / "train.csv", "text,label\np,3\nq,-.5\nr, 1e3 \ns,+2.50\n,nonsense\n")
    pd.DataFrame({"text": ["x", "y"], "label": [1, 2]}).to_parquet(tmp_path / "test.parquet")
    stage = LabelledFiles(
        train=train, valid=train, test=File(path=tmp_path / "test.parquet"), task="regression"
    )
    folder = Runner(tmp_path / "runs").build(stage)
    assert labels(folder, "train") == [3.0, -0.5, 1000.0, 2.5], "the row without a text is dropped"
    assert labels(folder, "test") == [1.0, 2.0]
    assert pq.read_schema(folder / "test.parquet").field("label").type == pa.float64()
    content = described(folder)
    assert (content["task"], content["labels"], content["metric"]) == ("regression", [], "pearson")


@pytest.mark.parametrize(
    "cell", ["", "nan", "inf", "-Infinity", "1e999", "3,5", "1_000", "three", "0x10", "１", "1 2", "--1", "."]
)
def test_cells_that_are_no_finite_number(tmp_path, cell):
    train = text_file(tmp_path / "train.csv", f'text,label\np,1\nq,"{cell}"\n')
    stage = LabelledFiles(train=train, valid=train, test=train, task="regression")
    with pytest.raises(
        InputError, match=r"train, id 'train-000002': the label .* is no finite number"
    ) as error:
        Runner(tmp_path / "runs").build(stage)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, float("nan")]),
        pa.array([1.0, float("-inf")]),
        pa.array([1, None]),
        pa.array([True, False]),
        pa.array([1, 2], pa.timestamp("ns")),
        pa.array([b"1", b"x"], pa.binary()),
    ],
    ids=["nan", "infinite", "empty", "truth", "time", "bytes"],
)
def test_parquet_columns_that_hold_no_finite_numbers(tmp_path, column):
    pq.write_table(pa.table({"text": ["p", "q"], "label": column}), tmp_path / "all.parquet")
    file = File(path=tmp_path / "all.parquet")
    with pytest.raises(InputError, match=r"train, id 'train-00000[12]': the label .* is no finite number"):
        Runner(tmp_path / "runs").build(LabelledFiles(train=file, valid=file, test=file, task="regression"))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([2.5, 2.5, 2.5], "train has one number only, 2.5"),
        ([1e308, -1e308, 1e308], "standard deviation of inf"),
        ([0.0, 5e-324, 5e-324], "standard deviation of 0"),
    ],
)
def test_numbers_that_cannot_be_standardised(numbers, message):
    frame = pd.DataFrame({"text": ["p", "q", "r"], "label": numbers})
    with pytest.raises(InputError, match=message):
        check_splits({"train": frame, "valid": frame, "test": frame}, 0.1, print, task="regression")


@pytest.mark.parametrize("split", ["valid", "test"])
def test_numbers_that_no_correlation_can_be_computed_of(split):
    frame = pd.DataFrame({"text": ["p", "q", "r"], "label": [1.0, 2.0, 3.0]})
    splits = {"train": frame, "valid": frame, "test": frame, split: frame.assign(label=4.0)}
    with pytest.raises(InputError, match=f"{split} has one number only, 4: expected two or more"):
        check_splits(splits, 0.1, print, task="regression")


# --- Settings -----------------------------------------------------------------------------------------------


def test_the_metric_fits_the_task():
    assert Tables(content="{}").metric == "accuracy"
    assert Tables(content="{}", task="multi_label").metric == "macro_f1"
    assert Tables(content="{}", task="regression").metric == "pearson"
    assert Tables(content="{}", task="regression", metric="r2").metric == "r2"
    assert Tables(content="{}").changed(task="multi_label").metric == "macro_f1"
    assert Tables(content="{}").changed(task="regression", metric="spearman").metric == "spearman"
    assert Tables(content="{}", task="multi_label").changed(task="regression").metric == "pearson"
    assert Tables(content="{}", task="multi_label").changed(task="single_label").metric == "accuracy"
    for task, metric in (
        ("regression", "accuracy"),
        ("single_label", "pearson"),
        ("multi_label", "accuracy"),
    ):
        with pytest.raises(ValueError, match=f"metric {metric} does not fit task {task}: expected one of"):
            Tables(content="{}", task=task, metric=metric)
    with pytest.raises(ValueError, match="positive_label is for single_label tasks"):
        Tables(content="{}", task="multi_label", positive_label="a")
    for task in ("ranking", ["regression"], 3):
        with pytest.raises(ValueError, match="task"):
            Tables(content="{}", task=task)
        with pytest.raises(ValueError, match="task"):
            Tables(content="{}").changed(task=task)


def test_single_label_data_sets_are_what_they_were(tmp_path):
    """Finished stages hold: the key and the description are those from before there were other tasks."""
    rows = {"text": [f"text {n}" for n in range(20)], "label": ["x", "y"] * 10}
    stage = Tables(content=json.dumps({"train": rows, "test": rows}))
    runner = Runner(tmp_path)
    assert runner.keys.key(stage) == "0b57c6c1eda6479d"
    folder = runner.build(stage)
    names = "name language source licence labels metric positive_label files rows warnings"
    assert set(described(folder)) == set(names.split())
    assert labels(folder, "test")[:2] == ["x", "y"]


# --- The validation split -----------------------------------------------------------------------------------

LABEL_SETS = st.lists(st.sampled_from("uvwxyz"), max_size=4, unique=True).map(sorted)
MULTI_ROWS = st.lists(st.tuples(st.sampled_from("abcdefghij"), LABEL_SETS), min_size=1, max_size=40)
NUMBER_ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefghij"), st.sampled_from([0.0, 1.0, 1.5, -1e308, 1e308, 7.0])),
    min_size=1,
    max_size=40,
)
FRACTIONS = st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.99])


def table(rows: list) -> pd.DataFrame:
    ids = [str(number) for number in range(len(rows))]
    content = {"id": ids, "text": [text for text, _ in rows]}
    return pd.DataFrame(content).assign(label=pd.Series([label for _, label in rows], dtype=object))


def check_split(rows: list, fraction: float, chance, task: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    given_rows = table(rows) if task == "multi_label" else table(rows).astype({"label": float})
    train, valid = split_off_validation(given_rows, fraction, task)
    assert sorted([*train["id"], *valid["id"]]) == sorted(given_rows["id"])
    shuffled = given_rows.sample(frac=1, random_state=chance.randrange(2**31)).reset_index(drop=True)
    assert set(split_off_validation(shuffled, fraction, task)[1]["id"]) == set(valid["id"])
    return train, valid


@given(rows=MULTI_ROWS, fraction=FRACTIONS, chance=st.randoms())
def test_every_label_stays_in_train_whatever_the_order(rows, fraction, chance):
    train, _ = check_split(rows, fraction, chance, "multi_label")
    assert {name for names in train["label"] for name in names} == {
        name for _, names in rows for name in names
    }


@given(rows=NUMBER_ROWS, fraction=FRACTIONS, chance=st.randoms())
def test_numbers_are_split_the_same_whatever_the_order(rows, fraction, chance):
    train, valid = check_split(rows, fraction, chance, "regression")
    assert len(train) >= 1
    assert (len(valid) >= 1) == (len(rows) >= 2)


def test_label_sets_keep_their_shares():
    sets = [["a"], ["a", "b"], ["b"], []]
    rows = [(f"text {n}", sets[min(n % 10, 3)]) for n in range(1000)]
    train, valid = split_off_validation(table(rows), 0.1, "multi_label")
    counts = valid["label"].map(tuple).value_counts().to_dict()
    assert counts == {("a",): 10, ("a", "b"): 10, ("b",): 10, (): 70}
    assert not set(train["text"]) & set(valid["text"])


def test_rows_of_rare_sets_are_grouped_by_their_rarest_label():
    """200 sets of two rows or fewer: alone each would give half of its rows to validation, or none."""
    rows = [(f"text {n}", sorted({f"l{n % 7}", f"m{n % 11}", f"n{n % 13}"})) for n in range(400)]
    train, valid = split_off_validation(table(rows), 0.1, "multi_label")
    assert 35 <= len(valid) <= 45
    assert {name for names in valid["label"] for name in names} == {
        name for names in train["label"] for name in names
    }


def test_numbers_come_from_everywhere():
    rows = [(f"text {n}", n * n) for n in range(300)]
    _, valid = split_off_validation(table(rows).astype({"label": float}), 0.1, "regression")
    tenths = [int(float(number) ** 0.5) // 30 for number in valid["label"]]
    assert sorted(tenths) == [tenth for tenth in range(10) for _ in range(3)]


def test_golden_rows():
    """The rows must never change: published numbers depend on them."""
    sets = [["x"], ["x", "y"], []]
    _, multi = split_off_validation(
        table([(f"text {n}", sets[n % 3]) for n in range(60)]), 0.1, "multi_label"
    )
    numbers = table([(f"text {n}", n / 7) for n in range(40)]).astype({"label": float})
    _, regression = split_off_validation(numbers, 0.1, "regression")
    assert multi["id"].tolist() == ["1", "32", "33", "36", "44", "55"]
    assert regression["id"].tolist() == ["1", "15", "27", "33"]
