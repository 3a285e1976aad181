"""With n labels, n labels are used: curves, frozen encoders, and ULMFiT that teachers of few labels teach."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy
import pandas
import pytest
from pydantic import ValidationError
from recipes_for_tests.tiny import TINY
from stages_for_tests import InventedCorpus, InventedDataset

from ulmfit.classifier.metrics import main_score_of
from ulmfit.classifier.predictions import read_predictions
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.sample import SampledDataset
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.evaluation.encoder_classifier import probabilities_of as vector_probabilities
from ulmfit.evaluation.mixture import mixture
from ulmfit.evaluation.teaching import REPORT
from ulmfit.evaluation.teaching_stages import SoftLabels
from ulmfit.evaluation.text_vectors import vectors_of, write_vectors
from ulmfit.evaluation.tfidf import probabilities_of as tfidf_probabilities
from ulmfit.evaluation.tfidf import read_split
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.scoring import scored_curves
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

LABELS = ["no", "yes"]
PRESET = TINY.changed(
    directions=("forward",),
    comparisons=(),
    classifier=TINY.classifier.changed(
        phases=(TINY.classifier.phases[0].changed(epochs=1),), select="best", early_stopping=1
    ),
)
LINES = [
    "ULMFiT, forward",
    "ULMFiT without LM fine-tuning, forward",
    "from scratch, forward",
    "TF-IDF, characters 2-5 + logistic regression",
    "ULMFiT and TF-IDF together",
    "vectors",
    "vectors and TF-IDF, averaged",
    "ULMFiT, forward, taught by vectors and TF-IDF",
    "ULMFiT, forward, self-trained",
]


class PermutedLabels(InventedDataset):
    """The invented data set, with the labels of one split in another order."""

    stage_name: ClassVar[str] = "permuted_labels"
    split: str = ""

    def build(self, work) -> None:
        super().build(work)
        if self.split:
            path = work.folder / f"{self.split}.parquet"
            table = pandas.read_parquet(path)
            table.assign(label=list(reversed(table["label"]))).to_parquet(path, index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vectors of the invented texts, in which the label is seen with some noise."""
    made = tmp_path_factory.mktemp("few")
    chance = numpy.random.default_rng(0)
    ids = [f"{split}-{row}" for split in ("train", "valid", "test") for row in range(60)]
    values = chance.normal(size=(len(ids), 4)) + numpy.arange(len(ids))[:, None] % 2
    write_vectors(made / "vectors.parquet", ids, values)
    return made


def few(folder: Path, **fields) -> Experiment:
    content = {
        "name": "test/few",
        "title": "few labels",
        "language": "qaa",
        "corpus": InventedCorpus(),
        "dataset": PermutedLabels(),
        "presets": {"tiny": PRESET},
        "seeds": (0,),
        "train_sizes": (10,),
        "encoders": ({"name": "vectors", "vectors": {"path": folder / "vectors.parquet"}},),
        "bootstrap": (("vectors", "tfidf"), ("ulmfit",)),
    }
    return Recipe(**(content | fields)).stages()


@pytest.fixture(scope="module")
def runner(folder: Path) -> Runner:
    return Runner(folder / "runs")


def made_by(runner: Runner, experiment: Experiment) -> dict[str, bytes]:
    """Build the curve and return the predictions on test of every stage of it, by title."""
    (curve,) = experiment.curves
    found = {}
    for line in curve.lines:
        for members in line.points[0]:
            for number, stage in enumerate(members):
                built = runner.build(stage)
                found[f"{line.name} {number}"] = (built / "predictions-test.parquet").read_bytes()
    return found


def test_labels_of_the_validation_split_reach_no_line_of_a_curve(folder: Path, runner: Runner) -> None:
    plain = made_by(runner, few(folder))
    permuted = made_by(runner, few(folder, dataset=PermutedLabels(split="valid")))
    assert plain == permuted
    assert {name.rsplit(" ", 1)[0] for name in plain} == set(LINES)


