"""The tables of a record, with captions and notes; their writers know nothing of records.

Rows have the order of the record and look alike; a model below a baseline is not hidden. What others
published stands in a table of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.datasets.metric_table import columns_with, metric_of
from ulmfit.datasets.stages import Task
from ulmfit.evaluation.grammar_card import ALL, GrammarSummary
from ulmfit.evaluation.learning_curve import LearningCurve, curve_caption, curve_cells
from ulmfit.evaluation.metric_text import (
    METRIC_TITLES,
    PLAIN,
    p_value,
    shown_difference,
    shown_number,
    shown_perplexity,
    shown_values,
)
from ulmfit.evaluation.published import PublishedResult, labels_beside
from ulmfit.evaluation.record import Record, RowResult
from ulmfit.evaluation.significance import Comparison
from ulmfit.language_model.figures import LanguageModelResult
from ulmfit.pipeline.printing import printable
from ulmfit.report.notes import (
    NOISE_MARK,
    compared_rows,
    language_model_notes,
    majority_notes,
    result_notes,
    row_notes,
)
from ulmfit.report.table import Row, Table
from ulmfit.report.verdict import best_row

MOST_METRICS_WITH_DIFFERENCES: dict[Task, int] = {"single_label": 3, "multi_label": 4, "regression": 4}
"""So that a table with differences stays narrow."""

LABEL_MEANINGS = {
    "transductive": "the language model has seen the texts of the test split, without their labels",
    "small": "a reduced model, corpus or training; not comparable with published figures",
    "invented language": "a made-up language; the figures say nothing about a real one",
}


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

    return [title(metric) for metric in shown_metrics(record)]


@dataclass(frozen=True)
class Block:
    """A table below its caption; a block may lack either."""

    caption: str
    table: Table | None


def record_blocks(record: Record) -> list[Block]:
    """Return all tables of a record, in the order in which a reader sees them."""
    blocks = [Block(caption(record), result_table(record) if record.dataset else None)]
    if record.published:
        blocks.append(Block("", published_table(record)))
    blocks += [Block(curve_caption(curve), curve_table(curve)) for curve in record.curves]
    if record.language_models:
        blocks.append(Block("", language_model_table(record)))
    if record.grammar is not None:
        blocks.append(Block(GRAMMAR_CAPTION, grammar_table(record.grammar)))
    return blocks


def result_table(record: Record, *, with_differences: bool = True) -> Table:
    """Return the main table: one line per row of the record.

    Without differences it lacks their columns and has only the notes on rows.
    """
    metrics, titles = shown_metrics(record), shown_titles(record)
    with_valid = any(row.valid_metrics for row in record.rows)
    compared = compared_rows(record) if with_differences else {}
    header = ["model", *titles]
    if with_valid:
        header.append("validation" if compared else f"{titles[0]} (validation)")
    header += [*(["difference", "p"] if compared else []), "seeds"]
    best = best_row(record)

    def line(row: RowResult) -> Row:
        cells = [
            shown_values(name, row.metrics.get(name), with_interval=name == metrics[0]) for name in metrics
        ]
        cells += [shown_values(metrics[0], row.valid_metrics.get(metrics[0]))] if with_valid else []
        cells += _difference(row, compared) if compared else []
        seeds = f"{len(row.seeds)}, averaged" if row.averages_seeds else str(len(row.seeds))
        line = [row.name, *cells, seeds]
        return Row(line, "best", frozenset({0, 1})) if row is best else Row(line)

    return Table(
        header,
        [line(row) for row in record.rows],
        notes=result_notes(record) if with_differences else [*majority_notes(record), *row_notes(record)],
        spare=[*range(len(metrics), 1, -1), *([len(metrics) + 1] if with_valid else [])],
    )


def _difference(row: RowResult, compared: dict[str, Comparison]) -> list[str]:
    if row.name not in compared:
        return ["reference" if any(one.reference == row.name for one in compared.values()) else "–", "–"]
    one = compared[row.name]
    low, high = (shown_difference(one.metric, bound, coarse=True) for bound in one.interval)
    mark = NOISE_MARK if one.within_seed_noise else ""
    cell = f"{shown_difference(one.metric, one.difference)}{mark} [{low}, {high}]"
    return [cell, p_value(one.p_adjusted)]


def published_table(record: Record) -> Table:
    """Return the results that others reported for the data set, which are not of this run."""
    plain = {result.metric in PLAIN for result in record.published}
    unit = "percent" if plain == {False} else "value"
    header = ["published, not from this run", "metric", "source", "remarks", unit]
    mark = " %" if len(plain) > 1 else ""
    texts = record.dataset.rows.get("train", 0) if record.dataset else 0
    lines = [_published_line(result, mark, texts) for result in record.published]
    return Table.of(header, lines, words=4)


def curve_table(curve: LearningCurve) -> Table:
    """Return the numbers of a learning curve: a line per system, a column per place."""
    header, lines = curve_cells(curve)
    return Table(header, [Row(line) for line in lines], notes=curve.notes)


def _published_line(result: PublishedResult, mark: str, texts: int) -> list[str]:
    """Return the cells; `mark` is put after a share, `texts` is the number of training texts here."""
    said = ("" if result.verified else "unverified", labels_beside(result, texts), result.note)
    remarks = [remark for remark in said if remark]
    metric = METRIC_TITLES[result.metric]
    value = shown_number(result.metric, result.value).removesuffix("0")
    value += "" if result.metric in PLAIN else mark
    return [result.name, metric, result.source, "; ".join(remarks) or "–", value]


GRAMMAR_CAPTION = (
    "Grammar card: percent of minimal pairs whose right sentence is more probable, with a 95 % bootstrap "
    "interval over the pairs; guessing has 50."
)


def grammar_table(summary: GrammarSummary) -> Table:
    """Return the grammar card: a line per construction, a column per model."""
    lines = [
        [
            printable(one.name),
            f"{one.pairs:,}",
            *(
                f"{100 * score.accuracy:.1f} [{100 * score.interval[0]:.1f}, {100 * score.interval[1]:.1f}]"
                for score in one.scores
            ),
        ]
        for one in summary.constructions
    ]
    rows = [Row(line, "total" if line[0] == ALL else "") for line in lines]
    notes = [f"pairs: {printable(summary.source)}", "the last two columns are floors, made from the corpus"]
    return Table(["construction", "pairs", *summary.models], rows, notes=notes)


def language_model_table(record: Record) -> Table:
    """Return the language models' table; an asterisk marks figures that are not comparable."""
    header = ["language model", "direction", "split", "documents", "tokens", "token perplexity"]
    header += ["word perplexity", "bits per character"]
    lines = [Row(_language_model_line(model)) for model in record.language_models]
    return Table(header, lines, words=3, notes=language_model_notes(record), spare=(3, 4))


