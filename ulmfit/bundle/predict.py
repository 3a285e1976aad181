"""Predicts a stream of texts with bounded memory, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ulmfit.bundle.classifier import TextClassifier
from ulmfit.bundle.inputs import Row
from ulmfit.bundle.outputs import Prediction
from ulmfit.classifier.occlusion import NO_WORDS

MOST_ROWS, MOST_CHARACTERS = 1_024, 2_000_000
"""Of a block: texts of like length are computed together inside of it."""


def predicted(
    classifier: TextClassifier,
    rows: Iterable[Row],
    *,
    calibrated: bool = False,
    explain: bool = False,
    empty_too: bool = False,
) -> Iterator[list[Prediction]]:
    """Yield the predictions block by block; of a row without a text there is one without a value.

    With `empty_too` such a row is predicted as well, from no words at all, as those of a test split are.
    """
    for block in _blocks(rows):
        full = [row for row in block if empty_too or not row.is_empty]
        values = classifier.values([row.text for row in full])
        chosen = classifier.chosen(values)
        shown = classifier.calibrated(values) if calibrated and full else values
        found = {row.number: (chosen[place], shown[place], row.text) for place, row in enumerate(full)}
        yield [_prediction(classifier, row, found.get(row.number), explain) for row in block]


def _prediction(classifier: TextClassifier, row: Row, found: tuple | None, explain: bool) -> Prediction:
    if found is None:
        return Prediction(row.number, row.id, None, None)
    value, numbers, text = found
    # One token is xxbos: after text rules, or without control characters, no word is left to explain.
    explanation = None
    if explain:
        explanation = classifier.explain(text) if classifier.explanation_cost(text) > 1 else NO_WORDS
    return Prediction(row.number, row.id, value, numbers, explanation)


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    characters = 0
    for row in rows:
        block.append(row)
        characters += len(row.text)
        if len(block) >= MOST_ROWS or characters >= MOST_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block
