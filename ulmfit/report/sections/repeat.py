"""The page's section on how to repeat the run: commands, inputs, versions, configuration."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.evaluation.record import Record
from ulmfit.report.section import Section
from ulmfit.report.table import Table

CHANGES = "+changes"
CHANGED = (
    "the code had changes that no commit holds when this was made: these lines may not give the same numbers"
)


@dataclass(frozen=True)
class Repeat:
    """What the section shows."""

    commands: str
    warnings: Sequence[str]
    inputs: Table
    versions: Table
    configuration: str


def describe_repeat(record: Record) -> Repeat:
    """Prepare what is needed to repeat a run."""
    hardware = [
        [name.replace("_", " "), "unknown" if value is None else str(value)]
        for name, value in record.hardware.items()
    ]
    keys = [[f"stage {stage.name}", stage.key] for stage in record.stages]
    return Repeat(
        commands=commands(record),
        warnings=record.repeat_notes or ([CHANGED] if record.commit.endswith(CHANGES) else []),
        inputs=Table.of(["file", "SHA-256"], [list(one) for one in record.inputs.items()], words=2),
        versions=Table.of(
            ["what", "value"], [*hardware, *map(list, record.versions.items()), *keys], words=2
        ),
        configuration=json.dumps(record.configuration, indent=2, ensure_ascii=False),
    )


def commands(record: Record) -> str:
    """Return the shell lines that repeat the run."""
    commit = record.commit.removesuffix(CHANGES)
    lines = [f"git checkout {shlex.quote(commit)}"] if commit else []
    lines.append("python -m pip install -c constraints.txt .")
    if record.command:
        lines.append(record.command)
    else:
        seeds = ",".join(str(seed) for seed in record.seeds)
        lines.append(f"ulmfit run {shlex.quote(f'recipes/{record.recipe}.py')} --seeds {seeds}")
    return "\n".join(lines)


SECTION = Section(
    "repeat", "How to repeat", "repeat.html.j2", lambda material: describe_repeat(material.record)
)
