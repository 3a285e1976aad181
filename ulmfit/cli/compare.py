"""`compare`: two records, or the records of two runs, side by side."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ulmfit.pipeline.printing import printable, show, show_data

if TYPE_CHECKING:
    from ulmfit.experiments.compare_records import RecordComparison

LONGEST_VALUE = 80


def compare(
    first: Annotated[Path, typer.Argument(help="a record.json, or a run's folder")],
    second: Annotated[Path, typer.Argument(help="another one")],
    json_: Annotated[bool, typer.Option("--json", help="a JSON object for other programs")] = False,
) -> None:
    """Show what differs between two records, and whether differences of results may be chance."""
    from ulmfit.experiments.compare_records import compare_records

    found = compare_records(first, second)
    if json_:
        show_data(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=1, default=str) + "\n")
        return
    show(f"first:  {first}\nsecond: {second}")
    for title, values in (
        ("settings", found.settings),
        ("inputs", found.inputs),
        ("versions", found.versions),
        ("hardware", found.hardware),
    ):
        show(f"\n{title}" + ("" if values else ": the same"))
        for name, before, now in values:
            show(f"  {name}: {_changed(before, now)}")
    _show_rows(found)


def _show_rows(found: RecordComparison) -> None:
    from ulmfit.evaluation.metric_text import METRIC_TITLES, shown_difference, shown_number
    from ulmfit.experiments.compare_records import in_words

    show("\nresults" + ("" if found.rows else ": no row is in both"))
    for one in found.rows:
        before, now = shown_number(one.metric, one.first), shown_number(one.metric, one.second)
        change = shown_difference(one.metric, one.difference)
        show(f"  {one.row}: {METRIC_TITLES[one.metric]} {before} -> {now} ({change})")
        show(f"    {in_words(one)}")
    for remark in found.remarks:
        show(f"  {remark}")


def _changed(before: Any, now: Any) -> str:
    """Return both values; of lists what only one of them has."""
    if isinstance(before, list) and isinstance(now, list):
        gone, new = [one for one in before if one not in now], [one for one in now if one not in before]
        if gone or new:
            return "; ".join(
                f"{word} {_shown(some)}" for word, some in (("without", gone), ("with", new)) if some
            )
    return f"{_shown(before)} -> {_shown(now)}"


def _shown(value: Any) -> str:
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    text = "-" if value is None else text
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
