"""`ulmfit verify`: a record is repeated, a tampered one is not, and what differs is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_for_tests import RECIPE, TESTS, ulmfit, ulmfit_here
from evaluation.samples import made_up_language_model, made_up_record

from ulmfit.datasets.stages import LabelledFiles
from ulmfit.evaluation.learning_curve import CurveLine, CurvePoint, LearningCurve
from ulmfit.evaluation.record import MetricValues, Record, RowResult, read_record
from ulmfit.experiments import recipe as recipe_module
from ulmfit.experiments import verify
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.runner import Runner

SMALL = (
    *("--preset", "forward", "--seeds", "0,1", "--set", "classifier.phases=[{}]"),
    *("--set", 'comparisons=["ensemble", "tfidf"]'),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `runs` of a finished run."""
    runs = tmp_path_factory.mktemp("verify") / "runs"
    status, _, errors = ulmfit_here("run", RECIPE, "--runs", runs, *SMALL)
    assert status == 0, errors
    return runs


def path_of_record(runs: Path) -> Path:
    (path,) = runs.glob("test/*/record.json")
    return path


@pytest.fixture
def record(finished: Path) -> dict[str, Any]:
    """The content of the run's record."""
    return read_json(path_of_record(finished))


@pytest.fixture
def verified(finished: Path, tmp_path: Path) -> Callable[..., tuple[int, list[str], str]]:
    """Verify a record's content against the finished run."""

    def call(content: dict[str, Any], *options: object) -> tuple[int, list[str], str]:
        write_json(tmp_path / "record.json", content)
        path = tmp_path / "record.json"
        status, output, errors = ulmfit_here("verify", path, "--recipe", RECIPE, "--runs", finished, *options)
        return status, output.splitlines(), errors

    return call


def test_a_record_is_repeated_to_the_bit_in_a_folder_of_its_own(finished: Path, tmp_path: Path) -> None:
    record = path_of_record(finished)
    status, output, errors = ulmfit("verify", record, "--recipe", RECIPE, "--runs", tmp_path / "new")
    assert status == 0, errors
    lines = output.splitlines()
    assert not any(line.startswith("used again") for line in lines)
    assert lines[-1].startswith("repeated: of ") and lines[-1].endswith("none outside")
    models = [line for line in lines if line.startswith("language model pretrained, forward, valid: loss")]
    assert len(models) == 1 and " same " in models[0]
    assert not any(" outside " in line for line in lines)


def test_finished_stages_are_used_again_and_named(record: dict, verified: Callable) -> None:
    status, lines, errors = verified(record)
    assert status == 0, errors
    used = [line for line in lines if line.startswith("used again: ")]
    assert len(used) == len(record["stages"])
    assert lines[-1].count("0 inside") == 1
    count = len(record["stages"])
    assert lines[-1].endswith(f"; {count} of {count} stages were not run again, see above")


def test_other_numbers_are_outside(record: dict, verified: Callable) -> None:
    row = record["rows"][0]
    values = [value / 2 for value in row["metrics"]["accuracy"]["values"]]
    row["metrics"]["accuracy"] = MetricValues.of(values).model_dump(mode="json")
    status, lines, errors = verified(record)
    assert status == 1
    assert errors.startswith("ulmfit: not repeated: of ") and "1 outside: ULMFiT, forward: accuracy" in errors
    assert len(errors.strip().splitlines()) == 1
    line = next(line for line in lines if line.startswith("ULMFiT, forward: accuracy  "))
    assert " outside " in line and "standard deviations over the seeds" in line


def test_a_row_that_is_gone_is_outside(record: dict, verified: Callable) -> None:
    record["rows"].append({**record["rows"][-1], "name": "another model"})
    status, _, errors = verified(record)
    assert status == 1 and "another model: " in errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: r["configuration"]["settings"]["pretrain"].update(bptt=50),
            "settings.pretrain.bptt was 50, now 12",
        ),
        (lambda r: r["configuration"]["dataset"].update(rows=61), "dataset.rows was 61, now 60"),
        (lambda r: r["configuration"].update(gone=1), "gone was 1, now 'absent'"),
        (lambda r: r.update(preset="huge"), "test/tiny has no preset 'huge' any more"),
        (lambda r: r.update(recipe="test/other"), "the record is of test/other, the recipe is test/tiny"),
        (lambda r: r["configuration"].update(overrides=["pretrain.speed=3"]), "has no field 'speed'"),
        (
            lambda r: r["inputs"].update({"train.csv": "0" * 64}),
            "input train.csv: the record was made from it",
        ),
        (lambda r: r.update(rows=3), "cannot be used: rows"),
    ],
    ids=["setting", "data", "field that is gone", "preset", "recipe", "override", "input", "no record"],
)
def test_what_is_not_the_records_is_refused_by_name(
    change: Callable, message: str, record: dict, verified: Callable
) -> None:
    record["commit"] = "ab" * 20
    change(record)
    status, _, errors = verified(record)
    assert status == 2, errors
    assert message in errors and len(errors.strip().splitlines()) == 1
    if "was" in message.split() and "now" in message:
        assert f"check out its commit: git checkout {'ab' * 20}" in errors


