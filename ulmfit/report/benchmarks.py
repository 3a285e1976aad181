"""Committed outputs of `ulmfit bench --json` as one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ulmfit.pipeline.errors import InputError
from ulmfit.report.markdown import escape, pipe_table

HEADER = ("record", "case", "ours", "stock", "ratio", "unit", "other load, cores", "machine", "commit")
NUMBERS = range(2, 5)
COMPARED = {"case", "ours", "stock", "ratio", "unit"}


def benchmark_table(folder: Path, link: str) -> str:
    """Return the records in a folder as Markdown: one line per case, with the highest other load of its runs.

    `link` is the address of the folder in the page. Raises InputError for a file that is no record.
    """
    lines = [
        _line(f"[{path.stem}]({link}/{path.name})", case)
        for path in sorted(folder.glob("*.jsonl"))
        for case in _cases(path)
    ]
    return "\n".join(["A ratio above 1 is better for us.", "", *pipe_table(HEADER, lines, NUMBERS)])


def _cases(path: Path) -> list[dict[str, Any]]:
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            case = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: expected one JSON object a line, {error}") from error
        if not isinstance(case, dict) or not isinstance(case.get("machine"), dict) or COMPARED - case.keys():
            raise InputError(
                f"{path}, line {number}: expected a case of `ulmfit bench --json`, with its machine"
            )
        cases.append(case)
    return cases


def _line(record: str, case: Mapping[str, Any]) -> list[str]:
    numbers = [_number(case[name]) for name in ("ours", "stock", "ratio")]
    words = [str(case["unit"]), _other_load(case), _machine(case), _commit(case["machine"].get("commit", ""))]
    return [record, escape(str(case["case"])), *numbers, *map(escape, words)]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _other_load(case: Mapping[str, Any]) -> str:
    loads = [load for its in case.get("other_load_cores", {}).values() for load in its if load is not None]
    return f"{max(loads):.2f}" if loads else "–"


def _machine(case: Mapping[str, Any]) -> str:
    hardware = case["machine"].get("hardware", {})
    device = case.get("input", {}).get("device", "cpu")
    processor = hardware.get("processor") or hardware.get("machine", "unknown")
    name = f"{processor}, {hardware.get('cores', '?')} cores"
    return name if device == "cpu" else f"{device}; {name}"


def _commit(commit: str) -> str:
    name, changes = commit.removesuffix("+changes"), commit.endswith("+changes")
    return f"{name[:12]}{'+changes' if changes else ''}" or "–"
