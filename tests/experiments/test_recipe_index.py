"""The list of recipes: what was published and run, and who can repeat it."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation.samples import made_up_record

from ulmfit.evaluation.record import write_record
from ulmfit.experiments import driver
from ulmfit.experiments.recipe import load_recipe
from ulmfit.experiments.recipe_index import recipe_index

RECIPE = """
from pathlib import Path
from ulmfit.corpus.stages import TextFiles, Wikipedia, WikipediaCorpus
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.evaluation.published import PublishedResult
from ulmfit.experiments.presets import TOY
from ulmfit.experiments.recipe import Recipe
from ulmfit.pipeline.assets import File

def published(name, value, verified):
    return PublishedResult(name=name, metric="accuracy", value=value, source="x", verified=verified)

by_date = WikipediaCorpus(dump=Wikipedia(language="xx", date="newest"), language="xx")
given = File(path="a.csv")
recipe = Recipe(
    name="xx/task",
    title="A task | of two labels",
    language="qaa",
    corpus={corpus},
    dataset=LabelledFiles(train=given, test={test}),
    presets={{"toy": TOY}},
    published=(
        published("heard of", 0.99, False),
        published("read", 0.9, True),
        published("worse", 0.8, True),
    ),
)
"""
MIRRORED = f'TextFiles(files=File(name="a.txt", sha256="{"0" * 64}"))'


def index(folder: Path, corpus: str = "by_date", test: str = "given") -> str:
    (folder / "xx").mkdir(exist_ok=True)
    (folder / "xx" / "task.py").write_text(RECIPE.format(corpus=corpus, test=test), encoding="utf-8")
    (folder / "families").mkdir(exist_ok=True)
    (folder / "families" / "shared.py").write_text("raise ValueError('no recipe')", encoding="utf-8")
    *_, line = recipe_index(folder).splitlines()
    return line


def test_a_recipe_is_a_line_with_the_best_figure_that_somebody_has_read(tmp_path: Path) -> None:
    assert index(tmp_path) == (
        "| qaa | [xx/task](xx/task.py) | A task \\| of two labels | accuracy | 90.00 (read) | – | – | – | "
        "yes, on a dump of its day |"
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"corpus": MIRRORED}, "needs a mirror with a.txt"),
        ({"test": 'File(path="b.csv", source="ask for it")'}, "needs files by hand (ask for it)"),
        ({"corpus": 'TextFiles(files=File(path="a.txt"))'}, "yes"),
    ],
)
def test_the_list_says_what_others_need(values: dict[str, str], expected: str, tmp_path: Path) -> None:
    assert index(tmp_path, **values).endswith(f"| {expected} |")


def test_a_plan_says_what_others_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index(tmp_path, corpus=MIRRORED, test='File(path="b.csv", source="ask for it")')
    for name in ("a.csv", "b.csv"):
        (tmp_path / "xx" / name).write_text("text,label\none,x\ntwo,y\n", encoding="utf-8")
    recipe = load_recipe(str(tmp_path / "xx" / "task.py"))
    driver.states(recipe, tmp_path / "runs", checked=True)
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["xx/task needs files by hand (ask for it)", "xx/task needs a mirror with a.txt"]


def test_a_file_of_a_repository_needs_no_mirror(tmp_path: Path) -> None:
    source = f'dict(address="https://example.org/a/b", commit="{"0" * 40}", paths=["x"])'
    corpus = f'TextFiles(files=File(name="a.txt", repository={source}))'
    assert index(tmp_path, corpus=corpus).endswith("| yes |")


def test_what_was_run_stands_beside_what_was_published(tmp_path: Path) -> None:
    index(tmp_path)
    record = made_up_record()
    (tmp_path / "xx" / "records").mkdir()
    for name, recipe in (("task", "xx/task"), ("other", "xx/other")):
        write_record(
            tmp_path / "xx" / "records" / f"{name}.json", record.model_copy(update={"recipe": recipe})
        )
    averaged = {row.name: row for row in record.rows}["ULMFiT, forward + backward"]
    cells = index(tmp_path).split(" | ")
    assert cells[5] == f"{100 * averaged.metrics['accuracy'].mean:.2f} (multifit)"
    assert cells[6] == "2 CPU cores"
    assert cells[7] == "98.0 M"
