"""Finished recipes and their bundles, made once per process of tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles_for_tests import Made, make


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def single_label(runs: Path) -> Made:
    return make(runs, "single_label")


@pytest.fixture(scope="session", params=["single_label", "multi_label", "regression"])
def every_task(request: pytest.FixtureRequest, runs: Path) -> Made:
    if request.param == "single_label":
        return request.getfixturevalue("single_label")
    return make(runs, request.param)


@pytest.fixture(scope="session")
def language_model(single_label: Made, runs: Path) -> Path:
    return single_label.write(runs / "language-model", kind="language_model", weights="fp32")
