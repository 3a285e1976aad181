"""Lets teachers predict the texts that have no label. Shapes: N texts, K labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas

from ulmfit.classifier.pseudo_labelling import predicted, without_known
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.subsets import write_derived
from ulmfit.evaluation import encoder_classifier, tfidf
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.evaluation.teaching_stages import SoftLabels, Teacher
from ulmfit.evaluation.text_vectors import vectors_of
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.stage import Work

REPORT = "soft-labels.json"


def build(stage: SoftLabels, work: Work) -> None:
    """Build a `SoftLabels` stage."""
    folder = work.input(stage.dataset)
    labels: list[str] = read_json(folder / "dataset.json")["labels"]
    texts, left_out = without_known(_texts(work.input(stage.texts)), folder)
    if texts.empty:
        raise InputError(
            f"{stage.stage_name}: every text of the task has a label: there is none that teachers could label"
        )
    probabilities = np.mean([_said(one, texts, folder, labels, work) for one in stage.teachers], axis=0)
    names = [labels[number] for number in probabilities.argmax(axis=1)]
    train = pandas.DataFrame(
        {
            "id": texts["split"] + "/" + texts["id"],
            "text": texts["text"],
            "label": names,
            "probabilities": list(probabilities),
        }
    )
    write_derived(folder, work.folder, train, stage.record_label)
    known = (texts["split"] == "train").to_numpy()
    right = (np.array(names) == texts["label"].to_numpy())[known]
    teachers = [teacher.stage_name for teacher in stage.teachers]
    content = {
        "teachers": teachers,
        "texts": len(train),
        "left_out": left_out,
        "counts": {label: names.count(label) for label in labels},
        "mean_confidence": float(probabilities.max(axis=1).mean()),
        "accuracy": float(right.mean()) if known.any() else None,
    }
    write_json(work.folder / REPORT, content)
    work.log(f"{len(train):,} texts with the probabilities of {' and '.join(teachers)}")


def _texts(folder: Path) -> pandas.DataFrame:
    """Return id, text, split, and label where there is one, of the training and unlabelled texts."""
    tables = []
    for split in ("train", "unlabelled"):
        path = folder / f"{split}.parquet"
        if path.exists():
            tables.append(pandas.read_parquet(path).assign(split=split))
    found = pandas.concat(tables, ignore_index=True)
    return found[["id", "text", "split", "label"]]


def _said(
    teacher: Teacher, texts: pandas.DataFrame, folder: Path, labels: list[str], work: Work
) -> np.ndarray:
    """Return the probabilities (N, K) that one teacher gives the texts; `folder` is its data set's."""
    if isinstance(teacher, TrainClassifier):
        return predicted(teacher, texts["text"].tolist(), work)
    train = tfidf.read_split(folder / "train.parquet")
    if isinstance(teacher, TfidfBaseline):
        return tfidf.probabilities_of(teacher, work.input(teacher), train, labels, texts["text"].tolist())
    vectors = work.input(teacher.vectors)
    return encoder_classifier.probabilities_of(
        work.input(teacher), train, labels, vectors_of(vectors, "train", train.ids), _vectors(vectors, texts)
    )


def _vectors(folder: Path, texts: pandas.DataFrame) -> np.ndarray:
    """Return the vectors of texts of several splits, in their order."""
    parts = {
        split: vectors_of(folder, str(split), rows["id"].tolist())
        for split, rows in texts.groupby("split", sort=False)
    }
    places = {split: iter(values) for split, values in parts.items()}
    return np.stack([next(places[split]) for split in texts["split"]])
