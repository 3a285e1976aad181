"""The checks of the data in a record, its remarks, and the page's section."""

from __future__ import annotations

import pytest
from evaluation.samples import made_up_record

from report.test_report import FORBIDDEN, HOSTILE, Page
from ulmfit.corpus.checks.found import all_checks
from ulmfit.corpus.checks.rows import Row
from ulmfit.corpus.checks.summary import DataCheckSummary, summary_of
from ulmfit.corpus.data_checks import CheckSettings
from ulmfit.evaluation.record import read_record, write_record
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.record_part import part_of
from ulmfit.report.markdown import markdown_table
from ulmfit.report.notes import data_check_notes
from ulmfit.report.report import render_html
from ulmfit.report.sections.data_checks import check_tables, describe_data
from ulmfit.report.text_table import text_table


def summary(label: str = "b", dropped: dict | None = None) -> DataCheckSummary:
    """What the checks say of six texts: one of test stands in train, and one is near-empty."""
    texts = [("train", "a good room", "a"), ("train", "a bad room", label), ("valid", "no towels there", "a")]
    texts += [
        ("valid", "ok", label),
        ("test", "A good room!", "a"),
        ("test", "something else entirely", label),
    ]
    rows = [Row(split, f"{n}", text, (name,)) for n, (split, text, name) in enumerate(texts)]
    return summary_of(all_checks(rows, CheckSettings().thresholds(), lambda _: None), dropped)


def test_a_record_keeps_them_and_tells_them_below_the_table(tmp_path) -> None:
    checks = summary(dropped={"train": {"train_in_test": ["1"], "near_empty": ["2", "3"]}})
    record = made_up_record().changed(data_checks=checks)
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record
    expected = [
        "left out of the data: train 3 (train in test 1, near empty 2)",
        "data check: test: texts that stand in train: 1 but for case and punctuation (of 2); "
        "2 more findings in the record",
    ]
    assert data_check_notes(checks) == expected
    assert all(f"- {line}" in markdown_table(record) for line in expected)
    assert all(line in text_table(record) for line in expected)
    assert data_check_notes(None) == []
    assert "data check" not in markdown_table(made_up_record())


def test_what_was_lost_when_the_files_were_read_stands_in_record_table_and_page(tmp_path) -> None:
    record = made_up_record()
    assert record.dataset
    lost = "test: 10 of 30 rows are predicted as empty texts, they have no text: test-000001"
    record = record.changed(dataset=record.dataset.changed(warnings=(lost, "train: <b> dropped")))
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record
    assert f"- data set: {lost}\n" in markdown_table(record)
    assert lost in " ".join(text_table(record, 100).split())
    page = render_html(record)
    assert f"data set: {lost}" in page and "train: &lt;b&gt; dropped" in page
    assert '<section id="data">' in page


def test_the_section_shows_counts_and_shares() -> None:
    tables = check_tables(summary())
    assert ["test in train", "0", "1", "0", "50.00 %"] in tables["Copies"].lines
    assert tables["Labels"].lines[0] == ["a", *["1 (50.0 %)"] * 3]
    assert [line[0] for line in tables["Labels beside those of train"].lines] == ["valid", "test"]
    assert describe_data(made_up_record()) is None


@pytest.mark.parametrize("checks", [None, summary(HOSTILE)], ids=["none", "hostile"])
def test_the_section_is_closed_html_whatever_the_labels(checks: DataCheckSummary | None) -> None:
    page = Page(render_html(made_up_record().changed(data_checks=checks)))
    assert not {tag for tag, _ in page.elements} & FORBIDDEN
    assert (HOSTILE in "".join(page.text)) is (checks is not None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": {"train": -1}}, "texts.train"),
        ({"similarity": 2}, "similarity"),
        ({"labels": {}}, "label_shift needs the labels of test"),
        ({"news": 1}, "news"),
    ],
)
def test_a_malformed_summary_is_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"data checks: .*{message}"):
        part_of(DataCheckSummary, summary().model_dump() | change, "data checks")
