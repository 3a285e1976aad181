"""The text of a new recipe, of its data script where the file needs one, and of the README beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ulmfit.experiments.new_recipe.columns import Guess
from ulmfit.experiments.new_recipe.files import LABEL_MARK, RawTable
from ulmfit.experiments.new_recipe.languages import Language

TEST_FRACTION = 0.2
NO_IDS = "(none)"
"""Column of the ids where the one called `id` cannot be used."""


REGRESSION = [
    "    # Numbers have no classes whose labels could be smoothed.",
    "    presets={",
    "        name: preset.changed(classifier=preset.classifier.changed(label_smoothing=0.0))",
    "        for name, preset in wikipedia.presets.items()",
    "    },",
]
"""Of a recipe that builds on that of a Wikipedia."""


@dataclass(frozen=True)
class NewRecipe:
    """What a recipe is written from. Paths are as they stand in the recipe: relative to its folder."""

    language: Language
    task: str
    raw: RawTable
    guess: Guess
    metric: str
    train: str
    test: str
    """Empty: test is made from train."""
    has_wikipedia_recipe: bool
    model: str
    """Bundle of a released language model; empty: there is none."""

    @property
    def name(self) -> str:
        """The recipe's name."""
        return f"{self.language.code}/{self.task}"

    @property
    def script(self) -> str:
        """File name of the data script; empty: the file needs none."""
        return f"{self.task}_data.py" if self.raw.lines else ""

    @property
    def title(self) -> str:
        """One line for tables."""
        return f"{self.language.name}, {self.task.replace('_', ' ')}"


def recipe_text(new: NewRecipe) -> str:
    """Return the recipe."""
    names = {"File", "DataScript" if new.script else "LabelledFiles"}
    if new.has_wikipedia_recipe:
        names.add("load_recipe")
        before = f"wikipedia = load_recipe({_quoted(f'{new.language.code}/wikipedia')})\n\n"
        first = "recipe = wikipedia.changed("
        rest = REGRESSION if new.guess.task == "regression" else []
    else:
        names |= {"Recipe", "Wikipedia", "WikipediaCorpus"}
        before, first = "", "recipe = Recipe("
        smooth = "MULTIFIT.classifier.changed(label_smoothing=0.0)"
        paper = f"MULTIFIT.changed(classifier={smooth})" if new.guess.task == "regression" else "MULTIFIT"
        code, wiki = _quoted(new.language.code), _quoted(new.language.wikipedia)
        rest = [
            f"    language={code},",
            f'    corpus=WikipediaCorpus(dump=Wikipedia(language={wiki}, date="newest"), language={code}),',
            "    presets={",
            f'        "paper": {paper},',
            '        "small": SMALL.changed(max_documents=3_000),',
            "    },",
        ]
    imports = f"from ulmfit import {', '.join(sorted(names, key=str.casefold))}\n"
    presets = "" if new.has_wikipedia_recipe else "from ulmfit.presets import MULTIFIT, SMALL\n"
    lines = [
        f'"""{_plain(new.title)}. Written by `ulmfit new`; everything in it may be changed."""',
        "",
        f"{imports}{presets}",
        f"{before}{first}",
        f"    name={_quoted(new.name)},",
        f"    title={_quoted(new.title)},",
        *rest,
        *_dataset(new),
        *([f"    language_model=File(path={_quoted(new.model)}),"] if new.model else []),
        f"    notes=({_quoted(_note(new))},),",
        ")",
        "",
        'if __name__ == "__main__":',
        "    recipe.main()",
        "",
    ]
    return "\n".join(lines)


def _note(new: NewRecipe) -> str:
    if new.model:
        return f"language model {new.model.rstrip('/').rpartition('/')[2]}, not pretrained here"
    return f"pretrained on {new.language.name} Wikipedia"


