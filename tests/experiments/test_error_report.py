"""Errors of a finished run: on its page, and nowhere else."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pandas
import pytest
from typer.testing import CliRunner

from ulmfit.classifier.predictions import read_predictions
from ulmfit.cli.app import app
from ulmfit.experiments.explain import explain_document, gather_errors
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

RECIPE = Path(__file__).parents[1] / "recipes_for_tests" / "tiny.py"
CHOSEN = ("--preset", "forward", "--seeds", "0,1", "--set", "classifier.phases.0.epochs=1")
"""A training too short to learn much: it errs."""


def command(*arguments: object) -> str:
    """Run a command in this process; return what it printed."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run that makes errors."""
    folder = tmp_path_factory.mktemp("erring") / "runs"
    command("run", RECIPE, *CHOSEN, "--runs", folder)
    return folder


def recipe() -> Recipe:
    changed = load_recipe(str(RECIPE)).changed(preset="forward", seeds=(0, 1))
    return changed.with_overrides(["classifier.phases.0.epochs=1"])


def page_of(runs: Path) -> str:
    return (runs / recipe().run_name / "report.html").read_text(encoding="utf-8")


def texts_of(runs: Path, split: str) -> dict[str, str]:
    table = pandas.read_parquet(next(runs.glob(f"stages/invented_dataset/*/{split}.parquet")))
    return dict(zip(table["id"], table["text"], strict=True))


def test_errors_are_those_of_the_averaged_predictions(runs: Path) -> None:
    experiment, runner = recipe().stages(), Runner(runs)
    found = gather_errors(experiment, runner, explained=2)
    assert found is not None
    members = [
        read_predictions(runner.folder(stage) / "predictions-test.parquet", ["no", "yes"])
        for stage in experiment.classifiers.values()
    ]
    assert (found.name, found.runs) == ("ULMFiT, forward", len(members)) == ("ULMFiT, forward", 2)
    mean = sum(member.probabilities.astype(float) for member in members) / 2
    predicted = mean.argmax(axis=1)
    gold = [["no", "yes"].index(label) for label in members[0].gold]
    wrong = {members[0].ids[row]: mean[row].max() for row in range(len(gold)) if predicted[row] != gold[row]}
    assert found.right.whole - found.right.part == len(wrong) > 2
    surest = sorted(wrong.values(), reverse=True)[:20]
    assert [one.probability for one in found.mistakes] == pytest.approx(surest, abs=1e-6)
    texts = texts_of(runs, "test")
    assert all(one.text == texts[one.id] for one in found.mistakes)
    explained = [one for one in found.mistakes if one.explanation]
    assert explained == list(found.mistakes[:2])
    for one in explained:
        assert one.explanation is not None
        assert one.explanation.label == one.predicted
        # Explained in fp32; predicted in bf16 where the processor computes in it.
        assert one.explanation.probability == pytest.approx(one.probability, abs=2e-3)
        assert [word.text for word in one.explanation.words] == one.text.split()


def test_without_a_data_set_there_are_no_errors(runs: Path) -> None:
    assert gather_errors(recipe().changed(dataset=None).stages(), Runner(runs)) is None


def test_texts_stand_in_the_report_alone(runs: Path, tmp_path: Path) -> None:
    command("report", RECIPE, *CHOSEN, "--runs", runs, "--publish", tmp_path / "recipes" / "xx")
    texts = [text for split in ("train", "valid", "test") for text in texts_of(runs, split).values()]
    page = page_of(runs)
    assert any(f">{html.escape(text)}<" in page for text in texts)
    kept = [path for folder in (tmp_path, runs / "test") for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in kept}
    name = recipe().run_name.rpartition("/")[2]
    assert {"record.json", "report.md", f"{name}.json", f"{name}.log", "README.md"} <= names
    for path in kept:
        content = path.read_text(encoding="utf-8")
        if path.name != "report.html":
            assert not [text for text in texts if text in content], path


def test_the_page_shows_as_many_errors_as_asked_for(runs: Path) -> None:
    command("report", RECIPE, *CHOSEN, "--runs", runs, "--errors", 1)
    page = page_of(runs)
    assert page.count('<p class="verdict">') == page.count('<p class="sample shaded"') == 1
    command("report", RECIPE, *CHOSEN, "--runs", runs, "--errors", 0)
    page = page_of(runs)
    assert '<section id="errors">' in page
    assert "most confident errors" not in page


def test_classifiers_learning_rates_are_in_the_report(runs: Path) -> None:
    page = page_of(runs)
    assert "Learning rates of classifier, forward, seed 0 over the steps" in page
    assert "Learning rates of classifier, forward, from scratch, seed 0 over the steps" in page


def test_explaining_a_document(runs: Path) -> None:
    lines = command("explain", RECIPE, *CHOSEN, "--runs", runs, "--document", "test-1").splitlines()
    words = texts_of(runs, "test")["test-1"].split()
    assert re.match(r"test-1: (yes|no) with \d+\.\d %", lines[0])
    assert len(lines) == 1 + len(words)
    for line, word in zip(lines[1:], words, strict=True):
        assert re.match(rf" *[+−]?\d+\.\d +[+-]* +{word}\b", line)


def test_what_cannot_be_explained(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--document nobody: the test split has no such id; it has test-0"):
        explain_document(recipe(), Runner(runs), "nobody")
    with pytest.raises(InputError, match="the classifiers are not finished; run the recipe first"):
        explain_document(recipe(), Runner(tmp_path), "test-1")
    with pytest.raises(InputError, match="has no data set"):
        explain_document(recipe().changed(dataset=None), Runner(runs), "test-1")
