"""Which models a recipe trains: the rows of its table, its learning curves, and what they share."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import ClassVar

import numpy
import pandas
import pytest
from cli_for_tests import RECIPE, ulmfit_here
from pydantic import ValidationError
from recipes_for_tests.tiny import TINY
from stages_for_tests import InventedCorpus, InventedDataset

from ulmfit.classifier.metrics import score
from ulmfit.classifier.predictions import average, read_predictions
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.experiments import driver
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.presets import (
    ALL_COMPARISONS,
    MULTIFIT,
    SMALL,
    TOY,
    ULMFIT,
    Preset,
    VocabularySettings,
)
from ulmfit.experiments.recipe import Recipe
from ulmfit.language_model.stages import FineTune, Pretrain
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

LABELS = ["no", "yes"]


def experiment(preset: Preset | None = None, **fields) -> Experiment:
    content = {
        "name": "test/rows",
        "title": "rows",
        "language": "qaa",
        "corpus": InventedCorpus(),
        "dataset": InventedDataset(),
        "presets": {"tiny": preset or TINY.changed(comparisons=ALL_COMPARISONS)},
        "seeds": (0, 1, 2),
    }
    return Recipe(**(content | fields)).stages()


def row(made: Experiment, name: str) -> dict[int, TrainClassifier]:
    """Return the classifiers of a row by seed."""
    (system,) = [system for system in made.systems if system.name == name]
    return {seed: stage for seed, (stage,) in system.runs.items()}


def test_all_rows_in_their_order() -> None:
    assert [(row.name, row.kind, len(row.runs)) for row in experiment().systems] == [
        ("ULMFiT, forward", "model", 3),
        ("ULMFiT, backward", "model", 3),
        ("ULMFiT, forward + backward", "ensemble", 3),
        ("ULMFiT, ensemble of 3 seeds", "ensemble", 3),
        ("ULMFiT without LM fine-tuning, forward", "model", 3),
        ("ULMFiT with words, forward", "model", 3),
        ("from scratch, forward", "model", 3),
        ("TF-IDF, words 1-2 + logistic regression", "baseline", 1),
        ("TF-IDF, characters 2-5 + logistic regression", "baseline", 1),
        ("TF-IDF, words 1-2 + linear SVM", "baseline", 1),
        ("TF-IDF, characters 2-5 + linear SVM", "baseline", 1),
        ("ULMFiT and TF-IDF together", "mixture", 3),
    ]


def test_ulmfit_and_tfidf_together_is_a_row_behind_those_of_tfidf() -> None:
    made = experiment()
    row, before = made.systems[-1], made.systems[-5:-1]
    assert (row.name, row.kind) == ("ULMFiT and TF-IDF together", "mixture")
    assert list(row.mixed_with.items()) == [(one.name, one.runs[0][0]) for one in before]
    for seed, stages in row.runs.items():
        assert stages == (made.classifiers["forward", seed], made.classifiers["backward", seed])
    without = [name for name in ALL_COMPARISONS if name != "with_tfidf"]
    plain = experiment(TINY.changed(comparisons=tuple(without)))
    keys = Runner(Path("runs")).keys
    assert {keys.key(stage) for stage in made.all()} == {keys.key(stage) for stage in plain.all()}


def test_ulmfit_is_averaged_with_rows_of_tfidf_that_are_there() -> None:
    with pytest.raises(ValidationError, match="with_tfidf averages ULMFiT with a row of tfidf: add tfidf"):
        TINY.changed(comparisons=("with_tfidf",))


@pytest.mark.parametrize(
    ("choice", "golden"), [("validation", (104, "c64c7df0a29be034")), ("labels", (105, "2cbf910677751f8d"))]
)
def test_golden_keys_of_a_recipe_with_everything(choice: str, golden: tuple[int, str]) -> None:
    """These change only when a stage computes something else; finished runs are found by them."""
    preset = TINY.changed(
        comparisons=ALL_COMPARISONS,
        pretrain=TINY.pretrain.changed(precision="fp32"),
        finetune=TINY.finetune.changed(precision="fp32"),
        classifier=TINY.classifier.changed(precision="fp32"),
    )
    made = experiment(
        preset,
        train_sizes=(10, 20, "all"),
        label_noise=(0.0, 0.2),
        transformers=(BERT,),
        leaks="remove",
        deduplication="minhash",
        data_checks="drop",
        curve_choice=choice,
    )
    runner = Runner(Path("runs"))
    stages = runner.order(*made.all())
    listed = "\n".join(f"{stage.stage_name} {runner.keys.key(stage)}" for stage in stages)
    assert (len(stages), hashlib.sha256(listed.encode()).hexdigest()[:16]) == golden, listed


def test_without_comparisons_there_is_ulmfit_alone() -> None:
    made = experiment(TINY.changed(comparisons=()))
    assert [row.name for row in made.systems] == [
        "ULMFiT, forward",
        "ULMFiT, backward",
        "ULMFiT, forward + backward",
    ]
    assert not any(isinstance(stage, TfidfBaseline) for stage in made.all())


def test_one_seed_is_no_ensemble_of_seeds() -> None:
    assert not any("ensemble of" in row.name for row in experiment(seeds=(4,)).systems)


def test_the_ensemble_averages_every_seed_and_direction() -> None:
    made = experiment()
    row = next(row for row in made.systems if row.average_seeds)
    members = [stage for stages in row.runs.values() for stage in stages]
    assert len(members) == 6
    assert set(map(id, members)) == set(map(id, made.classifiers.values()))


def test_papers_presets_have_every_row_and_small_ones_the_cheap_ones() -> None:
    assert ULMFIT.comparisons == MULTIFIT.comparisons == ALL_COMPARISONS
    for preset in (SMALL, TOY):
        assert set(ALL_COMPARISONS) - set(preset.comparisons) == {"without_finetuning", "words"}


def test_without_finetuning_begins_with_the_pretrained_model() -> None:
    made = experiment()
    for seed, classifier in row(made, "ULMFiT without LM fine-tuning, forward").items():
        assert classifier.language_model == made.pretrained["forward"]
        assert classifier == made.classifiers["forward", seed].changed(
            language_model=classifier.language_model
        )


def test_words_change_the_vocabulary_and_nothing_else() -> None:
    vocabulary = VocabularySettings(size=80, byte_fallback=True)
    preset = TINY.changed(comparisons=("words",), words=200, vocabulary=vocabulary)
    sampling = preset.changed(
        pretrain=preset.pretrain.changed(subword_sampling=0.2),
        finetune=preset.finetune.changed(subword_sampling=0.2),
        classifier=preset.classifier.changed(subword_sampling=0.2),
    )
    ulmfit_too = experiment(preset)
    classifier = row(experiment(sampling), "ULMFiT with words, forward")[1]
    assert isinstance(classifier.language_model, FineTune)
    tokenizer = classifier.tokenizer
    assert (tokenizer.model_type, tokenizer.vocab_size, tokenizer.byte_fallback) == ("words", 200, False)
    assert tokenizer.corpus == ulmfit_too.tokenizer.corpus
    pretrained = classifier.language_model.pretrained
    assert isinstance(pretrained, Pretrain)
    assert classifier.language_model.tokens.tokenizer == pretrained.tokens.tokenizer == tokenizer
    assert pretrained.settings == preset.pretrain, "and words cannot be sampled"
    assert classifier.language_model.settings == preset.finetune
    assert classifier.settings == preset.classifier


def test_a_vocabulary_of_words_needs_no_row_of_words() -> None:
    vocabulary = VocabularySettings(size=80, kind="words")
    made = experiment(TINY.changed(comparisons=ALL_COMPARISONS, vocabulary=vocabulary))
    assert not any("with words" in system.name for system in made.systems)


class SeveralLabels(InventedDataset):
    """A data set that says that its texts have several labels."""

    stage_name: ClassVar[str] = "several_labels"
    task: str = "multi_label"


@pytest.mark.parametrize(
    "fields",
    [{"train_sizes": (10, "all")}, {"label_noise": (0.0, 0.1)}],
)
def test_what_is_not_defined_for_several_labels_is_refused(fields: dict) -> None:
    with pytest.raises(InputError, match="defined for texts with one label each"):
        experiment(dataset=SeveralLabels(), **fields).all()


class Numbers(InventedDataset):
    """A data set that says that its texts have numbers."""

    stage_name: ClassVar[str] = "numbers"
    task: str = "regression"


def test_baselines_fit_the_task() -> None:
    names = [
        [system.name for system in experiment(dataset=dataset).systems if system.kind == "baseline"]
        for dataset in (SeveralLabels(), Numbers())
    ]
    assert len(names[0]) == 4
    assert names[1] == [
        "TF-IDF, words 1-2 + ridge regression",
        "TF-IDF, characters 2-5 + ridge regression",
        "TF-IDF, words 1-2 + linear SVR",
        "TF-IDF, characters 2-5 + linear SVR",
    ]
    with pytest.raises(InputError, match=r"logistic_regression does not fit .*: expected .*ridge"):
        TfidfBaseline(dataset=Numbers())
    with pytest.raises(InputError, match="ridge does not fit task multi_label"):
        TfidfBaseline(dataset=SeveralLabels(), classifier="ridge")


BERT = {"name": "BERT", "pretrained": {"name": "owner/bert", "revision": "0123456789" * 4}}
OTHER = {"name": "other", "pretrained": {"path": "models/bert"}}


def test_transformers_are_the_last_rows_and_have_every_seed() -> None:
    made = experiment(transformers=(BERT, OTHER))
    rows = made.systems[-2:]
    assert [(row.name, row.kind, list(row.runs)) for row in rows] == [
        ("BERT", "comparison", [0, 1, 2]),
        ("other", "comparison", [0, 1, 2]),
    ]
    assert [row.notes for row in rows] == [
        ("transformer, owner/bert at 012345678901",),
        ("transformer, bert",),
    ]
    stages = [stage for row in rows for (stage,) in row.runs.values()]
    assert [stage.seed for stage in stages] == [0, 1, 2, 0, 1, 2]
    assert all(stage.dataset == made.recipe.dataset for stage in stages)
    assert all(any(stage is one for one in made.all()) for stage in stages)
    assert len({Runner(Path("runs")).keys.key(stage) for stage in stages[:3]}) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"transformers": (BERT, BERT)}, "two are called 'BERT'"),
        ({"transformers": (BERT,), "dataset": None}, "transformers need a data set"),
        (
            {"transformers": (BERT,), "dataset": SeveralLabels()},
            "one label each.*multi_label",
        ),
        ({"transformers": ({**BERT, "pretrained": {"name": "a/b", "revision": "main"}},)}, "revision"),
    ],
)
def test_impossible_transformers_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        experiment(**fields)


def test_a_transformer_cannot_have_the_name_of_another_row() -> None:
    with pytest.raises(InputError, match="two rows of the table are called 'ULMFiT, forward'"):
        experiment(transformers=({**BERT, "name": "ULMFiT, forward"},)).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train_sizes": (20, 10)}, "train_sizes have to rise"),
        ({"train_sizes": ("all", 10)}, "train_sizes have to rise"),
        ({"train_sizes": (10, 10)}, "train_sizes have to rise"),
        ({"train_sizes": (1,)}, "greater than or equal to 2"),
        ({"train_sizes": ("some",)}, "'all'"),
        ({"label_noise": (0.1, 0.0)}, "label_noise has to rise, such as 0,0.1,0.3"),
        ({"label_noise": (0.6,)}, "less than or equal to 0.5"),
        ({"label_noise": (0.1,), "dataset": None}, "need a data set"),
        ({"curve_texts": "subset"}, "curve_texts has no effect without train_sizes"),
        ({"curve_choice": "validation"}, "curve_choice has no effect without train_sizes"),
    ],
)
def test_impossible_curves_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        experiment(**fields)


def test_points_with_all_labels_are_the_rows_and_nothing_is_trained_again(tmp_path: Path) -> None:
    plain = experiment()
    both = experiment(train_sizes=(10, 20, "all"), label_noise=(0.0, 0.2))
    runner = Runner(tmp_path)
    old = {runner.folder(stage) for stage in runner.order(*plain.all())}
    new = {runner.folder(stage) for stage in runner.order(*both.all())}
    assert old < new
    sizes, noise = both.curves
    assert [len(line.points) for line in sizes.lines] == [3] * 5
    for curve, place in ((sizes, 2), (noise, 0)):
        for line in curve.lines:
            folders = {runner.folder(stage) for members in line.points[place] for stage in members}
            cross_validated = curve is sizes and "TF-IDF" in line.name
            assert folders <= old or cross_validated
    # Two sizes and one share, three classifiers and a baseline, three seeds; and the data sets; and of all
    # texts the baseline that chooses without a validation split.
    assert len(new - old) == 3 * 4 * 3 + 3 * 3 + 1
    chosen_on_validation = experiment(train_sizes=("all",), curve_choice="validation")
    assert {runner.folder(stage) for stage in runner.order(*chosen_on_validation.all())} == old
    assert isinstance(both.all()[0], TrainingSubset), "an impossible size is found before anything is trained"


def test_every_seed_has_its_own_subset_and_all_see_every_text_unlabelled() -> None:
    made = experiment(train_sizes=(10,))
    ulmfit_line, without, scratch, tfidf, together = made.curves[0].lines
    for seed in (0, 1, 2):
        subset = TrainingSubset.of(InventedDataset(), size=10, seed=seed)
        for line in (ulmfit_line, without, scratch, tfidf):
            assert line.points[0][seed][0].dataset == subset
        (stage,) = ulmfit_line.points[0][seed]
        assert together.points[0][seed] == (stage, *tfidf.points[0][seed])
        assert isinstance(stage, TrainClassifier)
        assert stage.language_model == made.classifiers["forward", seed].language_model
        assert without.points[0][seed][0].language_model == made.pretrained["forward"]
        assert scratch.points[0][seed][0].language_model is None
    supervised = experiment(train_sizes=(10,), curve_texts="subset").curves[0]
    (stage,) = supervised.lines[0].points[0][1]
    assert stage.language_model.tokens.documents.dataset == TrainingSubset.of(
        InventedDataset(), size=10, seed=1
    )
    assert "(supervised)" in " ".join(supervised.notes)


def test_smaller_training_sets_of_a_curve_are_read_more_often() -> None:
    plain, longer = experiment(train_sizes=(10, "all")), experiment(train_sizes=(10, "all"), curve_steps=40)
    for before, after in zip(plain.curves[0].lines[:3], longer.curves[0].lines[:3], strict=True):
        for seed in (0, 1, 2):
            settings = before.points[0][seed][0].settings
            assert after.points[0][seed][0].settings == settings.changed(least_steps=40)
            assert after.points[1] == before.points[1], "all texts are the table's own row"
    assert "for 40 steps at least" in " ".join(longer.curves[0].notes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the command with every row and both curves, at the smallest size."""
    runs = tmp_path_factory.mktemp("rows") / "runs"
    status, output, errors = ulmfit_here("run", RECIPE, *OPTIONS, "--runs", runs)
    assert status == 0, errors
    assert "ULMFiT, ensemble of 2 seeds" in output
    assert "model, by train size" in output
    return runs


