"""`ulmfit new`: every format, every kind of task, and what is said of files that are no data set."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from recipes_for_tests.tiny import TINY_OVERRIDES

from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.datasets.stages import DataScript, LabelledFiles
from ulmfit.experiments import driver
from ulmfit.experiments.new_recipe.new import Given, new_recipe
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import with_settings
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.toy.stages import ToyDump

WORDS = ["dům", "strom", "řeka", "pěkný", "špatný", "a", "není", "stůl", "žlutý", "kočka", "město", "čas"]
ROWS = 60
TINY = (*TINY_OVERRIDES, 'comparisons=["tfidf"]', "seeds=[0]")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(number: int) -> str:
    return " ".join(random.Random(f"a text {number}").choices(WORDS, k=8))


def label(number: int) -> str:
    return ("good", "bad", "neither")[number % 3]


def rows(count: int = ROWS, **changes: Callable[[int], Any]) -> list[dict[str, Any]]:
    columns: dict[str, Callable[[int], Any]] = {"text": text, "label": label, **changes}
    return [{name: value(number) for name, value in columns.items()} for number in range(count)]


def csv_text(table: list[dict[str, Any]], separator: str = ",", header: bool = True) -> str:
    names = list(table[0])
    lines = [names] if header else []
    lines += [[str(row[name]) for name in names] for row in table]
    return "".join(separator.join(f'"{cell}"' for cell in line) + "\n" for line in lines)


def json_lines(table: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in table)


def made(language: str = "cs", data: str = "data.csv", **given: Any) -> tuple[Recipe, list[str]]:
    """Return the recipe that was written, and what was said."""
    said: list[str] = []
    test = Path(given.pop("test")) if "test" in given else None
    path = new_recipe(language, "topics", Path(data), test, Path("recipes"), Given(**given), said.append)
    return load_recipe(str(path)), said


def dataset_of(recipe: Recipe) -> LabelledFiles:
    assert isinstance(recipe.dataset, LabelledFiles)
    return recipe.dataset


def built(recipe: Recipe, tmp_path: Path) -> pandas.DataFrame:
    """Return all rows of the data set as the recipe's own stage reads them."""
    assert recipe.dataset is not None
    folder = Runner(tmp_path / "runs").build(recipe.dataset)
    return pandas.concat(pandas.read_parquet(folder / f"{split}.parquet") for split in SPLITS)


SPLITS = ("train", "valid", "test")


def write(name: str, content: str | bytes) -> None:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


