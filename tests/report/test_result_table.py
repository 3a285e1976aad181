"""The tables, letter by letter."""

from __future__ import annotations

import pytest
from evaluation.samples import made_up_predictions

from ulmfit.evaluation.metric_text import p_value, points, shown_difference, shown_values
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.record import MetricValues, Record, row_result
from ulmfit.evaluation.significance import Comparison
from ulmfit.report.markdown import as_markdown, markdown_table
from ulmfit.report.notes import difference_notes, gap_notes, leak_notes, result_notes
from ulmfit.report.record_tables import caption, published_table, result_table, shown_metrics
from ulmfit.report.table import MOST_NOTES, Table, parts_of
from ulmfit.report.text_table import as_text, text_table

MARKDOWN = r"""
**transductive: the language model has seen the texts of the test split, without their labels**
**small: a reduced model, corpus or training; not comparable with published figures**
**invented language: a made-up language; the figures say nothing about a real one**

reviews (train 1,600, valid 200, test 200), test split, percent; mean ± standard deviation over the seeds. \[ \]: 95 % bootstrap interval over the test documents. What the numbers and notes mean: docs/numbers.md.

| model | macro F1 | accuracy | macro F1 (validation) | seeds |
| :-- | --: | --: | --: | --: |
| TF-IDF, words | 80.26 \[73.3, 86.4\] | 84.00 | – | 1 |
| TF-IDF, characters | 85.62 \[79.3, 91.0\] | 88.50 | – | 1 |
| from scratch | 59.11 ± 6.01 \[53.8, 63.5\] | 66.33 ± 5.58 | – | 3 |
| ULMFiT, forward | 89.24 ± 0.28 \[85.3, 92.3\] | 92.67 ± 1.04 | 90.36 ± 0.44 | 3 |
| **ULMFiT, forward + backward** | **90.36 ± 0.44 \[86.2, 93.3\]** | 93.17 ± 0.76 | – | 3 |

- leak check: 2 of 180 test texts stand in the pretraining corpus; documents that hold one: 3, removed; 20 were too short to be searched
- from scratch: no pretraining

| language model | direction | split | documents | tokens | token perplexity | word perplexity | bits per character |
| :-- | :-- | :-- | --: | --: | --: | --: | --: |
| pretrained | forward | valid | 90 | 41,230 | 23.22 | 153.20 | 1.033 |
| pretrained | forward | test | 90 | 41,230 | 23.59 | 157.17 | 1.039 |
| fine-tuned, seed 0 | forward | valid | 90 | 41,230 | 18.17\* | 103.52\* | 0.953\* |
| fine-tuned, seed 1 | forward | valid | 90 | 41,230 | 18.36\* | 105.19\* | 0.956\* |
| fine-tuned, seed 2 | forward | valid | 90 | 41,230 | 18.54\* | 106.89\* | 0.959\* |

- \* not comparable: 2.7 unknown tokens per 100 words (limit 0.1)
- PolEval-2018 word perplexity of pretrained, forward: 118.39, with 1.56 % of the words replaced
""".lstrip()  # noqa: E501  # a golden text

TEXT_ROWS = """
model                                        macro F1      accuracy  macro F1 (validation)  seeds
--------------------------  -------------------------  ------------  ---------------------  -----
TF-IDF, words               80.26        [73.3, 86.4]  84.00                      –             1
TF-IDF, characters          85.62        [79.3, 91.0]  88.50                      –             1
from scratch                59.11 ± 6.01 [53.8, 63.5]  66.33 ± 5.58               –             3
ULMFiT, forward             89.24 ± 0.28 [85.3, 92.3]  92.67 ± 1.04           90.36 ± 0.44      3
ULMFiT, forward + backward  90.36 ± 0.44 [86.2, 93.3]  93.17 ± 0.76               –             3
"""


def test_markdown(record):
    assert [line.rstrip() for line in markdown_table(record).split("\n")] == MARKDOWN.split("\n")


