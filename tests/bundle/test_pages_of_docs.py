"""Every command, setting and block of README and docs is what the program has; blocks are run.

A block of which the first line is `# by hand: WHY` needs a network, a cluster or hours: it is only parsed.
`test_page` runs docs/using-a-model.md.
"""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
import typer
from bundles_for_tests import Made, in_the_folder_of_a_run

from ulmfit import TextClassifier
from ulmfit.cli.app import COMMANDS, app
from ulmfit.experiments.recipe import load_recipe
from ulmfit.report.report import SECTIONS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
SET = re.compile(r"""--set (?:'([^']+)'|([\w.]+=\S+))""")
BY_HAND = "# by hand: "
COMMAND = typer.main.get_command(app)


def blocks(page: Path, *languages: str) -> list[str]:
    return [content for name, content in BLOCK.findall(page.read_text("utf-8")) if name in languages]


def called(line: str) -> Iterator[list[str]]:
    """The arguments of each `ulmfit` in a line of shell."""
    for part in line.split(" | "):
        words = shlex.split(part, comments=True)
        if words[:1] == ["ulmfit"]:
            yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_commands_and_their_options_exist(page: Path) -> None:
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            for name, *arguments in called(line):
                assert COMMAND.commands[name].make_context(name, arguments), line
    text = BLOCK.sub("", page.read_text("utf-8"))
    for code in CODE.findall(text):
        if not code.startswith("ulmfit ") or (name := code.split()[1]) in ("COMMAND", "--help"):
            continue
        assert name in COMMANDS, code
        known = {"--help", *(option for one in COMMAND.commands[name].params for option in one.opts)}
        for option in re.findall(r"(?<= )--[a-z-]+", code):
            assert option in known, code


def test_the_list_of_commands_is_complete() -> None:
    (listing, *_) = blocks(ROOT / "docs" / "commands.md", "")
    assert [line.split()[1] for line in listing.splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_settings_exist(page: Path) -> None:
    recipe = load_recipe("toy/sentiment").changed(train_sizes=(100,))
    for one, other in SET.findall(page.read_text("utf-8")):
        if (one or other).startswith(("FIELD", "transformers")) or "..." in (one or other):
            continue
        setting = (one or other).rstrip("`.,;:)")
        assert recipe.with_overrides([setting]).overrides == (setting,)


def test_make_has_the_targets_that_are_named() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        match for page in PAGES for match in re.findall(r"(?m)(?:^|`)make (\w+)", page.read_text("utf-8"))
    }
    assert named <= targets and "demo" in named


def test_the_sections_of_a_report_that_are_explained_exist() -> None:
    text = (ROOT / "docs" / "reports.md").read_text("utf-8")
    rows = re.findall(r"^\| ([A-Z][\w ]+) \| ", text, re.MULTILINE)
    assert len(rows) > 6 and set(rows) <= {section.title for section in SECTIONS}


RUN = ("quick-start", "onnx", "tokenizers", "reports", "few-labels", "clusters")
"""Pages with blocks of shell, in an order in which a bundle is made first."""


def test_every_other_block_of_shell_is_run(
    single_label: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    in_the_folder_of_a_run(single_label, tmp_path, monkeypatch)
    with_blocks = {page.stem for page in PAGES if blocks(page, "sh")}
    assert with_blocks == {*RUN, "using-a-model"}
    for name in RUN:
        page = ROOT / "docs" / f"{name}.md"
        for block in blocks(page, "sh"):
            for line in [] if block.startswith(BY_HAND) else block.splitlines():
                text, _, _ = line.rpartition(" | ")
                given = " ".join(shlex.split(text)[1:]) + "\n"
                monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
                for arguments in called(line):
                    app(arguments, standalone_mode=False)
        for block in blocks(page, "python"):
            exec(compile(block, str(page), "exec"), {})
    output = capsys.readouterr().out
    assert "my-model.onnx: 4 models" in output and "would run" in output
    expected = TextClassifier.load(single_label.folder, device="cpu").predict(["kalomi ka lomi", "dusapo"])
    assert str(expected) in output.splitlines()
    assert len(pandas.read_csv("labels.csv")) == len(pandas.read_csv("texts.csv"))


def test_blocks_of_python_that_show_settings_are_valid(
    single_label: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (dataset,) = blocks(ROOT / "docs" / "data-sets.md", "python")
    exec(dataset, names := {})
    assert names["dataset"].metric == "macro_f1"
    # The recipe of the front page takes the place of that of the reviews.
    (tmp_path / "reviews.py").write_text(blocks(ROOT / "README.md", "python")[0], "utf-8")
    (tmp_path / "train.csv").write_text("text,label\nHyvä,1\nHuono,0\n", "utf-8")
    encoders, bootstrap, pairs, derived, used, compared = blocks(ROOT / "docs" / "experiments.md", "python")
    exec(encoders.replace("<40 digits>", "0" * 40) + bootstrap + pairs, names := {})
    recipe = single_label.recipe.changed(
        train_sizes=(4, "all"), encoders=names["encoders"], bootstrap=names["bootstrap"]
    )
    assert recipe.changed(minimal_pairs=names["minimal_pairs"]).stages().grammar
    exec(derived, names := {"__file__": str(tmp_path / "recipe.py")})
    assert names["second"].stages().all() and names["recipe"].stages().all()
    stage = next(iter(single_label.recipe.stages().classifiers.values()))
    for name, one in (("classifier", stage), ("tokenizer", stage.tokenizer)):
        used = used.replace(f"runs/stages/{name}/<key>", str(single_label.runner.folder(one)))
    exec(used, names := {})
    assert names["classifier"].labels == ["no", "yes"]
    exec(compared.replace("<40 digits>", "0" * 40), names := {})
    assert [model.name for model in names["transformers"]] == ["mBERT", "German BERT"]
    others = {page.stem for page in PAGES if blocks(page, "python")}
    assert others == {"README", "data-sets", "experiments", "onnx", "using-a-model"}
