"""The record: numbers that agree with each other, and a file that refuses what it does not know."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluation.samples import (
    LABELS,
    ROWS,
    made_up_language_model,
    made_up_predictions,
    made_up_record,
)
from ulmfit.classifier.metrics import score
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.record import (
    CorpusAccount,
    MetricValues,
    read_record,
    row_result,
    write_record,
)
from ulmfit.evaluation.significance import Comparison
from ulmfit.language_model.figures import LanguageModelResult
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.report.text_table import text_table


def test_round_trip(tmp_path, record):
    write_record(tmp_path / "record.json", record)
    first = (tmp_path / "record.json").read_bytes()
    again = read_record(tmp_path / "record.json")
    assert again == record
    write_record(tmp_path / "record.json", again)
    assert (tmp_path / "record.json").read_bytes() == first
    assert json.loads(first)["format_version"] == 1


def test_both_forms_of_a_record_are_read(tmp_path, record):
    short, long = tmp_path / "short.json", tmp_path / "long.json"
    write_record(short, record)
    write_json(long, record.model_dump(mode="json"))
    assert read_record(short) == read_record(long) == record
    assert len(short.read_text().splitlines()) < len(long.read_text().splitlines()) / 2


def test_record_holds_no_text_and_no_ids_of_rows(tmp_path, record):
    write_record(tmp_path / "record.json", record)
    assert "id17" not in (tmp_path / "record.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(surprise=1), "surprise"),
        (lambda content: content["rows"][0].update(colour="red"), "rows.0.colour"),
        (lambda content: content.pop("commit"), "commit"),
        (lambda content: content.update(format_version=2), "format_version"),
        (lambda content: content["inputs"].update({"x": "no hash"}), "inputs.x"),
        (lambda content: content["rows"][2]["metrics"]["accuracy"].update(mean=0.99), "mean does not agree"),
        (lambda content: content["rows"][2]["metrics"]["accuracy"].update(sd=None), "sd does not agree"),
        (lambda content: content["rows"][2].update(seeds=[0]), "3 values for 1 seeds"),
        (lambda content: content["rows"][2]["confusion"][0].pop(), "3 x 3"),
        (lambda content: content["rows"][2]["metrics"].pop("macro_f1"), "main metric"),
        (lambda content: content["corpora"][0].update(pages_read=1), "accounted for"),
        (
            lambda content: content["rows"][2]["metrics"]["accuracy"].update(interval=[0.9, 0.1]),
            "low is above",
        ),
        (lambda content: content["rows"][2]["label_metrics"].update(x={}), "figures of 4 labels, not 3"),
        (
            lambda content: content["rows"][2]["label_metrics"]["neutral"]["f1"]["values"].pop(),
            "mean does not",
        ),
        (lambda content: content["rows"][3]["calibration"].pop(), "2 calibrations for 3 seeds"),
        (lambda content: content["rows"][3].update(averages_seeds=True), "3 values for one average"),
    ],
)
def test_altered_file(tmp_path, record, change, message):
    path = tmp_path / "record.json"
    write_record(path, record)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_record(path)


def test_comparison_with_a_row_that_is_not_there(record):
    comparison = Comparison(
        row="TF-IDF, words",
        reference="somebody's",
        metric="macro_f1",
        difference=0.1,
        interval=(0.0, 0.2),
        p_bootstrap=0.04,
        p_permutation=0.05,
        p_adjusted=0.1,
    )
    with pytest.raises(ValidationError, match='"somebody\'s", which is no row'):
        record.changed(comparisons=(comparison,))
    assert record.changed(comparisons=(comparison.changed(reference="from scratch"),))


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"format_version": NaN}', b"\xff\xfe"])
def test_file_that_is_no_record(tmp_path, content):
    path = tmp_path / "record.json"
    if content is not None:
        path.write_bytes(content)
    expected = "does not exist: expected a record.json" if content is None else "cannot be used"
    with pytest.raises(InputError, match=expected):
        read_record(path)


def test_record_is_frozen(record):
    with pytest.raises(ValidationError):
        record.title = "another"


def test_mean_and_standard_deviation_worked_out_by_hand():
    metric = MetricValues.of([0.90, 0.92, 0.97])
    assert metric.mean == pytest.approx(0.93)
    assert metric.sd == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert MetricValues.of([0.9]).sd is None


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_any_values_make_a_valid_metric(values):
    metric = MetricValues.of(values)
    assert MetricValues.model_validate_json(metric.model_dump_json()) == metric
    assert (metric.sd is None) == (len(values) == 1)


def test_row_result_scores_every_seed():
    runs = [(seed, made_up_predictions(0.8, seed)) for seed in (3, 1)]
    row = row_result("model", runs, positive_label="positive", valid_runs=runs, notes=["a note"])
    assert row.seeds == (3, 1)
    for index, (_, run) in enumerate(runs):
        expected = score(run.gold, run.predicted, LABELS, "positive")
        assert {name: metric.values[index] for name, metric in row.metrics.items()} == expected
    accuracies = row.metrics["accuracy"].values
    assert row.metrics["accuracy"].sd == pytest.approx(statistics.stdev(accuracies))
    assert {name: metric.values for name, metric in row.valid_metrics.items()} == {
        name: metric.values for name, metric in row.metrics.items()
    }
    assert all(metric.interval for metric in row.metrics.values())
    assert not any(metric.interval for metric in row.valid_metrics.values())
    assert sum(map(sum, row.total_confusion)) == 2 * ROWS
    assert row.total_confusion[0][1] == row.confusion[0][0][1] + row.confusion[1][0][1]


def test_row_result_refuses_runs_that_do_not_fit():
    one, short = made_up_predictions(0.8, 0), made_up_predictions(0.8, 1, rows=50)
    with pytest.raises(InputError, match="no runs"):
        row_result("model", [])
    with pytest.raises(InputError, match="seed occurs twice"):
        row_result("model", [(0, one), (0, one)])
    with pytest.raises(InputError, match="ids of predictions 2"):
        row_result("model", [(0, one), (1, short)])
    with pytest.raises(InputError, match="different seeds"):
        row_result("model", [(0, one)], valid_runs=[(1, one)])


def test_language_model_figures_of_a_published_model():
    """German: 1.5995 tokens per word, subword perplexity 23.6, word perplexity 156.6."""
    result = LanguageModelResult(
        name="lm",
        direction="forward",
        split="test",
        documents=10,
        tokens=15_995,
        words=10_000,
        characters=70_000,
        unknown_tokens=0,
        loss=math.log(23.6),
        token_perplexity=23.6,
        word_perplexity=23.6**1.5995,
        bits_per_character=math.log2(23.6) * 1.5995 / 7,
    )
    assert result.word_perplexity == pytest.approx(156.6, rel=0.01)
    assert result.comparable


def test_more_than_one_unknown_token_per_thousand_words_is_not_comparable():
    """The made-up texts have 25,770 words: 25 are below one per thousand, 26 above."""
    assert [made_up_language_model("lm", 3.0, split="test", unknown=n).comparable for n in (1, 25, 26)] == [
        True,
        True,
        False,
    ]
    assert made_up_language_model("lm", 3.0, split="test", unknown=25).unknown_share == 25 / 25_770


def test_perplexity_beyond_a_float():
    result = made_up_language_model("lm", 600.0, split="test")
    assert result.token_perplexity == pytest.approx(math.exp(600))
    assert result.word_perplexity is None
    assert LanguageModelResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize(
    ("field", "value"),
    [("loss", 2.9), ("token_perplexity", 20.0), ("word_perplexity", 150.0), ("bits_per_character", 1.5)],
)
def test_language_model_figures_that_do_not_agree(field, value):
    with pytest.raises(ValidationError, match="does not agree with loss"):
        made_up_language_model("lm", 3.0, split="test").changed(**{field: value})


def test_rows_need_a_data_set(record):
    with pytest.raises(ValidationError, match="need a data set"):
        record.changed(dataset=None)


def test_account_that_does_not_close():
    with pytest.raises(ValidationError, match="3 pages read but 2 accounted for"):
        CorpusAccount(source="x", pages_read=3, documents_written=1, left_out={"short": 1})


RECORDS = sorted((Path(__file__).parents[2] / "recipes").glob("*/records/*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_records_can_be_read(path):
    assert read_record(path).recipe


def test_record_of_a_version_without_cards(tmp_path, record):
    path = tmp_path / "record.json"
    write_record(path, record)
    content = json.loads(path.read_text())
    del content["leaks"], content["tokenizers"], content["corpora"][0]["figures"]
    del content["comparisons"], content["published"]
    for row in content["rows"]:
        del row["label_metrics"], row["calibration"], row["averages_seeds"]
        for metric in [*row["metrics"].values(), *row["valid_metrics"].values()]:
            del metric["interval"]
    path.write_text(json.dumps(content))
    old = read_record(path)
    assert (old.leaks, old.tokenizers, old.corpora[0].figures) == (None, None, None)
    assert (old.comparisons, old.published, old.rows[3].calibration) == ((), (), ())
    assert "bootstrap" not in text_table(old)


@pytest.mark.parametrize(
    ("metric", "fitting", "message"),
    [
        ("accuracy", (0, 0.5, 1), "accuracy: expected a value from 0 to 1; got "),
        ("pearson", (-1, -0.2, 1), "pearson: expected a value from -1 to 1; got "),
        ("mcc", (-0.1,), "mcc: expected a value from -1 to 1; got "),
        ("r2", (-7.5, 1), "r2: expected a value from -inf to 1; got "),
        ("mae", (0, 12.5), "mae: expected a value from 0 to inf; got "),
        ("word_perplexity", (1, 156.6), "word_perplexity: expected a value from 1 to inf; got "),
    ],
)
def test_published_values_are_what_their_metric_allows(metric, fitting, message):
    def published(value):
        return PublishedResult(name="it", metric=metric, value=value, source="S").value

    assert tuple(map(published, fitting)) == fitting
    refused = {"r2": 1.1, "mae": -0.1, "word_perplexity": 0.9}.get(metric, 81.0)
    with pytest.raises(ValidationError, match=f"{message}{refused:g}"):
        published(refused)


def test_published_metric_that_nobody_knows():
    with pytest.raises(ValidationError, match="metric 'acc': expected one of accuracy, macro_f1"):
        PublishedResult(name="it", metric="acc", value=0.5, source="S")


def altered(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write a record and change its JSON content in place."""
    write_record(path, made_up_record())
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def with_values(content: dict[str, Any], value: float) -> None:
    metric = content["rows"][0]["metrics"]["accuracy"]
    metric["values"] = [value] * len(metric["values"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["dataset"]["rows"].update(test=-3), "dataset.rows.test: expected 0 or more"),
        (lambda content: content.update(seeds=list(range(1_000_000))), "seeds: expected 1000 items or fewer"),
        (
            lambda content: with_values(content, 1e308),
            "rows.0.metrics.accuracy.values.0: expected 1e.?100 or",
        ),
        (
            lambda content: with_values(content, -1e308),
            "rows.0.metrics.accuracy.values.0: expected -1e.?100 or",
        ),
        (lambda content: content["dataset"]["rows"].update(test=10**400), "whole number above 2"),
        (lambda content: content["language_models"][0].update(tokens=10**400), "cannot be used: "),
        (lambda content: content["language_models"][0].update(training_tokens=-1), "expected 0 or more"),
        (lambda content: content.update(configuration={"seeds": 10**30}), "whole number above 2"),
        (
            lambda content: content.update(inputs={str(n): "x" for n in range(30_000)}),
            "inputs.0: expected text",
        ),
        (lambda content: content.update(title="x" * 64_000_000), "more than the 64,000,000 of any record"),
    ],
    ids=range(10),
)
def test_numbers_and_sizes_of_no_run_are_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_record(altered(tmp_path / "record.json", change))


def test_a_record_of_lists_inside_each_other_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("[" * 1_000_000)
    with pytest.raises(InputError, match=r"record\.json cannot be used"):
        read_record(tmp_path / "record.json")
    with pytest.raises(ValueError, match="too deep inside each other"):
        read_json(tmp_path / "record.json")