def test_a_record_from_before_newer_fields_is_repeated(record: dict, verified: Callable) -> None:
    """What came later has its default in the recipe, and is missing in record and configuration."""
    for field in ("data_checks", "tokenizers", "poleval", "leaks"):
        record.pop(field)
    configuration = record["configuration"]
    for field in ("data_checks", "transductive", "tokenizer"):
        configuration.pop(field)
    configuration["settings"]["pretrain"].pop("precision")
    configuration["dataset"].pop("licence")
    status, lines, errors = verified(record)
    assert status == 0, errors
    assert lines[-1].startswith("repeated: ")


def test_words_and_fields_that_change_no_result_are_passed_over(record: dict, verified: Callable) -> None:
    record["configuration"] |= {"title": "Another title", "notes": ["a note"]}
    record["versions"]["torch"] = "1.0"
    record["hardware"]["threads"] = 99
    status, lines, errors = verified(record)
    assert status == 0, errors
    assert any(line.startswith("differs: torch was 1.0, now ") for line in lines)
    assert "differs: threads was 99, now 1" in lines


def test_differences_name_fields_at_any_depth() -> None:
    recorded = {"a": 1, "b": {"c": [1, 2], "d": 4}, "gone": 0}
    now = {"a": 1, "b": {"c": [1, 3], "d": 4, "new": 5, "default": 6}}
    found = list(verify.differences(recorded, now, {"b": {"new": 5}}))
    assert found == [("b.c.1", 2, 3), ("b.new", "absent", 5), ("gone", 0, "absent")]


def test_a_field_that_came_later_is_no_difference_inside_a_list_either() -> None:
    recorded = {"phases": [{"epochs": 1}, {"epochs": 2}]}
    now = {"phases": [{"epochs": 1, "lowest_rate": 0.0}, {"epochs": 3, "lowest_rate": 0.5}]}
    found = list(verify.differences(recorded, now, {"phases": [{}, {"epochs": 3, "lowest_rate": 0.5}]}))
    assert found == [("phases.1.epochs", 2, 3), ("phases.1.lowest_rate", verify.ABSENT, 0.5)]
    assert list(verify.differences(recorded, {"phases": [{"epochs": 1}]}, {})) == [
        ("phases", recorded["phases"], [{"epochs": 1}])
    ]


def test_an_input_of_other_content_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name} one,a\n{name} two,b\n", encoding="utf-8")
    files = LabelledFiles(train=File(path=tmp_path / "train.csv"), test=File(path=tmp_path / "test.csv"))
    recipe = load_recipe(str(RECIPE)).changed(dataset=files)
    now = verify.known_inputs(recipe, Runner(tmp_path / "runs"))
    assert set(now) == {"train.csv", "test.csv"}
    verify.check_inputs(now, now, complete=True)
    with pytest.raises(
        InputError, match=f"input train.csv: the record has {'0' * 64}, here is {now['train.csv']}"
    ):
        verify.check_inputs({**now, "train.csv": "0" * 64}, now)
    with pytest.raises(InputError, match=r"input test.csv: the record has no file of this name"):
        verify.check_inputs({"train.csv": now["train.csv"]}, now)
    assert not list((tmp_path / "runs").glob("stages/*"))


def test_files_of_one_name_are_compared_together() -> None:
    verify.check_inputs({"a": "1", "a (2)": "2"}, {"a": "2", "a (2)": "1"}, complete=True)
    with pytest.raises(InputError, match="input a: "):
        verify.check_inputs({"a": "1", "a (2)": "2"}, {"a": "2", "a (2)": "3"})


