"""The results of a record as tables, and those as Markdown for a README.

Rows stand in the order of the record and all look alike, also a model's row below a baseline's. What others
published stands in a table of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.datasets.metric_table import columns_with, metric_of
from ulmfit.datasets.task import Task
from ulmfit.evaluation.cards import LeakSummary
from ulmfit.evaluation.data_checks import data_check_notes
from ulmfit.evaluation.language_models import LanguageModelResult, PolEvalResult, comparability_notes
from ulmfit.evaluation.learning_curve import curve_caption, curve_cells
from ulmfit.evaluation.metric_text import (
    METRIC_TITLES,
    PLAIN,
    p_value,
    shown_difference,
    shown_number,
    shown_values,
)
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.record import Record, RowResult
from ulmfit.evaluation.significance import Comparison
from ulmfit.pipeline.printing import printable
from ulmfit.report.verdict import best_row

MOST_METRICS_WITH_DIFFERENCES: dict[Task, int] = {"single_label": 3, "multi_label": 4, "regression": 4}
"""So that a table with differences stays narrow."""

LABEL_MEANINGS = {
    "transductive": "the language model has seen the texts of the test split, without their labels",
    "small": "a reduced model, corpus or training; not comparable with published figures",
    "invented language": "a made-up language; the figures say nothing about a real one",
}

LARGEST_GAP = 0.03
"""Between validation and test, in the main metric; a larger one is pointed out. 0.01 is one point."""
NOISE_MARK = "†"
SEED_NOISE = (
    "inside seed noise: below the margin of Welch's 95 % interval of the difference of the seeds' means, so "
    "that other seeds could turn it round"
)


@dataclass(frozen=True)
class Table:
    """Cells as text; the first `text_columns` columns are words, the others numbers."""

    header: list[str]
    rows: list[list[str]]
    text_columns: int
    best: int | None = None
    """The row that is the best one; None: the table does not tell."""


def shown_metrics(record: Record) -> list[str]:
    """Return the metrics that get a column, the main one first; none without a data set."""
    if record.dataset is None:
        return []
    main, *others = columns_with(record.dataset.task, record.dataset.metric)
    shown = [main, *(name for name in others if any(name in row.metrics for row in record.rows))]
    return shown[: MOST_METRICS_WITH_DIFFERENCES[record.dataset.task]] if record.comparisons else shown


def shown_titles(record: Record) -> list[str]:
    """Return the names of `shown_metrics` for a reader; the binary ones name their label."""
    data = record.dataset

    def title(name: str) -> str:
        assert data is not None, "without a data set no metric is shown"
        metric = metric_of(data.task, name)
        of_label = metric.of_positive_label and data.positive_label
        return f"{metric.title} of {data.positive_label}" if of_label else metric.title

    return [title(name) for name in shown_metrics(record)]


def result_table(record: Record) -> Table:
    """Return the main table: one line a row of the record."""
    metrics, titles = shown_metrics(record), shown_titles(record)
    with_valid = any(row.valid_metrics for row in record.rows)
    compared = _compared(record)
    header = ["model", *titles]
    if with_valid:
        header.append("validation" if compared else f"{titles[0]} (validation)")
    header += [*(["difference", "p"] if compared else []), "seeds"]

    def line(row: RowResult) -> list[str]:
        cells = [
            shown_values(name, row.metrics.get(name), with_interval=name == metrics[0]) for name in metrics
        ]
        cells += [shown_values(metrics[0], row.valid_metrics.get(metrics[0]))] if with_valid else []
        cells += _difference(row, compared) if compared else []
        seeds = f"{len(row.seeds)}, averaged" if row.averages_seeds else str(len(row.seeds))
        return [row.name, *cells, seeds]

    best = best_row(record)
    place = None if best is None else record.rows.index(best)
    return Table(header, [line(row) for row in record.rows], text_columns=1, best=place)


def _compared(record: Record) -> dict[str, Comparison]:
    """Return the comparisons in the main metric, by the row's name."""
    metric = record.dataset.metric if record.dataset else None
    return {one.row: one for one in record.comparisons if one.metric == metric}


def _difference(row: RowResult, compared: dict[str, Comparison]) -> list[str]:
    if row.name not in compared:
        return ["reference" if any(one.reference == row.name for one in compared.values()) else "–", "–"]
    one = compared[row.name]
    low, high = (shown_difference(one.metric, bound, coarse=True) for bound in one.interval)
    mark = NOISE_MARK if one.within_seed_noise else ""
    cell = f"{shown_difference(one.metric, one.difference)}{mark} [{low}, {high}]"
    return [cell, p_value(one.p_adjusted)]


def published_table(record: Record) -> Table:
    """Return what others reported for the data set, which is not from this run."""
    plain = {result.metric in PLAIN for result in record.published}
    unit = "percent" if plain == {False} else "value"
    header = ["published, not from this run", "metric", "source", "remarks", unit]
    mark = " %" if len(plain) > 1 else ""
    return Table(header, [_published_line(result, mark) for result in record.published], text_columns=4)


