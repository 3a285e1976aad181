"""Published results that a table shows beside its own rows, never among them. Light: recipes import it."""

from __future__ import annotations

from pydantic import Field

from ulmfit.evaluation.record_part import RecordPart


class PublishedResult(RecordPart):
    """One number that somebody else reported for the same test split."""

    name: str = Field(min_length=1, description="the system, such as 'fastText' or 'best of the shared task'")
    metric: str = Field(min_length=1, description="a metric's name in this project, such as macro_f1")
    value: float = Field(ge=0, le=1, description="as published, 0 to 1")
    source: str = Field(min_length=1, description="paper, page or table where it stands")
    verified: bool = Field(
        False, description="whether somebody has read the number in its source; False: shown as unverified"
    )
    note: str = Field("", description="what differs, such as 'frozen vectors'; empty: nothing known")
