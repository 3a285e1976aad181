"""The kinds of task: what the label of a text is.

It imports no other data set module, so that every module may import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from ulmfit.pipeline.errors import InputError

Task = Literal["single_label", "multi_label", "regression"]
"""One label per text; any number of labels per text, or none; one number per text."""

TASKS: tuple[Task, ...] = get_args(Task)


def task_of(description: Mapping[str, Any]) -> Task:
    """Return the task that the content of a `dataset.json` names; without one it is single_label."""
    task = description.get("task", "single_label")
    if task not in TASKS:
        raise InputError(f"dataset.json: task {task!r} is none of {', '.join(TASKS[:-1])} and {TASKS[-1]}")
    return task


def has_one_label(task: Task) -> bool:
    """Return whether every text has exactly one label."""
    return task == "single_label"


def has_numbers(task: Task) -> bool:
    """Return whether every text has a number in place of labels."""
    return task == "regression"


def check_one_label(task: Task, what: str) -> None:
    """Raise InputError unless every text has exactly one label, which `what` needs."""
    if not has_one_label(task):
        raise InputError(
            f"{what} is defined for texts with one label each, the data set's task is {task}: leave it out"
        )
