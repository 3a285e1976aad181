"""A record as one HTML page that needs nothing else: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ulmfit.corpus.card import SampleDocument
from ulmfit.evaluation.error_analysis import ErrorAnalysis
from ulmfit.evaluation.record import Record
from ulmfit.report.notes import gap_notes
from ulmfit.report.overview import describe_overview
from ulmfit.report.page import page_environment, render_page
from ulmfit.report.record_tables import label_lines
from ulmfit.report.section import History, Material
from ulmfit.report.sections import (
    calibration,
    confusion,
    corpus,
    data_checks,
    errors,
    grammar,
    language_models,
    learning_curves,
    repeat,
    results,
    run,
    times,
    tokenizers,
    training_curves,
)
from ulmfit.report.verdict import verdict
from ulmfit.tokens.card import PieceLists

TEMPLATE = "template.html.j2"
SECTIONS = (
    results.SECTION,
    learning_curves.SECTION,
    confusion.SECTION,
    errors.SECTION,
    calibration.SECTION,
    language_models.SECTION,
    grammar.SECTION,
    training_curves.SECTION,
    times.SECTION,
    data_checks.SECTION,
    corpus.SECTION,
    tokenizers.SECTION,
    run.SECTION,
    repeat.SECTION,
)
"""The sections of the page, in this order: a new one is a module with its template, and its entry here."""

__all__ = ["SECTIONS", "History", "render_html"]


def render_html(
    record: Record,
    histories: Sequence[History] = (),
    *,
    samples: Sequence[Sequence[SampleDocument]] = (),
    pieces: Sequence[PieceLists] = (),
    errors: ErrorAnalysis | None = None,
) -> str:
    """Return the page of `record`; the same input gives the same bytes.

    `histories` are drawn as learning curves and schedules. The rest are texts, which no record holds: a page
    with them is for people who have the data (see `Material`). Raises InputError when a history is malformed,
    or when samples or pieces are not those of the record's corpora and tokenizers.
    """
    environment = page_environment()
    material = Material(record, histories, samples, pieces, errors)
    parts: list[dict[str, Any]] = []
    for section in SECTIONS:
        shown = section.describe(material)
        if shown is not None:
            body = Markup(environment.get_template(section.template).render(shown=shown))
            parts.append({"id": section.id, "title": section.title, "body": body})
    return render_page(
        environment,
        TEMPLATE,
        record=record,
        meanings=label_lines(record),
        verdict=verdict(record),
        overview=describe_overview(record),
        gaps=gap_notes(record),
        parts=parts,
    )
