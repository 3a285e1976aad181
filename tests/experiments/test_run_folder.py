"""What made a run is in its folder: read back, checked, and never a way to run other code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_for_tests import RECIPE

from ulmfit.cli.options import Changes
from ulmfit.cli.runs import runs_
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.experiments.run_folder import RUN, command_of, is_run, read_run, recipe_of_run, write_run
from ulmfit.experiments.run_list import list_runs
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import write_json


def written(recipe: Recipe, runs: Path) -> Path:
    folder = runs / recipe.run_name
    folder.mkdir(parents=True)
    write_run(recipe, folder)
    write_json(folder / "stages.json", [])
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        Changes(),
        Changes(preset="forward", seeds="4-6"),
        Changes(overrides=["classifier.bptt=13", "comparisons=[]"], train_sizes="10,all"),
        Changes(trial=True),
        Changes(trial=True, seeds="0,7", overrides=["pretrain.bptt=20"]),
    ],
)
def test_a_runs_folder_gives_the_recipe_as_its_command_changed_it(changes: Changes, tmp_path: Path) -> None:
    recipe = changes.of(load_recipe(str(RECIPE)))
    folder = written(recipe, tmp_path / "runs")
    again, runs = recipe_of_run(folder)
    assert again == recipe.changed(preset=recipe.preset_name)
    assert runs.resolve() == (tmp_path / "runs").resolve()
    assert again.run_name == recipe.run_name
    made = read_run(folder)
    assert made is not None and made.command.startswith(f"ulmfit run {RECIPE} --preset ")
    assert ("--trial" in made.command) == changes.trial


def test_a_runs_folder_knows_its_bundle_and_the_folder_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a bundle").mkdir()
    recipe = Changes(language_model=tmp_path / "a bundle").of(load_recipe(str(RECIPE)))
    folder = written(recipe, tmp_path / "runs")
    assert recipe_of_run(folder)[0].language_model == recipe.language_model
    made = read_run(folder)
    assert made is not None
    assert f"--language-model '{tmp_path}/a bundle' --runs {tmp_path}/runs" in made.command
    text = RECIPE.read_text("utf-8").replace("recipe = Recipe(", "recipe = Recipe(language_model=BUNDLE, ")
    own = tmp_path / "own.py"
    own.write_text(f'from ulmfit import File\nBUNDLE = File(path="a bundle", source="mine")\n{text}', "utf-8")
    named = load_recipe(str(own))
    assert named.language_model is not None and "--language-model" in command_of(named, "own.py")
    assert "--language-model" not in command_of(named, "own.py", on_this_machine=True)
    monkeypatch.chdir(tmp_path)
    usual = read_run(written(load_recipe(str(RECIPE)), Path("runs")))
    assert usual is not None and "--runs" not in usual.command


def test_a_folder_that_was_moved_or_whose_recipe_is_gone_is_refused(tmp_path: Path) -> None:
    folder = written(load_recipe(str(RECIPE)), tmp_path / "runs")
    moved = folder.rename(folder.with_name("other"))
    with pytest.raises(InputError, match=r"is not named test/tiny, as its .* says: it was moved"):
        recipe_of_run(moved)
    folder = moved.rename(folder)
    content = json.loads((folder / RUN).read_text())
    write_json(folder / RUN, {**content, "recipe": str(tmp_path / "gone.py")})
    with pytest.raises(InputError, match="is no longer there; name the recipe and its options instead"):
        recipe_of_run(folder)
    write_json(folder / RUN, {**content, "preset": "forward"})
    with pytest.raises(InputError, match="makes test/tiny-forward now"):
        recipe_of_run(folder)
    (folder / RUN).unlink()
    assert is_run(folder)
    with pytest.raises(InputError, match="an earlier version made it"):
        recipe_of_run(folder)


def test_what_others_made_never_chooses_the_code_that_is_run(tmp_path: Path) -> None:
    folder = written(load_recipe(str(RECIPE)), tmp_path / "runs")
    content = json.loads((folder / RUN).read_text())
    evil = tmp_path / "runs" / "evil.py"
    evil.write_text("raise SystemExit('it ran')")
    write_json(folder / RUN, {**content, "recipe": str(evil)})
    with pytest.raises(InputError, match="its recipe lies among the results"):
        recipe_of_run(folder)
    options = {"overrides": ["dataset.script=/tmp/evil.py"]}
    write_json(folder / RUN, {**content, "options": options})
    with pytest.raises(InputError, match=r"the run's override .* names a script to run"):
        recipe_of_run(folder)
    write_json(folder / RUN, {**content, "more": 1})
    with pytest.raises(InputError, match=r"run\.json cannot be used: more: there is no such field"):
        recipe_of_run(folder)


def test_a_list_of_runs_says_how_each_stands(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    folder = written(load_recipe(str(RECIPE)), runs)
    stage = runs / "stages" / "pretrain" / "0123456789abcdef"
    write_json(folder / "stages.json", [["pretrain", stage.name]])
    assert [run.state for run in list_runs(runs)] == ["partial"]
    stage.mkdir(parents=True)
    assert [run.state for run in list_runs(runs)] == ["stopped"]
    (stage / "failed.txt").write_text("SystemExit: 143\n")
    assert [run.state for run in list_runs(runs)] == ["stopped"]
    (stage / "failed.txt").write_text("ValueError: no\n")
    (found,) = list_runs(runs)
    assert (found.state, found.stages, found.stages_done, found.result) == ("failed", 1, 0, "")
    with pytest.raises(InputError, match="there is no such folder"):
        list_runs(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("stages.json", "[[1, 2"),
        ("stages.json", '{"pretrain": "0123456789abcdef"}'),
        (RUN, "{"),
        (RUN, '{"name": "x"}'),
        (RUN, '{"name": "x", "recipe": null, "preset": "y", "command": "z", "options": {"seeds": 3}}'),
    ],
)
def test_a_damaged_run_is_listed_as_such_beside_the_others(
    name: str, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    written(load_recipe(str(RECIPE)), runs)
    damaged = written(Changes(preset="forward").of(load_recipe(str(RECIPE))), runs)
    (damaged / name).write_text(content)
    found = {run.folder: run for run in list_runs(runs)}
    assert sorted(run.state for run in found.values()) == ["damaged", "partial"]
    reason = found[str(damaged)].result
    assert found[str(damaged)].state == "damaged" and reason and "\n" not in reason
    runs_(runs)
    output = capsys.readouterr().out
    assert f"{damaged}  damaged, " in output and reason in output and "partial, 0 of 0 stages" in output