def _published_line(result: PublishedResult, mark: str) -> list[str]:
    """Return the cells; `mark` stands behind a share."""
    remarks = [*([] if result.verified else ["unverified"]), *([result.note] if result.note else [])]
    metric = METRIC_TITLES[result.metric]
    value = shown_number(result.metric, result.value).removesuffix("0")
    value += "" if result.metric in PLAIN else mark
    return [result.name, metric, result.source, "; ".join(remarks) or "–", value]


def language_model_table(record: Record) -> Table:
    """Return the language models' table; an asterisk marks figures that are not comparable."""
    header = ["language model", "direction", "split", "documents", "tokens", "token perplexity"]
    header += ["word perplexity", "bits per character"]
    return Table(header, [_language_model_line(model) for model in record.language_models], text_columns=3)


def _language_model_line(model: LanguageModelResult) -> list[str]:
    mark = "" if model.comparable else "*"

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:,.2f}{mark}" if value < 1e6 else f"{value:.2e}{mark}"

    figures = [number(model.token_perplexity), number(model.word_perplexity)]
    bits = f"{model.bits_per_character:.3f}{mark}"
    counts = [f"{model.documents:,}", f"{model.tokens:,}"]
    return [model.name, model.direction, model.split, *counts, *figures, bits]


def caption(record: Record, *, with_differences: bool = True) -> str:
    """Return what the numbers of the main table are; without differences if its columns do not have them."""
    data = record.dataset
    if data is None:
        return "Language models only: no data set."
    rows = ", ".join(f"{split} {count:,}" for split, count in data.rows.items())
    plain = data.metric in PLAIN
    unit = "correlations as they are, errors in the labels' units" if plain else "percent"
    sentences = [f"{data.name} ({rows}), test split, {unit}{_seeds_in_words(record.rows)}."]
    if any(row.metrics[data.metric].interval for row in record.rows):
        sentences.append(
            "[ ]: 95 % bootstrap interval of the mean over other test documents, seeds held fixed."
        )
    if with_differences and (compared := list(_compared(record).values())):
        many = f"Holm-corrected for {len(compared)} comparisons" if len(compared) > 1 else "one comparison"
        scale = "" if plain else ", percentage points"
        sentences.append(
            f"Difference: row minus {compared[0].reference}{scale}, with the 95 % interval of the paired "
            f"bootstrap; p: two-sided approximate randomisation over the documents, {many}."
        )
    return " ".join(sentences)


def _seeds_in_words(rows: Sequence[RowResult]) -> str:
    several = [row.runs > 1 for row in rows]
    if not any(several):
        return "; one run per row" if rows else ""
    single = "" if all(several) else " (no ± for one seed)"
    return f"; mean ± sample standard deviation over the seeds{single}"


def row_notes(record: Record) -> list[str]:
    """Return the remarks on rows."""
    return [f"{row.name}: {note}" for row in record.rows for note in row.notes] + _majority_note(record)


def difference_notes(record: Record) -> list[str]:
    """Return the remarks on differences from the reference row."""
    compared = _compared(record).values()
    notes = [f"{NOISE_MARK} {SEED_NOISE}"] if any(one.within_seed_noise for one in compared) else []
    return notes + _unknown_noise(record, [one for one in compared if one.within_seed_noise is None])


def gap_notes(record: Record) -> list[str]:
    """Say in how many rows validation and test are more than LARGEST_GAP apart, above and below."""
    if record.dataset is None:
        return []
    metric = record.dataset.metric
    gaps = [
        (row.valid_metrics[metric].mean - row.metrics[metric].mean, row.name)
        for row in record.rows
        if metric in row.valid_metrics
    ]
    points = f"{LARGEST_GAP:g}" if metric in PLAIN else f"{100 * LARGEST_GAP:g} points"
    notes = []
    for side, sign, reason in (
        ("above", 1, "the test texts are harder, or what was chosen on validation fits it too well"),
        ("below", -1, "the test texts are easier, or validation is too small"),
    ):
        if far := [(gap, name) for gap, name in gaps if sign * gap > LARGEST_GAP]:
            gap, name = max(far, key=lambda one: sign * one[0])
            notes.append(
                f"validation is more than {points} {side} test in {len(far)} of {len(gaps)} rows, most in "
                f"{name} ({shown_difference(metric, gap)}): {reason}"
            )
    return notes


def _majority_note(record: Record) -> list[str]:
    """Name the rows that may be no better than a classifier that always predicts the most frequent label."""
    from ulmfit.classifier.metrics import majority_score

    data = record.dataset
    gold = next(([sum(line) for line in row.confusion[0]] for row in record.rows if row.confusion), None)
    if data is None or not gold or not sum(gold):
        return []
    positive = data.labels.index(data.positive_label) if data.positive_label else None
    least = majority_score(data.metric, gold, positive)
    rows = [(row.name, row.metrics[data.metric].interval) for row in record.rows]
    poor = [name for name, interval in rows if interval and interval[0] <= least]
    shown = f"{METRIC_TITLES[data.metric]} {shown_number(data.metric, least)}"
    return (
        [f"not clearly better than always the most frequent label ({shown}): {'; '.join(poor)}"]
        if poor
        else []
    )


