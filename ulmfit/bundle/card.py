"""The model card of a bundle: what it is, what it reached, what it may be used for, and how.

It begins with the metadata that the Hugging Face hub reads (YAML; every value is written as JSON, which YAML
contains). All names and sentences of others are escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ulmfit.bundle.chosen import ChosenClassifiers, what_no_rule_says
from ulmfit.bundle.description import ClassifierDescription
from ulmfit.language_model.bundle_format import BundleDescription
from ulmfit.report.markdown import escape

if TYPE_CHECKING:
    from ulmfit.evaluation.record import Record
    from ulmfit.experiments.recipe import Recipe

PROGRAM_LICENCE = "Apache-2.0"
LIMITS = (
    "It knows the kind of texts that it was trained on. Other sources, times or topics need a test of their "
    "own: `ulmfit evaluate` measures it on a labelled file.",
    "It repeats what its texts hold, prejudice included. No decision about a person should rest on it alone.",
)


def card_of_classifier(
    description: ClassifierDescription,
    recipe: Recipe,
    chosen: ChosenClassifiers,
    figures: dict[str, float],
    record: Record | None,
) -> str:
    """Return the card of a classifier; `figures` are its metrics on the test split."""
    task = "text-classification" if description.task != "regression" else "text-regression"
    spread = _spread(record, chosen.row)
    main = description.metric
    result = {
        "task": {"type": "text-classification"},
        "dataset": {"name": description.dataset, "type": description.dataset, "split": "test"},
        "metrics": [{"type": name, "value": round(value, 6)} for name, value in figures.items()],
    }
    metadata = {
        **_metadata(description),
        "pipeline_tag": "text-classification",
        "tags": ["ulmfit", task],
        "metrics": [main],
        "model-index": [{"name": description.name, "results": [result]}],
    }
    rows = [
        f"| {escape(name.replace('_', ' '))} | {value:.4f} | {spread.get(name, '–')} |"
        for name, value in sorted(figures.items(), key=lambda item: item[0] != main)
    ]
    labels = ", ".join(map(escape, description.labels)) or "a number"
    limits = [
        *_limits(record),
        _what_is_read(description),
        what_no_rule_says(chosen.stages[0].dataset),
    ]
    check = description.check
    compared = (
        f"Against the run that is measured here, {check.flipped} of {check.texts:,} predicted labels are "
        f"others; the largest difference of a prediction is {check.largest_difference:.2g}."
        if check
        else ""
    )
    return _card(
        metadata,
        recipe.title,
        [
            f"A text classifier in {escape(description.language)} (ULMFiT): {_models(description)}. "
            f"It predicts {labels}, and was trained on the data set {escape(description.dataset)}.",
            "## How good it is",
            f"On the test split of {escape(description.dataset)}. Spread: sample standard deviation over the "
            f"seeds of the table's row {escape(chosen.row)}; – where there is one seed or one average.",
            "\n".join(["| metric | value | spread |", "| :-- | --: | --: |", *rows]),
            compared,
            "## How to use it",
            "```\necho 'some text' | ulmfit predict FOLDER\n```",
            '```python\nfrom ulmfit import TextClassifier\n\nclassifier = TextClassifier.load("FOLDER")\n'
            'classifier.predict(["some text"])\n```',
            "## Limits",
            _listed([*limits, *LIMITS]),
            *_licences(description),
        ],
        record,
    )


def card_of_language_model(description: BundleDescription, recipe: Recipe, record: Record | None) -> str:
    """Return the card of a language model."""
    metadata = {
        **_metadata(description),
        "pipeline_tag": "text-generation",
        "tags": ["ulmfit", "language-model"],
    }
    lines = [
        f"| {escape(one.direction)} | {escape(one.split)} | {_perplexity(one.token_perplexity)} | "
        f"{_perplexity(one.word_perplexity)} | {one.bits_per_character:.3f} |"
        for one in (record.language_models if record else ())
        if one.name == "pretrained"
    ]
    header = [
        "| direction | split | token perplexity | word perplexity | bits per character |",
        "| :-- | :-- | --: | --: | --: |",
    ]
    return _card(
        metadata,
        recipe.title,
        [
            f"A language model in {escape(description.language)} (ULMFiT): {_models(description)}. A "
            f"classifier begins with it.",
            *(["## How good it is", "\n".join([*header, *lines])] if lines else []),
            "## How to use it",
            "```\nulmfit run RECIPE --language-model FOLDER\n```",
            '```python\nfrom ulmfit import LanguageModel\n\nmodel = LanguageModel.load("FOLDER")\n'
            'model.score(["some text"])\n```',
            "## Limits",
            _listed([*_limits(record), *LIMITS[1:]]),
            *_licences(description),
        ],
        record,
    )


def card_in_short(description: BundleDescription) -> str:
    """Return the card of a bundle that Python code saved: there is no record, and nothing was measured."""
    kind, name, method, use, labels, read = "language model", "LanguageModel", "score", "generation", "", ""
    if isinstance(description, ClassifierDescription):
        kind, name, method, use = "text classifier", "TextClassifier", "predict", "classification"
        labels, read = ", ".join(map(escape, description.labels)), _what_is_read(description)
    tags = ["ulmfit", kind.replace(" ", "-")]
    metadata = {**_metadata(description), "pipeline_tag": f"text-{use}", "tags": tags}
    return _card(
        metadata,
        description.name,
        [
            f"A {kind} in {escape(description.language)} (ULMFiT): {_models(description)}."
            + (f" It predicts {labels}." if labels else ""),
            "It was saved from Python, not made by a recipe: how good it is was not measured.",
            "## How to use it",
            f'```python\nfrom ulmfit import {name}\n\nmodel = {name}.load("FOLDER")\n'
            f'model.{method}(["some text"])\n```',
            "## Limits",
            _listed([read, *LIMITS]),
            *_licences(description),
        ],
        None,
    )


def _perplexity(value: float | None) -> str:
    return "beyond a float" if value is None else f"{value:.2f}"


def _metadata(description: BundleDescription) -> dict[str, Any]:
    found = "; ".join(sorted(set(description.licences.values())))
    licence = {"license": "other", "license_name": found} if found else {}
    return {"language": [description.language], "library_name": "ulmfit", **licence}


def _card(metadata: dict[str, Any], title: str, parts: Iterable[str], record: Record | None) -> str:
    yaml = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in metadata.items())
    made = ""
    if record is not None:
        made = f"`record.json` has every figure and setting. Commit {escape(record.commit or 'unknown')}."
    body = "\n\n".join(part for part in (f"# {escape(title)}", *parts, made) if part)
    return f"---\n{yaml}\n---\n\n{body}\n"


def _models(description: BundleDescription) -> str:
    size = description.architecture
    seeds = len({member.seed for member in description.members})
    several = f", {seeds} seeds averaged" if seeds > 1 else ""
    return (
        f"{size.kind.upper()}, {size.layers} layers of {size.hidden_size} units, "
        f"{description.vocabulary_size:,} pieces, {' and '.join(description.directions)}{several}"
    )


def _spread(record: Record | None, name: str) -> dict[str, str]:
    row = next((row for row in record.rows if row.name == name), None) if record else None
    if row is None:
        return {}
    return {name: f"{one.sd:.4f}" for name, one in row.metrics.items() if one.sd is not None}


def _limits(record: Record | None) -> list[str]:
    """Return what the record says of the run: that it was small, and what was wrong with the data."""
    if record is None:
        return ["There was no record of the run when this was written."]
    warnings = record.dataset.warnings if record.dataset else ()
    return [escape(label) for label in (*record.labels, *warnings)]


def _what_is_read(description: ClassifierDescription) -> str:
    if not description.maximum_tokens:
        return ""
    which = "first" if description.reads == "first" else "last"
    return f"Of a long text its {which} {description.maximum_tokens:,} tokens count."


def _licences(description: BundleDescription) -> list[str]:
    texts = [f"{escape(name)}: {escape(licence)}" for name, licence in description.licences.items()]
    return [
        "## Licences",
        _listed([f"Program: {PROGRAM_LICENCE}.", *texts])
        + "\n\nThe weights were learned from these texts, whose licences hold for them too.",
    ]


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)
