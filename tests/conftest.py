"""What tests of several packages share: real data, and small stages that stand in for real ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

# The same examples every time, and no failure because another program has the processor.
hypothesis.settings.register_profile("hermetic", derandomize=True, deadline=None)
hypothesis.settings.load_profile("hermetic")
# The models of tests are so small that a second thread only waits; on a busy machine it waits for long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts a program in the background lets it ignore Ctrl-C, and so would the programs of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real dumps and corpora, where the checkout has one beside it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real data is not here")
    return SHARED_DATA
