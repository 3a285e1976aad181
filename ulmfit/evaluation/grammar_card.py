"""The grammar card as a part of records: how often a language model prefers the right sentence of a pair."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ulmfit.pipeline.record_part import RecordPart

Share = Annotated[float, Field(ge=0, le=1)]
ALL = "all pairs"
"""Name of the last line, which is about the pairs of all constructions."""


class PairScore(RecordPart):
    """One model on the pairs of one construction."""

    accuracy: Share = Field(
        description="share of pairs whose right sentence is more probable; equal ones count one half"
    )
    interval: tuple[Share, Share] = Field(description="95 % bootstrap interval over the pairs")


class Construction(RecordPart):
    """The pairs of one construction."""

    name: str = Field(description="such as 'simple_agrmt'; ALL for all of them")
    pairs: int = Field(ge=1, description="how many there are")
    scores: tuple[PairScore, ...] = Field(description="one per model, in the order of the card's models")


class GrammarSummary(RecordPart):
    """What the language models of a run, and two floors, say to minimal pairs."""

    source: str = Field(description="where the pairs come from")
    models: tuple[str, ...] = Field(min_length=1, description="names: language models, then floors")
    constructions: tuple[Construction, ...] = Field(
        min_length=1, description="in the order of their names, all of them last"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for one in self.constructions:
            if len(one.scores) != len(self.models):
                raise ValueError(f"{one.name}: {len(one.scores)} scores of {len(self.models)} models")
        return self
