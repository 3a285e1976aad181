"""The page's section on calibration: how often each confidence was right, before and after scaling."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import SubElement

from markupsafe import Markup

from ulmfit.evaluation.calibration import Calibration, CalibrationFigures, ReliabilityBin
from ulmfit.evaluation.record import Record, RowResult
from ulmfit.report.section import Section
from ulmfit.report.svg import Axis, add_line, add_rectangle, add_text, as_markup, new_svg
from ulmfit.report.table import Table

WIDTH, HEIGHT = 340, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 28, 42
COUNTS = 34
"""Height of the strip below the plot that shows the number of texts per bin."""
FLAT = 0.02
"""A mean confidence this little above equal probabilities says almost nothing."""


@dataclass(frozen=True)
class Diagram:
    """A reliability diagram with its error, as text."""

    title: str
    ece: str
    chart: Markup


@dataclass(frozen=True)
class Reliability:
    """One row of the table: diagrams of all its runs together, before and after scaling."""

    name: str
    is_baseline: bool
    runs: int
    temperature: str
    notes: list[str]
    before: Diagram
    after: Diagram
    table: Table
    """Measures; their means over the runs before and after."""


def describe_reliability(record: Record) -> list[Reliability]:
    """Prepare the rows that were calibrated for the page."""
    labels = len(record.dataset.labels) if record.dataset else 0
    return [_reliability(row, labels) for row in record.rows if row.calibration]


def pooled(runs: Sequence[CalibrationFigures]) -> list[ReliabilityBin]:
    """Sum the bins of several runs; each text counts once per run."""
    bins = []
    for members in zip(*(run.bins for run in runs), strict=True):
        filled = [part for part in members if part.count]
        count = sum(part.count for part in filled)

        def mean(of: Callable[[ReliabilityBin], float | None], filled=filled, count=count) -> float | None:
            return sum(part.count * (of(part) or 0.0) for part in filled) / count if count else None

        bins.append(
            ReliabilityBin(
                count=count,
                confidence=mean(lambda part: part.confidence),
                accuracy=mean(lambda part: part.accuracy),
            )
        )
    return bins


def reliability_chart(bins: Sequence[ReliabilityBin], title: str) -> Markup:
    """Draw accuracy over confidence as bars, with a mark at each bin's mean confidence, and the counts.

    Perfect calibration is the diagonal. The shade between bar and mark is the gap that the ECE sums.
    """
    x_axis = Axis(0, 1, LEFT, WIDTH - RIGHT)
    y_axis = Axis(0, 1, HEIGHT - BOTTOM - COUNTS, TOP)
    svg = new_svg(WIDTH, HEIGHT, "chart reliability", title)
    _draw_frame(svg, x_axis, y_axis)
    most = max((part.count for part in bins), default=0)
    counts = Axis(0, max(most, 1), HEIGHT - BOTTOM, HEIGHT - BOTTOM - COUNTS + 8)
    for number, part in enumerate(bins):
        if part.confidence is None or part.accuracy is None:
            continue
        across = (x_axis.at(number / len(bins)) + 1, x_axis.at((number + 1) / len(bins)) - 1)
        bar = add_rectangle(svg, across, (y_axis.at(part.accuracy), y_axis.start), "column")
        top, bottom = sorted((y_axis.at(part.accuracy), y_axis.at(part.confidence)))
        gap = add_rectangle(svg, across, (top, bottom), "gap")
        add_line(
            svg, across[0], y_axis.at(part.confidence), across[1], y_axis.at(part.confidence), "expected"
        )
        count = add_rectangle(svg, across, (counts.at(part.count), counts.start), "count")
        text = (
            f"{part.count:,} predictions, mean confidence {100 * part.confidence:.1f} %, "
            f"{100 * part.accuracy:.1f} % right"
        )
        for shape in (bar, gap, count):
            SubElement(shape, "title").text = text
    add_line(svg, x_axis.at(0), y_axis.at(0), x_axis.at(1), y_axis.at(1), "diagonal")
    return as_markup(svg)


def _draw_frame(svg, x_axis: Axis, y_axis: Axis) -> None:
    for value in (0, 0.25, 0.5, 0.75, 1):
        place = y_axis.at(value)
        add_line(svg, LEFT, place, WIDTH - RIGHT, place, "grid")
        add_text(svg, LEFT - 7, place + 4, f"{100 * value:g}", "end")
        across = x_axis.at(value)
        add_line(svg, across, HEIGHT - BOTTOM, across, HEIGHT - BOTTOM + 4, "axis")
        add_text(svg, across, HEIGHT - BOTTOM + 17, f"{100 * value:g}", "middle")
    add_line(svg, LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis")
    add_text(svg, 0, 14, "right, percent", "start", "title")
    add_text(svg, WIDTH - RIGHT, HEIGHT - 6, "confidence, percent", "end", "title")


def _reliability(row: RowResult, labels: int) -> Reliability:
    runs = row.calibration
    before, after = [run.before for run in runs], [run.after for run in runs]
    fitted = [run.temperature for run in runs if run.fitted]
    measures: list[tuple[str, Callable[[CalibrationFigures], float], Callable[[float], str]]] = [
        ("expected calibration error", lambda figures: figures.ece, _percent),
        ("negative log-likelihood, nats per text", lambda figures: figures.nll, "{:.4f}".format),
        ("Brier score", lambda figures: figures.brier, "{:.4f}".format),
    ]
    return Reliability(
        name=row.name,
        is_baseline=row.kind == "baseline",
        runs=len(runs),
        temperature=_mean_and_sd(fitted, "{:.3f}".format) if fitted else "1 (not fitted)",
        notes=_notes(row, labels),
        before=_diagram(row.name, "before", before),
        after=_diagram(row.name, "after temperature scaling", after),
        table=Table.of(
            ["", "before", "after"],
            [
                [name, *(_mean_and_sd(list(map(of, figures)), text) for figures in (before, after))]
                for name, of, text in measures
            ],
        ),
    )


def _diagram(name: str, title: str, runs: Sequence[CalibrationFigures]) -> Diagram:
    ece = _mean_and_sd([run.ece for run in runs], _percent)
    chart = reliability_chart(pooled(runs), f"Reliability of {name}, {title}")
    return Diagram(title, ece, chart)


def _notes(row: RowResult, labels: int) -> list[str]:
    runs = row.calibration
    texts = sorted({run.validation_texts for run in runs})
    notes = [f"fitted on {' and '.join(f'{count:,}' for count in texts)} validation texts"]
    if flat := sum(run.fitted and _mean_confidence(run.after) < 1 / labels + FLAT for run in runs):
        notes.append(
            f"hardly better than chance{_of(flat, runs)}: scaled, the predicted label's mean probability is "
            f"less than {100 * FLAT:g} points above 1 / {labels}"
        )
    # With errors in validation, only the upper bound of the search can mean "no best temperature".
    accuracies = row.valid_metrics["accuracy"].values if "accuracy" in row.valid_metrics else ()
    unfitted = [accuracy for run, accuracy in zip(runs, accuracies, strict=False) if not run.fitted]
    if faultless := sum(accuracy == 1 for accuracy in unfitted):
        notes.append(
            f"nothing in validation is wrong{_of(faultless, runs)}, so no temperature is best: left at 1"
        )
    if chance := len(unfitted) - faultless:
        notes.append(
            f"no better than chance{_of(chance, runs)}: no temperature fits validation better than equal "
            "probabilities of all labels: left at 1"
        )
    return notes


def _mean_confidence(figures: CalibrationFigures) -> float:
    filled = [(part.count, part.confidence) for part in figures.bins if part.confidence is not None]
    return sum(count * confidence for count, confidence in filled) / sum(count for count, _ in filled)


def _of(some: int, runs: Sequence[Calibration]) -> str:
    return f" in {some} of {len(runs)} runs" if len(runs) > 1 else ""


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _mean_and_sd(values: Sequence[float], text: Callable[[float], str]) -> str:
    mean = text(statistics.fmean(values))
    return mean if len(values) < 2 else f"{mean} ± {text(statistics.stdev(values))}"


SECTION = Section(
    "calibration",
    "Calibration",
    "calibration.html.j2",
    lambda material: describe_reliability(material.record) or None,
)
