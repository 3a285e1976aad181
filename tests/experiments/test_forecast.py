"""What a run will cost: from sizes and rates that are known, and a reason where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_for_tests import RECIPE
from stages_for_tests import tiny_pretrain

from ulmfit.classifier.pseudo_labels import PseudoLabelled
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.beginnings import DumpBeginning
from ulmfit.corpus.stages import TextFiles, Wikipedia, WikipediaCorpus
from ulmfit.datasets.sample import SampledDataset
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.evaluation.teaching_stages import SoftLabels
from ulmfit.experiments import calibration, forecast
from ulmfit.experiments.forecast import (
    FLOPS,
    Forecast,
    Forecasts,
    finished_rates,
    parameters,
    rate_name,
    slow_advice,
    total,
)
from ulmfit.experiments.presets import MULTIFIT, SMALL, ULMFIT
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.experiments.sizes import BYTES_PER_ARTICLE, Sizes
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts, PretrainSettings
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.manifest import read_manifest
from ulmfit.pipeline.rates import Rates
from ulmfit.pipeline.runner import Runner


def forecasts(recipe: Recipe, tmp_path: Path, rates: Rates | None = None) -> dict[str, Forecast]:
    runner = Runner(tmp_path / "runs")
    stages = runner.order(*recipe.stages().all())
    rates = Rates(tmp_path / "rates.json") if rates is None else rates
    found = Forecasts(stages, runner, recipe.language, rates, measure=False)
    return {stage.title: found.of(stage) for stage in stages}


def recipe_of_files(folder: Path, lines: int = 10_000) -> Recipe:
    """Return a recipe on files of known sizes: 1 MB of corpus, texts of 100 bytes."""
    (folder / "corpus.txt").write_text("x" * 99 + "\n", encoding="utf-8")
    (folder / "corpus.txt").write_text(("x" * 99 + "\n") * lines, encoding="utf-8")
    for name, rows in (("train", 1_000), ("test", 500)):
        (folder / f"{name}.csv").write_text("text,label\n" + f"{'y' * 96},a\n" * rows, encoding="utf-8")
    data = {name: File(path=folder / f"{name}.csv") for name in ("train", "test")}
    corpus = TextFiles(files=File(path=folder / "corpus.txt"), document="line")
    return Recipe(
        name="test/files",
        title="files",
        language="fi",
        corpus=corpus,
        dataset=LabelledFiles(**data),
        presets={"small": SMALL},
    )


def test_steps_follow_from_the_sizes_of_files(tmp_path: Path) -> None:
    found = forecasts(recipe_of_files(tmp_path), tmp_path)
    assert "1.0 MB of text" in found["corpus"].basis
    tokens = found["tokens (corpus, unigram, 8000)"]
    assert tokens.basis == "303,030 tokens" and tokens.disk == pytest.approx(2 * 303_030, rel=0.01)
    pretrain = found["pretrain (forward)"]
    assert "303,030 tokens x 1, 135 steps" in pretrain.basis and "a guess" in pretrain.basis
    operations = 6 * parameters(SMALL.pretrain.architecture, 8_000)
    assert pretrain.seconds == pytest.approx(3 + 1.03 * 303_030 * operations / FLOPS, rel=0.01)
    assert all(one.seconds is not None for one in found.values())
    # As many seeds as there are, each as long as the other.
    assert found["finetune (forward, seed 0)"] == found["finetune (forward, seed 2)"]


def test_limits_bound_what_is_kept_and_a_sample_what_is_read(tmp_path: Path) -> None:
    recipe = recipe_of_files(tmp_path)
    limited = recipe.changed(presets={"small": SMALL.changed(max_documents=500)})
    sizes = Sizes(Runner(tmp_path / "runs"), "fi")
    whole, kept = (sizes.corpus(one.stages().corpus) for one in (recipe, limited))
    assert kept.bytes is not None and whole.bytes is not None
    assert kept.bytes == pytest.approx(whole.bytes * 500 / 5_000)
    assert kept.read == whole.read
    assert recipe.dataset is not None
    rows = sizes.dataset(SampledDataset(dataset=recipe.dataset, train=20, valid=5)).rows
    assert (rows["train"], rows["valid"]) == (20, 5)


def test_changed_data_sets_have_the_texts_that_they_will_have(tmp_path: Path) -> None:
    data = recipe_of_files(tmp_path).dataset
    assert data is not None
    data = data.changed(unlabelled=File(path=tmp_path / "train.csv"))
    sizes = Sizes(Runner(tmp_path / "runs"), "fi")
    whole = sizes.dataset(data).rows
    texts = whole["train"] + whole["unlabelled"]
    few = TrainingSubset.of(data, size=20)
    assert sizes.dataset(few).rows == {**whole, "train": 20, "unlabelled": 0}
    rest = sizes.dataset(TrainingSubset.of(data, size=20, keep_rest=True)).rows
    assert rest["train"] + rest["unlabelled"] == texts
    soft = SoftLabels.of(few, teachers=(TfidfBaseline(dataset=few),), texts=data)
    assert sizes.dataset(soft).rows == {**whole, "train": texts - 20, "unlabelled": 0}
    classifier = TrainClassifier(dataset=data, tokenizer=tiny_pretrain().tokens.tokenizer)
    pseudo = PseudoLabelled.of(data, classifiers=(classifier,))
    found = Forecasts([], sizes.runner, "fi", Rates(tmp_path / "rates.json"), measure=False)
    plain, told = found.dataset(pseudo).seconds, found.of(pseudo)
    rate, _ = found.tokens_per_second("classifier", 80, classifier.architecture, PretrainSettings())
    tokens = texts * sizes.dataset(data).bytes_each / sizes.bytes_per_token
    assert plain is not None and told.seconds == pytest.approx(plain + tokens / (3 * rate))
    assert sizes.dataset(pseudo).rows == {**whole, "train": texts, "unlabelled": 0}


def test_what_is_not_known_has_a_reason(tmp_path: Path) -> None:
    recipe = load_recipe("pl/wikipedia").changed(preset="small")
    found = forecasts(recipe, tmp_path)
    assert found["corpus"].seconds is None
    assert found["corpus"].basis == "the size of the dump is not known before it is downloaded"
    pretrain = found["pretrain (forward)"]
    assert pretrain.seconds is not None, "3,000 articles are so many tokens, whatever the dump's size"
    assert f"{3_000 * BYTES_PER_ARTICLE / 3.3:,.0f} tokens" in pretrain.basis
    whole = forecasts(load_recipe("pl/wikipedia").with_overrides(["max_tokens=null"]), tmp_path)
    assert whole["pretrain (forward)"].seconds is None
    data = LabelledFiles(
        **{name: File(name=f"{name}.csv", url="https://example.org/a") for name in ("train", "test")}
    )
    told = forecasts(recipe_of_files(tmp_path).changed(dataset=data), tmp_path)["labelled-files"]
    assert told.basis == "the data set has not been read yet: ulmfit run ... --until labelled-files does that"


def test_a_dump_here_or_its_beginning_has_a_size(tmp_path: Path) -> None:
    sizes = Sizes(Runner(tmp_path / "runs"), "fi")
    path = tmp_path / "a.xml.bz2"
    path.write_bytes(b"B" * 1_000_000)
    for dump, xml in ((File(path=path), 4e6), (DumpBeginning(dump=File(path=path), megabytes=7), 7e6)):
        assert sizes.corpus(WikipediaCorpus(dump=dump, language="fi")).read == xml
    unknown = WikipediaCorpus(dump=Wikipedia(language="fi", date="20240101"), language="fi")
    assert sizes.corpus(unknown).bytes is None


def test_rates_of_this_machine_come_before_guesses_and_finished_ones_before_both(tmp_path: Path) -> None:
    recipe = recipe_of_files(tmp_path)
    runner = Runner(tmp_path / "runs")
    stages = runner.order(*recipe.stages().all())
    rates = Rates(tmp_path / "rates.json")
    found = Forecasts(stages, runner, "fi", rates, measure=False)
    settings, architecture = SMALL.pretrain, SMALL.pretrain.architecture
    assert found.tokens_per_second("pretrain", 8_000, architecture, settings)[1] == "a guess for two cores"
    found._measures = True
    original, calibration.training_rate = calibration.training_rate, lambda *given: 1234.0
    try:
        assert found.tokens_per_second("pretrain", 8_000, architecture, settings) == (1234.0, "measured here")
    finally:
        calibration.training_rate = original
    again = Forecasts(stages, runner, "fi", Rates(tmp_path / "rates.json"), measure=False)
    assert again.tokens_per_second("finetune", 8_000, architecture, settings) == (1234.0, "measured here")
    again._finished = {("pretrain", architecture.model_dump_json()): [50.0, 99.0]}
    assert again.tokens_per_second("pretrain", 8_000, architecture, settings)[0] == 99.0


@pytest.mark.parametrize("preset", [SMALL, ULMFIT, MULTIFIT], ids=["small", "ulmfit", "multifit"])
def test_weights_are_counted_without_making_the_model(preset) -> None:
    tiny = preset.pretrain.architecture.changed(embedding_size=8, hidden_size=12)
    model = LanguageModel(50, tiny, Dropouts())
    actual = sum(parameter.numel() for parameter in model.parameters())
    assert parameters(tiny, 50) == pytest.approx(actual, rel=0.1)


def test_a_step_and_texts_are_measured_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SECONDS", 0.01)
    settings = PretrainSettings(batch_size=4, bptt=8, engine="plain", precision="fp32")
    architecture = Architecture(embedding_size=8, hidden_size=12, layers=2)
    assert calibration.training_rate(60, architecture, settings) > 100
    assert calibration.text_rate(calibration.EXTRACT) > 1e5


def test_a_total_says_how_much_of_it_is_not_known() -> None:
    found = total([Forecast(10, 5.0, 7.0), Forecast(None, 9.0, 1.0)])
    assert found == Forecast(10, 9.0, 8.0, "1 of unknown length")
    assert total([]) == Forecast(0, 0, 0, "")


def test_the_trial_of_the_tests_recipe_is_forecast(tmp_path: Path) -> None:
    found = forecasts(load_recipe(str(RECIPE)).as_trial(), tmp_path)
    assert found["invented_corpus"].seconds is None
    assert found["pretrain (forward)"].seconds is not None


def test_a_training_far_below_the_measured_rate_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, runner = tiny_pretrain(), Runner(tmp_path / "runs")
    rates, name = Rates(tmp_path / "rates.json"), rate_name(80, stage.settings.architecture, stage.settings)
    assert slow_advice(stage, runner, rates) == "", "it is not finished"
    folder = runner.build(stage)
    assert slow_advice(stage, runner, rates) == "", "nothing was measured"
    manifest = read_manifest(folder)
    assert manifest is not None
    reached = manifest["measures"]["tokens_per_second"]
    rates.measure(name, lambda: 1.5 * reached)
    assert slow_advice(stage, runner, rates) == ""
    other = Rates(tmp_path / "other.json")
    other.measure(name, lambda: 3 * reached)
    told = f"trained at {reached:,.0f} tokens/s; this machine reached {3 * reached:,.0f}"
    assert told in slow_advice(stage, runner, other)
    # What several processes reach together is not what each of them reaches.
    (alone,) = finished_rates(runner).values()
    four = {**manifest, "machine": {**manifest["machine"], "processes": 4}}
    monkeypatch.setattr(forecast, "read_manifest", lambda _: four)
    (together,) = finished_rates(runner).values()
    assert together == [alone[0] / 4] == [pytest.approx(reached / 4)]
    (folder / "config.json").write_text('{"settings": {"architecture": {"kind": "gru"}}}')
    assert finished_rates(runner) == {}, "another version made it"
