"""The page's section on errors: where they are, and the most confident ones, explained word by word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from markupsafe import Markup

from ulmfit.evaluation import metric_text
from ulmfit.evaluation.error_analysis import ErrorAnalysis, Mistake, Part, Share
from ulmfit.report.charts import interval_chart
from ulmfit.report.page import scale_header
from ulmfit.report.section import Section
from ulmfit.report.table import Table

if TYPE_CHECKING:
    from ulmfit.classifier.occlusion import Explanation, Word

LONGEST_SHOWN = 1200
"""Characters of a text that are shown."""
FAINT = 0.02
"""Weights below this share of the largest are not shown."""
MOST_DECIMALS = 6
"""Most decimals of the ends of a range."""
NAMED = 4
"""Words per sign that are named below an explained text."""


@dataclass(frozen=True)
class Breakdown:
    """Accuracy over the parts of a measure."""

    title: str
    note: str
    table: Table


@dataclass(frozen=True)
class ShadedWord:
    """A word as the page shows it: `style` is a CSS class, `strength` the shade, 0 to 1."""

    text: str
    style: str
    strength: float
    title: str


@dataclass(frozen=True)
class ShadedText:
    """A text whose words are shaded by their weight for the predicted label."""

    label: str
    probability: str
    words: list[ShadedWord]
    most: list[tuple[str, str]]
    """The words that speak most for the label and against it, with their weights."""
    largest: str
    cut: bool


@dataclass(frozen=True)
class ShownMistake:
    """One error."""

    id: str
    text: str
    gold: str
    predicted: str
    probability: str
    gold_probability: str
    shaded: ShadedText | None


@dataclass(frozen=True)
class Errors:
    """The whole section."""

    name: str
    runs: int
    summary: str
    breakdowns: list[Breakdown]
    labels: Table
    mistakes: list[ShownMistake]


def describe_errors(analysis: ErrorAnalysis) -> Errors:
    """Prepare an analysis of errors for the page."""
    wrong = analysis.right.whole - analysis.right.part
    return Errors(
        name=analysis.name,
        runs=analysis.runs,
        summary=f"{wrong:,} of {analysis.right.whole:,} texts are wrong",
        breakdowns=_breakdowns(analysis),
        labels=_labels(analysis),
        mistakes=[_shown(mistake) for mistake in analysis.mistakes],
    )


def shaded_text(explanation: Explanation) -> ShadedText:
    """Prepare an explanation for a page."""
    largest = max(abs(word.weight) for word in explanation.words)
    return ShadedText(
        label=explanation.label,
        probability=_percent(explanation.probability),
        words=[_shaded(word, largest) for word in explanation.words],
        most=[(word.text, points(word.weight)) for word in strongest(explanation.words)],
        largest=f"{100 * largest:.1f}",
        cut=explanation.cut,
    )


def strongest(words: Sequence[Word], most: int = NAMED) -> list[Word]:
    """Return the words that speak most for the label, then those most against it."""
    ordered = sorted(words, key=lambda word: -word.weight)
    speaking_for = [word for word in ordered if _rounded(word.weight) > 0][:most]
    against = [word for word in reversed(ordered) if _rounded(word.weight) < 0][:most]
    return speaking_for + against


def points(weight: float) -> str:
    """Return a weight in percentage points, with its sign."""
    return metric_text.points(weight, 1)


def _rounded(weight: float) -> float:
    return round(100 * weight, 1)


def _breakdowns(analysis: ErrorAnalysis) -> list[Breakdown]:
    described: list[tuple[str, str, Sequence[Part], int, int]] = [
        ("By length", "tokens of the text", analysis.by_length, 1, 0),
        (
            "By new words",
            "words of the text that no training text has, percent",
            analysis.by_unseen,
            100,
            0,
        ),
        ("By pieces", "tokens per word", analysis.by_fertility, 1, 2),
    ]
    low, high = _scale([part.right for _, _, parts, _, _ in described for part in parts])
    header = ["from – to", "texts", "right, %", _scale_header(low, high)]
    return [
        Breakdown(
            title,
            note,
            Table.of(
                header,
                [
                    [name, *_share_cells(part.right, low, high, f"Accuracy, {note} {name}")]
                    for part, name in zip(parts, part_names(parts, factor, decimals), strict=True)
                ],
            ),
        )
        for title, note, parts, factor, decimals in described
        if parts
    ]


def _labels(analysis: ErrorAnalysis) -> Table:
    low, high = _scale([label.recall for label in analysis.labels])
    header = ["label", "precision", "F1", "texts", "recall", _scale_header(low, high)]
    return Table.of(
        header,
        [
            [
                one.label,
                _percent(one.precision.value),
                _percent(one.f1),
                *_share_cells(one.recall, low, high, f"Recall of {one.label}"),
            ]
            for one in analysis.labels
        ],
    )


def _scale_header(low: float, high: float) -> Markup:
    return Markup("95 % interval ") + scale_header(f"{100 * low:.0f}", f"{100 * high:.0f}")


def part_names(parts: Sequence[Part], factor: float, decimals: int) -> list[str]:
    """Return the ranges of neighbouring parts, times `factor`, as text.

    They have at least `decimals` decimals, and so many that no end looks like the next beginning.
    """
    ends = [[f"{factor * end:,.{decimals}f}" for end in (part.low, part.high)] for part in parts]
    if any(high == low for (_, high), (low, _) in pairwise(ends)) and decimals < MOST_DECIMALS:
        return part_names(parts, factor, decimals + 1)
    return [low if low == high else f"{low} – {high}" for low, high in ends]


def _scale(shares: Sequence[Share]) -> tuple[float, float]:
    """Return a range that holds all intervals, in whole tenths."""
    ends = [end for share in shares for end in share.interval or ()]
    if not ends:
        return 0.0, 1.0
    low, high = int(min(ends) * 10) / 10, -int(-max(ends) * 10) / 10
    return low, high if high >= max(ends) else min(round(high + 0.1, 1), 1.0)


def _share_cells(share: Share, low: float, high: float, title: str) -> list[str]:
    """Return the cells of a share: the number of texts, the value, the plot of the interval."""
    interval = share.interval
    if share.value is None or interval is None:
        return ["0", "–", Markup("")]
    shown = f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f}"
    text = f"{title}: {100 * share.value:.1f} %, 95 % interval {shown}"
    chart = interval_chart(share.value, interval, low, high, text)
    return [f"{share.whole:,}", f"{100 * share.value:.1f}", chart]


def _shown(mistake: Mistake) -> ShownMistake:
    cut = len(mistake.text) > LONGEST_SHOWN
    return ShownMistake(
        mistake.id,
        mistake.text[:LONGEST_SHOWN] + (" …" if cut else ""),
        mistake.gold,
        mistake.predicted,
        _percent(mistake.probability),
        _percent(mistake.gold_probability),
        shaded_text(mistake.explanation) if mistake.explanation else None,
    )


def _shaded(word: Word, largest: float) -> ShadedWord:
    strength = abs(word.weight) / largest if largest else 0.0
    style = "" if strength < FAINT else "for" if word.weight > 0 else "against"
    title = f"{word.text} {points(word.weight)}"
    if len(word.pieces) > 1:
        title += f" ({', '.join(f'{piece.text} {points(piece.weight)}' for piece in word.pieces)})"
    return ShadedWord(word.text, style, round(strength, 3) if style else 0.0, title)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


SECTION = Section(
    "errors",
    "Errors",
    "errors.html.j2",
    lambda material: describe_errors(material.errors) if material.errors else None,
)
