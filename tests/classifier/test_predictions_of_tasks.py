"""Multi-label and regression predictions: checks, files, thresholds, averages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from ulmfit.classifier.multi_label import tune_thresholds
from ulmfit.classifier.predictions import (
    MultiLabelPredictions,
    RegressionPredictions,
    SingleLabelPredictions,
    average,
    average_splits,
    read_predictions,
    write_predictions,
)
from ulmfit.datasets.task import task_of
from ulmfit.pipeline.errors import InputError

LABELS = ["a", "b"]
MULTI = {"task": "multi_label", "labels": LABELS}
REGRESSION = {"task": "regression", "labels": []}
SINGLE = {"labels": LABELS}


def read(path: Path, description: dict):
    """Read predictions on the data set of a `dataset.json`."""
    return read_predictions(path, description["labels"], task_of(description))


def multi(probabilities: list[list[float]], gold: list[list[str]] | None = None, **changes):
    rows = np.array(probabilities, dtype=float).reshape(-1, 2)
    ids = changes.get("ids", [f"id{row}" for row in range(len(rows))])
    thresholds = changes.get("thresholds", [0.5, 0.5])
    return MultiLabelPredictions.from_probabilities(
        ids, gold or [["a"]] * len(rows), rows, changes.get("labels", LABELS), thresholds
    )


def single(probabilities: list[list[float]]) -> SingleLabelPredictions:
    rows = np.array(probabilities)
    return SingleLabelPredictions.from_probabilities(
        [f"id{n}" for n in range(len(rows))], ["a"] * len(rows), rows, LABELS
    )


def test_labels_are_predicted_from_their_threshold_on():
    predictions = multi([[0.5, 0.5], [0.49, 0.3], [1, 0]], [[], ["b", "a"], ["a"]], thresholds=[0.5, 0.3])
    assert predictions.predicted == [["a", "b"], ["b"], ["a"]], "a probability equal to the threshold counts"
    assert predictions.gold == [[], ["a", "b"], ["a"]], "in the order of the labels"
    assert predictions.task == "multi_label"
    assert predictions.gold_indicators.tolist() == [[False, False], [True, True], [True, False]]


def test_multi_label_files_come_back_and_have_equal_bytes(tmp_path: Path):
    chance = np.random.default_rng(0)
    gold = [[label for label in LABELS if chance.random() < 0.5] for _ in range(50)]
    probabilities = chance.random((50, 2)).tolist()
    thresholds = tune_thresholds(
        np.array([["a" in row, "b" in row] for row in gold]), np.array(probabilities)
    )
    predictions = multi(probabilities, gold, thresholds=thresholds)
    for name in ("one.parquet", "two.parquet"):
        write_predictions(tmp_path / name, predictions)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    schema = pq.read_schema(tmp_path / "one.parquet")
    assert schema.names == ["id", "gold", "predicted", "p0", "p1"]
    assert schema.field("gold").type == pa.list_(pa.string())
    again = read(tmp_path / "one.parquet", MULTI)
    assert isinstance(again, MultiLabelPredictions)
    assert (again.ids, again.gold, again.predicted, again.thresholds) == (
        predictions.ids,
        predictions.gold,
        predictions.predicted,
        thresholds,
    )
    assert np.array_equal(again.probabilities, predictions.probabilities)


def test_files_without_any_label_come_back(tmp_path: Path):
    write_predictions(tmp_path / "p.parquet", multi([[0, 0], [0.1, 0.1]], [[], []]))
    again = read(tmp_path / "p.parquet", MULTI)
    assert (again.gold, again.predicted) == ([[], []], [[], []])


def test_regression_files_come_back_and_have_equal_bytes(tmp_path: Path):
    predictions = RegressionPredictions(["x", "y"], [0.1, -3.0], [1e-300, 2.5])
    for name in ("one.parquet", "two.parquet"):
        write_predictions(tmp_path / name, predictions)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    again = read(tmp_path / "one.parquet", REGRESSION)
    assert isinstance(again, RegressionPredictions)
    assert (again.task, again.ids, again.gold, again.predicted) == (
        "regression",
        predictions.ids,
        predictions.gold,
        predictions.predicted,
    )


def test_single_label_files_come_back(tmp_path: Path):
    write_predictions(tmp_path / "p.parquet", single([[0.2, 0.8], [0.9, 0.1]]))
    again = read(tmp_path / "p.parquet", SINGLE)
    assert isinstance(again, SingleLabelPredictions) and again.task == "single_label" == task_of(SINGLE)
    assert again.predicted == ["b", "a"]


# --- Thresholds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gold", "probabilities", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 0.25),
        ([0, 1, 1], [0.2, 0.6, 0.9], 0.5),  # .5 separates them, and so does .4, which is as good
        ([1, 1], [0.2, 0.3], 0.1),  # every text has it: from half the lowest probability on
        ([0, 0, 0], [0.1, 0.6, 0.9], 0.5),  # it never occurs, so nothing can be learned
        ([1, 0], [0.5, 0.5], 0.5),  # nothing to choose from
        ([1, 0, 0], [0.0, 0.0, 0.0], 0.0),
        # With all four texts and with the last alone F1 is 2/3, as far from .5: the smaller.
        ([1, 0, 0, 1], [0.25, 0.5, 0.8125, 0.9375], 0.125),
    ],
)
def test_thresholds_worked_out_by_hand(gold, probabilities, expected):
    (threshold,) = tune_thresholds(np.array([gold], dtype=bool).T, np.array([probabilities]).T)
    assert threshold == pytest.approx(expected, abs=1e-6)


ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.49999, 0.5, 0.7, 0.7000001, 1.0])),
    min_size=1,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_no_threshold_is_better(rows):
    gold = np.array([[answer] for answer, _ in rows])
    probabilities = np.array([[value] for _, value in rows])
    (threshold,) = tune_thresholds(gold, probabilities)
    rounded = probabilities.astype(np.float32)

    def marked(candidate: float) -> np.ndarray:
        return rounded >= np.array([candidate], dtype=np.float64)

    def f1(candidate: float) -> float:
        both, either = (marked(candidate) & gold).sum(), marked(candidate).sum() + gold.sum()
        return 2 * both / either if either else 0.0

    best = f1(threshold)
    assert best == pytest.approx(f1_score(gold[:, 0], marked(threshold)[:, 0], zero_division=0))
    tried = [*np.linspace(0, 1, 21), *(value + step for value in rounded[:, 0] for step in (-1e-9, 1e-9))]
    assert all(f1(candidate) <= best + 1e-12 for candidate in tried)
    if f1(0.5) == pytest.approx(best):
        assert threshold == 0.5
    shuffled = np.random.default_rng(0).permutation(len(rows))
    assert tune_thresholds(gold[shuffled], probabilities[shuffled]) == [threshold]


# --- Averages -----------------------------------------------------------------------------------------------


def test_an_ensemble_has_thresholds_of_its_own():
    gold = [["a"], [], ["a"], []]
    forward = multi([[0.4, 0], [0.1, 0], [0.3, 0], [0.2, 0]], gold, thresholds=[0.25, 0.5])
    backward = multi([[0.9, 0], [0.8, 0], [0.9, 0], [0.7, 0]], gold, thresholds=[0.85, 0.5])
    test = multi([[0.5, 0.5], [0.6, 0.2]], [["b"], ["b"]])
    other = multi([[0.52, 0.3], [0.52, 0.9]], [["b"], ["b"]], thresholds=[0.1, 0.1])
    valid_mean, test_mean = average_splits([forward, backward], [test, other])
    np.testing.assert_allclose(valid_mean.probabilities[:, 0], [0.65, 0.45, 0.6, 0.45], rtol=1e-6)
    np.testing.assert_allclose(test_mean.probabilities, [[0.51, 0.4], [0.56, 0.55]], rtol=1e-6)
    assert valid_mean.thresholds == test_mean.thresholds == pytest.approx([0.5, 0.5])
    assert valid_mean.predicted == gold
    assert test_mean.predicted == [["a"], ["a", "b"]]


def test_an_ensembles_thresholds_are_tuned_on_its_validation_alone():
    valid = [multi([[0.1, 0.9], [0.2, 0.8], [0.3, 0.1]], [["b"], ["a"], ["a"]])] * 2
    found = set()
    for gold in ([["a"], ["b"]], [[], []], [["a", "b"], ["a", "b"]]):
        test = [multi([[0.2, 0.5], [0.1, 0.9]], gold)] * 2
        _, averaged = average_splits(valid, test)
        found.add((tuple(averaged.thresholds), str(averaged.predicted)))
    ((thresholds, predicted),) = found
    assert thresholds == pytest.approx((0.15, 0.85))
    assert predicted == "[['a'], ['b']]"


def test_numbers_are_averaged():
    members = [RegressionPredictions(["x"], [3.0], [value]) for value in (1.0, 2.0, 6.0)]
    valid, test = average_splits(members[:2], members[1:])
    assert (valid.predicted, test.predicted, test.gold) == ([1.5], [4.0], [3.0])
    huge = [RegressionPredictions(["x"], [3.0], [1.5e308])] * 2
    assert average_splits(huge, huge)[0].predicted == [1.5e308]


def test_single_labels_are_averaged_as_ever():
    members = [single([[0.6, 0.4]]), single([[0.1, 0.9]])]
    valid, test = average_splits(members, members)
    assert valid.predicted == test.predicted == average(members).predicted == ["b"]


@pytest.mark.parametrize(
    ("valid", "test", "message"),
    [
        ([], [], "0 predictions on validation and 0 on test"),
        ([multi([[0, 0]])], [], "1 predictions on validation and 0 on test"),
        ([multi([[0, 0]]), multi([[0, 0]], ids=["z"])], [multi([[0, 0]])] * 2, "ids of predictions 2 differ"),
        ([multi([[0, 0]]), multi([[0, 0]], [["b"]])], [multi([[0, 0]])] * 2, "gold of predictions 2 differ"),
        ([multi([[0, 0]])], [RegressionPredictions(["x"], [1.0], [1.0])], "multi_label, regression"),
        ([multi([[0, 0]]), single([[1, 0]])], [multi([[0, 0]])] * 2, "differ"),
    ],
)
def test_predictions_that_cannot_be_averaged(valid, test, message):
    with pytest.raises(InputError, match=message) as error:
        average_splits(valid, test)
    assert "\n" not in str(error.value)


# --- Bad input ----------------------------------------------------------------------------------------------


def parts(**changes):
    content = {
        "ids": ["x", "y"],
        "gold": [["a"], []],
        "predicted": [["a"], []],
        "probabilities": np.array([[0.9, 0.1], [0.2, 0.2]], dtype=np.float32),
        "labels": LABELS,
        "thresholds": [0.5, 0.5],
    }
    return MultiLabelPredictions(**{**content, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gold": [["a"]]}, "2 ids, 1 gold"),
        ({"ids": ["x", "x"]}, "id occurs twice"),
        ({"labels": ["a", "a"]}, "listed twice"),
        ({"gold": [["c"], []]}, "label 'c' is not one of a, b"),
        ({"gold": [["a", "a"], []]}, "a label twice"),
        ({"predicted": [["a"], ["b"]]}, "not those with a probability from their threshold on"),
        ({"probabilities": np.zeros((2, 3), dtype=np.float32)}, "shape"),
        ({"probabilities": np.array([[1.1, 0], [0, 0]], dtype=np.float32)}, "between 0 and 1"),
        ({"probabilities": np.array([[np.nan, 0], [0, 0]], dtype=np.float32)}, "between 0 and 1"),
        ({"probabilities": np.array([[0.9, 0.1], [0.2, 0.2]])}, "float64, expected float32"),
        ({"thresholds": [0.5]}, "1 thresholds for 2 labels"),
        ({"thresholds": [0.5, 1.5]}, "thresholds have to lie"),
        ({"thresholds": [0.5, float("nan")]}, "thresholds have to lie"),
    ],
)
def test_multi_label_parts_that_do_not_fit(changes, message):
    assert parts().predicted == [["a"], []]
    with pytest.raises(InputError, match=message):
        parts(**changes)


@pytest.mark.parametrize(
    ("ids", "gold", "predicted", "message"),
    [
        (["x"], [1.0], [], "1 ids, 1 gold and 0 predicted"),
        (["x", "x"], [1.0, 1.0], [1.0, 1.0], "id occurs twice"),
        (["x"], [float("nan")], [1.0], "id 'x': a number is not finite"),
        (["x"], [1.0], [float("inf")], "id 'x': a number is not finite"),
    ],
)
def test_regression_parts_that_do_not_fit(ids, gold, predicted, message):
    with pytest.raises(InputError, match=message):
        RegressionPredictions(ids, gold, predicted)


def test_files_of_another_data_set_or_task(tmp_path: Path):
    multi_path, number_path = tmp_path / "multi.parquet", tmp_path / "number.parquet"
    write_predictions(multi_path, multi([[0.9, 0.1]]))
    write_predictions(number_path, RegressionPredictions(["x"], [1.0], [2.0]))
    with pytest.raises(InputError, match="p0, p1, p2 for 3 labels"):
        read(multi_path, {"task": "multi_label", "labels": ["a", "b", "c"]})
    with pytest.raises(InputError, match="label 'a' is not one of x, y"):
        read(multi_path, {"task": "multi_label", "labels": ["x", "y"]})
    with pytest.raises(InputError, match="expected id, gold, predicted of regression"):
        read(multi_path, REGRESSION)
    with pytest.raises(InputError, match="columns are id, gold, predicted; expected"):
        read(number_path, MULTI)
    with pytest.raises(InputError, match="task 'ranking' is none of"):
        read(number_path, {"task": "ranking", "labels": []})
    write_predictions(multi_path, single([[0.9, 0.1]]))
    with pytest.raises(InputError, match="column gold holds string, expected list"):
        read(multi_path, MULTI)


def test_damaged_files(tmp_path: Path):
    path = tmp_path / "p.parquet"
    for description in (MULTI, REGRESSION):
        path.unlink(missing_ok=True)
        with pytest.raises(InputError, match="cannot be read"):
            read(path, description)
        path.write_bytes(b"PAR1 nonsense")
        with pytest.raises(InputError, match="cannot be read"):
            read(path, description)
    write_predictions(path, multi([[0.9, 0.1]]))
    table = pq.read_table(path)
    for metadata in ({}, {b"thresholds": b"[0.5"}, {b"thresholds": b'["x", 1]'}, {b"thresholds": b"3"}):
        pq.write_table(table.replace_schema_metadata(metadata), path)
        with pytest.raises(InputError, match="thresholds are missing"):
            read(path, MULTI)
    pq.write_table(table.replace_schema_metadata({b"thresholds": json.dumps([0.95, 0.5]).encode()}), path)
    with pytest.raises(InputError, match="not those with a probability"):
        read(path, MULTI)
    for column in ([[None]], [None]):
        changed = table.set_column(1, "gold", pa.array(column, pa.list_(pa.string())))
        pq.write_table(changed, path)
        with pytest.raises(InputError, match="a cell is empty"):
            read(path, MULTI)
