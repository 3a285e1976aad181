"""Pseudo-labels: which texts are taken, what is never looked at, and the chain from 50 labels on."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from stages_for_tests import InventedDataset, tiny_classifier

from ulmfit.classifier.folder import load_classifier
from ulmfit.classifier.predictions import read_predictions
from ulmfit.classifier.pseudo_labelling import choose, read_pool
from ulmfit.classifier.pseudo_labels import PseudoLabelled
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work

POOL = InventedDataset(rows=90)
LABELLED = TrainingSubset.of(POOL, size=50)
OTHER = {"no": "yes", "yes": "no"}


class WrongGold(InventedDataset):
    """The pool with every training label turned round."""

    stage_name: ClassVar[str] = "wrong_gold"

    def build(self, work: Work) -> None:
        """Write the invented data set, then change its training labels."""
        super().build(work)
        table = pandas.read_parquet(work.folder / "train.parquet")
        table.assign(label=table["label"].map(OTHER)).to_parquet(work.folder / "train.parquet", index=False)


class WithUnlabelled(InventedDataset):
    """The invented data set with unlabelled texts, some of which stand in its splits or twice."""

    stage_name: ClassVar[str] = "with_unlabelled"

    def build(self, work: Work) -> None:
        """Write the tables and `unlabelled.parquet`."""
        super().build(work)
        tables = [pandas.read_parquet(work.folder / f"{name}.parquet") for name in ("train", "valid", "test")]
        known = [table["text"][row] for table, row in zip(tables, (1, 2, 3), strict=True)]
        texts = [*known, "ka lo mi kalomi", "tu ri dusapo", "ka lo mi kalomi", "sa po kalomi"]
        ids = [f"u{number}" for number in range(len(texts))]
        table = pandas.DataFrame({"id": ids, "text": texts})
        table.to_parquet(work.folder / "unlabelled.parquet", index=False)


def classifier(dataset: DatasetStage = LABELLED, **changes) -> TrainClassifier:
    stage = tiny_classifier(**changes)
    return stage.changed(dataset=dataset, settings=stage.settings.with_epochs(1, 5))


def backward(dataset: DatasetStage = LABELLED) -> TrainClassifier:
    return classifier(dataset).changed(language_model=None, direction="backward")


def pseudo_labelled(**changes) -> PseudoLabelled:
    settings = {"classifiers": (classifier(),), "pool": POOL, "threshold": 0.5, **changes}
    return PseudoLabelled.of(settings.pop("dataset", LABELLED), **settings)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("runs"))


def table(runner: Runner, stage: DatasetStage, split: str = "train") -> pandas.DataFrame:
    return pandas.read_parquet(runner.build(stage) / f"{split}.parquet")


def test_choice_by_hand() -> None:
    probabilities = numpy.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5], [0.7, 0.3], [0.1, 0.9]])
    assert choose(probabilities, 0.0, None) == [0, 1, 2, 3, 4, 5]
    assert choose(probabilities, 0.7, None) == [0, 2, 4, 5]
    # Row 3 is a draw and counts for the first label.
    assert choose(probabilities, 0.0, 2) == [0, 2, 4, 5]
    assert choose(probabilities, 0.0, 1) == [0, 5]
    assert choose(probabilities, 0.85, 2) == [0, 5]
    assert choose(probabilities, 0.95, None) == []
    assert choose(numpy.array([[0.5, 0.5], [0.5, 0.5]]), 0.5, 1) == [0]


rows = st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=30)


@given(rows, st.floats(0, 1), st.one_of(st.none(), st.integers(1, 4)))
def test_choice_takes_the_surest(values: list[list[float]], threshold: float, per_label: int | None) -> None:
    array = numpy.array(values)
    probabilities = array / array.sum(axis=1, keepdims=True)
    taken = choose(probabilities, threshold, per_label)
    assert taken == sorted(set(taken))
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    for label in range(3):
        here = [row for row in taken if predicted[row] == label]
        sure = [row for row in range(len(values)) if predicted[row] == label and confidence[row] >= threshold]
        assert len(here) == min(len(sure), per_label or len(sure))
        left = set(sure) - set(here)
        assert not left or max(confidence[list(left)]) <= min(confidence[here])


def test_from_50_labels_to_a_new_classifier(runner: Runner) -> None:
    stage = pseudo_labelled(classifiers=(classifier(), backward()), per_label=12)
    folder = runner.build(stage)
    labelled, train = table(runner, LABELLED), table(runner, stage)
    added = train.iloc[50:]
    assert train.iloc[:50].equals(labelled) and len(labelled) == 50
    assert set(added["text"]).isdisjoint(labelled["text"]) and set(added["text"]) <= set(
        table(runner, POOL)["text"]
    )
    for split in ("valid", "test"):
        assert (folder / f"{split}.parquet").read_bytes() == (
            runner.folder(LABELLED) / f"{split}.parquet"
        ).read_bytes()

    report = read_json(folder / "pseudo-labels.json")
    assert (report["classifiers"], report["pool"], report["added"]) == (2, 40, len(added))
    assert report["left_out"] == {"in train": 50, "in valid": 0, "in test": 0, "repeated": 0}
    assert report["counts"] == {label: int((added["label"] == label).sum()) for label in ("no", "yes")}
    assert 0 < max(report["counts"].values()) <= 12

    chosen = pandas.read_parquet(folder / "pseudo-labels.parquet")
    assert ("pseudo/" + chosen["id"]).tolist() == added["id"].tolist()
    texts = added["text"].tolist()
    parts = [
        load_classifier(runner.folder(one), runner.folder(one.tokenizer), device="cpu").probabilities(texts)
        for one in stage.classifiers
    ]
    averaged = (parts[0] + parts[1]) / 2
    assert chosen["label"].tolist() == [["no", "yes"][best] for best in averaged.argmax(axis=1)]
    numpy.testing.assert_allclose(chosen["confidence"], averaged.max(axis=1), atol=1e-6)
    gold = table(runner, POOL).set_index("id")["label"][chosen["id"]]
    right = numpy.mean(gold.to_numpy() == chosen["label"].to_numpy())
    assert read_json(folder / "pseudo-labels-gold.json")["accuracy"] == right

    again = classifier(stage)
    predictions = read_predictions(runner.build(again) / "predictions-test.parquet", ["no", "yes"])
    assert len(predictions.ids) == 90
    second = pseudo_labelled(classifiers=(again,))
    assert len(table(runner, second)) > 50
    described = read_json(folder / "dataset.json")
    assert described["rows"]["train"] == len(train) and described["labels"] == ["no", "yes"]
    assert described["name"].endswith(
        "pseudo-labels of 2 classifiers, probability 0.5 or more, at most 12 per label"
    )


def test_the_pools_own_labels_are_not_looked_at(runner: Runner) -> None:
    right, wrong = (runner.build(pseudo_labelled(pool=pool)) for pool in (POOL, WrongGold(rows=90)))
    names = ["train.parquet", "valid.parquet", "test.parquet", "dataset.json"]
    for name in (*names, "pseudo-labels.parquet", "pseudo-labels.json"):
        assert (right / name).read_bytes() == (wrong / name).read_bytes()
    accuracies = [read_json(folder / "pseudo-labels-gold.json")["accuracy"] for folder in (right, wrong)]
    assert accuracies[0] > 0.5 and sum(accuracies) == pytest.approx(1)


def test_texts_that_are_not_taken_are_left_to_the_language_model(runner: Runner) -> None:
    stage = pseudo_labelled(per_label=3)
    train, unlabelled = table(runner, stage), table(runner, stage, "unlabelled")
    texts = [*train["text"], *unlabelled["text"]]
    assert sorted(texts) == sorted(table(runner, POOL)["text"]) and len(train) < 60
    assert unlabelled["id"].str.startswith("pool/").all() and unlabelled.columns.tolist() == ["id", "text"]
    # The same pool, whose texts stand among the data set's own unlabelled ones as well.
    rest = LABELLED.changed(keep_rest=True)
    stage = pseudo_labelled(dataset=rest, classifiers=(classifier(rest),), per_label=3)
    assert len(table(runner, stage)) + len(table(runner, stage, "unlabelled")) == len(texts)
    assert table(runner, stage, "unlabelled")["id"].str.startswith("train/").all()


class OtherTexts(InventedDataset):
    """A pool with the ids of the first and other texts."""

    stage_name: ClassVar[str] = "other_texts"

    def build(self, work: Work) -> None:
        """Write the invented data set, then change its training texts."""
        super().build(work)
        rows = pandas.read_parquet(work.folder / "train.parquet")
        rows.assign(text=rows["text"] + " lo").to_parquet(work.folder / "train.parquet", index=False)


def test_a_second_pool_with_the_same_ids(runner: Runner) -> None:
    first = pseudo_labelled(per_label=3)
    again = classifier(first)
    second = pseudo_labelled(dataset=first, classifiers=(again,), pool=OtherTexts(rows=90), threshold=0)
    for split in ("train", "unlabelled"):
        assert table(runner, second, split)["id"].is_unique
    second = second.changed(per_label=1)
    ids = table(runner, second, "unlabelled")["id"]
    assert ids.is_unique and ids.str.startswith("pool/pool/").any()


def test_a_label_that_gains_nothing_is_told(runner: Runner) -> None:
    assert set(table(runner, pseudo_labelled(threshold=0))["label"][50:]) == {"no", "yes"}
    surest = pandas.read_parquet(runner.build(pseudo_labelled(threshold=0)) / "pseudo-labels.parquet")
    by_label = surest.groupby("label")["confidence"].max().sort_values()
    stage = pseudo_labelled(threshold=float(by_label.mean()))
    runner.build(stage)
    manifest = runner.manifest(stage)
    assert manifest is not None
    (warning,) = manifest["warnings"]
    assert warning.startswith(f"no text of the pool was taken for label {by_label.index[0]!r}: ")


def test_unlabelled_texts_as_the_pool(runner: Runner) -> None:
    dataset = WithUnlabelled(rows=40)
    stage = PseudoLabelled.of(dataset, classifiers=(classifier(dataset),), threshold=0)
    folder = runner.build(stage)
    report = read_json(folder / "pseudo-labels.json")
    assert report["left_out"] == {"in train": 1, "in valid": 1, "in test": 1, "repeated": 1}
    assert (report["pool"], report["added"]) == (3, 3)
    assert table(runner, stage)["id"].tolist()[40:] == ["pseudo/u3", "pseudo/u4", "pseudo/u6"]
    # What has become a training text is no unlabelled one any more.
    assert table(runner, stage, "unlabelled")["id"].tolist() == ["u0", "u1", "u2"]
    assert read_json(folder / "dataset.json")["rows"]["unlabelled"] == 3
    assert not (folder / "pseudo-labels-gold.json").exists()


def test_a_text_counts_once_whatever_its_id(tmp_path: Path) -> None:
    for name, texts in (("train", ["a"]), ("valid", ["b"]), ("test", ["c"])):
        ids = [f"{name}-{row}" for row in range(len(texts))]
        pandas.DataFrame({"id": ids, "text": texts}).to_parquet(tmp_path / f"{name}.parquet")
    ids = ["train-0", "x", "y", "z", "w"]
    pandas.DataFrame({"id": ids, "text": ["d", "a", "c", "d", "e"]}).to_parquet(tmp_path / "pool.parquet")
    pool = read_pool(tmp_path / "pool.parquet", tmp_path)
    assert (pool.ids, pool.texts) == (["train-0", "w"], ["d", "e"])
    assert pool.left_out == {"in train": 1, "in valid": 0, "in test": 1, "repeated": 1}


def test_rounds_on_one_data_set_or_on_top_of_each_other() -> None:
    first = pseudo_labelled()
    again = classifier(first)
    assert pseudo_labelled(classifiers=(again,)).dataset == LABELLED
    on_top = pseudo_labelled(dataset=first, classifiers=(again,))
    assert on_top.dataset == first
    with pytest.raises(ValidationError, match="number 1 was trained on another data set"):
        pseudo_labelled(dataset=first, classifiers=(classifier(POOL),))


def test_what_is_refused(runner: Runner) -> None:
    with pytest.raises(InputError, match="has no unlabelled texts"):
        runner.build(pseudo_labelled(pool=None))
    with pytest.raises(InputError, match=r"reaches threshold 1, the surest has 0\.\d+: lower it"):
        runner.build(pseudo_labelled(threshold=1))
    with pytest.raises(InputError, match="holds no text that the data set does not have already"):
        runner.build(pseudo_labelled(pool=LABELLED))
    with pytest.raises(ValidationError, match="number 2 was trained on another data set"):
        pseudo_labelled(classifiers=(classifier(), classifier(POOL)))
    with pytest.raises(ValidationError, match="at least 1 item"):
        pseudo_labelled(classifiers=())
    with pytest.raises(ValidationError, match="metric differs"):
        PseudoLabelled(dataset=LABELLED, classifiers=(classifier(),), metric="macro_f1")
