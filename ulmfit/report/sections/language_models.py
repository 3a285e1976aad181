"""The page's section on language models: how each was trained, and how well it predicts, per seed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ulmfit.evaluation.metric_text import ROUGHLY, shown_perplexity
from ulmfit.language_model.figures import LanguageModelResult, PolEvalResult, TrainedModel
from ulmfit.report.bars import duration, share
from ulmfit.report.notes import comparability_notes
from ulmfit.report.section import Section
from ulmfit.report.table import Row, Table

SEED = re.compile(r", seed (\d+)$")
KINDS = {"lstm": "AWD-LSTM", "qrnn": "QRNN"}
UNKNOWN = "–"


@dataclass(frozen=True)
class LanguageModels:
    """The section: what was trained, how well it predicts, and the figures of PolEval 2018."""

    trained: Table
    """A column per model."""
    quality: Table
    poleval: Table | None


def describe_language_models(
    models: Sequence[LanguageModelResult], poleval: Sequence[PolEvalResult]
) -> LanguageModels:
    """Prepare the language models of a record for the page."""
    return LanguageModels(
        trained=_trained(models),
        quality=_quality(models),
        poleval=_poleval(poleval) if poleval else None,
    )


def family(name: str) -> str:
    """Return the name that all seeds of a model share."""
    return SEED.sub("", name)


# --- How they were trained ----------------------------------------------------------------------------------


def _trained(models: Sequence[LanguageModelResult]) -> Table:
    """One column per model: over its seeds values are averaged; skipped steps are summed."""
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
        "tokens per second": lambda seeds: _count(_mean(seed.tokens_per_second for seed in seeds)),
        "training time": lambda seeds: _time(_mean(seed.seconds for seed in seeds)),
        "steps skipped, their gradients not finite": lambda seeds: _count(
            _total(_terms(seed).skipped_steps for seed in seeds)
        ),
    }
    groups = [_one_per_seed(group) for group in _grouped(models, with_split=False)]
    table = [[name, *(line(group) for group in groups)] for name, line in lines.items()]
    return Table.of(
        ["", *(f"{_title(group)}, {group[0].direction}" for group in groups)],
        [line for line in table if any(cell != UNKNOWN for cell in line[1:])],
    )


def _terms(model: LanguageModelResult) -> TrainedModel:
    return model.trained or TrainedModel()


def _one_per_seed(group: list[LanguageModelResult]) -> list[LanguageModelResult]:
    """Return one result per seed, that of its last split."""
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


def _quality(models: Sequence[LanguageModelResult]) -> Table:
    header = ["language model", "direction", "split", "tokens", "loss", "token perplexity", "word perplexity"]
    rows = [row for group in _grouped(models, with_split=True) for row in _quality_rows(group)]
    return Table([*header, "bits per character"], rows, words=3, notes=_notes(models))


def _quality_rows(group: list[LanguageModelResult]) -> list[Row]:
    """Return one row per seed, below one of their mean if there are several."""
    words: list[str] = [group[0].direction, group[0].split]
    if len(group) == 1:
        return [Row([group[0].name, *words, *_figures(group)])]
    seeds = [(model.name.removeprefix(family(model.name)).removeprefix(", "), model) for model in group]
    return [
        Row([f"{family(group[0].name)}, mean of {len(group)}", *words, *_figures(group)]),
        *(Row([name, *words, *_figures([model])], "seed") for name, model in seeds),
    ]


def _figures(group: list[LanguageModelResult]) -> list[str]:
    """Return the figures of one model, or their means; tokenizers are shared, so counts are too."""
    mark = "" if all(model.comparable for model in group) else "*"

    def perplexity(value: float) -> str:
        return shown_perplexity(value, group[0].tokens)

    return [
        f"{group[0].tokens:,}",
        _cell([model.loss for model in group], "{:.4f}".format),
        _cell([model.token_perplexity for model in group], perplexity, mark),
        _cell([model.word_perplexity for model in group], perplexity, mark),
        _cell([model.bits_per_character for model in group], "{:.3f}".format, mark),
    ]


def _cell(values: Sequence[float | None], text: Callable[[float], str], mark: str = "") -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return UNKNOWN
    sd = f" ± {text(statistics.stdev(known)).removeprefix(ROUGHLY)}" if len(known) > 1 else ""
    return f"{text(statistics.fmean(known))}{mark}{sd}"


def _poleval(results: Sequence[PolEvalResult]) -> Table:
    header = ["language model", "direction", "documents", "words", "words replaced"]
    lines = [
        [
            result.name,
            result.direction,
            f"{result.sentences:,}",
            f"{result.words:,}",
            share(result.replaced_words, result.words, 2),
            shown_perplexity(result.poleval_2018_word_perplexity, result.words),
        ]
        for result in results
    ]
    return Table.of([*header, "PolEval-2018 word perplexity"], lines, words=2)


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


SECTION = Section(
    "language-models",
    "Language models",
    "language_models.html.j2",
    lambda material: (
        describe_language_models(material.record.language_models, material.record.poleval)
        if material.record.language_models
        else None
    ),
)
