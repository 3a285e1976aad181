"""Several records as one table: one line per model, one column per task, the best of each column marked.

The same row with another preset is another model: its line names the preset, and what else differs. A
baseline with the same numbers under several presets is one line.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ulmfit.evaluation.metric_text import shown_values
from ulmfit.evaluation.record import MetricValues, Record, RowResult
from ulmfit.pipeline.errors import InputError
from ulmfit.report.markdown import as_markdown, escape
from ulmfit.report.page import page_environment, render_page
from ulmfit.report.record_tables import label_lines, shown_metrics, shown_titles
from ulmfit.report.table import Row, Table

TEMPLATE = "leaderboard.html.j2"
CAPTION = (
    "Main metric of each task on its test split, percent (correlations as they are); mean ± standard "
    "deviation over the seeds; bold: best of a column. Average rank: over the tasks that a model was run on."
)
NOTHING = "No record has rows of results."


@dataclass(frozen=True)
class Source:
    """A record, its name (that of its file), its address for a link (empty: none), its file for messages."""

    record: Record
    name: str
    link: str = ""
    file: str = ""


@dataclass(frozen=True)
class Task:
    """One column: records of one data set with one test split, one main metric."""

    name: str
    metric: str
    """Its name for a reader."""
    test_texts: int
    measure: str = "accuracy"
    """Its name in records."""


@dataclass(frozen=True)
class Cell:
    """One model on one task: the metric's values, and whether no other line has a higher mean."""

    metric: MetricValues
    best: bool
    measure: str = "accuracy"
    """The metric's name in records."""

    @property
    def text(self) -> str:
        """Return mean and standard deviation."""
        return shown_values(self.measure, self.metric)


@dataclass(frozen=True)
class Line:
    """One model: a cell for each task (None where it was not run), its average rank, and over how many."""

    model: str
    cells: list[Cell | None]
    rank: float
    tasks: int


@dataclass(frozen=True)
class Leaderboard:
    """The table, lines by number of tasks and average rank, and the records behind it."""

    tasks: list[Task]
    lines: list[Line]
    sources: list[Source]


def leaderboard(sources: Sequence[Source]) -> Leaderboard:
    """Compare the rows of several records; those of language models alone are only listed.

    Raises InputError without a record, and when two have one name.
    """
    if not sources:
        raise InputError("a leaderboard needs at least one record")
    files: dict[str, str] = {}
    for source in sources:
        if source.name in files:
            raise InputError(
                f"{files[source.name]} and {source.file}: expected records of different names; got "
                f"{source.name!r} twice: give a copy of one another name (a record.json has its folder's)"
            )
        files[source.name] = source.file
    found: dict[str, dict[Task, MetricValues]] = {}
    tasks: dict[Task, None] = {}
    for source in sources:
        if (task := _task(source.record)) is None:
            continue
        tasks[task] = None
        metric = source.record.dataset.metric if source.record.dataset else ""
        for row in source.record.rows:
            _add(found, task, row, row.metrics[metric], source)
    return _ranked(list(tasks), found, list(sources))


def _task(record: Record) -> Task | None:
    data = record.dataset
    if data is None:
        return None
    return Task(data.name, shown_titles(record)[0], data.rows.get("test", 0), shown_metrics(record)[0])


def _add(
    found: dict[str, dict[Task, MetricValues]],
    task: Task,
    row: RowResult,
    metric: MetricValues,
    source: Source,
) -> None:
    """Put a row under its name, and under one that names its record where that is taken by other numbers."""
    name = _name(row, source.record)
    taken = found.setdefault(name, {}).setdefault(task, metric)
    if taken.values != metric.values:
        found.setdefault(f"{name} [{source.name}]", {})[task] = metric


def _name(row: RowResult, record: Record) -> str:
    if row.kind in ("baseline", "comparison"):
        return row.name
    marks = [record.preset]
    marks += ["trial"] if record.configuration.get("trial") else []
    marks += ["transductive"] if "transductive" in record.labels else []
    marks += ["changed"] if any(label.startswith("changed: ") for label in record.labels) else []
    return f"{row.name} ({', '.join(marks)})"


def _ranked(
    tasks: list[Task], found: dict[str, dict[Task, MetricValues]], sources: list[Source]
) -> Leaderboard:
    means = {task: [cells[task].mean for cells in found.values() if task in cells] for task in tasks}

    def line(model: str, cells: dict[Task, MetricValues]) -> Line:
        ranks = [rank(metric.mean, means[task]) for task, metric in cells.items()]
        shown = [
            Cell(cells[task], cells[task].mean == max(means[task]), task.measure) if task in cells else None
            for task in tasks
        ]
        return Line(model, shown, statistics.fmean(ranks), len(ranks))

    lines = [line(model, cells) for model, cells in found.items()]
    return Leaderboard(tasks, sorted(lines, key=lambda one: (-one.tasks, one.rank, one.model)), sources)


def rank(value: float, values: Iterable[float]) -> float:
    """Return the rank of a value among values (itself one of them), from 1 for the highest."""
    listed = list(values)
    higher, equal = sum(other > value for other in listed), sum(other == value for other in listed)
    return higher + (equal + 1) / 2


def source_facts(source: Source) -> str:
    """Return the origin of a record on one line: recipe, preset, commit."""
    record = source.record
    commit, changes = record.commit.removesuffix("+changes"), record.commit.endswith("+changes")
    at = f"commit {commit[:12]}{' with changes' if changes else ''}" if commit else "commit unknown"
    return f"{record.recipe}, preset {record.preset}, {at}"


def board_table(board: Leaderboard) -> Table:
    """Return a line per model and a column per task, the best of each column bold."""
    tasks = [f"{task.name}: {task.metric} ({task.test_texts:,} texts)" for task in board.tasks]
    rows = []
    for line in board.lines:
        cells = [cell.text if cell else "–" for cell in line.cells]
        best = frozenset(place for place, cell in enumerate(line.cells, 1) if cell and cell.best)
        rows.append(Row([line.model, *cells, f"{line.rank:.2f}", str(line.tasks)], bold=best))
    return Table(["model", *tasks, "average rank", "tasks"], rows)


def markdown_leaderboard(board: Leaderboard) -> str:
    """Return the table as Markdown, and below it the records with their labels."""
    blocks = [escape(CAPTION), as_markdown(board_table(board))] if board.lines else [NOTHING]
    return "\n\n".join([*blocks, "\n".join(map(_markdown_source, board.sources))]) + "\n"


def _markdown_source(source: Source) -> str:
    name = f"[{escape(source.name)}]({source.link})" if source.link else escape(source.name)
    only = "" if source.record.dataset else "; language models only"
    labels = "".join(f"; **{escape(line)}**" for line in label_lines(source.record))
    return f"- {name}: {escape(source_facts(source))}{only}{labels}"


def html_leaderboard(board: Leaderboard, title: str = "Leaderboard") -> str:
    """Return the same as one HTML page that needs nothing else."""
    sources = [(source, source_facts(source), label_lines(source.record)) for source in board.sources]
    values = {"table": board_table(board), "sources": sources, "caption": CAPTION, "nothing": NOTHING}
    return render_page(page_environment(), TEMPLATE, title=title, **values)
