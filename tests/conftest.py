"""What tests of several packages share: real data, and small stages that stand in for real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real dumps and corpora, where the checkout has one beside it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real data is not here")
    return SHARED_DATA
