"""The texts of a data set as a corpus."""

import json

import pandas as pd
import pytest
from stages_for_tests import tables

from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.pipeline.runner import Runner

DATASET = tables(
    train={"text": ["a1", "a2", "a3", "a4"], "label": ["x", "y", "x", "y"]},
    valid={"text": ["b1"], "label": ["x"]},
    test={"text": ["c1", "c2"], "label": ["x", "y"]},
    unlabelled={"text": ["d1", "d2"]},
)


@pytest.mark.parametrize("transductive", [False, True])
def test_dataset_texts(tmp_path, transductive):
    folder = Runner(tmp_path).build(DatasetTexts(dataset=DATASET, transductive=transductive))
    documents = pd.read_parquet(folder / "documents.parquet")
    train = ["a1", "a2", "a3", "a4", "d1", "d2", *(["c1", "c2"] if transductive else [])]
    assert documents[documents["split"] == "train"]["text"].tolist() == train
    assert documents[documents["split"] == "valid"]["text"].tolist() == ["b1"]
    assert len(documents) == len(train) + 1 and documents["id"].is_unique
    assert list(documents.columns) == ["id", "title", "text", "split"]
    account = json.loads((folder / "account.json").read_text("utf-8"))
    assert account["pages_read"] == account["documents_written"] == len(documents)


def test_an_unlabelled_text_that_is_a_training_text_is_read_once(tmp_path):
    dataset = tables(
        train={"text": ["ein Satz", "zwei", "drei", "vier"], "label": ["x", "y", "x", "y"]},
        valid={"text": ["b1"], "label": ["x"]},
        test={"text": ["c1"], "label": ["x"]},
        unlabelled={"text": ["neu", "ein  Satz ", "Zwei", "b1", "c1", "neu"]},
    )
    runner = Runner(tmp_path)
    read = {}
    for stage in (
        DatasetTexts(dataset=dataset),
        DatasetTexts(dataset=dataset, transductive=True),
        DatasetTexts(dataset=dataset, unlabelled_copies="keep"),
    ):
        folder = runner.build(stage)
        documents = pd.read_parquet(folder / "documents.parquet")
        account = json.loads((folder / "account.json").read_text("utf-8"))
        left = account["left_out"].get("unlabelled copy of a training text", {"count": 0, "pages": []})
        assert account["pages_read"] == account["documents_written"] + left["count"]
        assert account["documents_written"] == len(documents)
        unlabelled = documents[documents["id"].str.startswith("unlabelled/")]["text"].tolist()
        read[stage.transductive, stage.unlabelled_copies] = unlabelled, left["pages"]
    assert read == {
        (False, "drop"): (["neu", "Zwei", "b1", "c1", "neu"], ["unlabelled/unlabelled-000002"]),
        (True, "drop"): (
            ["neu", "Zwei", "b1", "neu"],
            ["unlabelled/unlabelled-000002", "unlabelled/unlabelled-000005"],
        ),
        (False, "keep"): (["neu", "ein  Satz ", "Zwei", "b1", "c1", "neu"], []),
    }


def test_empty_test_texts_are_no_documents(tmp_path):
    test = {"text": ["c1", ""], "label": ["x", "y"]}
    rows = {"text": ["a", "b"], "label": ["x", "y"]}
    stage = DatasetTexts(dataset=tables(train=rows, valid=rows, test=test), transductive=True)
    account = json.loads((Runner(tmp_path).build(stage) / "account.json").read_text("utf-8"))
    assert account["documents_written"] == 5
    assert account["left_out"] == {"empty text": {"count": 1, "pages": ["test/test-000002"]}}


def test_dataset_texts_sampled(tmp_path):
    folder = Runner(tmp_path).build(DatasetTexts(dataset=DATASET, max_documents=2))
    documents = pd.read_parquet(folder / "documents.parquet")
    account = json.loads((folder / "account.json").read_text("utf-8"))
    assert documents["split"].tolist() == ["train", "train", "valid"]
    assert account["pages_read"] == 7 == account["documents_written"] + 4
    assert account["left_out"]["outside the sample"]["count"] == 4
    with pytest.raises(ValueError, match="--set valid_fraction="):
        DatasetTexts(dataset=DATASET, valid_fraction=0.2)
