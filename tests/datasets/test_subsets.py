"""Training subsets: their sizes, their labels, and how they lie in each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from stages_for_tests import InventedDataset

from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.datasets.noise import NoisyLabels
from ulmfit.datasets.subsets import DerivedDataset, TrainingSubset, apportion, choose
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

label_counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 60), min_size=2)


def labels_of(counts: dict[str, int]) -> list[str]:
    return [label for label, count in counts.items() for _ in range(count)]


@given(label_counts, st.data())
def test_a_label_has_its_share_of_every_size_within_one_text(counts, data):
    total = sum(counts.values())
    size = data.draw(st.integers(len(counts), total))
    given_counts = apportion(counts, size)
    assert sum(given_counts.values()) == size
    for label, count in counts.items():
        share = size * count / total
        assert 1 <= given_counts[label] <= min(count, max(1, math.ceil(share)))
        if size * min(counts.values()) >= total:
            assert abs(given_counts[label] - share) < 1


def test_largest_remainders_are_met_where_they_are_nested():
    """By hand: shares of 7 among 50, 30 and 20 of 100 are 3.5, 2.1 and 1.4; of 10 they are whole."""
    counts = {"a": 50, "b": 30, "c": 20}
    assert apportion(counts, 7) == {"a": 4, "b": 2, "c": 1}
    assert apportion(counts, 10) == {"a": 5, "b": 3, "c": 2}
    assert apportion(counts, 100) == counts


@given(label_counts, st.integers(0, 5), st.data())
def test_subsets_of_one_seed_are_nested_and_do_not_hang_on_the_order_of_rows(counts, seed, data):
    labels = labels_of(counts)
    ids = [f"text-{place}" for place in range(len(labels))]
    sizes = st.integers(len(counts), len(labels))
    small, large = sorted([data.draw(sizes), data.draw(sizes)])
    chosen = choose(ids, labels, small, seed)
    assert len(set(chosen)) == small
    assert {labels[place] for place in chosen} == set(counts)
    assert set(chosen) <= set(choose(ids, labels, large, seed))
    order = data.draw(st.permutations(range(len(labels))))
    shuffled = choose([ids[i] for i in order], [labels[i] for i in order], small, seed)
    assert {order[place] for place in shuffled} == set(chosen)


def test_other_seeds_choose_other_texts():
    labels = labels_of({"a": 100, "b": 100})
    ids = [str(place) for place in range(200)]
    subsets = [set(choose(ids, labels, 100, seed)) for seed in range(4)]
    for number, subset in enumerate(subsets):
        for other in subsets[:number]:
            assert 30 < len(subset & other) < 70, "about half of them, as chance has it"


def test_a_subset_keeps_labels_validation_and_test(tmp_path: Path):
    runner = Runner(tmp_path)
    dataset = InventedDataset()
    subset = TrainingSubset.of(dataset, size=10, seed=3)
    folder, whole = runner.build(subset), runner.folder(dataset)
    train, all_of_train = (pandas.read_parquet(path / "train.parquet") for path in (folder, whole))
    assert train["label"].value_counts().to_dict() == {"yes": 5, "no": 5}
    merged = train.merge(all_of_train, on=["id", "text", "label"])
    assert len(merged) == 10, "texts keep their labels"
    for split in ("valid", "test"):
        assert (folder / f"{split}.parquet").read_bytes() == (whole / f"{split}.parquet").read_bytes()
    about = read_json(folder / "dataset.json")
    assert about["rows"] == {"train": 10, "valid": 60, "test": 60}
    assert about["labels"] == read_json(whole / "dataset.json")["labels"]
    assert about["name"] == "invented, 10 training texts, seed 3"


def test_the_rest_stays_without_its_labels(tmp_path: Path):
    runner = Runner(tmp_path)
    dataset = InventedDataset()
    subset, rest = (TrainingSubset.of(dataset, size=10, seed=3, keep_rest=keep) for keep in (False, True))
    folder, whole = runner.build(rest), pandas.read_parquet(runner.build(dataset) / "train.parquet")
    for split in ("train", "valid", "test"):
        name = f"{split}.parquet"
        assert (folder / name).read_bytes() == (runner.build(subset) / name).read_bytes()
    others = whole[~whole["id"].isin(pandas.read_parquet(folder / "train.parquet")["id"])]
    unlabelled = pandas.read_parquet(folder / "unlabelled.parquet")
    assert unlabelled.columns.tolist() == ["id", "text"] and len(unlabelled) == 50
    assert unlabelled["text"].tolist() == others["text"].tolist()
    documents = pandas.read_parquet(runner.build(DatasetTexts(dataset=rest)) / "documents.parquet")
    assert set(whole["text"]) <= set(documents["text"]), "the language model reads all of them"
    assert not (runner.folder(subset) / "unlabelled.parquet").exists()
    name = "invented, 10 training texts, seed 3, the rest unlabelled"
    assert read_json(folder / "dataset.json")["name"] == name
    again = runner.build(TrainingSubset.of(rest, size=4, keep_rest=True))
    assert len(pandas.read_parquet(again / "unlabelled.parquet")) == 56
    everything = runner.build(TrainingSubset.of(dataset, size=60, keep_rest=True))
    assert not (everything / "unlabelled.parquet").exists()


@pytest.mark.parametrize(
    ("size", "message"), [(61, "train has only 60; take a smaller size"), (1, "cannot hold all 2 labels")]
)
def test_an_impossible_size_is_refused(size: int, message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        Runner(tmp_path).build(TrainingSubset.of(InventedDataset(), size=size))


class WithTask(InventedDataset):
    """A data set whose texts have several labels each."""

    stage_name: ClassVar[str] = "with_task"
    task: str = "multi_label"


@pytest.mark.parametrize("stage", [TrainingSubset, NoisyLabels])
def test_texts_without_exactly_one_label_are_refused(stage: type[DerivedDataset]):
    settings = {"size": 5} if stage is TrainingSubset else {"share": 0.1}
    with pytest.raises(InputError, match="texts with one label each, the data set's task is multi_label"):
        stage.of(WithTask(), **settings)


def test_it_is_scored_like_the_whole_data_set():
    dataset = InventedDataset(metric="binary_f1", positive_label="yes")
    subset = TrainingSubset.of(dataset, size=5)
    assert (subset.metric, subset.positive_label) == ("binary_f1", "yes")
    with pytest.raises(ValidationError, match="metric differs"):
        TrainingSubset(dataset=dataset, size=5)
