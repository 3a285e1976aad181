"""What a section of the page is, and what it is made from.

Each module in `sections/` defines one: a function that prepares what is shown, and a template beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ulmfit.corpus.card import SampleDocument
from ulmfit.evaluation.error_analysis import ErrorAnalysis
from ulmfit.evaluation.record import Record
from ulmfit.tokens.card import PieceLists


@dataclass(frozen=True)
class History:
    """The content of a stage's `history.json`, under the name that a reader sees."""

    name: str
    data: dict[str, Any]
    select: Literal["last", "best"] = "last"
    """The epoch whose weights are kept, as in the settings of the training."""
    select_metric: str = "loss"
    """What `best` is by: the validation loss, or a metric of the epochs."""


@dataclass(frozen=True)
class Material:
    """All that a page is made from.

    `samples` and `pieces` and `errors` have texts, which no record holds: one list of documents per corpus of
    the record, one of pieces per tokenizer, and an analysis of the main row's errors.
    """

    record: Record
    histories: Sequence[History] = ()
    samples: Sequence[Sequence[SampleDocument]] = ()
    pieces: Sequence[PieceLists] = ()
    errors: ErrorAnalysis | None = None


@dataclass(frozen=True)
class Section:
    """One section: its template shows, as `shown`, what `describe` returns; None leaves the section out."""

    id: str
    title: str
    template: str
    describe: Callable[[Material], Any | None]