def test_the_whole_validation_split_may_choose_as_before(folder: Path) -> None:
    for choice, select, stopping, tfidf in (
        ("labels", "last", 0, "cross_validation"),
        ("validation", "best", 1, "validation"),
    ):
        (curve,) = few(folder, curve_choice=choice).curves
        lines = {line.name: line.points[0][0] for line in curve.lines}
        assert curve.choice == choice and list(lines) == LINES
        for members in lines.values():
            for stage in members:
                if isinstance(stage, TrainClassifier):
                    assert (stage.settings.select, stage.settings.early_stopping) == (select, stopping)
        assert lines["TF-IDF, characters 2-5 + logistic regression"][0].choice == tfidf


def test_curves_over_label_noise_have_no_texts_to_teach_with(folder: Path) -> None:
    made = few(folder, train_sizes=(), label_noise=(0.0, 0.2), bootstrap=())
    assert [line.name for line in made.curves[0].lines] == LINES[:6]
    assert made.curves[0].choice == "validation"
    noisy = few(folder, label_noise=(0.0, 0.2)).curves[1]
    assert [line.name for line in noisy.lines] == LINES[:6]


def test_teachers_are_averaged_and_read_no_label_of_the_texts(folder: Path, runner: Runner) -> None:
    (curve,) = few(folder).curves
    student = curve.lines[7].points[0][0][0]
    assert isinstance(student, TrainClassifier) and student.begins_with is not None
    soft = student.begins_with.dataset
    assert isinstance(soft, SoftLabels)
    built = runner.build(soft)
    taught, data = pandas.read_parquet(built / "train.parquet"), runner.folder(soft.texts)
    few_texts = read_split(runner.folder(soft.dataset) / "train.parquet")
    assert len(taught) + len(few_texts.ids) == 60
    assert not set(taught["text"]) & set(few_texts.texts)
    for split in ("valid", "test"):
        assert (built / f"{split}.parquet").read_bytes() == (data / f"{split}.parquet").read_bytes()
    encoder, tfidf = soft.teachers
    vectors = runner.folder(encoder.vectors)
    ids = [name.removeprefix("train/") for name in taught["id"]]
    said = [
        tfidf_probabilities(tfidf, runner.build(tfidf), few_texts, LABELS, taught["text"].tolist()),
        vector_probabilities(
            runner.build(encoder),
            few_texts,
            LABELS,
            vectors_of(vectors, "train", few_texts.ids),
            vectors_of(vectors, "train", ids),
        ),
    ]
    found = numpy.stack(taught["probabilities"].tolist())
    assert found == pytest.approx(numpy.mean(said, axis=0))
    assert taught["label"].tolist() == [LABELS[number] for number in found.argmax(axis=1)]
    report = read_json(built / REPORT)
    assert report["texts"] == 50 and report["counts"]["no"] + report["counts"]["yes"] == 50
    assert 0.5 < report["accuracy"] <= 1


def test_the_student_learns_from_soft_labels_and_then_from_the_labels(folder: Path) -> None:
    made = few(folder, curve_steps=40)
    lines = {line.name: line.points[0][0] for line in made.curves[0].lines}
    usual = lines["ULMFiT, forward"][0]
    student = lines["ULMFiT, forward, self-trained"][0]
    first = student.begins_with
    assert student.dataset == TrainingSubset.of(PermutedLabels(), size=10, seed=0)
    assert first.dataset.teachers == (usual,), "it is its own teacher"
    assert (usual.settings.least_steps, first.settings.least_steps, student.settings.least_steps) == (
        40,
        0,
        0,
    )
    assert student.settings.phases == first.settings.phases[-1:]
    assert student.language_model == first.language_model == usual.language_model


def test_with_all_labels_no_text_is_left_to_teachers(folder: Path) -> None:
    (curve,) = few(folder, train_sizes=("all",)).curves
    lines = {line.name: line.points[0][0] for line in curve.lines}
    assert lines["ULMFiT, forward, self-trained"] == lines["ULMFiT, forward"]


