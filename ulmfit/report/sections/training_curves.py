"""The charts of one training: losses, metrics per epoch, and the learning rates that the optimizer used."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ulmfit.evaluation.metric_text import METRIC_TITLES, PLAIN
from ulmfit.pipeline.errors import InputError
from ulmfit.report.charts import Point, Series, line_chart
from ulmfit.report.section import History, Section

RAMP = 6
"""Number of CSS classes `ramp-1` to `ramp-6`, from the lowest layers to the head."""

SMOOTHING = 20
"""The smoothed loss is a mean over 1/20 of the curve."""

CLIPPED = 50
"""On a logarithmic axis, learning rates below 1/50 of the lowest peak are not drawn."""


KEPT = "the epoch that is kept"

METRIC_STYLES = ("validation", "training", "third", "fourth", "fifth")
"""CSS classes of the lines of metrics; further metrics are not drawn."""

OF_EVERY_EPOCH = frozenset({"phase", "epoch", "train_loss", "valid_loss"})
"""Fields of an epoch in `history.json` that are no metrics; all others are metrics on validation."""


@dataclass(frozen=True)
class Figure:
    """A chart and its legend: (name, CSS class) of each line."""

    chart: Markup
    legend: list[tuple[str, str]]


@dataclass(frozen=True)
class Curves:
    """What the page shows of one training."""

    name: str
    losses: Figure
    rates: Figure
    metrics: Figure | None
    """On validation, per epoch; None if the history has none."""


@dataclass(frozen=True)
class _Phase:
    """A stretch of steps under one schedule."""

    start: float
    end: float


def draw(history: History) -> Curves:
    """Draw one training; raises InputError when the history is malformed."""
    try:
        steps, epochs = history.data["steps"], history.data["epochs"]
        phases = _phases(steps)
        places = _epoch_places(epochs, phases)
        kept = kept_epoch(history)
        return Curves(
            history.name,
            losses=_loss_figure(history.name, steps, epochs, phases, places, kept),
            rates=_rate_figure(history.name, steps, phases),
            metrics=_metric_figure(history.name, epochs, phases, places, kept),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"history of {history.name!r} is malformed ({type(error).__name__}: {error}); "
            "expected steps and epochs as training writes them"
        ) from error


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Return the running mean over `window` values around each one, fewer at both ends."""
    half = window // 2
    result = []
    for index in range(len(values)):
        near = [v for v in values[max(0, index - half) : index + half + 1] if math.isfinite(v)]
        result.append(math.fsum(near) / len(near) if near else math.nan)
    return result


def kept_epoch(history: History) -> int | None:
    """Return the place among the epochs of the one whose weights are kept; None if there are no epochs."""
    epochs = history.data["epochs"]
    if not epochs or history.select == "last":
        return len(epochs) - 1 if epochs else None
    if history.select_metric == "loss":
        values = [-_number(epoch["valid_loss"]) for epoch in epochs]
    else:
        values = [_metrics(epoch).get(history.select_metric, math.nan) for epoch in epochs]
    known = [place for place, value in enumerate(values) if math.isfinite(value)]
    # The first of equal ones: a later epoch is kept only if it is better.
    return max(known, key=lambda place: values[place], default=len(epochs) - 1)


