"""The section on language models: seeds together, terms of training, marks where nothing compares."""

from __future__ import annotations

import pytest

from evaluation.samples import (
    made_up_language_model,
    made_up_poleval,
    made_up_record,
    made_up_training,
)
from evaluation.test_report import FORBIDDEN, HOSTILE, Page
from ulmfit.evaluation.language_models import TrainedModel
from ulmfit.report.report import render_html
from ulmfit.report.sections.language_models import Cell, describe_language_models, number


def fine_tuned(losses: list[float], **more) -> list:
    return [
        made_up_language_model(f"fine-tuned, seed {seed}", loss, split="valid", **more)
        for seed, loss in enumerate(losses)
    ]


def test_seeds_stand_below_their_mean():
    models = [made_up_language_model("pretrained", 3.0, split="valid"), *fine_tuned([2.0, 2.1, 2.3])]
    lines = describe_language_models(models, ()).quality.lines
    assert [line.name for line in lines] == [
        "pretrained",
        "fine-tuned, mean of 3",
        "seed 0",
        "seed 1",
        "seed 2",
    ]
    assert [line.is_seed for line in lines] == [False, False, True, True, True]
    assert lines[1].words == ["forward", "valid"]
    assert lines[1].cells[:2] == [Cell("41,230"), Cell("2.1333", "± 0.1528")]
    assert lines[2].cells[1] == Cell("2.0000")


def test_one_seed_has_no_mean():
    lines = describe_language_models(fine_tuned([2.0]), ()).quality.lines
    assert [line.name for line in lines] == ["fine-tuned, seed 0"]


def test_directions_and_splits_are_not_mixed():
    models = fine_tuned([2.0, 2.1]) + [
        model.changed(direction="backward") for model in fine_tuned([2.2, 2.3])
    ]
    models += [model.changed(split="test") for model in models]
    lines = [line for line in describe_language_models(models, ()).quality.lines if not line.is_seed]
    assert [line.words for line in lines] == [
        ["forward", "valid"],
        ["backward", "valid"],
        ["forward", "test"],
        ["backward", "test"],
    ]
    assert len(describe_language_models(models, ()).trained.names) == 2


@pytest.mark.parametrize(
    "unknown, mark, note",
    [
        (0, "", None),
        (
            3,
            "",
            "unknown tokens without an asterisk: 0.012 per 100 words, 0.1 at most, which perplexity bears",
        ),
        (
            300,
            "*",
            "* not comparable: unknown tokens make perplexity and bits per character look too good "
            "(1.2 per 100 words, more than 0.1)",
        ),
    ],
)
def test_unknown_tokens_mark_what_does_not_compare(unknown, mark, note):
    section = describe_language_models(fine_tuned([2.0], unknown=unknown), ())
    assert [cell.mark for cell in section.quality.lines[0].cells] == ["", "", mark, mark, mark]
    assert section.notes[:-1] == ([note] if note else [])


def test_replaced_words_mark_as_well():
    section = describe_language_models(fine_tuned([2.0], rare_words_replaced=True), ())
    assert [cell.mark for cell in section.quality.lines[0].cells] == ["", "", "*", "*", "*"]
    assert section.notes[0] == "* not comparable: rare words of the texts were replaced by a mark"


def test_perplexity_beyond_a_float_has_no_mean():
    cells = describe_language_models(fine_tuned([2.0, 900.0]), ()).quality.lines[0].cells
    assert cells[3] == cells[2] == Cell("–")
    assert number(2.5e6) == "2.50e+06"


def test_terms_of_training():
    trained = made_up_training(skipped_steps=2, matched_vocabulary=0.874)
    models = fine_tuned([2.0, 2.1], trained=trained, parameters=7, seconds=90.0, tokens_per_second=1000.0)
    models[1] = models[1].changed(tokens_per_second=2000.0)
    terms = describe_language_models(models, ()).trained
    assert terms.names == ["fine-tuned, 2 seeds, forward"]
    assert terms.lines == [
        ("layers", ["AWD-LSTM 3 × 1,152"]),
        ("embedding", ["400"]),
        ("vocabulary", ["15,000"]),
        ("parameters", ["7"]),
        ("ids matched in the vocabulary of the model it began with", ["87.4 %"]),
        ("precision", ["bf16"]),
        ("engine", ["fast"]),
        ("tokens a second", ["1,500"]),
        ("training time", ["1 min 30 s"]),
        ("steps skipped, their gradients not finite", ["4"]),
    ]


def test_what_nobody_knows_has_no_line():
    assert describe_language_models(fine_tuned([2.0]), ()).trained.lines == []
    qrnn = describe_language_models(fine_tuned([2.0], trained=TrainedModel(kind="qrnn")), ())
    assert qrnn.trained.lines == [("layers", ["QRNN"])]


def test_poleval_stands_apart(record):
    section = describe_language_models(record.language_models, [made_up_poleval()])
    assert section.poleval is not None
    assert section.poleval.numbers[-1] == "PolEval-2018 word perplexity"
    assert [cell.value for cell in section.poleval.lines[0].cells] == ["90", "25,770", "1.56 %", "118.39"]
    assert "PolEval-2018 word perplexity" not in section.quality.numbers
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
