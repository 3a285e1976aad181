"""The grammar card on the page and in the table of a README."""

from __future__ import annotations

import numpy as np
from evaluation.samples import made_up_record

from ulmfit.evaluation.grammar import FLOORS, summarised
from ulmfit.evaluation.pair_files import Pair
from ulmfit.evaluation.record import Record
from ulmfit.report.markdown import markdown_table
from ulmfit.report.report import render_html

PAIRS = [Pair("case <b>", f"right {row}", f"wrong {row}") for row in range(4)]
CARD = summarised("pairs.tsv", ("language model, forward", *FLOORS), PAIRS, np.eye(4)[:, :3])


def test_the_card_is_a_section_and_a_table() -> None:
    record = made_up_record().changed(grammar=CARD)
    assert Record.model_validate_json(record.model_dump_json()) == record
    page = render_html(record)
    assert "Grammar</h2>" in page and "case &lt;b&gt;" in page and "case <b>" not in page
    assert "guessing has 50" in page
    table = markdown_table(record)
    assert (
        "| construction | pairs | language model, forward | unigrams of pieces | character 5-grams |" in table
    )


def test_a_run_without_pairs_has_no_card() -> None:
    assert 'id="grammar"' not in render_html(made_up_record())
