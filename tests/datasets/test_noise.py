"""Label noise: how many labels, which, and to what they change."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare
from stages_for_tests import InventedDataset

from ulmfit.datasets.noise import NoisyLabels, noisy
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

NAMES = ["a", "b", "c", "d"]


def made(rows: int, names: list[str]) -> tuple[list[str], list[str]]:
    return [f"text-{row}" for row in range(rows)], [names[row % len(names)] for row in range(rows)]


@given(st.integers(1, 200), st.integers(2, 6), st.floats(0, 0.5), st.integers(0, 9))
def test_an_exact_number_of_labels_is_wrong(rows, classes, share, seed):
    names = [f"label {number}" for number in range(classes)]
    ids, labels = made(rows, names)
    changed = noisy(ids, labels, names, share, seed)
    assert sum(new != old for new, old in zip(changed, labels, strict=True)) == round(share * rows)
    assert set(changed) <= set(names)


@given(st.integers(1, 200), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 9))
def test_a_higher_share_has_the_changes_of_a_lower_one(rows, first, second, seed):
    ids, labels = made(rows, NAMES)
    low, high = sorted([first, second])
    fewer, more = noisy(ids, labels, NAMES, low, seed), noisy(ids, labels, NAMES, high, seed)
    for old, few, many in zip(labels, fewer, more, strict=True):
        assert few in (old, many)


@pytest.mark.parametrize("names", [NAMES[:2], NAMES[:3], NAMES], ids=len)
def test_every_wrong_label_is_as_likely_as_any_other(names: list[str]):
    ids, labels = made(12_000, names)
    changed = noisy(ids, labels, names, 0.5, 0)
    for old in names:
        news = [new for new, was in zip(changed, labels, strict=True) if was == old != new]
        counts = [news.count(name) for name in names if name != old]
        assert min(counts) > 0
        if len(counts) > 1:
            assert chisquare(counts).pvalue > 0.001, counts
    changes = [sum(new != was == old for new, was in zip(changed, labels, strict=True)) for old in names]
    assert chisquare(changes).pvalue > 0.001, "every label is hit alike"


def test_seeds_differ_and_repeat():
    ids, labels = made(100, NAMES)
    assert noisy(ids, labels, NAMES, 0.3, 1) == noisy(ids, labels, NAMES, 0.3, 1)
    assert noisy(ids, labels, NAMES, 0.3, 1) != noisy(ids, labels, NAMES, 0.3, 2)


def test_validation_and_test_stay_clean(tmp_path: Path):
    runner = Runner(tmp_path)
    dataset = InventedDataset()
    folder, whole = runner.build(NoisyLabels.of(dataset, share=0.3, seed=1)), runner.folder(dataset)
    for split in ("valid", "test"):
        assert (folder / f"{split}.parquet").read_bytes() == (whole / f"{split}.parquet").read_bytes()
    noisy_train, train = (pandas.read_parquet(path / "train.parquet") for path in (folder, whole))
    assert (noisy_train["label"] != train["label"]).sum() == 18
    assert noisy_train[["id", "text"]].equals(train[["id", "text"]])


@pytest.mark.parametrize("share", [-0.1, 0.51, float("nan")])
def test_a_share_beyond_half_is_refused(share: float):
    with pytest.raises(ValidationError):
        NoisyLabels.of(InventedDataset(), share=share)


def test_one_label_cannot_be_wrong():
    with pytest.raises(InputError, match="needs two labels"):
        noisy(["1"], ["a"], ["a"], 0.5, 0)
