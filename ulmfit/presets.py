"""The place that ulmfit/experiments/presets.py once had: recipes written for it go on working."""

from __future__ import annotations

from typing import Any

from ulmfit.experiments import presets as _moved


def __getattr__(name: str) -> Any:
    return getattr(_moved, name)
