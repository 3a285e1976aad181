"""Commands with wrong input, on a full disk, on refused paths: one line and an exit status."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cli_for_tests import RECIPE, ulmfit, ulmfit_here

from ulmfit.cli.errors import describe, guarded, is_of_users_path
from ulmfit.experiments.driver import run
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.errors import InputError

WITH_FILES = """
from pathlib import Path
from stages_for_tests import InventedCorpus
from ulmfit.pipeline.assets import File
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.experiments.presets import TOY
from ulmfit.experiments.recipe import Recipe

recipe = Recipe(
    name="test/files", title="Files", language="qaa", corpus=InventedCorpus(), presets={"toy": TOY},
    dataset=LabelledFiles(train=File(path=Path("train.csv")), test=File(path=Path("test.csv"))),
)
"""
GOOD = "text,label\n" + "".join(f"dobry tekst {i},{'ab'[i % 2]}\n" for i in range(40))
EXACT = ("--set", "vocabulary.exact=true", "--set", "vocabulary.size=9000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.py"], "recipe nowhere.py not found"),
        (["run", RECIPE, "--preset", "huge"], "'huge' is none of the recipe's, tiny, forward"),
        (["run", RECIPE, "--seeds=-1"], "--seeds -1: expected numbers with commas or ranges"),
        (["run", RECIPE, "--set", "classifier.batch_size=1"], "batch_size: expected 2 or more; got 1"),
        (
            ["run", RECIPE, "--set", "classifier.dropouts.multiplier=5"],
            "times the multiplier has to be below 1",
        ),
        (
            ["run", RECIPE, "--set", "pretrain.device=gpu", "--until", "pretrain"],
            "device 'gpu': expected auto",
        ),
        (["run", RECIPE, "--seeds", "a,b"], "--seeds a,b: expected numbers"),
        (["run", RECIPE, "--seeds", 2**63], f"seeds.0: expected less than {2**63}; got {2**63}"),
        (
            ["run", RECIPE, "--set", f"pretrain.seed={2**64}"],
            f"seed: expected less than {2**63}; got {2**64}",
        ),
        (["run", RECIPE, "--set", "dataset=3"], 'dataset: expected fields such as {"a": 1}; got 3'),
        (["run", RECIPE, "--set", 'train_sizes=[5,"x"]'], "train_sizes.1: expected a whole number or 'all'"),
        (["run", RECIPE, "--set", "tokenizer={}"], "a File needs a path, or a name and a sha256"),
        (
            ["run", RECIPE, "--set", "vocabulary.task_share=2"],
            "task_share: expected less than 1.0; got 2",
        ),
        (["run", RECIPE, "--set", "pretrain.epoch=2"], "PretrainSettings has no field 'epoch'"),
        (["run", RECIPE, "--set", "finetune.select_metric=accuracy"], "has no field 'select_metric'"),
        (["run", RECIPE, "--set", "classifier.select_metric=pearson"], "a single_label task has no such"),
        (
            ["run", RECIPE, "--set", "pretrain.batchsize=9"],
            "no field 'batchsize'; did you mean batch_size? It has ",
        ),
        (
            ["run", RECIPE, "--set", "tokenizer.path=a"],
            "tokenizer is not set, so it has no 'path': give all of it, where it has fields as in",
        ),
        (["run", RECIPE, "--set", "language=tur"], "language 'tur': expected 'tr'"),
        (["run", RECIPE, "--mirror", "nowhere"], "mirror nowhere is not a folder"),
        (["run", RECIPE, "--set", "pretrain.bptt=one"], "bptt: expected a whole number; got 'one'"),
        (["run", RECIPE, "--set", "pretrain.bptt"], "expected FIELD=VALUE"),
        (["run", RECIPE, "--set", 'origin={"file": "a"}'], "origin is what a command itself writes"),
        (["run", RECIPE, "--until", "dinner"], "the recipe has no such stage; it has"),
        (["run", RECIPE, "--until", "tokens", *EXACT], "cannot carry vocab_size 9000: set it to"),
        (["extract", "nowhere.bz2", "out"], "nowhere.bz2 does not exist"),
        (["clean", "--older", "soon"], "expected a number of days"),
        (["clean", "--older", "²d"], "--older ²d: expected a number of days, such as 30d"),
        (["run", RECIPE, "--speed", "fast"], "No such option: --speed"),
        (["run"], "Missing argument"),
        (["bench", "lm", "--repetitions", "0"], "Invalid value for '--repetitions'"),
        (["plan", "a\udcff.py"], "is not UTF-8: rename the file or folder that it names"),
        (["run", RECIPE, "--set", "seeds.²=1"], "there is no '²' in a value of type tuple"),
        (["report", RECIPE], "is not finished; run the recipe first"),
        (["explain", RECIPE, "--document", "test-1"], "the classifiers are not finished"),
    ],
)
def test_wrong_input_is_one_line_and_exit_status_2(arguments: list, message: str, tmp_path: Path) -> None:
    if arguments[0] not in ("extract", "bench"):
        arguments = [*arguments, "--runs", tmp_path]
    status, _, errors = ulmfit_here(*arguments)
    assert status == 2, errors
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


READ_ONLY = OSError(errno.EROFS, "Read-only file system", "runs/locks")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (READ_ONLY, 2, "ulmfit: runs/locks cannot be used: read-only file system\n"),
        (PermissionError(errno.EACCES, "x", "a.csv"), 2, "ulmfit: a.csv cannot be used: permission denied\n"),
        (OSError(errno.EIO, "disk"), 1, "ulmfit: OSError: [Errno 5] disk (--debug shows where)\n"),
    ],
)
def test_a_path_that_the_system_refuses_is_the_users(
    error: OSError,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    program = typer.Typer(pretty_exceptions_enable=False)

    @program.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["ulmfit"])
    with pytest.raises(SystemExit) as ended:
        guarded(program)
    assert (ended.value.code, capsys.readouterr().err) == (status, line)


def test_a_runs_folder_that_is_a_file_and_an_unreadable_recipe_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for command in (["run", RECIPE], ["plan", RECIPE], ["clean"], ["verify", "record.json"]):
        status, _, errors = ulmfit(*command, "--runs", tmp_path / "file")
        assert (status, errors) == (2, f"ulmfit: --runs {tmp_path / 'file'}: expected a folder; got a file\n")
    (tmp_path / "fails.py").write_text("open('nowhere.txt')", encoding="utf-8")
    with pytest.raises(InputError, match=r"fails\.py cannot be read: nowhere.txt: No such file or directory"):
        load_recipe(str(tmp_path / "fails.py"))
    misspelt = "from ulmfit.datasets.stages import LabelledFiles\nLabelledFiles(trian=1, test={'path': 'a'})"
    (tmp_path / "fails.py").write_text(misspelt, encoding="utf-8")
    with pytest.raises(
        InputError,
        match=r"fails\.py, line 2: LabelledFiles: trian: there is no such field, and train is missing",
    ):
        load_recipe(str(tmp_path / "fails.py"))
    (tmp_path / "fails.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"fails\.py, line 1 cannot be read: ZeroDivisionError: division by zero"
    ):
        load_recipe(str(tmp_path / "fails.py"))


def test_an_unreadable_data_file_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files.py").write_text(WITH_FILES, encoding="utf-8")
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")
    opened = Path.open

    def refused(path: Path, *arguments: object, **options: object) -> object:
        if path.suffix == ".csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(PermissionError) as error:
        run(load_recipe(str(tmp_path / "files.py")), tmp_path / "runs")
    assert is_of_users_path(error.value)
    assert describe(error.value) == f"{tmp_path / 'train.csv'} cannot be used: permission denied"


def test_an_unknown_recipe_field_is_named(tmp_path: Path) -> None:
    text = RECIPE.read_text(encoding="utf-8").replace("seeds=(0, 1)", "seed=(0, 1)")
    (tmp_path / "wrong.py").write_text(text, encoding="utf-8")
    status, _, errors = ulmfit_here("run", tmp_path / "wrong.py", "--runs", tmp_path / "runs")
    assert status == 2
    assert "Recipe: seed: there is no such field; did you mean seeds?" in errors
    line = next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith("recipe = "))
    assert f"wrong.py, line {line}: Recipe" in errors
    assert len(errors.strip().splitlines()) == 1


def test_without_arguments_the_help_is_shown() -> None:
    status, output, errors = ulmfit()
    assert status == 2 and "Usage" in output + errors and "verify" in output + errors
    assert ulmfit("run", "--help")[0] == 0


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 1 MiB; needs the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (1 << 20))
    with filler.open("r+b") as file:
        file.truncate((1 << 20) - (160 << 10))
    # In processes of their own: files that are mapped into memory would keep the disk busy.
    runs = small_disk / "runs"
    options = ("run", RECIPE, "--preset", "forward", "--seeds", "0", "--runs", runs, "--until", "pretrain")
    status, _, errors = ulmfit(*options)
    assert status == 1, errors
    assert "the disk is full" in errors
    assert len(errors.strip().splitlines()) == 1
    filler.unlink()
    status, _, errors = ulmfit(*options)
    assert status == 0, errors


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (GOOD.replace("label", "klasa"), GOOD, "train.csv has no column 'label'"),
        (GOOD, GOOD + "inny,c\n", "'c'"),
        (GOOD.replace("dobry", "żółty").encode("iso-8859-2"), GOOD, "train.csv"),
        (GOOD.replace(",a", ",b"), GOOD.replace(",a", ",b"), "label"),
    ],
    ids=["no label column", "label that train lacks", "not UTF-8", "one label"],
)
def test_a_wrong_data_set_is_one_line(train: str | bytes, test: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "files.py").write_text(WITH_FILES, encoding="utf-8")
    (tmp_path / "train.csv").write_bytes(train if isinstance(train, bytes) else train.encode())
    (tmp_path / "test.csv").write_text(test, encoding="utf-8")
    arguments = ("run", tmp_path / "files.py", "--runs", tmp_path / "runs", "--until", "labelled-files")
    status, _, errors = ulmfit_here(*arguments)
    assert status == 2, errors
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_empty_rows_are_counted_in_a_warning(tmp_path: Path) -> None:
    (tmp_path / "files.py").write_text(WITH_FILES, encoding="utf-8")
    (tmp_path / "train.csv").write_text(GOOD + ",a\n   ,b\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text(GOOD, encoding="utf-8")
    arguments = ("run", tmp_path / "files.py", "--runs", tmp_path / "runs", "--until", "labelled-files")
    status, output, errors = ulmfit_here(*arguments)
    assert status == 0, errors
    assert "warning: " in output
    assert "2 " in next(line for line in output.splitlines() if "warning" in line)
