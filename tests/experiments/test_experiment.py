"""From the settings of a recipe to its stages: what is sampled, filtered and measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipes_for_tests.tiny import TINY
from stages_for_tests import InventedCorpus, InventedDataset

from ulmfit.classifier.schedules import all_at_once
from ulmfit.corpus.data_checks import CHANGED_TEST, CleanedDataset, DataChecks
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.filters import Deduplicated, LeakCheck, WithoutLeaks
from ulmfit.corpus.stages import TextFiles
from ulmfit.datasets.given_labels import GivenLabels
from ulmfit.datasets.noise import NoisyLabels
from ulmfit.datasets.stages import DatasetStage, LabelledFiles
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.evaluation.published import PublishedResult
from ulmfit.experiments import driver
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.presets import (
    MULTIFIT,
    MULTIFIT_FP16,
    MULTIFIT_VOCABULARY,
    SMALL,
    TOY,
    ULMFIT,
    Preset,
    VocabularySettings,
)
from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.results import (
    FINGERPRINT,
    RECORD,
    REPORT,
    TABLE,
    _fingerprint,
    _hardware,
    is_recorded,
)
from ulmfit.language_model.settings import PretrainSettings
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.manifest import read_manifest, write_manifest
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.text_form import Rules


def recipe_with(**fields) -> Recipe:
    content = {
        "name": "test/experiment",
        "title": "experiment",
        "language": "qaa",
        "corpus": InventedCorpus(),
        "dataset": InventedDataset(),
        "presets": {"tiny": Preset(vocabulary=VocabularySettings(size=80, byte_fallback=False))},
    }
    return Recipe(**(content | fields))


def test_leaks_are_counted_beside_the_corpus_and_do_not_change_it() -> None:
    counted, ignored = Experiment(recipe_with()), Experiment(recipe_with(leaks="ignore"))
    assert isinstance(counted.leaks, LeakCheck) and counted.leaks in counted.all()
    assert ignored.leaks is None
    assert counted.corpus == ignored.corpus
    assert counted.pretrained == ignored.pretrained


def test_other_training_texts_or_labels_do_not_change_what_the_language_model_is_trained_on() -> None:
    plain = Experiment(recipe_with(leaks="remove"))
    data = InventedDataset()
    changed: list[DatasetStage] = [
        GivenLabels.of(data, labels=File(path=Path("labels.csv"))),
        TrainingSubset.of(data, size=10),
        NoisyLabels.of(TrainingSubset.of(data, size=20), share=0.2),
        CleanedDataset(dataset=data),
        TrainingSubset.of(CleanedDataset(dataset=data), size=20),
    ]
    for dataset in changed:
        made = Experiment(recipe_with(leaks="remove", dataset=dataset))
        assert made.pretrained == plain.pretrained
        assert made.recipe.dataset == dataset
    for dataset in (
        InventedDataset(rows=30),
        CleanedDataset(dataset=data, drop=("near_empty", "test_duplicates")),
    ):
        assert Experiment(recipe_with(leaks="remove", dataset=dataset)).pretrained != plain.pretrained


def test_filters_stand_behind_the_sample_and_before_everything_else() -> None:
    preset = Preset(max_documents=30, max_tokens=500)
    experiment = Experiment(recipe_with(leaks="remove", deduplication="minhash", presets={"tiny": preset}))
    assert isinstance(experiment.corpus, WithoutLeaks)
    deduplicated = experiment.corpus.corpus
    assert isinstance(deduplicated, Deduplicated)
    assert (deduplicated.corpus.max_documents, deduplicated.corpus.max_tokens) == (30, 500)
    assert experiment.tokenizer.corpus == experiment.corpus
    assert experiment.leaks is experiment.corpus


def test_without_a_data_set_there_is_nothing_to_leak() -> None:
    experiment = Experiment(recipe_with(dataset=None, leaks="remove"))
    assert experiment.leaks is None
    assert experiment.tokenizer_card.target is None


def test_vocabularies_of_other_sizes_are_measured_and_not_used() -> None:
    vocabulary = VocabularySettings(size=80, exact=True, compared_sizes=(60, 120))
    experiment = Experiment(recipe_with(presets={"tiny": Preset(vocabulary=vocabulary)}))
    card = experiment.tokenizer_card
    assert [stage.vocab_size for stage in card.tokenizers] == [80, 60, 120]
    assert [stage.exact for stage in card.tokenizers] == [True, False, False]
    assert all(pretrained.tokens.tokenizer.vocab_size == 80 for pretrained in experiment.pretrained.values())


def test_what_is_done_to_texts_reaches_every_tokenizer() -> None:
    own = VocabularySettings(size=80, compared_sizes=(60,), marks=False, nfkc=True, html=True)
    vocabulary = own.changed(character_coverage=0.9, sample_bytes=99)
    preset = Preset(vocabulary=vocabulary, comparisons=("words",))
    experiment = Experiment(recipe_with(presets={"tiny": preset}))
    words = experiment.language_models()[-1].tokens.tokenizer
    assert not words.has_subwords
    for stage in (*experiment.tokenizer_card.tokenizers, words):
        assert stage.rules() == Rules(language="qaa", marks=False, nfkc=True, html=True)
        assert stage.sample_bytes == 99
    assert experiment.tokenizer.character_coverage == 0.9


def test_how_rare_a_word_may_be_reaches_vocabularies_of_words_alone() -> None:
    pieces = VocabularySettings(size=80, min_count=2)
    of_pieces, of_words = (
        Experiment(recipe_with(presets={"tiny": Preset(vocabulary=vocabulary, comparisons=("words",))}))
        for vocabulary in (pieces, pieces.changed(kind="words"))
    )
    (words,) = (system for system in of_pieces.systems if system.name == "ULMFiT with words, forward")
    ((classifier,), *_) = words.runs.values()
    assert of_pieces.tokenizer.min_count == 3, "the field's default, without effect on pieces"
    assert classifier.tokenizer.min_count == of_words.tokenizer.min_count == 2


@pytest.mark.parametrize("given", [None, File(path="spm.model")])
def test_the_reading_of_multifit_sets_every_step(given: File | None) -> None:
    plain, multifit = (
        Experiment(
            recipe_with(
                tokenizer=given,
                presets={"tiny": Preset(vocabulary=VocabularySettings(size=80, reading=reading))},
            )
        ).tokenizer
        for reading in ("own", "multifit")
    )
    assert plain.rules().reading() == {} and plain.marks
    assert multifit == plain.changed(marks=True, repeats=True, html=True, nfkc=True, moses=True)


def test_the_size_of_the_corpus_is_counted_as_the_preset_says() -> None:
    plain, multifit = (
        Experiment(recipe_with(corpus=InventedCorpus(min_words=7), presets={"tiny": preset})).corpus
        for preset in (Preset(), Preset(min_words=100, counted_in="runs", max_tokens=500))
    )
    assert plain == InventedCorpus(min_words=7)
    assert multifit == InventedCorpus(min_words=100, counted_in="runs", max_tokens=500)


def test_a_vocabulary_may_learn_from_the_task() -> None:
    vocabulary = VocabularySettings(task_share=0.1)
    preset = Preset(vocabulary=vocabulary, comparisons=("words",))
    experiment = Experiment(recipe_with(presets={"tiny": preset}))
    for tokenizer in (experiment.tokenizer, experiment.language_models()[-1].tokens.tokenizer):
        assert tokenizer.target == DatasetTexts(dataset=InventedDataset())
        assert tokenizer.target_share == 0.1
    assert Experiment(recipe_with()).tokenizer.target is None
    with pytest.raises(InputError, match="the recipe has no data set"):
        Experiment(recipe_with(presets={"tiny": preset}, dataset=None))


@pytest.mark.parametrize("preset", [ULMFIT, MULTIFIT, MULTIFIT_FP16, SMALL, TOY], ids=lambda one: one.note)
def test_every_preset_knows_every_character(preset: Preset) -> None:
    assert preset.vocabulary.byte_fallback
    assert "bytes" in preset.note or preset is TOY
    papers = Experiment(recipe_with(presets={"paper": preset.changed(vocabulary=MULTIFIT_VOCABULARY)}))
    assert not papers.tokenizer.byte_fallback


def test_data_is_checked_first_and_changes_nothing_unless_it_is_to_be_cleaned() -> None:
    counted, ignored = Experiment(recipe_with()), Experiment(recipe_with(data_checks="off"))
    assert counted.all()[0] == counted.data_checks == DataChecks(dataset=InventedDataset())
    assert ignored.data_checks is None
    assert counted.classifiers == ignored.classifiers
    assert Experiment(recipe_with(dataset=None)).data_checks is None


def test_files_of_a_wrong_kind_are_refused_by_plan_and_by_run_before_anything_is_built(
    tmp_path: Path,
) -> None:
    sound = tmp_path / "test.csv"
    sound.write_text("text,label\na,x\nb,y\n", encoding="utf-8")
    wrong = tmp_path / "train.tsv"
    wrong.write_text("x\ta\ny\tb\n", encoding="utf-8")
    recipe = recipe_with(dataset=LabelledFiles(train=File(path=wrong), test=File(path=sound)))
    message = r"train\.tsv has no column 'text', only x, a"
    assert len(driver.states(recipe, tmp_path / "runs")) > 5
    with pytest.raises(InputError, match=message):
        driver.states(recipe, tmp_path / "runs", checked=True)
    with pytest.raises(InputError, match=message):
        driver.run(recipe, tmp_path / "runs")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"body": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1 has no column 'text', only body"):
        driver.states(recipe_with(corpus=TextFiles(files=File(path=corpus))), tmp_path / "runs", checked=True)
    assert not list((tmp_path / "runs").glob("stages/*/*"))


def test_everything_is_trained_on_the_cleaned_data() -> None:
    experiment = Experiment(recipe_with(data_checks="drop"))
    cleaned = CleanedDataset(dataset=InventedDataset())
    assert experiment.recipe.dataset == cleaned
    assert all(stage.dataset == cleaned for system in experiment.systems for stage in system.stages())
    assert experiment.tokenizer_card.target == cleaned
    assert experiment.data_checks == DataChecks(dataset=InventedDataset())


def test_a_changed_test_split_is_a_label() -> None:
    assert CleanedDataset(dataset=InventedDataset()).record_label == ""
    changed = CleanedDataset(dataset=InventedDataset(), drop=("test_duplicates",))
    assert changed.record_label == CHANGED_TEST


def test_subword_sampling_of_words_is_refused_before_anything_runs() -> None:
    recipe = recipe_with().with_overrides(["vocabulary.kind=words", "classifier.subword_sampling=0.2"])
    with pytest.raises(InputError, match="subword_sampling"):
        recipe.stages()


def test_a_document_that_holds_a_test_text_is_left_out_and_listed(tmp_path: Path) -> None:
    dataset = InventedDataset()
    runner = Runner(tmp_path / "runs")
    runner.ensure(dataset)
    import pandas as pd

    test = pd.read_parquet(runner.folder(dataset) / "test.parquet")
    leaked = test["text"].iloc[0]
    lines = [f"line {number} has words of its own and nothing else to say" for number in range(40)]
    lines[7] = f"somebody wrote: {leaked} and more"
    (tmp_path / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    corpus = TextFiles(files=File(path=tmp_path / "corpus.txt"), document="line")
    recipe = recipe_with(corpus=corpus, leaks="remove")
    driver.run(recipe, tmp_path / "runs", until="without-leaks")
    folder = runner.folder(recipe.stages().corpus)
    account = read_json(folder / "account.json")
    assert account["left_out"]["holds a test text"] == {"count": 1, "pages": ["corpus.txt:8"]}
    assert account["documents_written"] == 39
    assert test["id"].iloc[0] in [entry["id"] for entry in read_json(folder / "leaks.json")["leaked"]]


def test_hardware_is_that_of_all_stages(tmp_path: Path) -> None:
    machines = [
        {"hardware": {"processor": "A", "cores": 2, "load_average": 0.5}},
        {
            "hardware": {"processor": "B", "cores": 2, "load_average": 3.0},
            "machine": {"device": "cpu", "processes": 2, "threads": 1, "earlier": [{"threads": 4}], "x": [1]},
        },
        {
            "hardware": {"processor": "A", "cores": 2},
            "machine": {"device": "cpu", "processes": 1, "threads": 1},
        },
    ]
    runner = Runner(tmp_path)
    stages = [InventedDataset(rows=rows) for rows in (10, 20, 30)]
    for stage, machine in zip(stages, machines, strict=True):
        manifest = read_manifest(runner.build(stage))
        assert manifest is not None
        write_manifest(runner.folder(stage), {**manifest, **machine})  # type: ignore[typeddict-item]
    assert _hardware(stages, runner) == {
        "processor": "A, B",
        "cores": 2,
        "load_average": "0.5 to 3.0",
        "threads": "1 to 4",
        "device": "cpu",
        "processes": "1 to 2",
    }


def test_stages_of_one_kind_are_told_apart() -> None:
    comparisons = ("without_finetuning", "words", "from_scratch", "tfidf")
    preset = Preset(
        vocabulary=VocabularySettings(size=80, byte_fallback=False), comparisons=comparisons, words=90
    )
    recipe = recipe_with(
        presets={"tiny": preset}, train_sizes=(10, "all"), label_noise=(0.1,), curve_texts="subset"
    )
    titles = [stage.title for stage in Runner(Path("runs")).order(*recipe.stages().all())]
    assert len(set(titles)) == len(titles)
    assert {
        "pretrain (backward)",
        "pretrain (forward, words)",
        "finetune (forward, 10 texts, seed 0)",
        "classifier (forward, without fine-tuning, 10 % wrong labels, seed 2)",
        "classifier (forward, from scratch, 10 texts, seed 0)",
        "tfidf-baseline (char, logistic_regression, cross-validated, 10 texts, seed 1)",
        "tokens (dataset-texts, words, 90)",
    } <= set(titles)


@pytest.mark.parametrize("rate", [None, 7e-4])
def test_only_the_classifier_from_scratch_trains_all_layers_at_one_rate(rate: float | None) -> None:
    preset = Preset(
        pretrain=PretrainSettings(gradient_clip=0.3),
        comparisons=("without_finetuning", "from_scratch"),
        from_scratch_rate=rate,
    )
    made = recipe_with(presets={"tiny": preset}, train_sizes=(10, "all")).stages()
    (curve,) = made.curves
    rows = {system.name: system.stages() for system in made.systems}
    scratch = [stage for stage in curve.stages() if "from scratch" in stage.title]
    assert scratch
    for stage in (*rows["from scratch, forward"], *scratch):
        assert stage.settings == preset.classifier.changed(
            phases=all_at_once(preset.classifier.phases, rate), gradient_clip=0.3
        )
        if rate:
            assert [phase.learning_rate for phase in stage.settings.phases] == [rate]
    for stage in (*made.classifiers.values(), *rows["ULMFiT without LM fine-tuning, forward"]):
        assert stage.settings == preset.classifier


def test_a_run_makes_its_stages_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    stages = Recipe.stages
    monkeypatch.setattr(Recipe, "stages", lambda recipe: made.append(stages(recipe)) or made[-1])
    recipe = recipe_with(dataset=None, presets={"tiny": TINY.changed(directions=("forward",))})
    assert driver.run(recipe, tmp_path / "runs") is not None
    assert len(made) == 1


def test_other_published_results_are_another_record(tmp_path: Path) -> None:
    recipe, runner = recipe_with(), Runner(tmp_path)
    for name in (RECORD, REPORT, TABLE):
        (tmp_path / name).touch()
    write_json(tmp_path / FINGERPRINT, _fingerprint(recipe, runner, []))
    assert is_recorded(recipe, runner, [], tmp_path)
    result = PublishedResult(name="best of the task", metric="accuracy", value=0.9, source="its overview")
    assert not is_recorded(recipe.changed(published=(result,)), runner, [], tmp_path)
