"""The made-up record, as a fixture."""

from __future__ import annotations

import pytest

from evaluation.samples import made_up_record
from ulmfit.evaluation.record import Record


@pytest.fixture
def record() -> Record:
    """A record with every part filled."""
    return made_up_record()