def test_terminal(record):
    text = text_table(record)
    assert TEXT_ROWS in text
    assert "[transductive: " in text
    assert "18.17*" in text


def test_row_below_a_baseline_looks_like_the_others(record):
    """The model trained from scratch loses against both baselines, and is shown in its place."""
    lines = markdown_table(record).split("\n")
    assert lines.index(r"| from scratch | 59.11 ± 6.01 \[53.8, 63.5\] | 66.33 ± 5.58 | – | 3 |") == 10


def test_figures_of_regression_are_no_percentages():
    assert shown_values("pearson", MetricValues.of([0.51234, 0.6], (0.48, 0.61)), with_interval=True) == (
        "0.5562 ± 0.0620 [0.480, 0.610]"
    )
    assert shown_values("mae", MetricValues.of([12.5])) == "12.5000"
    assert shown_values("r2", MetricValues.of([-0.25])) == "-0.2500"
    assert shown_difference("pearson", -0.01234) == "−0.0123"
    assert shown_difference("pearson", 0.01234, coarse=True) == "+0.012"
    assert shown_difference("spearman", 0.00001) == "0.0000"
    assert shown_difference("macro_f1", 0.01234) == "+1.23"
    assert shown_difference("macro_f1", 0.01234, coarse=True) == "+1.2"


def test_percent():
    assert shown_values("accuracy", MetricValues.of([0.12345])) == "12.35"
    assert shown_values("accuracy", MetricValues.of([0.5, 0.6])) == "55.00 ± 7.07"
    assert shown_values("accuracy", MetricValues.of([0.5, 0.5])) == "50.00 ± 0.00"
    assert shown_values("accuracy", None) == "–"


def with_metric(record: Record, metric: str, positive: str | None = None) -> Record:
    rows = (row_result("one", [(0, made_up_predictions(0.8, 0))], positive_label=positive),)
    dataset = record.dataset.changed(metric=metric, positive_label=positive)
    return record.changed(dataset=dataset, rows=rows)


def test_main_metric_stands_first(record):
    assert shown_metrics(with_metric(record, "accuracy")) == ["accuracy", "macro_f1"]
    assert shown_metrics(with_metric(record, "micro_f1")) == ["micro_f1", "macro_f1"]
    germeval = shown_metrics(with_metric(record, "germeval_f"))
    assert germeval == ["germeval_f", "accuracy", "macro_f1", "macro_precision", "macro_recall"]


def test_binary_metrics_name_their_label(record):
    changed = with_metric(record, "binary_f1", "positive")
    assert shown_metrics(changed)[0] == "binary_f1"
    assert "| model | F1 of positive | accuracy |" in markdown_table(changed)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"leaked": (), "documents": 0, "removed": 0, "too_short": 0}, ["none of 180 test texts stands", ""]),
        ({"leaked": ("a",), "removed": 0}, ["1 of 180 test texts stands", "hold one: 3, left in"]),
        (
            {"leaked": ("a", "b"), "removed": 2},
            ["2 of 180 test texts stand ", "hold one: 3, of which 2 were removed"],
        ),
    ],
)
def test_leak_check(record, changes, parts):
    changed = record.changed(leaks=record.leaks.changed(**changes))
    (note,) = leak_notes(changed)
    assert all(part in note for part in parts)
    assert note in text_table(changed)
    assert ("too short" in note) == bool(changed.leaks.too_short)


def test_no_leak_check_no_note(record):
    assert leak_notes(record.changed(leaks=None)) == []
    assert "leak check" not in markdown_table(record.changed(leaks=None))


def test_hostile_names_stay_text(record):
    name = "a|b <script>\n\x1b[31m`*x*`"
    hostile = record.changed(rows=(row_result(name, [(0, made_up_predictions(0.8, 0))]),))
    line = next(line for line in markdown_table(hostile).split("\n") if line.startswith("| **a"))
    assert r"a\|b \<script\> " in line
    assert r"\`\*x\*\`" in line
    text = text_table(hostile)
    assert "\x1b" not in text
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_language_models_without_a_data_set(record):
    changed = record.changed(dataset=None, rows=())
    for text in (markdown_table(changed), text_table(changed)):
        assert "Language models only" in text
        assert "157.17" in text
        assert "seeds" not in text


