"""The page's section on grammar: how often language models prefer the right sentence of a pair."""

from __future__ import annotations

from dataclasses import dataclass

from ulmfit.evaluation.record import Record
from ulmfit.report.record_tables import GRAMMAR_CAPTION, grammar_table
from ulmfit.report.section import Section
from ulmfit.report.table import Table


@dataclass(frozen=True)
class ShownGrammar:
    """The card."""

    caption: str
    table: Table


def describe_grammar(record: Record) -> ShownGrammar | None:
    """Prepare the grammar card of a record; None if it has none."""
    return ShownGrammar(GRAMMAR_CAPTION, grammar_table(record.grammar)) if record.grammar else None


SECTION = Section("grammar", "Grammar", "grammar.html.j2", lambda material: describe_grammar(material.record))
