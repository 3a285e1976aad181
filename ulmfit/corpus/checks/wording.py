"""What the checks found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ulmfit.corpus.checks.summary import (
    ConflictCounts,
    DataCheckSummary,
    LabelShift,
    RepeatCounts,
    summary_of,
)

IDS_SHOWN = 5
SIGNIFICANT = 0.01
EFFECTS = ((0.5, "large"), (0.3, "medium"), (0.1, "small"), (0.0, "negligible"))
"""Cramér's V of two splits, from which an effect has the name (Cohen 1988)."""


def sentences(summary: DataCheckSummary) -> list[str]:
    """Return one line for each thing that was found; nothing for what is in order."""
    return [
        *_repeat_lines(summary),
        *_conflict_lines(summary.conflicts),
        *_shift_lines(summary),
        *_near_empty_lines(summary),
        *_damage_lines(summary.damaged),
    ]


def warnings(checks: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentences, each with the first ids that it is about."""
    summary = summary_of(checks)
    for split, kinds in checks["inside"].items():
        yield from _with_ids(_inside_line(split, summary), _ids(kinds))
    for pair, kinds in checks["across"].items():
        yield from _with_ids(_across_line(pair, summary), _ids(kinds))
    rows = [f"{row['split']}/{row['id']}" for conflict in checks["conflicts"] for row in conflict["rows"]]
    for line in _conflict_lines(summary.conflicts):
        yield from _with_ids(line, rows)
    yield from _shift_lines(summary)
    for split, ids in checks["near_empty"].items():
        yield from _with_ids(_near_empty_line(split, summary), ids)
    for split, kinds in checks["damaged"].items():
        ids = list(dict.fromkeys(name for listed in kinds.values() for name in listed))
        yield from _with_ids(_damage_line(split, summary.damaged[split]), ids)


def _with_ids(line: str, ids: Sequence[str]) -> Iterator[str]:
    if line:
        shown = ", ".join(ids[:IDS_SHOWN])
        more = f" and {len(ids) - IDS_SHOWN:,} more" if len(ids) > IDS_SHOWN else ""
        yield f"{line}: {shown}{more}"


def _ids(kinds: Mapping[str, Sequence[Mapping[str, str]]]) -> list[str]:
    return [entry["id"] for entries in kinds.values() for entry in entries]


def _repeat_lines(summary: DataCheckSummary) -> list[str]:
    inside = [_inside_line(split, summary) for split in summary.inside]
    across = [_across_line(pair, summary) for pair in summary.across]
    return [line for line in (*inside, *across) if line]


def _inside_line(split: str, summary: DataCheckSummary) -> str:
    listed = _kinds(summary.inside[split])
    return listed and f"{split}: texts that repeat an earlier one: {listed} (of {summary.texts[split]:,})"


def _across_line(pair: str, summary: DataCheckSummary) -> str:
    split, _, other = pair.partition(" in ")
    listed = _kinds(summary.across[pair])
    return listed and f"{split}: texts that stand in {other}: {listed} (of {summary.texts[split]:,})"


def _kinds(counts: RepeatCounts | ConflictCounts) -> str:
    named = (("exact", "exactly"), ("loose", "but for case and punctuation"), ("near", "nearly"))
    found = [(getattr(counts, kind, 0), how) for kind, how in named]
    return ", ".join(f"{count:,} {how}" for count, how in found if count)


def _conflict_lines(counts: ConflictCounts) -> list[str]:
    listed = _kinds(counts)
    rows = ", ".join(f"{split} {count:,}" for split, count in counts.rows.items())
    return [f"texts that stand under different labels: {listed} alike (rows: {rows})"] if listed else []


def effect(cramers_v: float) -> str:
    """Return the name of an effect's size."""
    return next(name for least, name in EFFECTS if cramers_v >= least)


def _shift_lines(summary: DataCheckSummary) -> list[str]:
    return [
        f"{split}: labels have other shares than in train, {shift_figures(shift)}; largest difference: "
        f"{largest_difference(summary.labels['train'], summary.labels[split])}"
        for split, shift in summary.label_shift.items()
        if shift.p_value < SIGNIFICANT
    ]


def shift_figures(shift: LabelShift) -> str:
    """Return test and effect size on a line."""
    line = (
        f"chi-square {shift.chi_square:.1f} with {shift.degrees_of_freedom} degrees of freedom, "
        f"p = {shift.p_value:.2g}, Cramér's V {shift.cramers_v:.3f} ({effect(shift.cramers_v)})"
    )
    if shift.rare_cells:
        line += f", {shift.rare_cells} cells with fewer than 5 expected"
    return line


def largest_difference(train: Mapping[str, int], other: Mapping[str, int]) -> str:
    """Return the label whose share differs most, with both shares in percent."""
    here, there = sum(train.values()), sum(other.values())

    def shares(label: str) -> tuple[float, float]:
        return train.get(label, 0) / here, other.get(label, 0) / there

    label = max(sorted({*train, *other}), key=lambda name: abs(shares(name)[0] - shares(name)[1]))
    before, after = shares(label)
    return f"{label}, {100 * before:.1f} % of train and {100 * after:.1f} % here"


def _near_empty_lines(summary: DataCheckSummary) -> list[str]:
    return [line for split in summary.near_empty if (line := _near_empty_line(split, summary))]


def _near_empty_line(split: str, summary: DataCheckSummary) -> str:
    count = summary.near_empty[split]
    limits = f"fewer than {summary.min_words} words or {summary.min_letters} letters"
    return f"{split}: texts of {limits}: {count:,} (of {summary.texts[split]:,})" if count else ""


def _damage_lines(damaged: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [line for split, kinds in damaged.items() if (line := _damage_line(split, kinds))]


def _damage_line(split: str, kinds: Mapping[str, int]) -> str:
    listed = ", ".join(f"{kind} {count:,}" for kind, count in kinds.items() if count)
    return listed and f"{split}: texts with signs of damage: {listed}"
