"""Finished recipes and their bundles, made once per process of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles_for_tests import Made, make
from hub_for_tests import TOKEN, Hub, hub_running


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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with nothing on it, an empty cache, and a token to write with."""
    from huggingface_hub import constants

    with hub_running() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        address = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running