@pytest.mark.parametrize(
    ("recorded", "now", "verdict"),
    [
        ((0.5, 0.7), (0.5, 0.7), "same"),
        ((0.5, 0.7), (0.7, 0.5), "inside"),
        ((0.5, 0.7), (0.6 + 0.28, 0.6 + 0.28), "inside"),  # 2 x 0.1414
        ((0.5, 0.7), (0.6 + 0.29, 0.6 + 0.29), "outside"),
        ((0.5, 0.5), (0.5, 0.5 + 1e-6), "inside"),
        ((0.5, 0.5), (0.5, 0.51), "outside"),
        ((0.5,), (0.5 + 9e-7,), "inside"),
        ((0.5,), (0.5 + 2e-6,), "outside"),
    ],
)
def test_when_a_mean_is_inside(recorded: tuple, now: tuple, verdict: str) -> None:
    assert compared(MetricValues.of(recorded), MetricValues.of(now)).verdict == verdict


def compared(recorded: MetricValues, now: MetricValues) -> verify.Figure:
    def record(values: MetricValues) -> Record:
        seeds = tuple(range(len(values.values)))
        row = RowResult(name="model", kind="model", seeds=seeds, metrics={"macro_f1": values})
        base = made_up_record()
        dataset = base.dataset.changed(metric="macro_f1")
        return base.changed(rows=(row,), comparisons=(), curves=(), language_models=(), dataset=dataset)

    (figure,) = verify.compare(record(recorded), record(now))
    return figure


def test_a_single_seed_is_held_to_its_recorded_interval() -> None:
    recorded = MetricValues.of([0.5]).changed(interval=(0.45, 0.55))
    assert compared(recorded, MetricValues.of([0.54])).verdict == "inside"
    assert compared(recorded, MetricValues.of([0.56])).verdict == "outside"


@pytest.mark.parametrize(
    ("loss", "verdict"), [(4.0, "same"), (4.02, "inside"), (4.021, "outside"), (None, "outside")]
)
def test_a_language_model_is_held_to_its_loss(loss: float | None, verdict: str) -> None:
    base = made_up_record().changed(rows=(), comparisons=(), curves=())
    recorded = base.changed(language_models=(made_up_language_model("pretrained", 4.0, split="test"),))
    now = () if loss is None else (made_up_language_model("pretrained", loss, split="test"),)
    (figure,) = verify.compare(recorded, base.changed(language_models=now))
    assert figure.verdict == verdict


def test_points_of_learning_curves_are_compared() -> None:
    def curve(*values: float) -> LearningCurve:
        points = tuple(CurvePoint(values=(value,)) for value in values)
        line = CurveLine(name="TF-IDF", points=points)
        return LearningCurve(
            axis="train size", metric="accuracy", places=(10, 20), train_texts=20, seeds=(0,), lines=(line,)
        )

    base = made_up_record().changed(rows=(), comparisons=(), language_models=(), curves=(curve(0.5, 0.6),))
    first, second = verify.compare(base, base.changed(curves=(curve(0.5, 0.7),)))
    assert (first.name, first.verdict) == ("TF-IDF: accuracy at train size 10", "same")
    assert (second.name, second.verdict) == ("TF-IDF: accuracy at train size 20", "outside")


def test_sizes_and_noise_of_the_command_are_taken_from_the_record() -> None:
    base = made_up_record()
    configuration = {"train_sizes": [10, "all"], "label_noise": [0, 0.5]}
    record = base.changed(recipe="test/tiny", preset="tiny", seeds=(0,), configuration=configuration)
    recipe = verify.recorded_recipe(record, str(RECIPE))
    assert (recipe.train_sizes, recipe.label_noise) == ((10, "all"), (0, 0.5))
    assert recipe.curve_choice == "validation", "as all curves were before records said so"
    now = record.changed(configuration={**configuration, "curve_choice": "labels"})
    assert verify.recorded_recipe(now, str(RECIPE)).curve_choice == "labels"


def test_a_record_is_repeated_with_the_rows_that_it_has() -> None:
    base = made_up_record().changed(recipe="test/tiny", preset="tiny", seeds=(0,))
    record = base.changed(configuration={"settings": {"comparisons": ["tfidf"]}})
    assert verify.recorded_recipe(record, str(RECIPE)).settings.comparisons == ("tfidf",)
    strange = base.changed(configuration={"settings": {"comparisons": ["lunch"]}})
    with pytest.raises(InputError, match=r"comparisons.0: expected 'ensemble'"):
        verify.recorded_recipe(strange, str(RECIPE))


