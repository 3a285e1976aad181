"""The charts of one training: losses, and the learning rates that the optimizer used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ulmfit.errors import InputError
from ulmfit.evaluation.charts import Series, line_chart

RAMP = 6
"""Number of CSS classes `ramp-1` to `ramp-6`, from the lowest layers to the head."""

SMOOTHING = 20
"""The smoothed loss is a mean over 1/20 of the curve."""

CLIPPED = 50
"""On a logarithmic axis, learning rates below 1/50 of the lowest peak leave the plot."""


@dataclass(frozen=True)
class History:
    """The content of a stage's `history.json`, under the name that a reader sees."""

    name: str
    data: dict[str, Any]


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
        return Curves(
            history.name,
            losses=_loss_figure(history.name, steps, epochs, phases),
            rates=_rate_figure(history.name, steps, phases),
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


def _loss_figure(name: str, steps: list[dict], epochs: list[dict], phases: dict[int, _Phase]) -> Figure:
    places = [float(step["step"]) for step in steps]
    losses = [_number(step["loss"]) for step in steps]
    running = smoothed(losses, len(losses) // SMOOTHING)
    lines = [
        Series("training, single steps", "raw", list(zip(places, losses, strict=True))),
        Series("training, running mean", "training", list(zip(places, running, strict=True))),
    ]
    validation = _validation_points(epochs, phases)
    if any(math.isfinite(loss) for _, loss in validation):
        lines.append(Series("validation", "validation", validation, markers=True))
    return _figure(lines, phases, title=f"Loss of {name} over the steps", y_title="loss (nats)")


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


def _validation_points(epochs: list[dict], phases: dict[int, _Phase]) -> list[tuple[float, float]]:
    """Place the epochs' validation losses: the epochs of a phase have as many steps each."""
    points = []
    for number, phase in phases.items():
        losses = [_number(epoch["valid_loss"]) for epoch in epochs if epoch["phase"] == number]
        for index, loss in enumerate(losses, start=1):
            points.append((phase.start + (phase.end - phase.start) * index / len(losses), loss))
    return points


def _rate(step: dict, group: int) -> float:
    """A group that a phase does not train has no learning rate."""
    rates = step["learning_rates"]
    return _number(rates[group]) if group < len(rates) else math.nan


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _equal_groups(columns: list[list[float]]) -> list[list[int]]:
    """Put neighbouring groups together that have the same learning rate throughout."""
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
    """Whether a linear axis would press the lowest group's line onto its bottom."""
    peaks = _peaks(columns)
    return bool(peaks) and max(peaks) > 6 * min(peaks)