def test_without_train_sizes_unlabelled_texts_make_a_row(folder: Path, runner: Runner) -> None:
    part = TrainingSubset.of(PermutedLabels(), size=10, keep_rest=True)
    made = few(folder, train_sizes=(), dataset=part, encoders=(), bootstrap=(("tfidf",),))
    row = made.systems[-1]
    assert (row.name, row.kind) == ("ULMFiT, forward, taught by TF-IDF", "model")
    soft = row.runs[0][0].begins_with.dataset
    assert len(pandas.read_parquet(runner.build(soft) / "train.parquet")) == 50
    without = few(folder, train_sizes=(), encoders=(), bootstrap=(("tfidf",),)).systems[-1]
    with pytest.raises(InputError, match="every text of the task has a label"):
        runner.build(without.runs[0][0].begins_with.dataset)


@pytest.mark.parametrize("checks", ["off", "drop"])
def test_teachers_without_unlabelled_texts_are_refused_before_anything_is_built(
    checks: str, folder: Path
) -> None:
    files = LabelledFiles(train=File(path=folder / "a.csv"), test=File(path=folder / "b.csv"))
    fields = {"train_sizes": (), "encoders": (), "bootstrap": (("tfidf",),), "data_checks": checks}
    with pytest.raises(InputError, match=r"bootstrap: .* has no unlabelled texts that teachers could label"):
        few(folder, dataset=files, **fields)
    with pytest.raises(InputError, match="has no unlabelled texts"):
        few(folder, dataset=SampledDataset(dataset=files), **fields)
    more = files.changed(unlabelled=File(path=folder / "c.csv"))
    assert few(folder, dataset=more, **fields).systems[-1].name == "ULMFiT, forward, taught by TF-IDF"


def test_points_are_scored_as_averages_of_their_members(folder: Path, runner: Runner) -> None:
    made = few(folder)
    for stage in made.curves[0].stages():
        runner.build(stage)
    (curve,) = scored_curves(made, runner)
    assert [line.name for line in curve.lines] == LINES
    assert curve.choice == "labels" and all(0 <= line.points[0].mean <= 1 for line in curve.lines)


def test_a_validation_split_that_may_choose_weighs_ulmfit_and_tfidf(folder: Path, runner: Runner) -> None:
    made = few(folder, curve_choice="validation", encoders=(), bootstrap=())
    for stage in made.curves[0].stages():
        runner.build(stage)
    (curve,) = scored_curves(made, runner)
    (members,) = made.curves[0].lines[4].points[0]
    found = [
        tuple(
            read_predictions(runner.folder(stage) / f"predictions-{split}.parquet", LABELS)
            for split in ("valid", "test")
        )
        for stage in members
    ]
    weighed = mixture(found[0], found[1:], lambda one: main_score_of("accuracy", one, None))
    assert curve.choice == "validation"
    assert curve.lines[4].points[0].values == (main_score_of("accuracy", weighed.test, None),)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bootstrap": (("e5",),)}, "there is no teacher 'e5': expected one of tfidf, ulmfit, vectors"),
        ({"bootstrap": (("tfidf", "tfidf"),)}, "a teacher is named twice"),
        ({"bootstrap": (("tfidf",), ("tfidf",))}, "the same teachers are named twice"),
        ({"bootstrap": ((),)}, "at least 1 item"),
        ({"encoders": ({"name": "tfidf", "vectors": {"path": "v"}},)}, "the name of another teacher"),
        ({"encoders": 2 * ({"name": "a", "vectors": {"path": "v"}},), "bootstrap": ()}, "two are called 'a'"),
    ],
)
def test_impossible_teachers_are_refused(folder: Path, fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        few(folder, **fields)


def test_a_teacher_of_more_labels_is_refused(folder: Path) -> None:
    (curve,) = few(folder).curves
    soft = curve.lines[8].points[0][0][0].begins_with.dataset
    with pytest.raises(ValidationError, match="number 1 was trained on another data set"):
        SoftLabels.of(TrainingSubset.of(PermutedLabels(), size=5), teachers=soft.teachers, texts=soft.texts)