FORMATS: dict[str, Callable[[], bytes]] = {
    "data.csv": lambda: csv_text(rows()).encode(),
    "data.csv.gz": lambda: gzip.compress(csv_text(rows()).encode()),
    "semicolons.csv": lambda: csv_text(rows(), ";").encode(),
    "tabs.csv": lambda: csv_text(rows(), "\t").encode("cp1250"),
    "utf16.csv": lambda: csv_text(rows()).encode("utf-16"),
    "bom.csv": lambda: b"\xef\xbb\xbf" + csv_text(rows()).encode(),
    "no-header.csv": lambda: csv_text(rows(), header=False).encode(),
    "data.tsv": lambda: csv_text(rows(), "\t").replace('"', "").encode(),
    "data.tsv.xz": lambda: lzma.compress(csv_text(rows(), "\t").replace('"', "").encode()),
    "data.json": lambda: json.dumps(rows()).encode(),
    "data.jsonl": lambda: json_lines(rows(more=lambda n: {"x": n})).encode(),
    "data.ndjson.gz": lambda: gzip.compress(json_lines(rows()).encode()),
    "lines.txt": lambda: "".join(f"{label(n)}\t{text(n)}\tx\n" for n in range(ROWS)).encode(),
    "marked.txt": lambda: "".join(f"__label__{label(n)} {text(n)}\n" for n in range(ROWS)).encode(),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_becomes_a_recipe_that_reads_all_of_it(name: str, tmp_path: Path) -> None:
    write(name, FORMATS[name]())
    recipe, said = made(data=name)
    assert [line.partition(":")[0] for line in said[:5]] == ["file", "texts", "labels", "language", "splits"]
    table = built(recipe, tmp_path)
    expected = {(row["text"], row["label"]) for row in rows()}
    assert set(zip(table["text"], table["label"], strict=True)) == expected
    assert len(table) == ROWS
    assert (
        (Path("recipes/cs/topics_data.py").exists())
        == name.endswith(".txt")
        == isinstance(recipe.dataset, DataScript)
    )


def test_parquet_with_lists_has_several_labels(tmp_path: Path) -> None:
    table = rows(label=lambda n: [label(n)] if n % 2 else ["good", "bad"], id=lambda n: f"n{n}")
    pandas.DataFrame(table).to_parquet("data.parquet")
    recipe, _ = made(data="data.parquet")
    assert dataset_of(recipe).task == "multi_label" and dataset_of(recipe).metric == "macro_f1"
    assert sorted(built(recipe, tmp_path)["id"]) == sorted(row["id"] for row in table)


def test_encoding_separator_and_columns_are_said(tmp_path: Path) -> None:
    table = [{"nr": n, "recenze": text(n), "hvězdy": 1 + n % 5} for n in range(ROWS)]
    write("data.csv", csv_text(table, ";").encode("cp1250"))
    recipe, said = made()
    assert said[0] == "file: data.csv, 60 rows, CSV, separated by ';', cp1250 (--encoding)"
    assert said[1] == "texts: column 'recenze', 8 words on average (--text-column)"
    assert said[2].startswith("labels: column 'hvězdy', one label per text, 5 labels: ")
    dataset = dataset_of(recipe)
    assert (dataset.text_column, dataset.label_column, dataset.id_column) == ("recenze", "hvězdy", "nr")
    assert (dataset.encoding, dataset.separator) == ("cp1250", ";")


def test_a_repeated_name_of_a_column_is_no_row_of_data() -> None:
    lines = csv_text(rows()).splitlines()
    write("data.csv", "\n".join([f"{lines[0]},label", *(f"{line},x{n}" for n, line in enumerate(lines[1:]))]))
    with pytest.raises(InputError, match="has the column 'label' twice: rename or drop one of them"):
        made()


@pytest.mark.parametrize("separator", ["ab", '"'])
def test_a_separator_is_one_character(separator: str) -> None:
    write("data.csv", csv_text(rows()))
    with pytest.raises(InputError, match=r"--separator .*: expected one character"):
        made(separator=separator)


@pytest.mark.parametrize(
    ("labels", "task", "separator"),
    [
        (lambda n: 1 + n % 5, "single_label", "|"),
        (lambda n: "a|b" if n % 4 == 0 else "ab"[n % 2], "multi_label", "|"),
        (lambda n: "a, b" if n % 4 == 0 else ["", "a", "b"][n % 3], "multi_label", ","),
        (lambda n: n / 7, "regression", "|"),
        (lambda n: n, "regression", "|"),
        (lambda n: "yes, of course" if n % 2 else "no", "single_label", "|"),
    ],
)
def test_the_kind_of_task_follows_from_the_labels(
    labels: Callable[[int], Any], task: str, separator: str, tmp_path: Path
) -> None:
    write("data.csv", csv_text(rows(label=labels)))
    dataset = dataset_of(made()[0])
    assert (dataset.task, dataset.label_separator) == (task, separator)


@pytest.mark.parametrize(
    ("code", "casing"),
    [("tr", "I is the capital of ı"), ("pl", "none"), ("ja", "no capitals")],
)
def test_languages_with_a_recipe_of_their_wikipedia_build_on_it(code: str, casing: str) -> None:
    write("data.csv", csv_text(rows()))
    recipe, said = made(code)
    assert f"rule of casing: {casing}" in said[3]
    assert recipe.name == f"{code}/topics" and recipe.corpus == load_recipe(f"{code}/wikipedia").corpus
    assert list(recipe.presets)[:2] == ["paper", "small"]
    assert Path(f"recipes/{code}/README.md").exists()


def test_other_languages_are_pretrained_on_their_newest_dump() -> None:
    write("data.csv", csv_text(rows()))
    recipe, said = made("gsw")
    assert "language model: pretrained on the newest dump of als.wikipedia.org" in said
    assert isinstance(recipe.corpus, WikipediaCorpus)
    assert recipe.corpus.dump == Wikipedia(language="als", date="newest")
    assert list(recipe.presets) == ["paper", "small"]


def test_what_was_written_is_formatted_and_clean() -> None:
    write("data.txt", FORMATS["lines.txt"]())
    made(data="data.txt")
    write("data.csv", csv_text(rows(title=text, stars=lambda number: number / 7)))
    made("gsw", text_columns=("title", "text"))
    made("br", label_column="stars")
    made("pl", label_column="stars")
    for check in (("check", "--select=E,F,UP,B,SIM"), ("format", "--check")):
        ruff = [sys.executable, "-m", "ruff", *check, "--line-length=110", "--no-cache", "--isolated", "."]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_recipe_runs_to_its_table_at_toy_size(tmp_path: Path) -> None:
    write("data.csv", FORMATS["semicolons.csv"]())
    recipe, _ = made()
    recipe = with_settings(recipe, Wikipedia, lambda dump: ToyDump(articles=12))
    recipe = recipe.changed(preset="small").with_overrides(TINY)
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    record = read_json(folder / "record.json")
    assert record["rows"][0]["name"] == "ULMFiT, forward"
    assert str(tmp_path) not in json.dumps(record)


def test_options_take_the_place_of_guesses() -> None:
    write("data.csv", csv_text(rows(other=lambda n: n % 2, body=text)))
    dataset = dataset_of(
        made(label_column="other", text_columns=("text", "body"), metric="macro_f1", task="single_label")[0]
    )
    assert (dataset.text_column, dataset.label_column) == (("text", "body"), "other")
    assert dataset.metric == "macro_f1"


def test_a_file_of_test_texts_is_used_as_it_is(tmp_path: Path) -> None:
    write("data.csv", csv_text(rows()))
    write("more.csv", csv_text([{"text": text(n + 500), "label": label(n)} for n in range(12)]))
    recipe, said = made(test="more.csv")
    assert "test 12; test is a file" in said[4]
    assert dataset_of(recipe).test is not None and dataset_of(recipe).test_fraction is None
    assert len(built(recipe, tmp_path)) == ROWS + 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (csv_text(rows(), ";"), "is CSV, separated by ';', UTF-8, data.csv is CSV, separated by ',', UTF-8"),
        (csv_text([{"text": text(1), "stars": 1}]), "has no column 'label' for the labels, as data.csv has"),
        (csv_text([{"text": text(1), "label": "new"}] * 30), "one label only"),
    ],
)
def test_test_texts_that_do_not_fit_are_refused(content: str, message: str) -> None:
    write("data.csv", csv_text(rows()))
    write("test.csv", content)
    with pytest.raises(InputError, match=message):
        made(test="test.csv")


