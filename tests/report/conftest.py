"""The made-up record, its trainings and its page, as fixtures."""

from __future__ import annotations

import pytest
from evaluation.part_samples import made_up_errors, with_statistics
from evaluation.samples import made_up_histories, made_up_pieces, made_up_record, made_up_samples

from ulmfit.evaluation.record import Record
from ulmfit.report.report import render_html
from ulmfit.report.section import History


@pytest.fixture
def record() -> Record:
    """A record with every part filled."""
    return made_up_record()


@pytest.fixture
def histories() -> list[History]:
    """A language model's and a classifier's training."""
    return made_up_histories()


@pytest.fixture
def page(record: Record, histories: list[History]) -> str:
    """The whole page of the record, with statistics and errors."""
    return render_html(
        with_statistics(record),
        histories,
        samples=[made_up_samples()],
        pieces=made_up_pieces(),
        errors=made_up_errors(),
    )