OPTIONS = (
    *("--preset", "forward", "--train-sizes", "10,all", "--label-noise", "0,0.3"),
    *("--set", f"comparisons={json.dumps(ALL_COMPARISONS)}", "--set", "classifier.phases.0.epochs=2"),
)


def results_of(runs: Path) -> Path:
    """The folder of the one run's record."""
    (folder,) = (runs / "test").iterdir()
    return folder


def test_a_run_with_every_row_and_both_curves(finished: Path) -> None:
    record = read_json(results_of(finished) / "record.json")
    rows = {row["name"]: row for row in record["rows"]}
    assert list(rows)[:5] == [
        "ULMFiT, forward",
        "ULMFiT, ensemble of 2 seeds",
        "ULMFiT without LM fine-tuning, forward",
        "ULMFiT with words, forward",
        "from scratch, forward",
    ]
    sizes, noise = record["curves"]
    assert (sizes["choice"], noise["choice"]) == ("labels", "validation")
    assert (sizes["axis"], sizes["places"]) == ("train size", [10, 60])
    assert (noise["axis"], noise["places"]) == ("label noise", [0, 0.3])
    for curve, place in ((sizes, 1), (noise, 0)):
        for line in curve["lines"]:
            if "together" in line["name"] or (curve is sizes and "TF-IDF" in line["name"]):
                continue  # Of one baseline, or chosen otherwise.
            assert line["points"][place]["values"] == rows[line["name"]]["metrics"]["accuracy"]["values"]
    assert [len(point["values"]) for point in sizes["lines"][3]["points"]] == [2, 1]
    assert "--train-sizes 10,all --label-noise 0.0,0.3" in record["command"]
    assert {one["row"] for one in record["comparisons"]} == set(rows) - {"ULMFiT, forward"}
    names = [model["name"] for model in record["language_models"]]
    assert {"pretrained, words", "fine-tuned, words, seed 1"} <= set(names)
    both = rows["ULMFiT and TF-IDF together"]
    assert both["kind"] == "mixture" and both["seeds"] == [0, 1]
    assert re.fullmatch(
        r"averaged with TF-IDF, .*, the best of its kind on validation; share of ULMFiT: 0.\d+, 0.\d+",
        both["notes"][0],
    )
    page = (results_of(finished) / "report.md").read_text(encoding="utf-8")
    assert "Settings and epochs: no labels but those of the column are used" in page
    assert "Settings and epochs: chosen on the whole validation split" in page
    assert "| model, by train size | 10 | all (60) |" in page
    assert "| model, by label noise | 0 % | 30 % |" in page


