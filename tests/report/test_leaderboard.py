"""Several records in one table: by hand, hostile names, ties, models that were not run everywhere."""

from __future__ import annotations

import pytest
from evaluation.samples import made_up_record
from hypothesis import given
from hypothesis import strategies as st

from report.test_report import FORBIDDEN, HOSTILE, Page, hostile_record
from ulmfit.evaluation.record import MetricValues, Record, RowResult
from ulmfit.pipeline.errors import InputError
from ulmfit.report.leaderboard import (
    Source,
    html_leaderboard,
    leaderboard,
    markdown_leaderboard,
    rank,
)


def row(name: str, *values: float, kind: str = "model") -> RowResult:
    size = ((0, 0, 0), (0, 0, 0), (0, 0, 0))
    return RowResult(
        name=name,
        kind=kind,
        seeds=tuple(range(len(values))),
        metrics={"macro_f1": MetricValues.of(values)},
        confusion=tuple(size for _ in values),
    )


def record(
    *rows: RowResult, data: str = "reviews", preset: str = "small", labels: tuple[str, ...] = ()
) -> Record:
    base = made_up_record()
    dataset = base.dataset.changed(name=data, metric="macro_f1")
    return base.changed(rows=rows, dataset=dataset, preset=preset, labels=labels, commit="ab" * 20)


TFIDF = "TF-IDF"
ONE = record(row("ULMFiT", 0.5, 0.7), row(TFIDF, 0.65, kind="baseline"))
TWO = record(row("ULMFiT", 0.9), row(TFIDF, 0.65, kind="baseline"), preset="paper", labels=("transductive",))
THREE = record(row("ULMFiT", 0.8), row(TFIDF, 0.8, kind="baseline"), data="tweets", labels=("small: half",))


def test_lines_columns_ranks_and_marks_by_hand() -> None:
    board = leaderboard([Source(ONE, "one", "one.json"), Source(TWO, "two"), Source(THREE, "three")])
    assert [(task.name, task.metric) for task in board.tasks] == [
        ("reviews", "macro F1"),
        ("tweets", "macro F1"),
    ]
    # A model of one task alone stands below, though its average rank is 1.
    assert [line.model for line in board.lines] == [TFIDF, "ULMFiT (small)", "ULMFiT (paper, transductive)"]
    tfidf, small, paper = board.lines
    # reviews: 0.9, 0.65, 0.6; tweets: 0.8 twice, which share the ranks 1 and 2.
    assert (paper.rank, paper.tasks) == (1, 1)
    assert (tfidf.rank, tfidf.tasks) == ((2 + 1.5) / 2, 2)
    assert (small.rank, small.tasks) == ((3 + 1.5) / 2, 2)
    text = markdown_leaderboard(board)
    assert "| ULMFiT (paper, transductive) | **90.00** | – | 1.00 | 1 |" in text
    assert "| TF-IDF | 65.00 | **80.00** | 1.75 | 2 |" in text
    assert "| ULMFiT (small) | 60.00 ± 14.14 | **80.00** | 2.25 | 2 |" in text
    assert "- [one](one.json): " in text and "preset small, commit abababababab" in text
    assert "- three: " in text and "**small: half (" in text


def test_a_baseline_with_other_numbers_has_a_line_of_its_own() -> None:
    other = record(row(TFIDF, 0.1, kind="baseline"))
    models = [line.model for line in leaderboard([Source(ONE, "one"), Source(other, "other")]).lines]
    assert sorted(models) == ["TF-IDF", "TF-IDF [other]", "ULMFiT (small)"]


def test_another_test_split_is_another_task() -> None:
    smaller = ONE.changed(dataset=ONE.dataset.changed(rows={**ONE.dataset.rows, "test": 7}))
    board = leaderboard([Source(ONE, "one"), Source(smaller, "smaller")])
    assert len(board.tasks) == 2


def test_records_of_language_models_alone_are_listed() -> None:
    only = made_up_record().changed(dataset=None, rows=())
    text = markdown_leaderboard(leaderboard([Source(only, "lm")]))
    assert text.startswith("No record has rows of results.") and "; language models only" in text
    assert "lm" in html_leaderboard(leaderboard([Source(only, "lm")]))


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="at least one record"):
        leaderboard([])
    with pytest.raises(
        InputError, match=r"a/one.json and b/one.json: expected .*; got 'one' twice: give a copy"
    ):
        leaderboard([Source(ONE, "one", file="a/one.json"), Source(TWO, "one", file="b/one.json")])


def test_hostile_names_stay_text() -> None:
    board = leaderboard([Source(hostile_record(), HOSTILE, "x%22.json")])
    page = Page(html_leaderboard(board, HOSTILE))
    assert not {tag for tag, _ in page.elements} & FORBIDDEN
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in "".join(page.text)
    assert "<script" not in markdown_leaderboard(board).replace("\\<", "")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_ranks_sum_to_what_ranks_sum_to(values: list[int]) -> None:
    ranks = [rank(value, values) for value in values]
    assert sum(ranks) == pytest.approx(len(values) * (len(values) + 1) / 2)
    assert min(ranks) == rank(max(values), values)