def test_faults_of_the_data_are_said_plainly() -> None:
    table = [*rows(), *rows(3), {"text": "", "label": "good"}, {"text": text(8), "label": "bad"}]
    table += [{"text": text(900 + n), "label": "rare"} for n in range(4)]
    table += [{"text": f"{text(950)} Ã©tÃ© cafÃ©", "label": "good"}]
    write("data.csv", csv_text(table))
    write("test.csv", csv_text([{"text": text(n), "label": label(n)} for n in range(9)]))
    _, said = made(test="test.csv")
    checks = [line for line in said if line.startswith("check: ")]
    for part in (
        "labels with fewer than 10 training texts: rare (",
        "train: 1 of 70 rows dropped, they have no text",
        "texts that repeat an earlier one",
        "test: texts that stand in train: ",
        "texts that stand under different labels",
        "texts with signs of damage",
    ):
        assert any(part in line for line in checks), (part, checks)


def test_no_file_is_ever_overwritten() -> None:
    write("data.csv", csv_text(rows()))
    made()
    before = Path("recipes/cs/topics.py").read_text()
    Path("recipes/cs/README.md").write_text("mine")
    with pytest.raises(InputError, match=r"recipes/cs/topics\.py is there already, and is not overwritten"):
        made()
    assert Path("recipes/cs/topics.py").read_text() == before
    Path("recipes/cs/topics.py").unlink()
    made()
    assert Path("recipes/cs/README.md").read_text() == "mine"


