"""The page's section on language models: how each was trained, how well it predicts, seed by seed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ulmfit.evaluation.language_models import (
    LanguageModelResult,
    PolEvalResult,
    TrainedModel,
    comparability_notes,
)
from ulmfit.report.bars import duration, share

SEED = re.compile(r", seed (\d+)$")
KINDS = {"lstm": "AWD-LSTM", "qrnn": "QRNN"}
UNKNOWN = "–"
LARGEST_PLAIN = 1e6
"""Perplexities from here on are written with a power of ten."""


@dataclass(frozen=True)
class Cell:
    """A number as text: a value, or mean and standard deviation; `mark` says that it is not comparable."""

    value: str
    sd: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a table; lines of single seeds stand below the one of their mean."""

    name: str
    words: list[str]
    cells: list[Cell]
    is_seed: bool = False


@dataclass(frozen=True)
class Figures:
    """A table whose first columns are words."""

    words: list[str]
    numbers: list[str]
    lines: list[Line]


@dataclass(frozen=True)
class Terms:
    """A table with a column a model: measure, and its value for each."""

    names: list[str]
    lines: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class LanguageModels:
    """The section: what was trained, how well it predicts, and the figures of PolEval 2018."""

    trained: Terms
    quality: Figures
    poleval: Figures | None
    notes: list[str] = field(default_factory=list)


def describe_language_models(
    models: Sequence[LanguageModelResult], poleval: Sequence[PolEvalResult]
) -> LanguageModels:
    """Prepare the language models of a record for the page."""
    return LanguageModels(
        trained=_trained(models),
        quality=_quality(models),
        poleval=_poleval(poleval) if poleval else None,
        notes=_notes(models),
    )


def family(name: str) -> str:
    """Return the name that all seeds of a model share."""
    return SEED.sub("", name)


def number(value: float | None) -> str:
    """Return a perplexity as text."""
    if value is None:
        return UNKNOWN
    return f"{value:,.2f}" if value < LARGEST_PLAIN else f"{value:.2e}"


# --- How they were trained ----------------------------------------------------------------------------------


def _trained(models: Sequence[LanguageModelResult]) -> Terms:
    """One column a model: what differs between its seeds is a mean, or, for skipped steps, a sum."""
    lines: dict[str, Callable[[list[LanguageModelResult]], str]] = {
        "layers": lambda seeds: _layers(_terms(seeds[0])),
        "embedding": lambda seeds: _count(_terms(seeds[0]).embedding_size),
        "vocabulary": lambda seeds: _count(_terms(seeds[0]).vocabulary_size),
        "parameters": lambda seeds: _count(seeds[0].parameters),
        "ids matched in the vocabulary of the model it began with": lambda seeds: _matched(
            _terms(seeds[0]).matched_vocabulary
        ),
        "precision": lambda seeds: _terms(seeds[0]).precision or UNKNOWN,
        "engine": lambda seeds: _terms(seeds[0]).engine or UNKNOWN,
        "tokens trained on": lambda seeds: _count(seeds[0].training_tokens),
        "tokens a second": lambda seeds: _count(_mean(seed.tokens_per_second for seed in seeds)),
        "training time": lambda seeds: _time(_mean(seed.seconds for seed in seeds)),
        "steps skipped, their gradients not finite": lambda seeds: _count(
            _total(_terms(seed).skipped_steps for seed in seeds)
        ),
    }
    groups = [_one_a_seed(group) for group in _grouped(models, with_split=False)]
    table = [(name, [line(group) for group in groups]) for name, line in lines.items()]
    return Terms(
        [f"{_title(group)}, {group[0].direction}" for group in groups],
        [(name, cells) for name, cells in table if any(cell != UNKNOWN for cell in cells)],
    )


def _terms(model: LanguageModelResult) -> TrainedModel:
    return model.trained or TrainedModel()


def _one_a_seed(group: list[LanguageModelResult]) -> list[LanguageModelResult]:
    """Leave the other splits of each seed out."""
    return list({model.name: model for model in group}.values())


def _title(group: list[LanguageModelResult]) -> str:
    name = family(group[0].name)
    return f"{name}, {len(group)} seeds" if len(group) > 1 else group[0].name


def _layers(model: TrainedModel) -> str:
    kind = KINDS.get(model.kind or "", "")
    if not model.layers or not model.hidden_size:
        return kind or UNKNOWN
    return f"{kind} {model.layers} × {model.hidden_size:,}".strip()


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _matched(value: float | None) -> str:
    return UNKNOWN if value is None else share(value, 1)


def _time(value: float | None) -> str:
    return UNKNOWN if value is None else duration(value)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


# --- How well they predict ----------------------------------------------------------------------------------


def _quality(models: Sequence[LanguageModelResult]) -> Figures:
    lines = [line for group in _grouped(models, with_split=True) for line in _quality_lines(group)]
    return Figures(
        ["language model", "direction", "split"],
        ["tokens", "loss", "token perplexity", "word perplexity", "bits per character"],
        lines,
    )


def _quality_lines(group: list[LanguageModelResult]) -> list[Line]:
    words: list[str] = [group[0].direction, group[0].split]
    if len(group) == 1:
        return [Line(group[0].name, words, _figures(group))]
    seeds = [
        Line(model.name.removeprefix(family(model.name)).removeprefix(", "), words, _figures([model]), True)
        for model in group
    ]
    return [Line(f"{family(group[0].name)}, mean of {len(group)}", words, _figures(group)), *seeds]


def _figures(group: list[LanguageModelResult]) -> list[Cell]:
    """Return the figures of one model, or their means; tokenizers are shared, so counts are too."""
    mark = "" if all(model.comparable for model in group) else "*"
    return [
        Cell(f"{group[0].tokens:,}"),
        _cell([model.loss for model in group], "{:.4f}".format),
        _cell([model.token_perplexity for model in group], number, mark),
        _cell([model.word_perplexity for model in group], number, mark),
        _cell([model.bits_per_character for model in group], "{:.3f}".format, mark),
    ]


def _cell(values: Sequence[float | None], text: Callable[[float], str], mark: str = "") -> Cell:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Cell(UNKNOWN)
    sd = f"± {text(statistics.stdev(known))}" if len(known) > 1 else ""
    return Cell(text(statistics.fmean(known)), sd, mark)


def _poleval(results: Sequence[PolEvalResult]) -> Figures:
    lines = [
        Line(
            result.name,
            [result.direction],
            [
                Cell(f"{result.sentences:,}"),
                Cell(f"{result.words:,}"),
                Cell(share(result.replaced_words, result.words, 2)),
                Cell(number(result.poleval_2018_word_perplexity)),
            ],
        )
        for result in results
    ]
    return Figures(
        ["language model", "direction"],
        ["documents", "words", "words replaced", "PolEval-2018 word perplexity"],
        lines,
    )


def _notes(models: Sequence[LanguageModelResult]) -> list[str]:
    precisions = sorted({model.scoring_precision for model in models if model.scoring_precision})
    notes = comparability_notes(models)
    if precisions:
        notes.append(f"scored in {' and '.join(precisions)}, losses summed in float64")
    return notes


def _grouped(models: Sequence[LanguageModelResult], *, with_split: bool) -> list[list[LanguageModelResult]]:
    """Put the seeds of a model together, in the order of the record."""
    groups: dict[tuple[str, ...], list[LanguageModelResult]] = {}
    for model in models:
        split = (model.split,) if with_split else ()
        groups.setdefault((family(model.name), model.direction, *split), []).append(model)
    return list(groups.values())
