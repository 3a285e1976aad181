"""The section on language models: seeds together, terms of training, marks where nothing compares."""

from __future__ import annotations

import pytest
from evaluation.samples import (
    made_up_language_model,
    made_up_poleval,
    made_up_record,
    made_up_training,
)

from report.test_report import FORBIDDEN, HOSTILE, Page
from ulmfit.evaluation.metric_text import shown_perplexity
from ulmfit.language_model.figures import TrainedModel
from ulmfit.report.report import render_html
from ulmfit.report.sections.language_models import describe_language_models


def fine_tuned(losses: list[float], **more) -> list:
    return [
        made_up_language_model(f"fine-tuned, seed {seed}", loss, split="valid", **more)
        for seed, loss in enumerate(losses)
    ]


def test_seeds_stand_below_their_mean():
    models = [made_up_language_model("pretrained", 3.0, split="valid"), *fine_tuned([2.0, 2.1, 2.3])]
    rows = describe_language_models(models, ()).quality.rows
    assert [row.cells[0] for row in rows] == [
        "pretrained",
        "fine-tuned, mean of 3",
        "seed 0",
        "seed 1",
        "seed 2",
    ]
    assert [row.style for row in rows] == ["", "", "seed", "seed", "seed"]
    assert rows[1].cells[1:5] == ["forward", "valid", "41,230", "2.1333 ± 0.1528"]
    assert rows[2].cells[4] == "2.0000"


def test_one_seed_has_no_mean():
    lines = describe_language_models(fine_tuned([2.0]), ()).quality.lines
    assert [line[0] for line in lines] == ["fine-tuned, seed 0"]


def test_directions_and_splits_are_not_mixed():
    models = fine_tuned([2.0, 2.1]) + [
        model.changed(direction="backward") for model in fine_tuned([2.2, 2.3])
    ]
    models += [model.changed(split="test") for model in models]
    rows = [row for row in describe_language_models(models, ()).quality.rows if row.style != "seed"]
    assert [list(row.cells[1:3]) for row in rows] == [
        ["forward", "valid"],
        ["backward", "valid"],
        ["forward", "test"],
        ["backward", "test"],
    ]
    assert len(describe_language_models(models, ()).trained.header) == 3


@pytest.mark.parametrize(
    "unknown, mark, note",
    [
        (0, "", None),
        (
            3,
            "",
            "without *: 0.012 unknown tokens per 100 words (limit 0.1)",
        ),
        (
            300,
            "*",
            "* not comparable: 1.2 unknown tokens per 100 words (limit 0.1)",
        ),
    ],
)
def test_unknown_tokens_mark_what_does_not_compare(unknown, mark, note):
    quality = describe_language_models(fine_tuned([2.0], unknown=unknown), ()).quality
    assert [cell.endswith("*") for cell in quality.lines[0]] == [False] * 5 + [mark == "*"] * 3
    assert quality.notes[:-1] == ([note] if note else [])


def test_replaced_words_mark_as_well():
    quality = describe_language_models(fine_tuned([2.0], rare_words_replaced=True), ()).quality
    assert [cell.endswith("*") for cell in quality.lines[0]] == [False] * 5 + [True] * 3
    assert quality.notes[0] == "* not comparable: rare words of the texts were replaced by a mark"


def test_perplexity_beyond_a_float_has_no_mean():
    line = describe_language_models(fine_tuned([2.0, 900.0]), ()).quality.lines[0]
    assert line[5] == line[6] == "–"
    assert shown_perplexity(2.5e6, 5_000) == "2.50e+06"


def test_perplexity_of_a_few_tokens_is_rough() -> None:
    """A figure over 35 tokens is not printed like one over 100,000."""
    assert shown_perplexity(123.456, 100_000) == "123.46"
    assert shown_perplexity(123.456, 35) == "≈ 123"
    assert shown_perplexity(None, 35) == "–"
    models = [one.model_copy(update={"tokens": 35}) for one in fine_tuned([2.0, 2.1])]
    quality = describe_language_models(models, ()).quality
    assert quality.lines[0][5].startswith("≈ 8 ± ")
    assert "≈ rough: fewer than 1,000 tokens were scored, and a few words decide" in quality.notes


def test_terms_of_training():
    trained = made_up_training(skipped_steps=2, matched_vocabulary=0.874)
    models = fine_tuned([2.0, 2.1], trained=trained, parameters=7, seconds=90.0, tokens_per_second=1000.0)
    models[1] = models[1].changed(tokens_per_second=2000.0)
    terms = describe_language_models(models, ()).trained
    assert terms.header == ["", "fine-tuned, 2 seeds, forward"]
    assert terms.lines == [
        ["layers", "AWD-LSTM 3 × 1,152"],
        ["embedding", "400"],
        ["vocabulary", "15,000"],
        ["parameters", "7"],
        ["ids matched in the vocabulary of the model it began with", "87.4 %"],
        ["precision", "bf16"],
        ["engine", "fast"],
        ["tokens per second", "1,500"],
        ["training time", "1 min 30 s"],
        ["steps skipped, their gradients not finite", "4"],
    ]


def test_what_nobody_knows_has_no_line():
    assert describe_language_models(fine_tuned([2.0]), ()).trained.lines == []
    qrnn = describe_language_models(fine_tuned([2.0], trained=TrainedModel(kind="qrnn")), ())
    assert qrnn.trained.lines == [["layers", "QRNN"]]


def test_poleval_stands_apart(record):
    section = describe_language_models(record.language_models, [made_up_poleval()])
    assert section.poleval is not None
    assert section.poleval.header[-1] == "PolEval-2018 word perplexity"
    assert section.poleval.lines[0][2:] == ["90", "25,770", "1.56 %", "118.39"]
    assert "PolEval-2018 word perplexity" not in section.quality.header
    assert "As PolEval 2018 counted" in render_html(record)
    assert "As PolEval 2018 counted" not in render_html(record.changed(poleval=()))


def test_record_of_an_older_program(record):
    """Records hold what was known when they were written."""
    old = [model.changed(trained=None, scoring_precision=None) for model in record.language_models]
    html = render_html(record.changed(language_models=tuple(old)))
    assert "steps skipped" not in html
    assert "fine-tuned, mean of 3" in html


def test_hostile_names_are_text_in_every_table():
    record = made_up_record()
    models = tuple(
        model.changed(name=f"{HOSTILE}, seed {place}", trained=made_up_training(engine=HOSTILE))
        for place, model in enumerate(record.language_models)
    )
    poleval = tuple(result.changed(name=HOSTILE) for result in record.poleval)
    parsed = Page(render_html(record.changed(language_models=models, poleval=poleval)))
    assert not {tag for tag, _ in parsed.elements} & FORBIDDEN
    assert all(not name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert sum(HOSTILE in text for text in parsed.text) >= 4
