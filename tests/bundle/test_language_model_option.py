"""A recipe that begins with the bundle of a language model pretrains nothing and reads no corpus."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from bundles_for_tests import Made

from ulmfit.bundle.save import write_bundle
from ulmfit.classifier.predictions import read_predictions
from ulmfit.corpus.stages import ExtractedCorpus
from ulmfit.evaluation.record import read_record
from ulmfit.experiments import driver
from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.recipe_settings import Origin
from ulmfit.language_model.bundled import BundledModel, BundledTokenizer
from ulmfit.language_model.settings import Architecture
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import FinishedRunner, Runner


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