COMMITTED = sorted((TESTS.parent / "recipes").glob("*/records/*.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_committed_record_has_a_recipe_and_says_what_changed_since(path: Path) -> None:
    record = read_record(path)
    recipe = verify.recorded_recipe(record)
    assert (recipe.preset_name, recipe.seeds) == (record.preset, record.seeds)
    try:
        verify.check_configuration(record, recipe)
    except InputError as error:
        assert "git checkout" in str(error) and " was " in str(error)
    assert json.dumps(record.configuration)


def test_a_recipe_that_is_not_found_by_name_is_asked_for(tmp_path: Path) -> None:
    record = made_up_record().changed(recipe="mine/task")
    with pytest.raises(
        InputError, match=r"recipe mine/task not found: .*; give the recipe's file with --recipe"
    ):
        verify.recorded_recipe(record)
    with pytest.raises(InputError, match=r"recipe nowhere.py not found: [^;]*$"):
        verify.recorded_recipe(record, "nowhere.py")
    status, _, errors = ulmfit_here("verify", tmp_path / "gone.json")
    assert (status, errors) == (
        2,
        f"ulmfit: record {tmp_path / 'gone.json'} does not exist: expected a record.json\n",
    )


def test_a_record_does_not_choose_the_code_that_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("print('ran')")
    names = ["evil.py", str(tmp_path / "evil"), f"../../../../..{tmp_path}/evil", "", ".", "toy/../../evil"]
    names += [f"recipes/{tmp_path}/evil", f"recipes/{tmp_path}/evil.py", "toy//sentiment", "toy/sentiment\n"]
    for name in names:
        with pytest.raises(InputError, match="expected a name such as toy/sentiment"):
            verify.recorded_recipe(made_up_record().changed(recipe=name))
    assert capsys.readouterr().out == ""


def test_a_link_does_not_lead_out_of_the_folder_of_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.py").write_text("print('ran')")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "good.py").symlink_to(tmp_path / "evil.py")
    monkeypatch.setattr(recipe_module, "CAME_ALONG", (tmp_path / "recipes",))
    with pytest.raises(InputError, match="recipe good not found"):
        verify.recorded_recipe(made_up_record().changed(recipe="good"))
    assert capsys.readouterr().out == ""


def test_only_a_commit_stands_in_the_command_to_check_one_out() -> None:
    record = made_up_record().changed(recipe="test/tiny", preset="huge", commit="0123456; rm -rf ~")
    with pytest.raises(InputError, match="the record names no commit to check out"):
        verify.recorded_recipe(record, str(RECIPE))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (5, "no list of FIELD=VALUE"),
        ("seeds=1", "no list of FIELD=VALUE"),
        ([5], "no list of FIELD=VALUE"),
        (["seeds=[0]"] * 100_000, "100,000 overrides, more than"),
        (["seeds=" + "[" * 100_000], "more than 50 lists inside each other"),
        (["seeds=" + "[" * 100 + "]" * 100], "more than 50 lists inside each other"),
        (['dataset={"script": {"path": "evil.py"}}'], "names a script to run"),
        (['corpus.parts=[{"dataset": {"script": {"path": "evil.py"}}}]'], "names a script to run"),
        (['dataset.script={"path": "evil.py"}'], "names a script to run"),
        (["corpus.parts.1.dataset. script .path=evil.py", "dataset.script.url=x"], "names a script to run"),
    ],
)
def test_overrides_of_a_record_are_held_to_data(overrides: Any, message: str) -> None:
    changed = made_up_record().changed(configuration={"overrides": overrides})
    with pytest.raises(InputError, match=message):
        verify.recorded_recipe(changed, str(RECIPE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "\x1b]0;title\x07\u202etest/tiny"}, r"expected a name such as toy/sentiment"),
        ({"seeds": list(range(1_000_000))}, "seeds: expected 1000 items or fewer"),
        ({"configuration": {"overrides": ["seeds=" + "[" * 100_000]}}, "lists inside each other"),
    ],
    ids=["escapes", "seeds", "override"],
)
def test_a_hostile_record_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = {**made_up_record().model_dump(mode="json"), "recipe": "test/tiny", **change}
    write_json(tmp_path / "record.json", content)
    status, output, errors = ulmfit_here("verify", tmp_path / "record.json")
    assert (status, output) == (2, "")
    assert message in errors and errors.count("\n") == 1 and len(errors) < 1000
    assert not set(errors) & set("\x1b\x07\u202e")
