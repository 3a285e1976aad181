"""The verdict and the picture of all rows: what is best, by how much, and what could turn it round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from evaluation.samples import made_up_record

from ulmfit.evaluation.record import MetricValues, Record, RowResult, read_record
from ulmfit.evaluation.significance import Comparison
from ulmfit.report.overview import describe_overview
from ulmfit.report.report import render_html
from ulmfit.report.verdict import best_row, difference_over_texts, rival_row, verdict

RECORDS = sorted((Path(__file__).parents[2] / "recipes").glob("*/records/*.json"))


def row(name: str, kind: str, *values: float, interval: tuple[float, float] | None = None) -> RowResult:
    """A row of nothing but its main metric."""
    metrics = {"macro_f1": MetricValues.of(values, interval)}
    return RowResult(name=name, kind=kind, seeds=tuple(range(len(values))), metrics=metrics)


def against(name: str, reference: str, low: float, high: float, p: float = 0.01) -> Comparison:
    return Comparison(
        row=name,
        reference=reference,
        metric="macro_f1",
        difference=(low + high) / 2,
        interval=(low, high),
        p_bootstrap=p,
        p_permutation=p,
        p_adjusted=p,
    )


def with_rows(*rows: RowResult, comparisons: tuple[Comparison, ...] = ()) -> Record:
    return made_up_record().changed(rows=rows, comparisons=comparisons)


def words(record: Record) -> list[str]:
    return [sentence.replace("\u00a0", " ") for sentence in verdict(record)]


LOW = row("words", "baseline", 0.7)
HIGH = row("characters", "baseline", 0.8)
MODEL = row("ULMFiT", "model", 0.84, 0.86, 0.88)
SINGLE = row("ULMFiT", "model", 0.86)


def test_a_model_is_held_against_the_best_baseline():
    record = with_rows(LOW, MODEL, HIGH, comparisons=(against("characters", "ULMFiT", -0.08, -0.04),))
    assert words(record) == [
        "ULMFiT is best with macro F1 86.00 %, 6.00 points above the best baseline, characters (80.00 %).",
        "Other test texts would hardly turn this round (95 % interval of the difference +4.00 to +8.00, p "
        "0.010); other seeds would hardly (margin of the seeds ± 4.97).",
    ]


def test_other_seeds_could_turn_it_round():
    """Welch's margin of 0.84, 0.86 and 0.88 is 4.303 x 0.02 / sqrt(3)."""
    close = with_rows(row("characters", "baseline", 0.815), MODEL)
    assert words(close)[1].endswith("other seeds could (margin of the seeds ± 4.97).")


def test_a_baseline_that_is_best_is_said_first():
    record = with_rows(MODEL, row("characters", "baseline", 0.9), LOW)
    assert words(record)[0] == (
        "A baseline is best: characters with macro F1 90.00 %, 4.00 points above the best trained row, "
        "ULMFiT (86.00 %)."
    )


@pytest.mark.parametrize(
    ("interval", "p", "answer"),
    [
        ((0.01, 0.11), 0.01, "would hardly"),
        ((0.01, 0.11), 0.06, "could"),
        ((-0.001, 0.12), 0.01, "could"),
    ],
)
def test_other_texts_need_an_interval_without_zero_and_a_small_p(interval, p, answer):
    comparison = against("ULMFiT", "characters", *interval, p)
    assert words(with_rows(HIGH, MODEL, comparisons=(comparison,)))[1].startswith(
        f"Other test texts {answer} turn this round (95 % interval"
    )


def test_two_rows_that_were_held_against_a_third_one():
    """The interval goes from 0.05 - (-0.01) to 0.09 - (-0.03), narrower than from the rows' own ones."""
    best = row("both", "ensemble", 0.9, interval=(0.8, 0.95))
    baseline = row("characters", "baseline", 0.8, interval=(0.7, 0.85))
    third = (against("both", "ULMFiT", 0.05, 0.09), against("characters", "ULMFiT", -0.03, -0.01))
    record = with_rows(best, baseline, MODEL, comparisons=third)
    found = difference_over_texts(record, best, baseline)
    assert found.interval == pytest.approx((0.06, 0.12))
    assert (found.p, found.is_sure) == (None, True)
    assert "+6.00 to +12.00, from both rows’ differences from ULMFiT)" in words(record)[1]
    alone = record.changed(comparisons=())
    assert difference_over_texts(alone, best, baseline).interval == pytest.approx((-0.05, 0.25))
    assert (
        "could turn this round (95 % interval of the difference −5.00 to +25.00, from both rows’ own "
        in (words(alone)[1])
    )


def test_one_seed_and_no_intervals_leave_both_unknown():
    assert words(with_rows(HIGH, SINGLE))[1] == (
        "Whether other test texts could turn this round is unknown (the record has no intervals); whether "
        "other seeds could is unknown (ULMFiT has a single value)."
    )


