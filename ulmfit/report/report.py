"""A record as one HTML page that needs nothing else: no script, no network, light and dark."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from ulmfit.evaluation.error_analysis import ErrorAnalysis
from ulmfit.evaluation.record import Record
from ulmfit.pipeline.errors import InputError
from ulmfit.report import table
from ulmfit.report.bars import Bar, duration, width
from ulmfit.report.overview import describe_overview
from ulmfit.report.page import page_environment
from ulmfit.report.sections.calibration import describe_reliability
from ulmfit.report.sections.confusion import describe_confusions
from ulmfit.report.sections.corpus import Corpus, describe_corpus
from ulmfit.report.sections.data_checks import describe_data_checks
from ulmfit.report.sections.errors import describe_errors
from ulmfit.report.sections.language_models import LanguageModels, describe_language_models
from ulmfit.report.sections.learning_curves import describe_learning_curves
from ulmfit.report.sections.results import describe_results
from ulmfit.report.sections.tokenizers import describe_tokenizers
from ulmfit.report.sections.training_curves import History, draw
from ulmfit.report.verdict import verdict

TEMPLATE = "template.html.j2"

__all__ = ["History", "render_html"]


def render_html(
    record: Record,
    histories: Sequence[History] = (),
    *,
    samples: Sequence[Sequence[Any]] = (),
    pieces: Sequence[Any] = (),
    errors: ErrorAnalysis | None = None,
) -> str:
    """Return the page of `record`; the same input gives the same bytes.

    `histories` are drawn as learning curves and schedules. The rest are texts, which no record holds: a page
    with them is for whoever has the data. `samples` are contents of samples.json, one a corpus of the record;
    `pieces` is the content of pieces.json, `errors` an analysis of the main row's errors. Raises InputError
    when any of them is malformed.
    """
    return (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            record=record,
            meanings=table.label_lines(record),
            verdict=verdict(record),
            overview=describe_overview(record),
            gaps=table.gap_notes(record),
            results=describe_results(record) if record.dataset else None,
            learning_curves=describe_learning_curves(record.curves),
            reliabilities=describe_reliability(record),
            language_models=_language_models(record),
            curves=[draw(history) for history in histories],
            confusions=describe_confusions(record),
            errors=describe_errors(errors) if errors else None,
            stages=_stage_bars(record),
            total_time=duration(sum(stage.seconds for stage in record.stages)),
            corpora=_corpora(record, samples),
            leak_notes=table.leak_notes(record),
            dataset_notes=table.dataset_notes(record),
            data_checks=describe_data_checks(record.data_checks),
            tokenizers=describe_tokenizers(record.tokenizers, pieces) if record.tokenizers else None,
            configuration=json.dumps(record.configuration, indent=2, ensure_ascii=False),
            commands=_commands(record),
        )
    )


def _language_models(record: Record) -> LanguageModels | None:
    return (
        describe_language_models(record.language_models, record.poleval) if record.language_models else None
    )


def _corpora(record: Record, samples: Sequence[Sequence[Any]]) -> list[Corpus]:
    if len(samples) > len(record.corpora):
        raise InputError(
            f"sample documents of {len(samples)} corpora do not fit a record of {len(record.corpora)}: "
            "expected one list a corpus, in the order of the record"
        )
    every: list[Sequence[Any]] = [*samples, *[()] * (len(record.corpora) - len(samples))]
    return [describe_corpus(account, some) for account, some in zip(record.corpora, every, strict=True)]


def _stage_bars(record: Record) -> list[Bar]:
    longest = max((stage.seconds for stage in record.stages), default=0.0)
    return [
        Bar(
            name=stage.name,
            value=duration(stage.seconds),
            width=width(stage.seconds, longest),
            note="" if stage.tokens_per_second is None else f"{stage.tokens_per_second:,.0f} tokens/s",
        )
        for stage in record.stages
    ]


def _commands(record: Record) -> str:
    """Return the shell lines that repeat the run."""
    commit = record.commit.removesuffix("+changes")
    lines = [f"git checkout {shlex.quote(commit)}"] if commit else []
    lines.append("python -m pip install -c constraints.txt .")
    if record.command:
        lines.append(record.command)
    else:
        seeds = ",".join(str(seed) for seed in record.seeds)
        lines.append(f"ulmfit run {shlex.quote(f'recipes/{record.recipe}.py')} --seeds {seeds}")
    return "\n".join(lines)
