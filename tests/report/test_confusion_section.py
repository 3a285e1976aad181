"""The section on confusion: readable with many labels, and plain about labels that nobody predicts."""

from __future__ import annotations

import re

import pytest
from evaluation.samples import made_up_predictions, made_up_record

from report.test_report import Page
from ulmfit.evaluation.record import Record, row_result
from ulmfit.report.report import render_html
from ulmfit.report.sections.confusion import MOST_CONFUSIONS, describe_confusions


def with_matrix(*matrices: list[list[int]], labels: list[str] | None = None) -> Record:
    """A record with a row for each matrix, the accuracy falling from the first to the last."""
    record = made_up_record()
    names = labels or [f"label {number}" for number in range(len(matrices[0]))]
    template = record.rows[0].changed(label_metrics={}, calibration=())
    rows = []
    for number, matrix in enumerate(matrices):
        metric = template.metrics["macro_f1"].changed(
            values=(0.9 - number / 10,), mean=0.9 - number / 10, interval=None
        )
        rows.append(
            template.changed(
                name=f"row {number}",
                kind="model",
                metrics={"macro_f1": metric},
                confusion=(tuple(map(tuple, matrix)),),
            )
        )
    return record.changed(dataset=record.dataset.changed(labels=tuple(names)), rows=tuple(rows))


def square(size: int) -> list[list[int]]:
    return [[100 if gold == predicted else 0 for predicted in range(size)] for gold in range(size)]


def many_labels(count: int) -> Record:
    labels = [f"label number {number}" for number in range(count)]
    row = row_result("ULMFiT", [(0, made_up_predictions(0.5, 0, labels, rows=400))])
    record = made_up_record()
    return record.changed(dataset=record.dataset.changed(labels=tuple(labels)), rows=(row,))


def test_few_labels_stand_above_their_columns():
    section = describe_confusions(with_matrix(square(6)))
    assert not section.has_numbers
    assert section.labels[0] == ("label 0", "label 0")
    assert section.main.largest.rows == []


@pytest.mark.parametrize("count", [7, 15, 40])
def test_many_labels_have_numbers_above_their_columns(count):
    section = describe_confusions(many_labels(count))
    assert [name for _, name in section.labels] == [str(number) for number in range(1, count + 1)]
    page = render_html(many_labels(count))
    headers = [
        (attributes.get("title"), attributes.get("aria-label"))
        for tag, attributes in Page(page).elements
        if tag == "th" and "title" in attributes
    ]
    assert headers == [(label, label) for label, _ in section.labels]


def test_the_largest_confusions_are_listed():
    matrix = square(7)
    matrix[2][5], matrix[5][2], matrix[0][1] = 60, 300, 60
    first, second, third = describe_confusions(with_matrix(matrix)).main.largest.lines
    assert first == ["label 5", "label 2", "300", "75.0 %"]
    assert second == ["label 0", "label 1", "60", "37.5 %"]
    assert third == ["label 2", "label 5", "60", "37.5 %"]
    assert len(describe_confusions(many_labels(40)).main.largest.rows) == MOST_CONFUSIONS


def test_the_matrix_of_the_best_row_stands_open_and_the_others_folded():
    page = render_html(with_matrix(square(2), square(2), square(2)))
    section = re.search(r'<section id="confusion">.*?</section>', page, flags=re.S)[0]
    summaries = re.findall(r'<summary dir="auto">([^<]+)</summary>', section)
    assert summaries == ["row 1", "row 2"]
    assert section.index("row 0") < section.index("<details>")


def test_a_best_row_without_a_matrix_leaves_the_first_that_has_one():
    record = with_matrix(square(2), square(2))
    best = record.rows[0].changed(confusion=())
    assert describe_confusions(record.changed(rows=(best, record.rows[1]))).main.name == "row 1"
    assert describe_confusions(record.changed(rows=(best,))) is None


def test_a_label_that_train_lacks_is_named():
    """Nobody predicts it; in the second matrix no test text has label 0."""
    one = [[90, 0, 10], [5, 0, 95], [0, 0, 100]]
    section = describe_confusions(with_matrix(one, one, labels=["a", "new", "c"]))
    assert section.notes == ["no row predicts this label for any text: new"]
    assert section.main.lines[1][2] == "0.0"
    assert section.main.precisions == ["94.7", "–", "48.8"]
    absent = describe_confusions(with_matrix([[0, 0, 0], [5, 90, 5], [0, 0, 100]]))
    assert absent.notes == ["no text of the test split has this label: label 0"]
    assert absent.main.lines[0][2] == "–"


def test_many_labels_of_a_kind_are_one_note():
    matrix = [[7, *[0] * 39]] + [[0] * 40] * 39
    unpredicted, absent = describe_confusions(with_matrix(matrix)).notes
    named = ", ".join(f"label {number}" for number in range(1, 11))
    assert unpredicted == f"no row predicts these 39 labels for any text: {named} and 29 more"
    assert absent == f"no text of the test split has these 39 labels: {named} and 29 more"


def test_sums_are_explained_only_where_there_are_several_seeds():
    assert "summed over the seeds" not in render_html(with_matrix(square(3)))
    assert "summed over the seeds" in render_html(made_up_record())


def test_labels_from_right_to_left_are_isolated():
    page = render_html(with_matrix(square(7), labels=["חיובי", "سلبي", *"abcde"]))
    assert "<bdi>חיובי</bdi>" in page and "<bdi>سلبي</bdi>" in page
