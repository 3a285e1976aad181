"""Text rules change the texts of a data set and stand in dataset.json; without any no key changes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from ulmfit.datasets.stages import DataScript, LabelledFiles
from ulmfit.datasets.text_rules import with_rules
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Keys

SCRIPT = """
import pandas

TEXT_RULES = {rules}

def convert(files):
    table = pandas.read_csv(files["all"])
    return {{"train": table, "valid": table, "test": table}}
"""


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), " a|LBR|b\t c "),
        ((("|LBR|", "\n"),), " a\nb\t c "),
        ((("|LBR|", "\n"), "one_space"), "a b c"),
        (("strip", ("a|", "")), "LBR|b\t c"),
    ],
)
def test_rules_are_applied_in_their_order(rules: tuple, expected: str) -> None:
    assert with_rules(" a|LBR|b\t c ", rules) == expected


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    rows = {"text": ["a|LBR|b", "c", "d", None], "label": ["x", "y", "x", "y"]}
    pandas.DataFrame(rows).to_csv(path, index=False)
    return path


def files(table: Path, **changes: object) -> LabelledFiles:
    return LabelledFiles(train=File(path=table), valid=File(path=table), test=File(path=table), **changes)


def built(tmp_path: Path, stage: LabelledFiles | DataScript) -> tuple[list[str], dict]:
    folder = Runner(tmp_path / "runs").build(stage)
    texts = pandas.read_parquet(folder / "test.parquet")["text"].tolist()
    return texts, json.loads((folder / "dataset.json").read_text("utf-8"))


def test_training_reads_what_the_rules_leave(tmp_path: Path, table: Path) -> None:
    texts, described = built(tmp_path, files(table, text_rules=[["|LBR|", "\n"], "strip"]))
    assert texts == ["a\nb", "c", "d", ""]
    assert described["text_rules"] == [["|LBR|", "\n"], "strip"]


def test_a_data_script_declares_its_own(tmp_path: Path, table: Path) -> None:
    script = tmp_path / "set.py"
    script.write_text(SCRIPT.format(rules='(("|LBR|", "\\n"),)'), "utf-8")
    stage = DataScript(script=File(path=script), files={"all": File(path=table)}, text_rules=(("\n", "/"),))
    texts, described = built(tmp_path, stage)
    assert texts[0] == "a/b"
    assert described["text_rules"] == [["|LBR|", "\n"], ["\n", "/"]]


def test_a_script_with_rules_that_are_none_is_told(tmp_path: Path, table: Path) -> None:
    script = tmp_path / "set.py"
    script.write_text(SCRIPT.format(rules='("squeeze",)'), "utf-8")
    with pytest.raises(InputError, match=r"data script set\.py: TEXT_RULES"):
        built(tmp_path, DataScript(script=File(path=script), files={"all": File(path=table)}))


def test_without_rules_nothing_changes(tmp_path: Path, table: Path) -> None:
    _, described = built(tmp_path, files(table))
    assert "text_rules" not in described
    keys = Keys(tmp_path)
    assert keys.key(files(table)) == keys.key(files(table, text_rules=()))
    assert keys.key(files(table)) != keys.key(files(table, text_rules=("strip",)))
    with pytest.raises(ValueError, match="text_rules"):
        files(table, text_rules=(("", "a"),))
