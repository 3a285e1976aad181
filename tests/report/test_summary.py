"""The short table: a row per task, chosen on validation, with what makes it small below."""

from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.record import MetricValues, Record, RowResult, read_record
from ulmfit.report.leaderboard import Source
from ulmfit.report.summary import markdown_summary

DEMO = read_record(Path(__file__).parents[2] / "recipes" / "toy" / "records" / "sentiment.json")


def row(name: str, test: float, valid: float | None) -> RowResult:
    known = {} if valid is None else {"accuracy": MetricValues.of([valid])}
    return RowResult(
        name=name,
        kind="baseline" if name.startswith("TF-IDF") else "model",
        seeds=(0,),
        metrics={"accuracy": MetricValues.of([test])},
        valid_metrics=known,
    )


def record(*rows: RowResult, **changes: object) -> Record:
    return DEMO.changed(rows=rows, comparisons=(), curves=(), published=(), **changes)


def cells(*sources: Source) -> list[list[str]]:
    """The rows of the table below its header, cell by cell."""
    lines = [line for line in markdown_summary(sources).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_row_of_a_method_is_chosen_on_validation() -> None:
    rows = (
        row("ULMFiT, forward", 0.9, 0.7),
        row("ULMFiT, forward + backward", 0.8, 0.75),
        row("ULMFiT with words, forward", 0.99, 0.99),
        row("TF-IDF, words", 0.6, 0.5),
        row("TF-IDF, characters", 0.5, 0.6),
    )
    ((task, texts, metric, ulmfit, tfidf, published, hours),) = cells(Source(record(*rows), "t", "r.json"))
    assert task == "[Toy reviews (an invented language)](r.json)"
    assert (texts, metric, published) == ("600", "accuracy", "–")
    assert ulmfit == "80.00 (forward + backward)"
    assert tfidf == "50.00 (characters)"
    assert float(hours) == pytest.approx(sum(stage.seconds for stage in DEMO.stages) / 3600, abs=0.05)


def test_a_method_that_was_not_run_has_a_dash_and_one_without_validation_its_first_row() -> None:
    rows = (row("ULMFiT, forward", 0.9, None), row("ULMFiT, backward", 0.95, None))
    ((*_, ulmfit, tfidf, _, _),) = cells(Source(record(*rows), "t"))
    assert (ulmfit, tfidf) == ("90.00 (forward)", "–")


def test_the_best_published_figure_stands_beside_and_says_when_nobody_has_read_it() -> None:
    found = [
        PublishedResult(name=name, metric=metric, value=value, source="s", verified=name != "B")
        for name, metric, value in (("A", "accuracy", 0.6), ("B", "accuracy", 0.7), ("C", "macro_f1", 0.9))
    ]
    some = record(row("ULMFiT, forward", 0.9, 0.9)).changed(published=tuple(found))
    ((*_, published, _),) = cells(Source(some, "t"))
    assert published == "70.00 (B, unverified)"


def test_labels_are_said_once_for_all_records_that_have_them() -> None:
    small = record(row("ULMFiT, forward", 0.9, 0.9), labels=("small: one layer",))
    plain = record(row("ULMFiT, forward", 0.9, 0.9), labels=())
    models = record(labels=("small: no task",)).changed(dataset=None)
    sources = [Source(small, "one"), Source(small, "two"), Source(plain, "three"), Source(models, "four")]
    text = markdown_summary(sources)
    (line,) = [line for line in text.splitlines() if line.startswith("- ")]
    assert line.startswith("- one, two: **small: one layer")
    assert len(cells(*sources)) == 3


def test_names_in_a_record_are_no_markup() -> None:
    hostile = record(row("ULMFiT, <b>|x", 0.9, 0.9), title="<script>")
    table = markdown_summary([Source(hostile, "<i>")])
    assert table.replace("\\<", "").count("<") == 0 and "\\|x" in table