def _dataset(new: NewRecipe) -> list[str]:
    """Return the lines of the data set, a field per line; defaults are left out."""
    guess, raw = new.guess, new.raw
    fields: dict[str, str] = {"name": _quoted(new.task), "language": _quoted(new.language.code)}
    if new.script:
        files = {"train": new.train, **({"test": new.test} if new.test else {})}
        inner = ", ".join(f'"{split}": File(path={_quoted(path)})' for split, path in files.items())
        fields |= {"script": f"File(path={_quoted(new.script)})", "files": f"{{{inner}}}"}
    else:
        fields["train"] = f"File(path={_quoted(new.train)})"
        if new.test:
            fields["test"] = f"File(path={_quoted(new.test)})"
        else:
            fields["test_fraction"] = str(TEST_FRACTION)
        texts: Any = guess.text[0] if len(guess.text) == 1 else list(guess.text)
        fields |= _changed("text_column", texts, "text") | _changed("label_column", guess.label, "label")
        id_column = guess.id or (NO_IDS if "id" in raw.table.columns else "id")
        fields |= _changed("id_column", id_column, "id")
        fields |= _changed("columns", list(raw.header), [])
        fields |= _changed("encoding", raw.form.encoding, "utf-8")
        fields |= _changed("separator", raw.form.separator, "")
    fields |= _changed("task", guess.task, "single_label")
    if guess.task == "multi_label":
        fields |= _changed("label_separator", guess.label_separator, "|")
    fields["metric"] = _quoted(new.metric)
    kind = "DataScript" if new.script else "LabelledFiles"
    return [f"    dataset={kind}(", *(f"        {name}={value}," for name, value in fields.items()), "    ),"]


def _changed(name: str, value: Any, default: Any) -> dict[str, str]:
    if value == default:
        return {}
    if isinstance(value, list):
        items = ", ".join(map(_quoted, value))
        return {name: f"({items},)" if len(value) == 1 else f"({items})"}
    return {name: _quoted(value)}


def _quoted(text: str) -> str:
    """Return a text as Python writes it, with double quotes; what does not print is escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _plain(text: str) -> str:
    """Return a text that can stand in a docstring."""
    return text.replace("\\", "/").replace('"', "'")


SCRIPT = '''"""{title}: reads lines {form}. Written by `ulmfit new`."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.reading import read_lines
from ulmfit.datasets.tables import split_off_test
from ulmfit.errors import InputError


def convert(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Return train and test; without a file of test texts, {share:.0%} of train by a hash of the texts."""
    tables = {{split: _table(path) for split, path in files.items()}}
    if "test" not in tables:
        tables["train"], tables["test"] = split_off_test(tables["train"], {share}, {task}, {separator})
    return tables


def _table(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            rows.append(_row(line, f"{{path}}, line {{number}}"))
    return pd.DataFrame(rows, columns=["text", "label"])

'''
ROWS = {
    "tabs": """
def _row(line: str, place: str) -> tuple[str, str]:
    fields = line.split("\\t")
    if len(fields) != {width}:
        raise InputError(f"{{place}}: {{len(fields)}} fields, expected {width}")
    return fields[{text}], fields[{label}]
""",
    "labels first": """
def _row(line: str, place: str) -> tuple[str, str]:
    labels, words = [], line.split(" ")
    while words and words[0].startswith("{mark}"):
        labels.append(words.pop(0).removeprefix("{mark}"))
    if not labels:
        raise InputError(f"{{place}}: expected {mark}NAME and a text")
    return " ".join(words), {separator}.join(labels)
""",
}


def script_text(new: NewRecipe) -> str:
    """Return the data script of a file that no table is."""
    assert new.raw.lines
    guess, columns = new.guess, list(new.raw.table.columns)
    separator = _quoted(guess.label_separator)
    forms = {"tabs": "with tabs between their columns", "labels first": f"that begin with {LABEL_MARK}NAME"}
    values = {
        "title": _plain(new.title),
        "form": forms[new.raw.lines],
        "share": TEST_FRACTION,
        "task": _quoted(guess.task),
        "separator": separator,
        "width": len(columns),
        "text": columns.index(guess.text[0]),
        "label": columns.index(guess.label),
        "mark": LABEL_MARK,
    }
    return (SCRIPT + ROWS[new.raw.lines]).format(**values)


README = """# {language}

`{task}.py`: {title}. {rows} labelled texts, {kind}.

    ulmfit plan {path}
    ulmfit run {path} --trial
    ulmfit run {path} --preset small

`paper`, the default preset, is meant for a GPU. The results of a run come here with

    ulmfit report {path} --preset small --publish {folder}

<!-- results: records -->

<!-- end of results -->
"""


def readme_text(new: NewRecipe, path: str, folder: str, rows: int, kind: str) -> str:
    """Return the README beside the recipe at `path`, as a command names it."""
    return README.format(
        language=new.language.name,
        task=new.task,
        title=new.title,
        rows=f"{rows:,}",
        kind=kind,
        path=path,
        folder=folder,
    )