def _unknown_noise(record: Record, unknown: Sequence[Comparison]) -> list[str]:
    """Name the trained rows whose single run leaves the noise of some differences unknown."""
    single = {row.name for row in record.rows if row.runs == 1 and row.kind != "baseline"}
    if reference := next((one.reference for one in unknown if one.reference in single), None):
        return [f"seed noise of every difference unknown, the reference has a single run: {reference}"]
    names = [one.row for one in unknown if one.row in single]
    return [f"seed noise unknown, a trained row has a single run: {'; '.join(names)}"] if names else []


def language_model_notes(record: Record) -> list[str]:
    """Return the remarks below the language models' table, PolEval's perplexity among them."""
    return [*comparability_notes(record.language_models), *map(_poleval_note, record.poleval)]


def _poleval_note(result: PolEvalResult) -> str:
    perplexity = result.poleval_2018_word_perplexity
    shown = "beyond a float" if perplexity is None else f"{perplexity:,.2f}"
    return (
        f"PolEval-2018 word perplexity of {result.name}, {result.direction}: {shown} "
        f"({100 * result.replaced_words / result.words:.2f} % of {result.words:,} words replaced; ends of "
        f"documents count as words; no word perplexity)"
    )


def leak_notes(record: Record) -> list[str]:
    """Return what a leak check found, on one line, if there was one."""
    leaks = record.leaks
    if leaks is None:
        return []
    rule = (
        f"at least {100 * leaks.min_share:g} % of a text's {leaks.ngram_words}-word n-grams in one document"
    )
    texts = f"{len(leaks.leaked) or 'none'} of {leaks.checked:,} test texts"
    verb = "stand" if len(leaks.leaked) > 1 else "stands"
    parts = [f"leak check: {texts} {verb} in the pretraining corpus ({rule})"]
    if leaks.leaked:
        parts.append(_fate(leaks))
    if leaks.too_short:
        parts.append(f"{leaks.too_short:,} were too short to be searched")
    return ["; ".join(parts)]


def _fate(leaks: LeakSummary) -> str:
    if not leaks.removed:
        return f"documents that hold one: {leaks.documents:,}, left in"
    if leaks.removed < leaks.documents:
        return f"documents that hold one: {leaks.documents:,}, of which {leaks.removed:,} were removed"
    return f"documents that hold one: {leaks.documents:,}, removed"


def label_lines(record: Record) -> list[str]:
    """Return one line a label of the record, with its meaning where it is a known one."""
    return [_explained(label) for label in record.labels]


def _explained(label: str) -> str:
    known, detail, _ = label.partition(":")
    meaning = LABEL_MEANINGS.get(known.lower())
    if meaning is None:
        return label
    return f"{label} ({meaning})" if detail else f"{label}: {meaning}"


def markdown_table(record: Record) -> str:
    """Return the tables of a record as Markdown."""
    blocks = []
    if record.labels:
        blocks.append("\n".join(f"**{escape(line)}**  " for line in label_lines(record)).rstrip())
    blocks.append(escape(caption(record)))
    if record.dataset:
        blocks.append(_markdown(result_table(record)))
    if record.published:
        blocks.append(_markdown(published_table(record)))
    for curve in record.curves:
        blocks += [escape(curve_caption(curve)), _markdown(Table(*curve_cells(curve), text_columns=1))]
    if record.language_models:
        blocks.append(_markdown(language_model_table(record)))
    if listed := remarks(record):
        blocks.append("\n".join(f"- {escape(remark)}" for remark in listed))
    return "\n\n".join(blocks) + "\n"


def remarks(record: Record) -> list[str]:
    """Return all that stands below the tables."""
    notes = row_notes(record) + difference_notes(record) + gap_notes(record)
    notes += language_model_notes(record) + leak_notes(record)
    return notes + dataset_notes(record) + data_check_notes(record.data_checks)


def dataset_notes(record: Record) -> list[str]:
    """Return what was lost or changed when the data set was read, a line each."""
    return [f"data set: {warning}" for warning in record.dataset.warnings] if record.dataset else []


def _markdown(table: Table) -> str:
    columns = range(len(table.header))
    rule = "| " + " | ".join(":--" if column < table.text_columns else "--:" for column in columns) + " |"
    lines = [_markdown_line(row, table.best == place) for place, row in enumerate(table.rows)]
    return "\n".join([_markdown_line(table.header), rule, *lines])


def _markdown_line(cells: Sequence[str], is_best: bool = False) -> str:
    """Return a line; the name and the main metric of the best row are bold."""
    shown = [escape(cell) for cell in cells]
    shown[:2] = [f"**{cell}**" if is_best else cell for cell in shown[:2]]
    return "| " + " | ".join(shown) + " |"


def escape(text: str) -> str:
    """Show `text` as it is: no markup, no HTML, no new line, no control character."""
    return re.sub(r"([\\`*_\[\]<>|&#~])", r"\\\1", printable(" ".join(text.split())))
