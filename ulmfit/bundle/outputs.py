"""Predictions as text: lines to read, CSV, or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy

from ulmfit.bundle.description import ClassifierDescription
from ulmfit.pipeline.printing import printable

if TYPE_CHECKING:
    from ulmfit.classifier.occlusion import Explanation

Form = Literal["lines", "csv", "jsonl"]
BETWEEN_LABELS = "|"
DIGITS = 6
"""Of a probability in lines and CSV; JSON Lines have all."""


@dataclass(frozen=True)
class Prediction:
    """What was predicted of one row; `value` and `numbers` are None of a row without a text."""

    number: int
    id: str
    value: str | list[str] | float | None
    numbers: numpy.ndarray | None
    """Probabilities (K,), or one number."""
    explanation: Explanation | None = None


class Writer:
    """Writes predictions of one classifier in one form; `header` comes first."""

    def __init__(self, description: ClassifierDescription, form: Form) -> None:
        self.description, self.form = description, form

    def header(self) -> str:
        """Return the first line of CSV; nothing in other forms."""
        if self.form != "csv":
            return ""
        labels = [f"p({label})" for label in self.description.labels]
        values = {
            "single_label": ["label", "probability"],
            "multi_label": ["labels"],
            "regression": ["value"],
        }[self.description.task]
        return _csv(["id", *values, *labels])

    def text(self, predictions: Sequence[Prediction]) -> str:
        """Return the lines of some predictions, each with its line feed."""
        of_form = {"lines": self._line, "csv": self._row, "jsonl": self._object}[self.form]
        return "".join(of_form(one) for one in predictions)

    def _line(self, one: Prediction) -> str:
        """Return the label and its probability; of a row without a text, an empty line."""
        if one.numbers is None:
            return "\n"
        if self.description.task == "regression":
            return f"{one.value:.{DIGITS}g}\n" + _explained(one)
        chosen = [one.value] if isinstance(one.value, str) else list(one.value)  # type: ignore[arg-type]
        places = [self.description.labels.index(label) for label in chosen]
        shown = [f"{printable(label)}\t{one.numbers[place]:.4f}" for label, place in zip(chosen, places)]  # noqa: B905
        return ("\t".join(shown) or "-") + "\n" + _explained(one)

    def _row(self, one: Prediction) -> str:
        labels = len(self.description.labels)
        if one.numbers is None:
            return _csv(
                [one.id, "", *([""] if self.description.task == "single_label" else []), *[""] * labels]
            )
        numbers = [f"{number:.{DIGITS}f}" for number in one.numbers]
        if self.description.task == "regression":
            return _csv([one.id, f"{one.value:.{DIGITS}g}"])
        if self.description.task == "multi_label":
            return _csv([one.id, BETWEEN_LABELS.join(one.value), *numbers])  # type: ignore[arg-type]
        return _csv([one.id, str(one.value), f"{one.numbers.max():.{DIGITS}f}", *numbers])

    def _object(self, one: Prediction) -> str:
        if one.numbers is None:
            content = {"error": f"row {one.number} has no text"}
        else:
            content = content_of(self.description, one)
        return json.dumps({"id": one.id, **content}, ensure_ascii=False) + "\n"


def content_of(description: ClassifierDescription, one: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON has it: value or labels, all probabilities, and its words if explained."""
    assert one.numbers is not None
    content: dict[str, Any] = {}
    if description.task == "regression":
        content["value"] = one.value
    else:
        content["label" if description.task == "single_label" else "labels"] = one.value
        content["probabilities"] = dict(zip(description.labels, map(float, one.numbers), strict=True))
    if one.explanation is not None:
        content["explained"] = one.explanation.label
        content["words"] = [[word.text, word.weight] for word in one.explanation.words]
    return content


def _explained(one: Prediction) -> str:
    """Return a line per word: how much the label's probability falls without it."""
    if one.explanation is None:
        return ""
    return "".join(f"  {word.weight:+.4f}  {printable(word.text)}\n" for word in one.explanation.words)


def _csv(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
