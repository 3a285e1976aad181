"""`--trial`: every recipe in minutes, and nothing of it can be taken for a result."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from ulmfit.corpus.beginnings import WikipediaBeginning
from ulmfit.corpus.stages import TextFiles
from ulmfit.experiments.presets import MULTIFIT
from ulmfit.experiments.recipe import load_recipe
from ulmfit.experiments.trial import small_preset, trial_label
from ulmfit.experiments.verify import recorded_recipe
from ulmfit.pipeline.assets import File, all_settings
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner


def test_a_wikipedia_is_not_downloaded_as_a_whole() -> None:
    recipe = load_recipe("pl/wikipedia").as_trial()
    assert [type(dump) for dump in all_settings(recipe, WikipediaBeginning)] == [WikipediaBeginning]


def test_a_trials_record_names_the_trial_again(finished_trial_record: Path) -> None:
    from ulmfit.evaluation.record import read_record

    assert recorded_recipe(read_record(finished_trial_record)).trial


@pytest.fixture
def finished_trial_record(tmp_path: Path) -> Path:
    """The committed record of the demo, as if a trial had made it."""
    from ulmfit.evaluation.record import read_record, write_record

    committed = next((Path(__file__).parents[2] / "recipes" / "toy" / "records").glob("*.json"))
    record = read_record(committed)
    write_record(
        tmp_path / "record.json",
        record.model_copy(update={"configuration": {**record.configuration, "trial": True}}),
    )
    return tmp_path / "record.json"


def test_a_trial_keeps_what_is_done_to_texts_and_drops_sizes() -> None:
    small = small_preset(MULTIFIT.changed(comparisons=("words",)))
    assert small.pretrain.architecture.kind == "qrnn" and small.comparisons == ("words",)
    assert small.vocabulary.texts() == MULTIFIT.vocabulary.texts()
    assert small.pretrain.architecture.hidden_size == 128 and small.pretrain.architecture.layers == 2
    assert sum(phase.epochs for phase in small.pretrain.phases) == 1
    kept = small_preset(MULTIFIT, given_weights=True)
    assert kept.pretrain.architecture == MULTIFIT.pretrain.architecture


def test_a_trial_has_nothing_that_needs_a_curve() -> None:
    recipe = load_recipe("toy/sentiment").changed(
        train_sizes=(10, "all"), curve_choice="validation", bootstrap=(("tfidf",),)
    )
    small = recipe.as_trial()
    assert small.curve_choice == "labels" and small.bootstrap == ()
    assert recipe.changed(train_sizes=(), curve_choice="labels").as_trial().bootstrap == (("tfidf",),)


@pytest.mark.parametrize("override", ["trial=false", "preset=ulmfit"])
def test_no_override_takes_the_label_or_the_sizes_from_a_trial(override: str) -> None:
    recipe = load_recipe("toy/sentiment")
    with pytest.raises(InputError, match=f"--set {override}: choose it with --"):
        recipe.as_trial().with_overrides([override])
    with pytest.raises(InputError, match="--set trial=true: choose it with --trial"):
        recipe.with_overrides(["trial=true"])
    assert recipe.with_overrides(["preset=ulmfit"]).preset_name == "ulmfit"


def test_the_label_says_how_many_texts_of_how_many() -> None:
    label = trial_label({"train": [300, 12_536], "test": [100, 3_532]})
    assert label.endswith("300 of 12,536 train texts, 100 of 3,532 test texts")
    assert trial_label(None).endswith("words of the corpus")


def test_a_text_file_is_read_no_further_than_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("".join(f"line {number} {'x' * 1000}\n" for number in range(3_000)), encoding="utf-8")
    corpus = TextFiles(files=File(path=path), document="line", first_megabytes=1)
    runner = Runner(tmp_path / "runs")
    folder = runner.build(corpus)
    account = read_json(folder / "account.json")
    assert 950 < account["documents_written"] == account["pages_read"] < 1_050
    assert account["first_megabytes"] == 1
    texts = pandas.read_parquet(folder / "documents.parquet")["text"]
    assert texts.iloc[0].startswith("line 0 ")
