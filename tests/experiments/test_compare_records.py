"""What two records differ in, and no more certainty than seeds and texts give."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from ulmfit.evaluation.record import Record, read_record, write_record
from ulmfit.evaluation.row import MetricValues, RowResult
from ulmfit.experiments.compare_records import Difference, compare_records, in_words, welch_p

COMMITTED = Path(__file__).parents[2] / "recipes" / "toy" / "records" / "sentiment.json"


def changed(folder: Path, name: str, values: list[float] | None = None, **fields: object) -> Path:
    """Write the committed record with another ULMFiT row and other fields."""
    record = read_record(COMMITTED)
    if values is not None:
        row = record.rows[0]
        metric = record.dataset.metric if record.dataset else ""
        metrics = {metric: MetricValues.of(values)}
        seeds = tuple(range(len(values)))
        new = RowResult(name=row.name, kind=row.kind, seeds=seeds, metrics=metrics)
        record = record.model_copy(update={"rows": (new,), "comparisons": ()})
    path = folder / f"{name}.json"
    write_record(path, record.model_copy(update=fields))
    return path


def configured(**settings: object) -> dict[str, object]:
    content = read_record(COMMITTED).configuration
    return {**content, "settings": {**content["settings"], **settings}}


def test_only_what_differs_is_listed(tmp_path: Path) -> None:
    record: Record = read_record(COMMITTED)
    first = changed(tmp_path, "first")
    assert compare_records(first, COMMITTED) == dataclasses.replace(
        compare_records(first, first), remarks=compare_records(first, COMMITTED).remarks
    )
    versions, hardware = {**record.versions, "torch": "0.1"}, {**record.hardware, "load_average": 99}
    name = next(iter(record.inputs), "")
    second = changed(
        tmp_path,
        "second",
        configuration=configured(max_documents=7),
        versions=versions,
        hardware={**hardware, "cores": 64},
        inputs={**record.inputs, "new.csv": "0" * 64},
    )
    found = compare_records(first, second)
    assert found.settings == [("settings.max_documents", None, 7)]
    assert found.versions == [("torch", record.versions["torch"], "0.1")]
    assert found.hardware == [("cores", record.hardware["cores"], 64)]
    assert found.inputs == [("new.csv", None, "0" * 12)], name


def test_fields_that_came_later_and_are_empty_are_no_difference(tmp_path: Path) -> None:
    content = read_record(COMMITTED).configuration
    settings = {name: value for name, value in content["settings"].items() if name != "from_scratch_rate"}
    older = {name: value for name, value in content.items() if name != "curve_steps"}
    first = changed(tmp_path, "older", configuration={**older, "settings": settings})
    assert compare_records(first, COMMITTED).settings == []


def test_fields_that_came_later_mean_what_they_meant_before(tmp_path: Path) -> None:
    content = read_record(COMMITTED).configuration
    older = {name: value for name, value in content.items() if name not in ("curve_choice", "leaks")}
    now = {**older, "leaks": "count"}
    for sizes, choice in ([], "labels"), ([10, "all"], "validation"):
        first = changed(tmp_path, "older", configuration={**older, "train_sizes": sizes})
        new = {**now, "train_sizes": sizes, "curve_choice": choice}
        assert compare_records(first, changed(tmp_path, "newer", configuration=new)).settings == []
    other = changed(tmp_path, "other", configuration={**new, "curve_choice": "labels"})
    assert compare_records(first, other).settings == [("curve_choice", "validation", "labels")]


def test_without_predictions_seeds_are_all_that_is_tested(tmp_path: Path) -> None:
    first = changed(tmp_path, "first", [0.70, 0.71, 0.72])
    near = compare_records(first, changed(tmp_path, "near", [0.70, 0.72, 0.73])).rows[0]
    far = compare_records(first, changed(tmp_path, "far", [0.90, 0.91, 0.92])).rows[0]
    single = compare_records(first, changed(tmp_path, "single", [0.90])).rows[0]
    assert near.basis == far.basis == "seeds" and near.p is not None and far.p is not None
    assert near.p > 0.3 and far.p < 0.001
    assert far.interval is not None and far.interval[0] < 0.2 < far.interval[1]
    assert "may be chance" in in_words(near) and "3 seeds each: more than seeds explain" in in_words(far)
    assert "one of them has a single run" in in_words(single)
    assert single.basis == "none" and single.p is None and "is not known" in in_words(single)


def test_results_on_other_test_texts_or_labels_are_not_compared(tmp_path: Path) -> None:
    data = read_record(COMMITTED).dataset
    assert data is not None
    rows = {**data.rows, "test": data.rows["test"] - 1}
    other = changed(tmp_path, "other", dataset=data.model_copy(update={"rows": rows}))
    found = compare_records(COMMITTED, other)
    assert found.rows == [] and "cannot be compared" in found.remarks[0]


def test_a_trial_is_told_from_a_result(tmp_path: Path) -> None:
    configuration = {**read_record(COMMITTED).configuration, "trial": True}
    found = compare_records(COMMITTED, changed(tmp_path, "trial", configuration=configuration))
    assert "the second is a trial: its figures are no results" in found.remarks
    assert not any("the first is" in remark for remark in found.remarks)


def test_welchs_p_needs_a_spread() -> None:
    assert welch_p([0.5], [0.6]) is None and welch_p([0.5, 0.5], [0.5, 0.5]) is None
    p = welch_p([0.70, 0.71, 0.72], [0.73])
    assert p is not None and p == pytest.approx(0.0742, abs=1e-3)


@pytest.mark.parametrize(
    ("p", "margin", "said"),
    [
        (0.2, 0.05, "may be chance"),
        (0.001, 0.05, "within the noise of seeds"),
        (0.001, 0.01, "more than the noise of seeds"),
        (0.001, None, "says nothing of other seeds"),
    ],
)
def test_a_difference_over_texts_says_what_seeds_allow(p: float, margin: float | None, said: str) -> None:
    one = Difference("row", "accuracy", 0.70, 0.72, "texts", (0.01, 0.03), p, (3, 3), margin)
    assert said in in_words(one)


def test_a_verdict_over_seeds_follows_the_corrected_p() -> None:
    one = Difference("row", "accuracy", 0.70, 0.72, "seeds", (0.001, 0.04), 0.08, (3, 3), 0.02)
    assert "p 0.08" in in_words(one) and "may be chance" in in_words(one)


def test_a_committed_record_is_json_of_one_comparison() -> None:
    assert json.dumps(dataclasses.asdict(compare_records(COMMITTED, COMMITTED)), default=str)
