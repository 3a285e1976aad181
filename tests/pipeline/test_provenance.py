"""What a record says of the code and the recipe that it was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cli_for_tests import RECIPE

from ulmfit.evaluation.record import StageTime
from ulmfit.experiments.recipe import load_recipe
from ulmfit.experiments.results import _command, _repeat_notes
from ulmfit.pipeline import provenance


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_a_file_is_committed_when_the_commit_holds_it_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "ulmfit").mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(checkout / "ulmfit" / "provenance.py"))
    names = ("kept.py", "changed.py", "new.py", "ignored.py")
    for name in (*names, "../outside.py"):
        (checkout / name).write_text("a\n", encoding="utf-8")
    assert not provenance.is_committed(checkout / "kept.py"), "it is no checkout yet"
    (checkout / ".gitignore").write_text("ignored.py\n", encoding="utf-8")
    git(checkout, "init")
    git(checkout, "add", "kept.py", "changed.py", ".gitignore")
    git(checkout, "commit", "-m", "x")
    (checkout / "changed.py").write_text("b\n", encoding="utf-8")
    found = {name: provenance.is_committed(checkout / name) for name in (*names, "../outside.py")}
    assert [name for name in found if found[name]] == ["kept.py"]


def stage(commit: str) -> StageTime:
    return StageTime(name="pretrain", key="0", seconds=1.0, tokens_per_second=None, commit=commit)


def test_how_to_repeat_says_what_no_commit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(str(RECIPE))
    committed = True
    monkeypatch.setattr(provenance, "is_committed", lambda path: committed)

    def notes(commit: str, *stages: str, threads: tuple[int, ...] = (2,)) -> list[str]:
        monkeypatch.setattr(provenance, "commit", lambda: commit)
        return list(_repeat_notes(recipe, tuple(map(stage, stages)), list(threads)))

    assert notes("a", "a", "a") == []
    assert notes("a+changes", "a+changes") == ["code or recipes had changes that no commit holds"]
    assert notes("a", "a", "b", "") == ["2 of 3 stages were built by other code: b, no commit"]
    assert notes("a", "a", threads=(1, 4)) == [
        "models were trained with different numbers of threads (1, 4), which changes last digits"
    ]
    (line,) = notes("", "")
    assert line.startswith("the code was not run from a checkout, so no commit names it; its version is ")
    committed = False
    (line,) = notes("a", "a")
    assert line == f"no commit holds the recipe as it was: the command needs the file {recipe.reference}"
    recipe = recipe.changed(origin=None)
    assert notes("a", "a")[0].startswith("the recipe was made by a program")


def test_the_command_says_the_threads_where_all_models_had_the_same_number() -> None:
    recipe = load_recipe("toy/sentiment")
    plain = "ulmfit run recipes/toy/sentiment.py --preset toy --seeds 0,1,2"
    assert _command(recipe, []) == _command(recipe, [1, 2]) == plain
    assert _command(recipe, [2]) == f"OMP_NUM_THREADS=2 {plain}"
