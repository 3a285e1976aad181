"""One classifier, and one service for it, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from untrained_bundles import make_bundle, make_tokenizer

from serve.running import Running, running
from ulmfit import TextClassifier
from ulmfit.serve.settings import ServeSettings


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def bundle(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "made", tokenizer)


@pytest.fixture(scope="session")
def classifier(bundle: Path) -> TextClassifier:
    return TextClassifier.load(bundle, device="cpu")


@pytest.fixture(scope="session")
def service(classifier: TextClassifier) -> Iterator[Running]:
    settings = ServeSettings(body_seconds=5, largest_body=100_000, longest_text=5_000, most_explained=10_000)
    with running(classifier, settings) as one:
        yield one