def test_without_a_baseline_the_next_row_is_named():
    record = with_rows(row("from scratch", "model", 0.5), SINGLE)
    assert words(record)[0] == (
        "ULMFiT is best with macro F1 86.00 %, 36.00 points above the next row, from scratch (50.00 %); no "
        "baseline was run."
    )


def test_baselines_alone_have_no_seeds():
    first, second = words(with_rows(LOW, HIGH))
    assert "above the next baseline, words (70.00 %)." in first
    assert second.endswith("other seeds change nothing (baselines have none).")


def test_equal_rows_are_level():
    record = with_rows(row("characters", "baseline", 0.86), SINGLE)
    assert (
        "A baseline is best: characters with macro F1 86.00 %, level with the best trained row, ULMFiT"
        in (words(record)[0])
    )


def test_a_single_row_has_nothing_to_be_held_against():
    assert words(with_rows(row("ULMFiT", "model", 0.86, interval=(0.8, 0.9)))) == [
        "ULMFiT is the only row: macro F1 86.00 %.",
        "There is no baseline to hold it against: the 95 % interval is [80.0, 90.0].",
    ]
    assert words(with_rows(SINGLE))[1] == "There is no baseline to hold it against."


def test_no_rows_no_verdict():
    for record in (with_rows(), made_up_record().changed(rows=(), dataset=None)):
        assert (verdict(record), best_row(record), rival_row(record)) == ([], None, None)
        assert describe_overview(record) is None
        assert 'class="overview"' not in render_html(record)


def test_figures_of_correlations_are_no_percentages():
    rows = tuple(
        one.changed(metrics={"pearson": MetricValues.of([value])}, seeds=(0,))
        for one, value in ((HIGH, 0.61), (MODEL, 0.7234))
    )
    data = made_up_record().dataset.changed(task="regression", metric="pearson", labels=())
    record = made_up_record().changed(rows=rows, dataset=data)
    assert words(record)[0] == (
        "ULMFiT is best with Pearson r 0.7234, 0.1134 above the best baseline, characters (0.6100)."
    )
    assert describe_overview(record).metric == "Pearson r"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_verdict_on_committed_records_is_what_their_numbers_say(path):
    record = read_record(path)
    best, rival = best_row(record), rival_row(record)
    metric = record.dataset.metric
    means = {one.name: one.metrics[metric].mean for one in record.rows}
    assert means[best.name] == max(means.values())
    first, second = words(record)
    assert f"{100 * (means[best.name] - means[rival.name]):.2f} points above" in first
    assert first.count(best.name) >= 1 and rival.name in first
    low, _ = difference_over_texts(record, best, rival).interval
    assert ("would hardly turn" in second) == (low > 0)


# --- The picture --------------------------------------------------------------------------------------------


def test_the_picture_has_every_row_the_best_first():
    record = with_rows(LOW, MODEL, HIGH)
    overview = describe_overview(record)
    assert [one.name for one in overview.rows] == ["ULMFiT", "characters", "words"]
    assert [one.is_best for one in overview.rows] == [True, False, False]
    assert [one.is_baseline for one in overview.rows] == [False, True, True]
    assert [one.value for one in overview.rows] == ["86.00", "80.00", "70.00"]


def test_places_are_shares_of_one_scale():
    """From 0.7 to 0.9, with 3 % of that free at both ends: 0.8 stands in the middle."""
    ends = row("ULMFiT", "model", 0.85, interval=(0.7, 0.9))
    overview = describe_overview(with_rows(ends, HIGH))
    model, baseline = overview.rows
    assert (baseline.at, overview.best_baseline) == (50.0, 50.0)
    assert model.interval_from == pytest.approx(100 * 0.03 / 1.06, abs=0.01)
    assert model.interval_to == pytest.approx(100 - model.interval_from, abs=0.01)
    assert (baseline.interval_from, baseline.seeds) == (None, [])
    assert ("80", 50.0) in overview.ticks
    assert all(0 <= place <= 100 for _, place in overview.ticks)


def test_seeds_are_drawn_where_there_are_several():
    model, single = describe_overview(with_rows(MODEL, HIGH)).rows
    assert len(model.seeds) == 3 and model.seeds[1] == model.at
    assert single.seeds == []
    assert model.title == "ULMFiT: 84.00, 86.00, 88.00"


def test_a_single_value_has_a_place():
    overview = describe_overview(with_rows(SINGLE))
    assert overview.rows[0].at == 50.0
    assert overview.best_baseline is None


@pytest.mark.parametrize(
    ("rows", "absent"),
    [
        ((SINGLE, LOW), ["95 % interval over", "one seed", "mean over the seeds"]),
        ((MODEL,), ["95 % interval over", "baseline</li>", "the best baseline"]),
    ],
)
def test_the_legend_explains_only_what_is_drawn(rows, absent):
    html = render_html(with_rows(*rows))
    picture = re.search(r'<figure class="overview">.*?</figure>', html, flags=re.S)[0]
    assert not [text for text in absent if text in picture]
    assert html.count('<th scope="row" dir="auto">') >= len(rows)
