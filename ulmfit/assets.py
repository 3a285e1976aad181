"""The place that ulmfit/pipeline/assets.py once had: recipes written for it go on working."""

from __future__ import annotations

from typing import Any

from ulmfit.pipeline import assets as _moved


def __getattr__(name: str) -> Any:
    return getattr(_moved, name)