def test_record_without_rows(record):
    empty = record.changed(rows=(), language_models=(), labels=())
    assert "| model | macro F1 | seeds |" in markdown_table(empty)
    assert "model  macro F1  seeds" in text_table(empty)


def test_cells_of_differences():
    assert [points(value) for value in (0.0123, -0.0123, 0.00001, -0.00001)] == [
        "+1.23",
        "−1.23",
        "0.00",
        "0.00",
    ]
    assert points(-0.117, 1) == "−11.7"
    assert [p_value(p) for p in (0.0009, 0.001, 0.25, 1.0)] == ["<0.001", "0.001", "0.250", "1.000"]
    metric = MetricValues.of([0.5, 0.6], (0.48, 0.61))
    assert shown_values("accuracy", metric, with_interval=True) == "55.00 ± 7.07 [48.0, 61.0]"
    assert shown_values("accuracy", metric) == "55.00 ± 7.07"


def compared(row: str, difference: float, **changes) -> Comparison:
    fields = {
        "row": row,
        "reference": "ULMFiT, forward",
        "metric": "macro_f1",
        "difference": difference,
        "interval": (difference - 0.02, difference + 0.02),
        "p_bootstrap": 0.5,
        "p_permutation": 0.001,
        "p_adjusted": 0.02,
        "seed_margin": 0.01,
        **changes,
    }
    return Comparison(**fields)


@pytest.fixture
def with_differences(record) -> Record:
    """A record whose rows are held against one of them, beside published results."""
    return record.changed(
        comparisons=(
            compared("TF-IDF, words", -0.0898, p_adjusted=0.0004),
            compared("TF-IDF, characters", -0.0362),
            compared("from scratch", -0.3013, metric="accuracy"),
            compared("ULMFiT, forward + backward", 0.0112, seed_margin=0.02, p_adjusted=0.41),
        ),
        published=(
            PublishedResult(
                name="a|b", metric="macro_f1", value=0.915, source="A paper, table 3", verified=True
            ),
            PublishedResult(name="best", metric="germeval_f", value=0.7, source="S", note="another split"),
        ),
    )


