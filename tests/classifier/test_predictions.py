"""Prediction files, and averages over models."""

from __future__ import annotations

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from evaluation.samples import LABELS, made_up_predictions

from ulmfit.classifier.predictions import SingleLabelPredictions, average, read_predictions, write_predictions
from ulmfit.pipeline.errors import InputError


def small(
    probabilities: list[list[float]], gold: list[str] | None = None, **changes
) -> SingleLabelPredictions:
    rows = np.array(probabilities)
    ids = changes.get("ids", [f"id{index}" for index in range(len(rows))])
    gold = gold or ["a"] * len(rows)
    return SingleLabelPredictions.from_probabilities(ids, gold, rows, changes.get("labels", ["a", "b"]))


def test_round_trip_and_equal_bytes(tmp_path):
    predictions = made_up_predictions(0.8, 0)
    for name in ("one.parquet", "two.parquet"):
        write_predictions(tmp_path / name, predictions)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert pyarrow.parquet.read_schema(tmp_path / "one.parquet").names == [
        "id",
        "gold",
        "predicted",
        "p0",
        "p1",
        "p2",
    ]
    again = read_predictions(tmp_path / "one.parquet", LABELS)
    assert (again.ids, again.gold, again.predicted) == (
        predictions.ids,
        predictions.gold,
        predictions.predicted,
    )
    assert np.array_equal(again.probabilities, predictions.probabilities)


def test_average_worked_out_by_hand():
    forward = small([[0.6, 0.4], [0.9, 0.1]])
    backward = small([[0.1, 0.9], [0.7, 0.3]])
    both = average([forward, backward])
    assert both.predicted == ["b", "a"]
    np.testing.assert_allclose(both.probabilities, [[0.35, 0.65], [0.8, 0.2]])


def test_average_of_one_model_is_that_model():
    predictions = made_up_predictions(0.8, 0)
    assert average([predictions]).predicted == predictions.predicted


def test_average_does_not_depend_on_the_order():
    members = [made_up_predictions(0.6, seed) for seed in range(3)]
    np.testing.assert_allclose(
        average(members).probabilities, average(members[::-1]).probabilities, rtol=0, atol=1e-15
    )


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (small([[0.5, 0.5], [1, 0]], ids=["id1", "id0"]), "ids"),
        (small([[0.5, 0.5], [1, 0]], gold=["a", "b"]), "gold"),
        (small([[0.5, 0.5], [1, 0]], labels=["b", "a"]), "labels"),
    ],
)
def test_average_refuses_other_rows(other, part):
    with pytest.raises(InputError, match=f"the {part} of predictions 2 differ"):
        average([small([[0.5, 0.5], [1, 0]]), other])


def test_average_of_nothing():
    with pytest.raises(InputError, match="at least one"):
        average([])


@pytest.mark.parametrize("row", [[0.5, 0.2], [1.5, -0.5], [float("nan"), 1.0]])
def test_impossible_probabilities(row):
    with pytest.raises(InputError, match="sum to 1"):
        small([row])


def test_parts_that_do_not_fit():
    with pytest.raises(InputError, match="twice"):
        small([[1, 0], [1, 0]], ids=["x", "x"])
    with pytest.raises(InputError, match="shape"):
        SingleLabelPredictions(["x"], ["a"], ["a"], np.zeros((1, 3)), ["a", "b"])
    with pytest.raises(InputError, match="label 'c'"):
        small([[1, 0]], gold=["c"])


def test_file_of_another_data_set(tmp_path):
    path = tmp_path / "predictions-test.parquet"
    write_predictions(path, made_up_predictions(0.8, 0))
    with pytest.raises(InputError, match="expected id, gold, predicted, p0, p1 for 2 labels"):
        read_predictions(path, LABELS[:2])
    with pytest.raises(InputError, match="is not one of"):
        read_predictions(path, ["x", "y", "z"])


def test_damaged_file(tmp_path):
    path = tmp_path / "predictions-test.parquet"
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(path, LABELS)
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(path, LABELS)
