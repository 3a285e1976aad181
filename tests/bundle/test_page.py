"""Every block of docs/using-a-model.md does what it says."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path

import pandas
import pytest
from bundles_for_tests import Made

from ulmfit.cli.app import app
from ulmfit.experiments import recipe as recipes

PAGE = Path(__file__).parents[2] / "docs" / "using-a-model.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def run_line(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `ulmfit …`, or `echo TEXT | ulmfit …`."""
    text, bar, command = line.rpartition(" | ")
    given = " ".join(shlex.split(text)[1:]) + "\n" if bar else ""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    name, *arguments = shlex.split(command)
    assert name == "ulmfit"
    app(arguments, standalone_mode=False)


def test_its_blocks_run(
    single_label: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recipes, "load_recipe", lambda reference: single_label.recipe)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(single_label.runner.runs)
    pandas.read_csv(single_label.table).to_csv("texts.csv", index=False)
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert {language for language, _ in blocks} == {"sh", "python"}
    for language, content in blocks:
        if language == "python":
            exec(compile(content, str(PAGE), "exec"), {})
        else:
            for line in content.splitlines():
                run_line(line, monkeypatch)
    output = capsys.readouterr().out
    for part in ("test texts predicted again", "accuracy", "would run", '"probabilities"'):
        assert part in output, part
    assert {"my-sklearn-model", "my-fastai-model"} <= {path.name for path in tmp_path.iterdir()}
    assert len(pandas.read_csv("labels.csv")) == len(pandas.read_csv("texts.csv"))