def test_published_results_with_other_numbers_of_labels_say_so(record) -> None:
    texts = record.dataset.rows["train"]
    published = tuple(
        PublishedResult(
            name="x", metric="macro_f1", value=0.9, source="S", verified=True, training_texts=count
        )
        for count in (80 * texts, texts, texts // 4, 0)
    )
    table = published_table(record.changed(published=published))
    assert [line[3] for line in table.lines] == ["80 times the labels", "–", "1/4 of the labels", "no labels"]


DIFFERENCES = """
model                                        macro F1      accuracy    validation            difference       p  seeds
--------------------------  -------------------------  ------------  ------------  --------------------  ------  -----
TF-IDF, words               80.26        [73.3, 86.4]  84.00             –          −8.98 [−11.0, −7.0]  <0.001      1
TF-IDF, characters          85.62        [79.3, 91.0]  88.50             –          −3.62  [−5.6, −1.6]   0.020      1
from scratch                59.11 ± 6.01 [53.8, 63.5]  66.33 ± 5.58      –              –                     –      3
ULMFiT, forward             89.24 ± 0.28 [85.3, 92.3]  92.67 ± 1.04  90.36 ± 0.44             reference       –      3
ULMFiT, forward + backward  90.36 ± 0.44 [86.2, 93.3]  93.17 ± 0.76      –         +1.12†  [−0.9, +3.1]   0.410      3

† inside seed noise: other seeds could turn the difference round
leak check: 2 of 180 test texts stand in the pretraining corpus; documents that hold one: 3, removed; 20 were too short to be searched
from scratch: no pretraining

published, not from this run  metric              source            remarks                    percent
----------------------------  ------------------  ----------------  -------------------------  -------
a|b                           macro F1            A paper, table 3  –                             91.5
best                          GermEval average F  S                 unverified; another split     70.0
"""  # noqa: E501  # a golden text


def test_differences_and_published_results_on_a_terminal(with_differences):
    text = text_table(with_differences)
    assert DIFFERENCES in text
    assert "Difference: row minus ULMFiT, forward, in percentage points, with its 95 % interval" in text
    assert "p: corrected for 3 comparisons (Holm)" in text
    assert "\n† inside seed noise" in text


NARROW = """
model                   macro F1    validation     difference       p  seeds
------------------  ------------  ------------  -------------  ------  -----
TF-IDF, words       80.26             –                 −8.98  <0.001      1
                    [73.3, 86.4]                [−11.0, −7.0]
TF-IDF, characters  85.62             –                 −3.62   0.020      1
                    [79.3, 91.0]                 [−5.6, −1.6]
from scratch        59.11 ± 6.01      –                     –       –      3
                    [53.8, 63.5]
ULMFiT, forward     89.24 ± 0.28  90.36 ± 0.44      reference       –      3
                    [85.3, 92.3]
ULMFiT, forward +   90.36 ± 0.44      –                +1.12†   0.410      3
  backward          [86.2, 93.3]                 [−0.9, +3.1]
not shown here, but in the report: accuracy

† inside seed noise: other seeds could turn the difference round
leak check: 2 of 180 test texts stand in the pretraining corpus; documents that
  hold one: 3, removed; 20 were too short to be searched
from scratch: no pretraining

published, not  metric            source            remarks          percent
"""


def test_a_table_wider_than_the_terminal(with_differences):
    assert NARROW in text_table(with_differences, 80)


@pytest.mark.parametrize("width", [72, 80, 100, 120, 200])
def test_no_line_is_longer_than_the_terminal(with_differences, width):
    text = text_table(with_differences, width)
    assert max(map(len, text.split("\n"))) <= width
    assert ("but in the report: accuracy" in text) == (width < 100)
    for row in result_table(with_differences).lines:
        assert all(part in text for cell in (row[0], row[1], row[4], row[5]) for part in cell.split())


def test_differences_and_published_results_in_markdown(with_differences):
    lines = markdown_table(with_differences).split("\n")
    assert "| model | macro F1 | accuracy | validation | difference | p | seeds |" in lines
    words = r"| TF-IDF, words | 80.26 \[73.3, 86.4\] | 84.00 | – | −8.98 \[−11.0, −7.0\] | \<0.001 | 1 |"
    assert words in lines
    assert r"| a\|b | macro F1 | A paper, table 3 | – | 91.5 |" in lines
    assert "| best | GermEval average F | S | unverified; another split | 70.0 |" in lines


def of_one_run(record, name):
    """The record with a row of a single run."""

    def of(row):
        metrics = {name: MetricValues.of(metric.values[:1]) for name, metric in row.metrics.items()}
        return row.changed(
            seeds=row.seeds[:1],
            metrics=metrics,
            valid_metrics={},
            label_metrics={},
            confusion=(),
            calibration=(),
        )

    return record.changed(rows=tuple(of(row) if row.name == name else row for row in record.rows))


@pytest.mark.parametrize(
    ("single", "rows", "note"),
    [
        ("from scratch", 1, "seed noise unknown, a trained row has a single run: from scratch"),
        (
            "ULMFiT, forward",
            2,
            "seed noise of every difference unknown, the reference has a single run: ULMFiT, forward",
        ),
    ],
)
def test_the_noise_that_a_single_run_leaves_unknown_is_blamed_on_no_baseline(
    with_differences, single, rows, note
):
    changed = of_one_run(with_differences, single).changed(
        comparisons=tuple(
            compared(name, -0.1, seed_margin=None) for name in ("from scratch", "TF-IDF, words")[:rows]
        )
    )
    assert difference_notes(changed) == [note]


def test_published_shares_beside_other_figures_have_a_percent_sign(record):
    published = [
        PublishedResult(name=metric, metric=metric, value=value, source="S")
        for metric, value in (("accuracy", 0.81), ("pearson", -0.25), ("word_perplexity", 156.6))
    ]
    both = published_table(record.changed(published=published))
    assert (both.header[-1], [row[-1] for row in both.lines]) == ("value", ["81.0 %", "-0.250", "156.6"])
    shares = published_table(record.changed(published=published[:1]))
    assert (shares.header[-1], shares.lines[0][-1]) == ("percent", "81.0")


def test_rows_that_the_most_frequent_label_alone_may_reach(record):
    # 120 of 200 texts have the most frequent label: F1 is 0.75 for it and 0 for the two others.
    low = record.rows[0].metrics["macro_f1"].changed(interval=(0.25, 0.9))
    poor = record.rows[0].changed(metrics={**record.rows[0].metrics, "macro_f1": low})
    assert "not clearly" not in " ".join(result_notes(record))
    changed = record.changed(rows=(poor, *record.rows[1:]))
    note = "not clearly better than always the most frequent label (macro F1 25.00): TF-IDF, words"
    assert result_notes(changed)[0] == note
    assert result_table(changed, with_differences=False).notes == [note, "from scratch: no pretraining"]


def test_one_comparison_needs_no_correction(with_differences):
    assert "p: one comparison." in text_table(
        with_differences.changed(comparisons=with_differences.comparisons[:1])
    )


def test_a_table_with_differences_has_eight_columns_at_most(with_differences):
    changed = with_differences.changed(
        rows=tuple(
            row.changed(valid_metrics=row.metrics, averages_seeds=row.runs == 1)
            for row in with_differences.rows
        ),
        dataset=with_differences.dataset.changed(metric="germeval_f"),
        comparisons=tuple(one.changed(metric="germeval_f") for one in with_differences.comparisons),
    )
    table = result_table(changed)
    assert len(table.header) == 8
    assert all(len(line) == 8 for line in table.lines)
    assert [line[-1] for line in table.lines] == ["1, averaged", "1, averaged", "3", "3", "3"]


def test_metrics_that_a_row_lacks_are_dashes(record):
    rows = list(record.rows)
    rows[0] = rows[0].changed(
        metrics={"macro_f1": rows[0].metrics["macro_f1"]}, label_metrics={}, confusion=(), kind="comparison"
    )
    assert result_table(record.changed(rows=tuple(rows))).lines[0][:3] == [
        "TF-IDF, words",
        "80.26 [73.3, 86.4]",
        "–",
    ]


@pytest.mark.parametrize("best", ["TF-IDF, words", "from scratch", "ULMFiT, forward + backward"])
def test_the_best_row_alone_is_bold(record, best):
    def of(row):
        metric = MetricValues.of([0.99 if row.name == best else 0.5] * row.runs)
        return row.changed(metrics={**row.metrics, "macro_f1": metric})

    lines = markdown_table(record.changed(rows=tuple(map(of, record.rows)))).split("\n")
    bold = [line for line in lines if line.startswith("| ") and "**" in line]
    assert len(bold) == 1
    assert bold[0].startswith(f"| **{best}** | **99.00")


def test_of_equal_rows_the_first_is_bold(record):
    rows = tuple(row.changed(metrics=record.rows[3].metrics) for row in record.rows[2:4])
    assert [row.style for row in result_table(record.changed(rows=rows)).rows] == ["best", ""]


def test_the_caption_explains_only_what_the_table_has(with_differences):
    bare = tuple(
        row.changed(
            metrics={"macro_f1": MetricValues.of([0.5])},
            valid_metrics={},
            seeds=(0,),
            label_metrics={},
            confusion=(),
            calibration=(),
        )
        for row in with_differences.rows
    )
    single = with_differences.changed(rows=bare, comparisons=())
    assert caption(single) == (
        "reviews (train 1,600, valid 200, test 200), test split, percent; one run per row."
    )
    several = with_differences.changed(rows=with_differences.rows[2:], comparisons=())
    assert "over the seeds. [ ]: 95 %" in caption(several)
    assert "Difference:" in caption(with_differences)
    assert "Difference:" not in caption(with_differences, with_differences=False)


def with_gaps(record: Record, gaps: list[float | None]) -> Record:
    """The record with validation above test by so much; None: no figures on validation."""

    def of(row, gap):
        if gap is None:
            return row.changed(valid_metrics={})
        values = [value + gap for value in row.metrics["macro_f1"].values]
        return row.changed(valid_metrics={"macro_f1": MetricValues.of(values)})

    return record.changed(rows=tuple(of(row, gap) for row, gap in zip(record.rows, gaps, strict=True)))


@pytest.mark.parametrize(
    ("gaps", "notes"),
    [
        ([0.029, -0.029, None, 0.0, 0.02], []),
        (
            [0.031, 0.05, None, 0.0, 0.0],
            [
                "validation is more than 3 points above test in 2 of 4 rows, most in TF-IDF, characters "
                "(+5.00)"
            ],
        ),
        (
            [0.0, 0.0, 0.0, -0.04, 0.0],
            ["validation is more than 3 points below test in 1 of 5 rows, most in ULMFiT, forward (−4.00)"],
        ),
    ],
)
def test_more_than_three_points_between_validation_and_test_are_pointed_out(record, gaps, notes):
    changed = with_gaps(record, gaps)
    assert gap_notes(changed) == notes
    text = text_table(changed)
    assert [note for note in text.split("\n") if note.startswith("validation is")] == notes


def test_a_gap_of_correlations_has_no_points(record):
    rows = tuple(
        row.changed(
            metrics={"pearson": MetricValues.of([0.5])},
            valid_metrics={"pearson": MetricValues.of([0.56])},
            seeds=(0,),
            label_metrics={},
            confusion=(),
            calibration=(),
        )
        for row in record.rows[:1]
    )
    dataset = record.dataset.changed(task="regression", metric="pearson", labels=())
    (note,) = gap_notes(record.changed(dataset=dataset, rows=rows))
    assert note.startswith("validation is more than 0.03 above test in 1 of 1 rows")
    assert "(+0.0600)" in note


def with_notes(count: int) -> Table:
    return Table(["model", "accuracy"], [], notes=[f"note <{number}>" for number in range(count)])


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (1, 1), (5, 5), (6, 4), (20, 4)])
def test_at_most_five_lines_stand_below_a_table(count, shown):
    table = with_notes(count)
    assert (len(table.shown_notes), len(table.other_notes)) == (shown, count - shown)
    lines = [line for line in as_markdown(table).split("\n") if line.startswith("- ")]
    assert len(lines) == min(count, MOST_NOTES)
    below = as_text(table).partition("\n\n")[2]
    assert len(below.splitlines()) == min(count, MOST_NOTES)
    assert (f"{count - shown} more notes: on the run's page" in below) == (count > MOST_NOTES)


def test_what_a_cell_is_made_of():
    assert parts_of("59.11 ± 6.01 [53.8, 63.5]") == ("59.11", " ± 6.01", " [53.8, 63.5]")
    assert parts_of("2.50e+06*") == ("2.50e+06*", "", "")
    assert parts_of("+1.12† [−0.9, +3.1]") == ("+1.12†", "", " [−0.9, +3.1]")
    assert parts_of("reference") is None


def test_a_page_links_to_what_explains_its_numbers(record):
    assert "mean: [docs/numbers.md](../../docs/numbers.md)." in markdown_table(
        record, "../../docs/numbers.md"
    )