def _loss_figure(
    name: str,
    steps: list[dict],
    epochs: list[dict],
    phases: dict[int, _Phase],
    places: list[float],
    kept: int | None,
) -> Figure:
    at = [float(step["step"]) for step in steps]
    losses = [_number(step["loss"]) for step in steps]
    running = smoothed(losses, len(losses) // SMOOTHING)
    lines = [
        Series("training, single steps", "raw", list(zip(at, losses, strict=True))),
        Series("training, running mean", "training", list(zip(at, running, strict=True))),
    ]
    validation = [(place, _number(epoch["valid_loss"])) for place, epoch in zip(places, epochs, strict=True)]
    if any(math.isfinite(loss) for _, loss in validation):
        lines.append(Series("validation", "validation", validation, markers=True))
        lines += _kept(validation, kept)
    return _figure(lines, phases, title=f"Loss of {name} over the steps", y_title="loss (nats)")


def _metric_figure(
    name: str, epochs: list[dict], phases: dict[int, _Phase], places: list[float], kept: int | None
) -> Figure | None:
    found = [_metrics(epoch) for epoch in epochs]
    names = list(dict.fromkeys(metric for metrics in found for metric in metrics))[: len(METRIC_STYLES)]
    lines: list[Series] = []
    for metric, style in zip(names, METRIC_STYLES, strict=False):
        factor = 1 if metric in PLAIN else 100
        values = [factor * metrics.get(metric, math.nan) for metrics in found]
        points = list(zip(places, values, strict=True))
        lines.append(Series(METRIC_TITLES.get(metric, metric), style, points, markers=True))
    if not lines:
        return None
    lines += _kept(lines[0].points, kept)
    unit = "" if set(names) & PLAIN else ", percent"
    return _figure(
        lines, phases, title=f"Metrics of {name} on validation over the steps", y_title=f"validation{unit}"
    )


def _kept(points: Sequence[Point], kept: int | None) -> list[Series]:
    """Return the mark of the epoch whose weights are kept."""
    if kept is None or not math.isfinite(points[kept][1]):
        return []
    return [Series(KEPT, "kept", [points[kept]], markers=True)]


def _metrics(epoch: dict[str, Any]) -> dict[str, float]:
    """Return the metrics on validation of an epoch; NaN: undefined."""
    return {
        name: _number(value)
        for name, value in epoch.items()
        if name not in OF_EVERY_EPOCH and (value is None or isinstance(value, (int, float)))
    }


def _rate_figure(name: str, steps: list[dict], phases: dict[int, _Phase]) -> Figure:
    places = [float(step["step"]) for step in steps]
    groups = max((len(step["learning_rates"]) for step in steps), default=0)
    columns = [[_rate(step, group) for step in steps] for group in range(groups)]
    lines = []
    for members in _equal_groups(columns):
        points = list(zip(places, columns[members[0]], strict=True))
        lines.append(Series(_group_name(members, groups), _ramp(members[-1], groups), points))
    return _figure(
        lines,
        phases,
        title=f"Learning rates of {name} over the steps",
        y_title="learning rate",
        logarithmic=_differ_much(columns),
        floor=min(_peaks(columns)) / CLIPPED if _differ_much(columns) else None,
    )


def _figure(
    lines: list[Series],
    phases: dict[int, _Phase],
    *,
    title: str,
    y_title: str,
    logarithmic: bool = False,
    floor: float | None = None,
) -> Figure:
    dividers = [phase.start for phase in list(phases.values())[1:]]
    chart = line_chart(
        lines,
        title=title,
        x_title="step",
        y_title=y_title,
        logarithmic=logarithmic,
        floor=floor,
        dividers=dividers,
    )
    # The head, drawn last, is named first.
    legend = [(line.name, line.style) for line in reversed(lines)]
    return Figure(chart, [*legend, *([("a new phase begins", "divider")] if dividers else [])])


def _phases(steps: list[dict]) -> dict[int, _Phase]:
    """Map each phase to where it begins and ends, in steps."""
    ends: dict[int, float] = {}
    for step in steps:
        ends[step["phase"]] = float(step["step"])
    phases, start = {}, 0.0
    for number, end in ends.items():
        phases[number] = _Phase(start, end)
        start = end
    return phases


def _epoch_places(epochs: list[dict], phases: dict[int, _Phase]) -> list[float]:
    """Return the step at which each epoch ended: the epochs of a phase have as many steps each."""
    counts = Counter(epoch["phase"] for epoch in epochs)
    done: Counter[int] = Counter()
    places = []
    for epoch in epochs:
        number = epoch["phase"]
        done[number] += 1
        phase = phases.get(number, _Phase(math.nan, math.nan))
        places.append(phase.start + (phase.end - phase.start) * done[number] / counts[number])
    return places


def _rate(step: dict, group: int) -> float:
    """A group that a phase does not train has no learning rate."""
    rates = step["learning_rates"]
    return _number(rates[group]) if group < len(rates) else math.nan


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _equal_groups(columns: list[list[float]]) -> list[list[int]]:
    """Merge neighbouring groups that have the same learning rate throughout."""
    runs: list[list[int]] = []
    for group, column in enumerate(columns):
        if runs and str(columns[runs[-1][0]]) == str(column):
            runs[-1].append(group)
        else:
            runs.append([group])
    return runs


def _group_name(members: list[int], groups: int) -> str:
    first, last = members[0] + 1, members[-1] + 1
    if len(members) == groups:
        return "all layers" if groups == 1 else f"all {groups} layer groups"
    name = f"layer group {first}" if first == last else f"layer groups {first}–{last}"
    if first == 1:
        name += " (lowest)"
    return f"{name} (head)" if last == groups else name


def _ramp(group: int, groups: int) -> str:
    return "training" if groups == 1 else f"ramp-{1 + round(group * (RAMP - 1) / (groups - 1))}"


def _peaks(columns: list[list[float]]) -> list[float]:
    peaks = [max((rate for rate in column if math.isfinite(rate)), default=0.0) for column in columns]
    return [peak for peak in peaks if peak > 0]


def _differ_much(columns: list[list[float]]) -> bool:
    """Whether the lowest group's line would lie on the bottom of a linear axis."""
    peaks = _peaks(columns)
    return bool(peaks) and max(peaks) > 6 * min(peaks)


SECTION = Section(
    "training",
    "Training",
    "training_curves.html.j2",
    lambda material: [draw(history) for history in material.histories] or None,
)