def _language_model_line(model: LanguageModelResult) -> list[str]:
    mark = "" if model.comparable else "*"

    figures = [
        shown + (mark if value is not None else "")
        for value in (model.token_perplexity, model.word_perplexity)
        if (shown := shown_perplexity(value, model.tokens))
    ]
    bits = f"{model.bits_per_character:.3f}{mark}"
    counts = [f"{model.documents:,}", f"{model.tokens:,}"]
    return [model.name, model.direction, model.split, *counts, *figures, bits]


def caption(record: Record, *, with_differences: bool = True) -> str:
    """Return the caption of the main table; without differences if it has no columns for them."""
    data = record.dataset
    if data is None:
        return "Language models only: no data set."
    rows = ", ".join(f"{split} {count:,}" for split, count in data.rows.items())
    plain = data.metric in PLAIN
    unit = "correlations as they are, errors in the labels' units" if plain else "percent"
    sentences = [f"{data.name} ({rows}), test split, {unit}{_seeds_in_words(record.rows)}."]
    if any(row.metrics[data.metric].interval for row in record.rows):
        sentences.append("[ ]: 95 % bootstrap interval over the test documents.")
    if with_differences and (compared := list(compared_rows(record).values())):
        many = f"corrected for {len(compared)} comparisons (Holm)" if len(compared) > 1 else "one comparison"
        points = "" if plain else "in percentage points, "
        difference = f"Difference: row minus {compared[0].reference}, {points}with its 95 % interval"
        sentences.append(f"{difference}; p: {many}.")
    return " ".join(sentences)


def _seeds_in_words(rows: Sequence[RowResult]) -> str:
    several = [row.runs > 1 for row in rows]
    if not any(several):
        return "; one run per row" if rows else ""
    return "; mean ± standard deviation over the seeds"


def label_lines(record: Record) -> list[str]:
    """Return one line per label of the record, with its meaning where it is a known one."""
    return [_explained(label) for label in record.labels]


def _explained(label: str) -> str:
    known, detail, _ = label.partition(":")
    meaning = LABEL_MEANINGS.get(known.lower())
    if meaning is None:
        return label
    return f"{label} ({meaning})" if detail else f"{label}: {meaning}"
