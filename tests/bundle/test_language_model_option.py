"""A recipe that begins with the bundle of a language model pretrains nothing and reads no corpus."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest
from bundles_for_tests import Made

from ulmfit.bundle.save import write_bundle
from ulmfit.classifier.predictions import read_predictions
from ulmfit.corpus.stages import ExtractedCorpus, Wikipedia, WikipediaCorpus
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.evaluation.record import read_record
from ulmfit.experiments import driver, verify
from ulmfit.experiments.pinning import pinned, unpinned
from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.recipe_settings import Origin
from ulmfit.language_model.bundle_format import BUNDLE
from ulmfit.language_model.bundled import BundledModel, BundledTokenizer
from ulmfit.language_model.settings import Architecture
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.pins import FILES, Pins
from ulmfit.pipeline.runner import FinishedRunner, Runner
from ulmfit.pipeline.sums import write_sums


def begins_with(single_label: Made, bundle: Path, **changes: object) -> Recipe:
    """Return the recipe of the bundle, with a corpus that is not there and another size in its preset."""
    recipe = single_label.recipe
    settings = recipe.settings
    other = settings.pretrain.changed(architecture=Architecture(embedding_size=8, hidden_size=8, layers=1))
    return recipe.changed(
        **{
            "corpus": ExtractedCorpus(archive=File(path=bundle / "no such corpus")),
            "presets": {"tiny": settings.changed(pretrain=other, directions=("forward",))},
            "language_model": File(path=bundle),
            "seeds": (0,),
            **changes,
        }
    )


def test_it_ends_where_pretraining_would_have_led(
    single_label: Made, language_model: Path, tmp_path: Path
) -> None:
    place = f"hf:somebody/model@{'a' * 40}"
    recipe = begins_with(single_label, language_model, language_model=File(path=language_model, source=place))
    folder = driver.run(recipe, tmp_path)
    assert folder is not None and not (tmp_path / "stages" / "pretrain").exists()
    found, expected = (
        read_predictions(runner.folder(stages["forward", 0]) / "predictions-test.parquet", ["no", "yes"])
        for runner, stages in (
            (Runner(tmp_path), recipe.stages().classifiers),
            (single_label.runner, single_label.recipe.stages().classifiers),
        )
    )
    numpy.testing.assert_array_equal(found.probabilities, expected.probabilities)
    description = write_bundle(recipe, FinishedRunner(tmp_path), tmp_path / "bundle", log=lambda line: None)
    assert description.licences == {"made-up single_label": "CC0-1.0"}
    with pytest.raises(InputError, match="begins with released weights: expected a recipe that pretrains"):
        write_bundle(
            recipe, FinishedRunner(tmp_path), tmp_path / "lm", kind="language_model", log=lambda line: None
        )
    record = read_record(folder / "record.json")
    (label,) = [label for label in record.labels if "language model of a bundle" in label]
    assert place in label and "test/single_label" in label
    assert f"--language-model {place}" in record.command


@pytest.fixture(scope="module")
def finished(
    single_label: Made, language_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recipe, Path]:
    """A finished run with a bundle, whose recipe has a newest dump for its corpus, and its folder of runs."""
    newest = Wikipedia(language="xx", date="newest", base_url="http://127.0.0.1:9")
    corpus = WikipediaCorpus(dump=newest, language="xx")
    recipe, runs = (
        begins_with(single_label, language_model, corpus=corpus),
        tmp_path_factory.mktemp("finished"),
    )
    assert driver.run(recipe, runs) is not None
    return recipe, runs


def test_the_newest_dump_of_a_corpus_that_is_not_read_is_not_looked_up(
    finished: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, _ = finished
    assert unpinned(recipe) == []
    assert unpinned(recipe.changed(language_model=None)) == ["the newest dump of xx"]
    file = File(name="a.zip", url="http://127.0.0.1:9/a.zip")
    (tmp_path / "recipe.py").touch()
    Pins(tmp_path).add(FILES, file.url, "0" * 64)
    other = LabelledFiles(train=file, test=file)
    found = pinned(recipe.changed(dataset=other), tmp_path / "recipe.py", Runner(tmp_path))
    assert found.dataset.train.sha256 == "0" * 64
    assert found.corpus == recipe.corpus


def test_its_record_is_repeated_with_the_same_bundle(
    finished: tuple[Recipe, Path],
    language_model: Path,
    single_label: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, runs = finished
    record = runs / recipe.run_name / "record.json"

    def repeat(bundle: Path | None) -> list[verify.Figure]:
        file = None if bundle is None else File(path=bundle)
        return verify.verify(record, runs, None, "recipe.py", file, say=lambda line: None)

    # As if a run without the bundle had pinned the dump meanwhile.
    pinned_later = recipe.corpus.changed(dump=recipe.corpus.dump.changed(date="20240101"))
    without = recipe.changed(language_model=None, corpus=pinned_later)
    monkeypatch.setattr(verify, "load_recipe", lambda reference: without)
    assert {figure.verdict for figure in repeat(language_model)} == {"same"}
    with pytest.raises(InputError, match=r"of the bundle 'language-model': give that folder with --lang"):
        repeat(None)
    with pytest.raises(InputError, match="elsewhere: the record's is called 'language-model'"):
        repeat(tmp_path / "elsewhere")
    altered = single_label.write(tmp_path / "language-model", kind="language_model")
    with pytest.raises(InputError, match="input language-model: the record has"):
        repeat(altered)
    other = single_label.runner.runs / single_label.recipe.run_name / "record.json"
    monkeypatch.setattr(verify, "load_recipe", lambda reference: single_label.recipe)
    with pytest.raises(InputError, match="the run of the record began with none"):
        verify.verify(other, runs, None, "recipe.py", File(path=language_model))


def test_the_licences_of_its_texts_are_handed_on(
    finished: tuple[Recipe, Path], language_model: Path, tmp_path: Path
) -> None:
    """The language model of the classifier learned from CC BY-SA text: so did the classifier."""
    shared = tmp_path / "language-model"
    shutil.copytree(language_model, shared)
    content = read_json(shared / BUNDLE) | {"licences": {"xx Wikipedia": "CC BY-SA 4.0"}}
    write_json(shared / BUNDLE, content)
    write_sums(shared)
    recipe, runs = finished[0].changed(language_model=File(path=shared)), tmp_path / "runs"
    assert driver.run(recipe, runs) is not None
    out = tmp_path / "bundle"
    description = write_bundle(recipe, FinishedRunner(runs), out, log=lambda line: None)
    assert description.licences == {"made-up single_label": "CC0-1.0", "xx Wikipedia": "CC BY-SA 4.0"}
    card = (out / "README.md").read_text("utf-8")
    assert "- xx Wikipedia: CC BY-SA 4.0" in card
    assert 'license_name: "CC BY-SA 4.0; CC0-1.0"' in card


def test_the_key_is_the_bundles_content(single_label: Made, language_model: Path, tmp_path: Path) -> None:
    stage = BundledModel(bundle=File(path=language_model))
    half = single_label.write(tmp_path / "half", kind="language_model")
    same = single_label.write(tmp_path / "same", kind="language_model", weights="fp32")
    keys = Runner(tmp_path).keys
    assert keys.key(stage) == keys.key(BundledModel(bundle=File(path=same)))
    assert keys.key(stage) != keys.key(BundledModel(bundle=File(path=half)))
    assert BundledTokenizer(bundle=File(path=language_model), language="qaa").has_subwords


def test_what_does_not_fit_is_refused(single_label: Made, language_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a bundle of a classifier: expected one of a language_model"):
        begins_with(single_label, single_label.folder).stages()
    with pytest.raises(ValueError, match="language_model and tokenizer exclude each other"):
        begins_with(single_label, language_model, tokenizer=File(path="spm.model"))
    with pytest.raises(ValueError, match="no data set there is nothing to train"):
        begins_with(single_label, language_model, dataset=None)
    with pytest.raises(InputError, match="is no bundle"):
        begins_with(single_label, tmp_path).stages()


def test_two_bundles_have_two_folders_of_results(
    single_label: Made, language_model: Path, tmp_path: Path
) -> None:
    origin = Origin(file=tmp_path / "recipe.py", written={"language_model": None})
    written = single_label.recipe.changed(origin=origin)
    one, other = (written.changed(language_model=File(path=path)) for path in (language_model, tmp_path))
    assert len({written.run_name, one.run_name, other.run_name}) == 3
