"""Recognizes callbacks that read `learn.pred` too late to be noticed in time, by their code."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import Any

from fastai.learner import Recorder

LATE_EVENTS = ("after_step", "after_batch", "after_cancel_batch", "after_train")
"""Training events that follow the change of the weights."""


def reads_prediction_late(callback: Any) -> bool:
    """Return whether code that `callback` runs after a training step mentions an attribute `pred`.

    Its own methods are searched, and functions of its module, as far as they call each other; of a Recorder
    that looks at training batches the metrics.
    """
    if not getattr(callback, "run_train", True):
        return False
    functions = [_function(callback, event) for event in LATE_EVENTS]
    if isinstance(callback, Recorder) and callback.train_metrics:
        functions += [_function(metric, "accumulate") for metric in callback.learn.metrics]
    seen: set[CodeType] = set()
    return any(_mentions(function, callback, seen) for function in functions if function)


def _function(owner: Any, name: str) -> FunctionType | None:
    found = getattr(type(owner), name, None) or vars(owner).get(name)
    found = getattr(found, "__func__", found)
    return found if isinstance(found, FunctionType) else None


def _mentions(function: FunctionType, owner: Any, seen: set[CodeType]) -> bool:
    names = _names(function.__code__, seen)
    if "pred" in names:
        return True
    called = [_function(owner, name) for name in names] + [function.__globals__.get(name) for name in names]
    return any(
        _mentions(inner, owner, seen)
        for inner in called
        if isinstance(inner, FunctionType)
        and inner.__code__ not in seen
        and inner.__module__ == function.__module__
    )


def _names(code: CodeType, seen: set[CodeType]) -> set[str]:
    """Return the names of attributes and globals in `code` and in the functions inside it."""
    seen.add(code)
    names = set(code.co_names) | {constant for constant in code.co_consts if constant == "pred"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant, seen)
    return names
