"""The results of a record as tables: Markdown for a README, plain text for a terminal.

Rows stand in the order of the record and all look alike, also a model's row below a baseline's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ulmfit.evaluation.cards import LeakSummary
from ulmfit.evaluation.data_checks import data_check_notes
from ulmfit.evaluation.language_models import LanguageModelResult, PolEvalResult
from ulmfit.evaluation.record import MetricValues, Record, RowResult

METRIC_TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "binary_f1": "F1",
    "germeval_f": "GermEval average F",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "binary_precision": "precision",
    "binary_recall": "recall",
}

LABEL_MEANINGS = {
    "transductive": "the language model has seen the texts of the test split, without their labels",
    "small": "a reduced model, corpus or training; not comparable with published figures",
    "invented language": "a made-up language; the figures say nothing about a real one",
}

NOT_COMPARABLE = "not comparable: unknown tokens make perplexity and bits per character look too good"
MARKED_WORDS = "not comparable: rare words of the texts were replaced by a mark"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first `text_columns` columns are words, the others numbers."""

    header: list[str]
    rows: list[list[str]]
    text_columns: int


def shown_metrics(record: Record) -> list[str]:
    """Return the metrics that get a column, the main one first; none without a data set."""
    if record.dataset is None:
        return []
    main = record.dataset.metric
    candidates = ["accuracy", "macro_f1", "binary_f1", "binary_precision", "binary_recall"]
    if main == "germeval_f":
        candidates += ["macro_precision", "macro_recall"]
    if main == "micro_f1":
        candidates.remove("accuracy")  # the same number when every text has one label
    present = [name for name in candidates if any(name in row.metrics for row in record.rows)]
    return [main, *(name for name in present if name != main)]


def shown_titles(record: Record) -> list[str]:
    """Return the names of `shown_metrics` for a reader; the binary ones name their label."""
    positive_label = record.dataset.positive_label if record.dataset else None

    def title(metric: str) -> str:
        name = METRIC_TITLES.get(metric, metric)
        return f"{name} of {positive_label}" if metric.startswith("binary_") and positive_label else name

    return [title(metric) for metric in shown_metrics(record)]


def percent(metric: MetricValues | None) -> str:
    """Return `mean ± standard deviation` in percent, the mean alone for one seed, a dash for None."""
    if metric is None:
        return "–"
    mean = f"{100 * metric.mean:.2f}"
    return mean if metric.sd is None else f"{mean} ± {100 * metric.sd:.2f}"


def result_table(record: Record) -> Table:
    """Return the main table: one line a row of the record."""
    metrics, titles = shown_metrics(record), shown_titles(record)
    with_valid = any(row.valid_metrics for row in record.rows)
    header = ["model", *titles, *([f"{titles[0]} (validation)"] if with_valid else []), "seeds"]

    def line(row: RowResult) -> list[str]:
        cells = [percent(row.metrics.get(name)) for name in metrics]
        valid = [percent(row.valid_metrics.get(metrics[0]))] if with_valid else []
        return [row.name, *cells, *valid, str(len(row.seeds))]

    return Table(header, [line(row) for row in record.rows], text_columns=1)


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


def caption(record: Record) -> str:
    """Return what the numbers of the main table are."""
    data = record.dataset
    if data is None:
        return "Language models only: no data set."
    rows = ", ".join(f"{split} {count:,}" for split, count in data.rows.items())
    return (
        f"{data.name} ({rows}), test split, percent; "
        "mean ± sample standard deviation over the seeds (no ± for one seed)."
    )


def row_notes(record: Record) -> list[str]:
    """Return the remarks below the main table."""
    return [f"{row.name}: {note}" for row in record.rows for note in row.notes]


def language_model_notes(record: Record) -> list[str]:
    """Return the remarks below the language models' table, PolEval's perplexity among them."""
    models = record.language_models
    notes = [f"* {NOT_COMPARABLE}"] if any(model.unknown_tokens for model in models) else []
    notes += [f"* {MARKED_WORDS}"] if any(model.rare_words_replaced for model in models) else []
    return [*notes, *map(_poleval_note, record.poleval)]


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
    if record.language_models:
        blocks.append(_markdown(language_model_table(record)))
    if remarks := _remarks(record):
        blocks.append("\n".join(f"- {escape(remark)}" for remark in remarks))
    return "\n\n".join(blocks) + "\n"


def text_table(record: Record) -> str:
    """Return the same for a terminal: aligned columns, no markup, no control characters."""
    blocks = []
    if record.labels:
        blocks.append("\n".join(f"[{line}]" for line in label_lines(record)))
    blocks.append(caption(record))
    if record.dataset:
        blocks.append(_aligned(result_table(record)))
    if record.language_models:
        blocks.append(_aligned(language_model_table(record)))
    if remarks := _remarks(record):
        blocks.append("\n".join(remarks))
    return "\n".join(_printable(line) for line in "\n\n".join(blocks).split("\n")) + "\n"


def _remarks(record: Record) -> list[str]:
    notes = row_notes(record) + language_model_notes(record) + leak_notes(record)
    return notes + data_check_notes(record.data_checks)


def _markdown(table: Table) -> str:
    columns = range(len(table.header))
    rule = "| " + " | ".join(":--" if column < table.text_columns else "--:" for column in columns) + " |"
    lines = [_markdown_line(table.header), rule, *(_markdown_line(row) for row in table.rows)]
    return "\n".join(lines)


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def escape(text: str) -> str:
    """Show `text` as it is: no markup, no HTML, no new line."""
    return re.sub(r"([\\`*_\[\]<>|&#~])", r"\\\1", " ".join(text.split()))


def _aligned(table: Table) -> str:
    columns = [_decimals_aligned(column) for column in zip(*table.rows, strict=True)] if table.rows else []
    rows = [list(row) for row in zip(*columns, strict=True)]
    lines = [[_printable(cell) for cell in row] for row in (table.header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]

    def line(cells: Sequence[str]) -> str:
        sides: list[Callable[[str, int], str]] = [str.ljust] * table.text_columns
        sides += [str.rjust] * (len(cells) - table.text_columns)
        padded = (side(cell, width) for side, cell, width in zip(sides, cells, widths, strict=True))
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(lines[0]), rule, *(line(row) for row in lines[1:])])


def _decimals_aligned(column: Sequence[str]) -> list[str]:
    """Pad the cells without a standard deviation, so that all means stand below each other."""
    room = max(len(cell.partition(" ±")[2]) for cell in column)
    return [cell + " " * (room + 2) if room and "±" not in cell else cell for cell in column]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
