"""A bundle predicts what the run predicted, in every task, and says what it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pandas
import pytest
import torch
from bundles_for_tests import Made

from ulmfit import LanguageModel, TextClassifier
from ulmfit.bundle import save
from ulmfit.bundle.card import card_of_language_model
from ulmfit.bundle.chosen import chosen_classifiers
from ulmfit.bundle.evaluate import evaluate
from ulmfit.bundle.save import numbers_of
from ulmfit.bundle.writing import check_place
from ulmfit.classifier.predictions import Predictions, average_splits, read_predictions
from ulmfit.datasets.task import task_of
from ulmfit.evaluation.record import read_record
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json


def texts(made: Made) -> list[str]:
    return pandas.read_csv(made.table)["text"].tolist()


def run_of(made: Made, stages) -> Predictions:
    """Return the predictions on test that the table shows of some classifiers, averaged."""
    dataset = made.runner.verified(stages[0].dataset)
    description = read_json(dataset / "dataset.json")
    valid, test = (
        [
            read_predictions(
                made.runner.verified(one) / f"predictions-{split}.parquet",
                description["labels"],
                task_of(description),
            )
            for one in stages
        ]
        for split in ("valid", "test")
    )
    return test[0] if len(stages) == 1 else average_splits(valid, test)[1]


def test_it_predicts_what_the_run_predicted(every_task: Made, tmp_path: Path) -> None:
    expected = run_of(every_task, list(every_task.recipe.stages().classifiers.values()))
    folder = every_task.write(tmp_path / "exact", weights="fp32")
    classifier = TextClassifier.load(folder, device="cpu")
    found = classifier.values(texts(every_task))
    numpy.testing.assert_allclose(found, numbers_of(expected), rtol=0, atol=1e-6)
    if every_task.recipe.dataset.task == "regression":
        numpy.testing.assert_allclose(classifier.predict(texts(every_task)), expected.predicted, atol=1e-5)
    else:
        assert classifier.predict(texts(every_task)) == expected.predicted
        assert classifier.labels == expected.labels


def test_batches_change_nothing(single_label: Made, tmp_path: Path) -> None:
    some = texts(single_label)[:9]
    alone = TextClassifier.load(single_label.folder, device="cpu", batch=1)
    together = TextClassifier.load(single_label.folder, device="cpu", batch=9)
    one_by_one = numpy.concatenate([alone.predict_proba([text]) for text in some])
    numpy.testing.assert_allclose(together.predict_proba(some), one_by_one, rtol=0, atol=1e-6)


def test_rows_that_are_mixed_with_other_models_are_no_bundle(single_label: Made) -> None:
    preset = single_label.recipe.settings.changed(comparisons=("ensemble", "tfidf", "with_tfidf"))
    mixed = single_label.recipe.changed(presets={"tiny": preset}).stages()
    assert "ULMFiT and TF-IDF together" in [system.name for system in mixed.systems]
    assert chosen_classifiers(mixed, None, None).row == "ULMFiT, ensemble of 2 seeds"
    with pytest.raises(InputError, match="no such row of own classifiers"):
        chosen_classifiers(mixed, "ULMFiT and TF-IDF together", None)


def test_one_direction_of_one_seed(single_label: Made, tmp_path: Path) -> None:
    folder = single_label.write(tmp_path / "one", row="ULMFiT, backward", seed=1, weights="fp32")
    expected = run_of(single_label, [single_label.recipe.stages().classifiers["backward", 1]])
    classifier = TextClassifier.load(folder, device="cpu")
    assert [(one.direction, one.seed) for one in classifier.description.members] == [("backward", 1)]
    found = classifier.predict_proba(texts(single_label))
    numpy.testing.assert_allclose(found, numbers_of(expected), rtol=0, atol=1e-6)


def test_half_precision_is_compared_with_the_run(every_task: Made) -> None:
    description = TextClassifier.load(every_task.folder, device="cpu").description
    assert description.weights == "fp16"
    assert description.check.texts == len(texts(every_task))
    assert 0 < description.check.largest_difference < 0.05


def test_its_metrics_are_those_of_the_table(every_task: Made, tmp_path: Path) -> None:
    folder = every_task.write(tmp_path / "exact", weights="fp32")
    figures = evaluate(TextClassifier.load(folder, device="cpu"), every_task.table)
    record = read_record(folder / "record.json")
    row = next((row for row in record.rows if row.averages_seeds), record.rows[0])
    for name, metric in row.metrics.items():
        assert figures[name] == pytest.approx(metric.mean, abs=1e-5), name


def test_calibrated_probabilities_keep_the_labels(single_label: Made) -> None:
    classifier = TextClassifier.load(single_label.folder, device="cpu")
    if classifier.description.temperature is None:
        pytest.skip("validation says of no temperature")
    plain = classifier.predict_proba(texts(single_label))
    calibrated = classifier.predict_proba(texts(single_label), calibrated=True)
    assert (plain.argmax(1) == calibrated.argmax(1)).all()
    numpy.testing.assert_allclose(calibrated.sum(1), 1)


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 1e300])
def test_any_temperature_gives_probabilities(temperature: float) -> None:
    bundle = SimpleNamespace(description=SimpleNamespace(temperature=temperature))
    calibrated = TextClassifier.calibrated(bundle, numpy.array([[0.6, 0.4], [0.0, 1.0]]))  # type: ignore[arg-type]
    numpy.testing.assert_allclose(calibrated.sum(1), 1)
    assert (calibrated.argmax(1) == [0, 1]).all() or temperature > 1


def test_text_rules_are_part_of_it(single_label: Made) -> None:
    classifier = TextClassifier.load(single_label.folder, device="cpu")
    marked, plain = classifier.encode(["kalomi|LBR|dusapo", " kalomi  \n dusapo"])
    assert marked.tolist() == plain.tolist()


def test_words_are_explained(every_task: Made) -> None:
    classifier = TextClassifier.load(every_task.folder, device="cpu")
    explanation = classifier.explain("kalomi|LBR|dusapo")
    assert [word.text for word in explanation.words] == ["kalomi", "dusapo"]


def test_document_vectors_are_what_the_heads_read(single_label: Made) -> None:
    classifier = TextClassifier.load(single_label.folder, device="cpu")
    vectors = classifier.document_vectors(["kalomi ka", "dusapo"])
    assert vectors.shape == (2, 4 * 3 * 16)
    last, largest, mean = numpy.split(vectors[0, :48], 3)
    assert (largest >= mean - 1e-6).all() and (largest >= last - 1e-6).all()


def test_no_texts_and_what_is_none(single_label: Made) -> None:
    classifier = TextClassifier.load(single_label.folder, device="cpu")
    assert classifier.predict([]) == []
    assert classifier.predict_proba([]).shape == (0, 2)
    assert len(classifier.predict([""])) == 1
    with pytest.raises(InputError, match="text 2 is of type NoneType: expected a string"):
        classifier.predict(["kalomi", None])
    with pytest.raises(InputError, match="put it into a list"):
        classifier.predict("kalomi")


def test_the_card_says_what_it_is(single_label: Made) -> None:
    card = (single_label.folder / "README.md").read_text("utf-8")
    assert card.startswith('---\nlanguage: ["qaa"]\n')
    assert '"license_name"' not in card and 'license_name: "CC0-1.0"' in card
    for part in ("made-up single", "macro f1", "ulmfit predict", "Limits", "of 40 predicted labels"):
        assert part in card, part


def test_the_card_of_a_language_model_has_its_perplexities(language_model: Path, single_label: Made) -> None:
    record = read_record(language_model / "record.json")
    shown = [one for one in record.language_models if one.name == "pretrained"]
    card = (language_model / "README.md").read_text("utf-8")
    for one in shown:
        assert f"| {one.direction} | {one.split} | {one.token_perplexity:.2f} |" in card
    beyond = shown[0].model_copy(update={"word_perplexity": None})
    description = LanguageModel.load(language_model, device="cpu").description
    changed = record.model_copy(update={"language_models": (beyond,)})
    assert "| beyond a float |" in card_of_language_model(description, single_label.recipe, changed)


def test_everything_is_in_the_sums(single_label: Made) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=single_label.folder, capture_output=True)
    files = [path for path in single_label.folder.rglob("*") if path.is_file()]
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(files) - 1
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)


def test_rows_and_seeds_that_are_not_there(single_label: Made, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such row of own classifiers: expected 'ULMFiT, forward'"):
        single_label.write(tmp_path / "out", row="ULMFiT, sideways")
    with pytest.raises(InputError, match="--seed 7: the row has seeds 0, 1"):
        single_label.write(tmp_path / "out", seed=7)
    assert not (tmp_path / "out").exists()


def test_predictions_that_move_too_far_are_refused(
    single_label: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "TOLERANCE", 0.0)
    with pytest.raises(InputError, match=r"of 40 test predictions differ .*: use --precision fp32, or run"):
        single_label.write(tmp_path / "out", row="ULMFiT, forward", seed=0)
    assert not list(tmp_path.iterdir())


def test_numbers_that_half_precision_cannot_hold_are_refused() -> None:
    tensors = {"weight": torch.full((2, 2), 70_000.0), "bias": torch.full((2,), 70_000.0)}
    with pytest.raises(InputError, match="weight has numbers that fp16 cannot hold: use --precision fp32"):
        save.in_fp16(tensors, "model")
    kept = save.in_fp16({"bias": tensors["bias"], "weight": torch.ones(2, 2)}, "model")
    assert (kept["bias"].dtype, kept["weight"].dtype) == (torch.float32, torch.float16)


def test_loading_draws_no_random_numbers(single_label: Made) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    TextClassifier.load(single_label.folder, device="cpu")
    assert torch.rand(1) == expected


def test_what_stands_in_the_way_is_left_alone(single_label: Made, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is no bundle"):
        single_label.write(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_links_and_the_current_folder_are_no_place_for_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for out, kind in ((tmp_path / "link", "a link"), (Path(), "the current folder")):
        with pytest.raises(InputError, match=f"is {kind}.* name a new folder"):
            check_place(out)


def test_prediction_imports_no_training_library(single_label: Made) -> None:
    heavy = ["fastai", "pandas", "sklearn", "scipy", "matplotlib", "transformers"]
    program = (
        "import sys; from ulmfit import TextClassifier, LanguageModel; "
        f"classifier = TextClassifier.load({str(single_label.folder)!r}); "
        "classifier.predict(['kalomi']); classifier.explain('kalomi ka'); "
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_language_model_scores_as_it_was_evaluated(language_model: Path, single_label: Made) -> None:
    model = LanguageModel.load(language_model, device="cpu")
    experiment = single_label.recipe.stages()
    corpus = pandas.read_parquet(single_label.runner.verified(experiment.corpus) / "documents.parquet")
    valid = corpus[corpus["split"] == "valid"]["text"].tolist()
    for direction, stage in experiment.pretrained.items():
        expected = read_json(single_label.runner.verified(stage) / "metrics.json")["valid"]
        scores = model.score(valid, direction)
        tokens = sum(score.tokens for score in scores)
        assert tokens == expected["tokens"]
        assert sum(score.loss for score in scores) / tokens == pytest.approx(expected["loss"], rel=1e-5)


def test_it_writes_texts_that_repeat(language_model: Path) -> None:
    model = LanguageModel.load(language_model, device="cpu")
    first = model.generate("kalomi", tokens=20, seed=1)
    assert first.startswith("kalomi") and first == model.generate("kalomi", tokens=20, seed=1)
    assert len({model.generate("kalomi", tokens=20, seed=seed) for seed in range(5)}) > 1
    assert model.generate("kalomi", tokens=0) == "kalomi"


def test_its_vectors(language_model: Path) -> None:
    model = LanguageModel.load(language_model, device="cpu")
    assert model.document_vectors(["kalomi", "dusapo ka"]).shape == (2, 2 * 3 * 16)
    assert model.word_vectors(["kalomi", "ka"]).shape == (2, 16)


def test_kinds_are_not_mistaken(language_model: Path, single_label: Made) -> None:
    with pytest.raises(InputError, match="is a bundle of a language_model: expected one of a classifier"):
        TextClassifier.load(language_model)
    with pytest.raises(InputError, match="is a bundle of a classifier: expected one of a language_model"):
        LanguageModel.load(single_label.folder)