def test_the_ensembles_row_is_the_average_of_saved_predictions(finished: Path) -> None:
    record = read_json(results_of(finished) / "record.json")
    row = next(row for row in record["rows"] if row["name"].startswith("ULMFiT, ensemble"))
    assert (row["seeds"], row["averages_seeds"]) == ([0, 1], True)
    folders = []
    for stage in finished.glob("stages/classifier/*/config.json"):
        config = read_json(stage)
        model = config["language_model"] or {}
        tokenizer = read_json(finished / "stages" / "tokenizer" / config["tokenizer"]["key"] / "config.json")
        whole = config["dataset"]["stage"] == "invented_dataset"
        if model.get("stage") == "finetune" and tokenizer["model_type"] == "unigram" and whole:
            folders.append(stage.parent)
    assert len(folders) == 2
    together = average([read_predictions(one / "predictions-test.parquet", LABELS) for one in folders])
    expected = score(together.gold, together.predicted, LABELS)
    assert row["metrics"]["accuracy"]["values"] == [pytest.approx(expected["accuracy"])]


def test_plan_and_report_know_the_curves(finished: Path) -> None:
    status, output, errors = ulmfit_here("plan", RECIPE, *OPTIONS, "--runs", finished)
    assert status == 0, errors
    assert output.count("training-subset") == 2
    assert output.count("noisy-labels") == 2
    head, *stages, total = output.strip().splitlines()
    assert head.startswith("stage ") and "nothing would run" in total
    assert all("  done  " in line for line in stages)
    status, output, errors = ulmfit_here("status", RECIPE, *OPTIONS, "--runs", finished)
    assert status == 0, errors
    assert "done" in output and "missing" not in output
    status, output, errors = ulmfit_here("report", RECIPE, *OPTIONS, "--runs", finished)
    assert status == 0, errors
    assert "model, by label noise" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--train-sizes", "10,1000"), "a training subset of 1000 texts: train has only 60"),
        (("--train-sizes", "ten"), "--train-sizes ten: expected numbers with commas, or all"),
        (("--train-sizes", "20,10"), "--train-sizes 20,10: train_sizes have to rise"),
        (("--label-noise", "much"), "--label-noise much: expected shares"),
        (("--label-noise", "0.3,0.3"), "--label-noise 0.3,0.3: label_noise has to rise, such as 0,0.1,0.3"),
        (("--label-noise", "0.7"), "label_noise.0: expected 0.5 or less; got 0.7"),
        (("--set", 'comparisons=["lunch"]'), "comparisons.0: expected 'ensemble', 'without_finetuning'"),
    ],
)
def test_wrong_options_are_one_line(options: tuple, message: str, tmp_path: Path) -> None:
    status, _, errors = ulmfit_here("run", RECIPE, *options, "--runs", tmp_path)
    assert status == 2, errors
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not list(tmp_path.glob("stages/pretrain/*")), "refused before anything is trained"