def test_nothing_is_left_where_the_recipe_would_be_wrong() -> None:
    write("data.csv", csv_text(rows()))
    with pytest.raises(InputError, match="metric none does not fit task single_label"):
        made(metric="none")
    assert not Path("recipes").exists()
    Path("recipes").mkdir()
    with pytest.raises(InputError):
        made(metric="none")
    assert Path("recipes").is_dir() and not list(Path("recipes").iterdir()), "a folder of the user's stays"


def excel() -> bytes:
    return b"PK\x03\x04" + b"\0" * 60


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.xlsx", excel(), r"is a spreadsheet: save the sheet as CSV \(UTF-8\) and give that file"),
        ("data.csv", excel(), r"is a zip archive \(as \.xlsx and \.docx are\).*save the sheet as CSV"),
        ("data.pdf", b"%PDF-1.4", "is a document, no table: put its texts into a CSV file"),
        ("data.csv", b"%PDF-1.4", "is a PDF, expected UTF-8 text"),
        ("data.zip", excel(), "is an archive: unpack it"),
        ("data.csv", b"", "is empty: expected labelled texts"),
        ("data.csv", b"\n \n", "is empty: expected labelled texts"),
        ("data.csv", b"a\0b\n1\0c\n", "is no text: expected a table"),
        ("data.parquet", b"PAR1 no", "cannot be read as Parquet"),
        ("data.jsonl", b"{no\n", "is no JSON"),
        ("data.csv", csv_text([{"text": text(n)} for n in range(30)]), "has one column only, text"),
        ("data.csv", csv_text(rows(2)), "has 2 rows: expected 20 or more"),
        ("data.csv", csv_text(rows(label=lambda n: f"x{n}")), "60 labels in 60 rows, nearly one per row"),
        ("data.csv", csv_text(rows(label=lambda n: "x")), "has one label only, x: expected two"),
        (
            "data.csv",
            csv_text(rows(3_000, label=lambda n: f"day {n // 2}")),
            "column 'label' has 1,500 different values, many for labels: name the column with --label-column",
        ),
        ("data.csv", csv_text(rows(text=lambda n: "the same words")), "has the same text in every row"),
        ("data.csv", csv_text(rows(label=lambda n: "" if n == 40 else label(n))), "the label is missing"),
        ("data.txt", "text without tabs\n" * 30, "expected lines with tabs between text and label"),
        (
            "data.csv",
            csv_text([{"text": text(n), "a": n % 2, "b": n % 3} for n in range(ROWS)]),
            "the labels may stand in a, b: name the column with --label-column",
        ),
    ],
)
def test_wrong_files_get_an_answer_that_says_what_to_do(
    name: str, content: str | bytes, message: str
) -> None:
    write(name, content)
    with pytest.raises(InputError, match=message):
        made(data=name)
    assert not Path("recipes").exists()


def test_folders_and_missing_files_and_unknown_columns() -> None:
    Path("folder").mkdir()
    write("data.csv", csv_text(rows()))
    with pytest.raises(InputError, match="folder is a folder: give one file in it"):
        made(data="folder")
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        made(data="none.csv")
    with pytest.raises(InputError, match=r"--label-column 'stars': .* has no such column, only text, label"):
        made(label_column="stars")
    with pytest.raises(InputError, match="expected a name such as sentiment"):
        new_recipe("cs", "a/b", Path("data.csv"), None, Path("recipes"), Given(), print)


def test_the_command_is_there() -> None:
    write("data.csv", csv_text(rows()))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ulmfit",
            "new",
            "cs",
            "topics",
            "--data",
            "data.csv",
            "--label-column",
            "label",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "wrote recipes/cs/topics.py" in done.stdout
