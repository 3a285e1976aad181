"""The place that ulmfit/pipeline/errors.py once had: data scripts written for it go on working."""

from __future__ import annotations

from typing import Any

from ulmfit.pipeline import errors as _moved


def __getattr__(name: str) -> Any:
    return getattr(_moved, name)