class PermutedTest(InventedDataset):
    """The invented data set, with the labels of its test split in another order."""

    stage_name: ClassVar[str] = "permuted_test"
    permuted: bool = False

    def build(self, work) -> None:
        super().build(work)
        if self.permuted:
            table = pandas.read_parquet(work.folder / "test.parquet")
            labels = numpy.random.default_rng(0).permutation(table["label"].to_numpy())
            assert (labels != table["label"]).any()
            table.assign(label=labels).to_parquet(work.folder / "test.parquet", index=False)


def content(folder: Path) -> dict[str, object]:
    """Return what a stage made, without the gold labels and without logs, times and settings."""
    made: dict[str, object] = {}
    left_out = {"config.json", "manifest.json", "log.txt"}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in left_out):
        if path.name in ("predictions-test.parquet", "test.parquet"):
            table = pandas.read_parquet(path).drop(columns=["gold", "label"], errors="ignore")
            made[path.name] = table.to_csv()
        elif path.name == "dataset.json":
            made[path.name] = {key: value for key, value in read_json(path).items() if key != "files"}
        else:
            made[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return made


def test_labels_of_the_test_split_reach_nothing_but_gold_and_metrics(tmp_path: Path) -> None:
    """Every stage of every row and curve makes the same, whatever the test labels are."""
    classifier = TINY.classifier.changed(phases=(TINY.classifier.phases[0].changed(epochs=2),), select="best")
    preset = TINY.changed(directions=("forward",), comparisons=ALL_COMPARISONS, classifier=classifier)
    found = []
    for permuted in (False, True):
        made = experiment(
            preset,
            seeds=(0,),
            dataset=PermutedTest(permuted=permuted),
            train_sizes=(20,),
            label_noise=(0.2,),
            leaks="remove",
        )
        runs = tmp_path / str(permuted)
        folder = driver.run(made.recipe, runs)
        assert folder is not None
        runner = Runner(runs)
        stages = runner.order(*made.all())
        found.append([(stage.stage_name, content(runner.folder(stage))) for stage in stages])
        found.append(read_json(folder / "record.json"))
    first, first_record, second, second_record = found
    assert [name for name, _ in first] == [name for name, _ in second]
    for (name, one), (_, other) in zip(first, second, strict=True):
        assert one == other, name
    assert [row["valid_metrics"] for row in first_record["rows"]] == [
        row["valid_metrics"] for row in second_record["rows"]
    ]
    assert [row["metrics"] for row in first_record["rows"]] != [
        row["metrics"] for row in second_record["rows"]
    ]
