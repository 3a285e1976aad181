"""Estimates how long a stage takes, from finished stages that differ only in seed and direction."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ulmfit.pipeline.manifest import MANIFEST, read_config, read_manifest
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage

Name = tuple[str, str]
"""A stage's name and its key."""

DIFFERENT = frozenset({"seed", "direction"})
"""Fields in which stages that count as alike may differ; the same holds for their upstream stages."""


def estimated_seconds(stages: list[Stage], runner: Runner) -> dict[Name, float]:
    """Return, per stage, the median seconds of finished stages like it; a stage without any is left out."""
    configs = {(stage.stage_name, runner.keys.key(stage)): runner.keys.config(stage) for stage in stages}
    wanted = list(configs)
    seconds: dict[Name, float] = {}
    for path in (runner.runs / "stages").glob(f"*/*/{MANIFEST}"):
        folder = path.parent
        manifest = read_manifest(folder)
        config = manifest and read_config(folder, manifest)
        if manifest and config:
            configs.setdefault(_name(folder), config)
            seconds[_name(folder)] = manifest["seconds"]
    form = _forms(configs)
    took: dict[str, list[float]] = {}
    for name, one in seconds.items():
        took.setdefault(form(name), []).append(one)
    return {name: statistics.median(took[form(name)]) for name in wanted if form(name) in took}


def _name(folder: Path) -> Name:
    return folder.parent.name, folder.name


def _forms(configs: dict[Name, Any]) -> Callable[[Name], str]:
    """Return what maps a stage's name to text that is the same for all stages like it."""
    known: dict[Name, str] = {}

    def form(name: Name) -> str:
        if name not in known:
            config = configs.get(name)
            known[name] = json.dumps([name[0], name[1] if config is None else plain(config)], sort_keys=True)
        return known[name]

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            if value.keys() == {"stage", "key"}:
                return form((value["stage"], value["key"]))
            return {name: plain(item) for name, item in value.items() if name not in DIFFERENT}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return form
