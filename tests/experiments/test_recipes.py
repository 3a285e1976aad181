"""Every recipe that is published: valid, as many as there should be, and run to its table at toy size."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from ulmfit.experiments import driver
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import File, with_files
from ulmfit.pipeline.files import read_json
from ulmfit.toy.wikipedia import write_dump

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.py"))
TINY = (
    "vocabulary.size=600",
    "pretrain.architecture.embedding_size=8",
    "pretrain.architecture.hidden_size=12",
    "pretrain.architecture.layers=2",
    "pretrain.phases=[{}]",
    "finetune.phases=[{}]",
    "classifier.phases=[{}]",
)


def names(path: Path) -> str:
    return str(path.relative_to(ROOT / "recipes"))


def test_there_are_as_many_recipes_as_there_should_be() -> None:
    assert {names(path) for path in RECIPES} == {
        "toy/sentiment.py",
        "ltg/wikipedia_lm.py",
        "de/wikipedia_lm.py",
        "de/germeval2018.py",
        "de/germeval2018_fine.py",
        "fi/news_lm.py",
        "pl/novels_lm.py",
        "pl/modern_lm.py",
        "pl/wccrs_hotels.py",
        "pl/8tags.py",
    }


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_recipe_is_valid_and_named_after_its_file(path: Path) -> None:
    recipe = load_recipe(str(path))
    assert f"{recipe.name}.py" == names(path)
    for preset in recipe.presets:
        assert recipe.changed(preset=preset).stages().all()


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_real_recipes_have_a_paper_and_a_small_preset(path: Path) -> None:
    if path.parent.name != "toy":
        assert list(load_recipe(str(path)).presets)[:2] == ["paper", "small"]


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_the_page_of_recipes_lists_every_recipe_with_its_presets(path: Path) -> None:
    recipe = load_recipe(str(path))
    lines = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{recipe.name}` |")]
    assert line.endswith(f"| {', '.join(recipe.presets)} |")


WORDS = ["Haus", "alter", "Baum", "gut", "schlecht", "Łódź", "więcej", "und", "über", "nicht", "dobry", "zły"]


def text(seed: object, words: int = 9) -> str:
    return " ".join(random.Random(str(seed)).choices(WORDS, k=words))


def germeval(seed: str) -> str:
    labels = ["OFFENSE\tINSULT", "OTHER\tOTHER", "OFFENSE\tABUSE", "OFFENSE\tPROFANITY"]
    return "".join(f"{text((seed, i))} |LBR| {text(i)}\t{labels[i % 4]}\n" for i in range(40))


def numbered(labels: int) -> Callable[[str], str]:
    return lambda seed: "".join(f"{i % labels} {text((seed, i))}\n" for i in range(8 * labels))


def archive(path: Path, members: dict[str, str]) -> None:
    with tarfile.open(path, "w:xz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            tar.addfile(info, io.BytesIO(content.encode()))


def write_small_file(name: str, path: Path) -> None:
    """Write a few invented lines in the published format of the file called `name`."""
    if name.endswith(".xml.bz2"):
        write_dump(path, 0, 12)
    elif name == "dewiki-extracted.tar.xz":
        documents = [
            f'<doc id="{i}" url="u" title="T{i}">\nT{i}\n\n{text(i, 80)}.\n</doc>\n' for i in range(40)
        ]
        archive(path, {"AA/wiki_00": "".join(documents[:20]), "AA/wiki_01": "".join(documents[20:])})
    elif name == "pl-novels.tar.xz":
        archive(path, {f"n{i}.txt": "\n".join(text((i, j), 60) for j in range(30)) for i in range(6)})
    elif name.endswith(".parquet"):
        news = {"id": [f"n{i}" for i in range(90)], "text": [text(i, 30) for i in range(90)]}
        pandas.DataFrame(news).to_parquet(path)
    elif name.startswith("ylilauta"):
        topics = [f"__label__t{i % 4} {text((name, i))}\n" for i in range(40)]
        path.write_text("".join(topics), encoding="utf-8")
    elif name.startswith("germeval"):
        path.write_text(germeval(name), encoding="utf-8")
    else:
        path.write_text(numbered(8 if "8tags" in str(path) else 4)(path.name), encoding="utf-8")


def with_small_files(recipe: Recipe, folder: Path) -> Recipe:
    """Return `recipe` with every catalogued file replaced by a small local one of the same format."""

    def small(file: File) -> File:
        if not file.sha256:
            return file
        path = folder / file.sha256[:8] / file.name
        if not path.exists():
            path.parent.mkdir(parents=True)
            write_small_file(file.name, path)
        return File(path=path)

    return with_files(recipe, small)


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_recipe_runs_to_its_table_at_toy_size(path: Path, tmp_path: Path) -> None:
    recipe: Recipe = load_recipe(str(path))
    recipe = with_small_files(recipe, tmp_path / recipe.name.split("/")[-1])
    last = list(recipe.presets)[-1]
    sizes = ("corpus.dump.articles=20", "dataset.train=40") if path.parent.name == "toy" else ()
    train_sizes = (20, "all") if recipe.train_sizes else ()
    recipe = recipe.changed(preset=last, seeds=(0,), train_sizes=train_sizes)
    recipe = recipe.with_overrides([*TINY, *sizes])
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    record = read_json(folder / "record.json")
    assert str(ROOT) not in json.dumps(record), "a record holds no path of the machine"
    assert str(tmp_path) not in json.dumps(record)
    rows = [row["name"] for row in record["rows"]]
    if recipe.dataset is None:
        assert rows == []
        splits = ["valid", "test"] * len(recipe.settings.directions)
        assert [model["split"] for model in record["language_models"]] == splits
    else:
        directions = recipe.settings.directions
        assert rows[: len(directions)] == [f"ULMFiT, {direction}" for direction in directions]
        assert ("ULMFiT, forward + backward" in rows) == (len(directions) == 2)
        assert "from scratch, forward" in rows
        assert [name.split(",")[0] for name in rows[-4:]] == ["TF-IDF"] * 4
    assert driver.run(recipe, tmp_path / "runs") == folder


@pytest.mark.parametrize(
    "names", [("pl/8tags", "pl/wccrs_hotels", "pl/novels_lm"), ("de/germeval2018", "de/germeval2018_fine")]
)
def test_recipes_of_a_language_share_pretraining(names: tuple[str, ...]) -> None:
    for preset in ("paper", "small"):
        experiments = [load_recipe(name).changed(preset=preset).stages() for name in names]
        assert all(one.pretrained == experiments[0].pretrained for one in experiments)
        datasets = {one.recipe.dataset.name for one in experiments if one.recipe.dataset}
        assert len(datasets) == len([one for one in experiments if one.recipe.dataset])


def test_transductive_runs_say_so_in_the_table(tmp_path: Path) -> None:
    path = ROOT / "recipes" / "toy" / "sentiment.py"
    overrides = [*TINY, "corpus.dump.articles=20", "dataset.train=40", "transductive=true"]
    recipe = load_recipe(str(path)).changed(seeds=(0,)).with_overrides(overrides)
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    assert "transductive: the language model has seen the texts" in (folder / "report.md").read_text()
    other = recipe.changed(transductive=False).stages()
    assert recipe.stages().finetuned["forward", 0] != other.finetuned["forward", 0]
    assert recipe.stages().pretrained["forward"] == other.pretrained["forward"]
