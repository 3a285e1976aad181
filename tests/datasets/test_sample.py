"""A few texts of every split, the labels in their proportions."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from stages_for_tests import InventedDataset

from ulmfit.corpus.data_checks import CleanedDataset
from ulmfit.datasets.sample import SAMPLE, SampledDataset
from ulmfit.datasets.stages import ChangedDataset, LabelledFiles
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner


def test_a_sample_has_the_labels_in_their_proportions_and_says_how_many_texts_there_are(
    tmp_path: Path,
) -> None:
    runner = Runner(tmp_path)
    data = InventedDataset(rows=60)
    stage = SampledDataset(dataset=data, train=20, valid=6, test=100)
    folder = runner.build(stage)
    tables = {split: pandas.read_parquet(folder / f"{split}.parquet") for split in ("train", "valid", "test")}
    assert {split: len(table) for split, table in tables.items()} == {"train": 20, "valid": 6, "test": 60}
    assert tables["train"]["label"].value_counts().to_dict() == {"yes": 10, "no": 10}
    assert read_json(folder / SAMPLE) == {"train": [20, 60], "valid": [6, 60], "test": [60, 60]}
    described = read_json(folder / "dataset.json")
    assert described["name"] == "invented, 20 of 60 training texts"
    assert described["rows"] == {"train": 20, "valid": 6, "test": 60}
    assert stage.with_same_test is stage, "its test split is another one"
    other = runner.build(stage.changed(seed=1))
    assert set(pandas.read_parquet(other / "train.parquet")["id"]) != set(tables["train"]["id"])


@pytest.mark.parametrize(("task", "labels"), [("multi_label", "abcdefgh"), ("regression", "12345678")])
def test_samples_of_other_tasks_have_every_label(task: str, labels: str, tmp_path: Path) -> None:
    rows = [f"text {task} {n},{labels[n % 3 if n < 90 else n % 8]}\n" for n in range(100)]
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(rows))
    (tmp_path / "test.csv").write_text("text,label\n" + "".join(row.replace("text", "test") for row in rows))
    files = {name: File(path=tmp_path / f"{name}.csv") for name in ("train", "test")}
    data = LabelledFiles(task=task, **files)
    folder = Runner(tmp_path / "runs").build(SampledDataset(dataset=data, train=12, valid=3))
    train = pandas.read_parquet(folder / "train.parquet")
    assert len(train) == 12
    if task == "multi_label":
        assert {label for some in train["label"] for label in some} == set(labels)


@pytest.mark.parametrize("stage", [SampledDataset, CleanedDataset])
def test_what_is_made_from_a_data_set_is_described_as_it_unless_told_otherwise(
    stage: type[ChangedDataset],
) -> None:
    data = InventedDataset(name="reviews", language="qaa", metric="binary_f1", positive_label="yes")
    made = stage(dataset=data)
    assert (made.name, made.language) == ("reviews", "qaa")
    assert (made.metric, made.positive_label) == ("binary_f1", "yes")
    assert stage(dataset=data, name="few", metric="accuracy").metric == "accuracy"
    assert stage(dataset=data, name="few").name == "few"
