"""The short table of the front page: one row per task, ULMFiT beside TF-IDF.

Which of several rows is shown is decided on validation, never on the test figures in the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit.evaluation.metric_text import shown_number, shown_values
from ulmfit.evaluation.published import labels_beside
from ulmfit.evaluation.record import Record, RowResult
from ulmfit.report.leaderboard import Source
from ulmfit.report.markdown import escape
from ulmfit.report.record_tables import label_lines, shown_titles

METHODS = {"ULMFiT": "ULMFiT, ", "TF-IDF": "TF-IDF, "}
"""Column -> how the names of its rows begin; "ULMFiT with words" and others that leave out a part do not."""
CAPTION = (
    "Test split, percent (correlations as they are), mean ± standard deviation over seeds. Of several rows "
    "the one that is best on validation is shown. Hours: all stages of the record, shared ones too."
)


def markdown_summary(sources: Sequence[Source]) -> str:
    """Return the table as Markdown, with the labels of the records below it; language models are left out."""
    with_tasks = [source for source in sources if source.record.dataset]
    lines = [
        f"| task | test texts | metric | {' | '.join(METHODS)} | published | hours |",
        "| :-- | --: | :-- | :-- | :-- | :-- | --: |",
        *(_line(source) for source in with_tasks),
    ]
    return "\n\n".join([CAPTION, "\n".join(lines), "\n".join(_labels(with_tasks))]) + "\n"


def _line(source: Source) -> str:
    record, name = source.record, escape(source.record.title)
    assert record.dataset is not None
    cells = [
        f"[{name}]({source.link})" if source.link else name,
        f"{record.dataset.rows.get('test', 0):,}",
        escape(shown_titles(record)[0]),
        *(_cell(record, beginning) for beginning in METHODS.values()),
        _published(record),
        f"{sum(stage.seconds for stage in record.stages) / 3600:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _cell(record: Record, beginning: str) -> str:
    """Return the figure of the row that is best on validation, and that row's name within its kind."""
    assert record.dataset is not None
    metric = record.dataset.metric
    rows = [row for row in record.rows if row.name.startswith(beginning)]
    if not rows:
        return "–"

    def on_validation(row: RowResult) -> float:
        known = row.valid_metrics.get(metric)
        return known.mean if known else float("-inf")

    best = max(rows, key=on_validation)
    detail = best.name.removeprefix(beginning)
    return escape(f"{shown_values(metric, best.metrics[metric])} ({detail})")


def _published(record: Record) -> str:
    """Return the best figure that others have published in the main metric; a dash where none is known."""
    metric = record.dataset.metric if record.dataset else ""
    found = [result for result in record.published if result.metric == metric]
    if not found:
        return "–"
    best = max(found, key=lambda result: result.value)
    texts = record.dataset.rows.get("train", 0) if record.dataset else 0
    said = (best.name, "" if best.verified else "unverified", labels_beside(best, texts))
    return escape(f"{shown_number(metric, best.value)} ({', '.join(one for one in said if one)})")


def _labels(sources: Sequence[Source]) -> list[str]:
    """Return one line per set of labels, with the records that have it."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for source in sources:
        groups.setdefault(tuple(label_lines(source.record)), []).append(escape(source.name))
    return [
        f"- {', '.join(names)}: {'; '.join(f'**{escape(label)}**' for label in labels)}"
        for labels, names in groups.items()
        if labels
    ]
