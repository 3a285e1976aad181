"""The place that ulmfit/experiments/recipe.py once had: recipes written for it go on working."""

from __future__ import annotations

from typing import Any

from ulmfit.experiments import recipe as _moved


def __getattr__(name: str) -> Any:
    return getattr(_moved, name)
