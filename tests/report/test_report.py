"""The page: it loads nothing, shows hostile names as text, and has the same bytes every time."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from evaluation.part_samples import made_up_errors, with_statistics
from evaluation.samples import (
    made_up_histories,
    made_up_history,
    made_up_pieces,
    made_up_record,
    made_up_samples,
)

from ulmfit.classifier import occlusion
from ulmfit.classifier.occlusion import Explanation, Word
from ulmfit.corpus.card import SampleDocument
from ulmfit.evaluation.error_analysis import ErrorAnalysis
from ulmfit.evaluation.record import Record, RowResult
from ulmfit.pipeline.errors import InputError
from ulmfit.report.bars import duration
from ulmfit.report.report import SECTIONS as EVERY_SECTION
from ulmfit.report.report import render_html
from ulmfit.report.section import History, Material, Section
from ulmfit.report.sections.training_curves import smoothed
from ulmfit.tokens.card import Piece, PieceLists

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
NASTY = (
    HOSTILE,
    "</span></p></li></ol></section><script>alert(3)</script>",
    "\u202eright to left\u202c \u2067\u05e9\u05dc\u05d5\u05dd\u2069 \u0645\u0631\u062d\u0628\u0627",
    "zero\u200b\u200d\ufeffwidth",
    "Donau" * 200,
    "one\ntwo\n\n\tthree",
)
"""Texts that would break a page which trusted them, or its layout."""
LOADING = {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "background", "formaction"}
FORBIDDEN = {"script", "iframe", "object", "embed", "link", "img", "base", "form", "video", "audio", "use"}
CHARTS = 4 + 1 + 2 + 2 * 2
"""Training, lengths, learning curves, and reliability before and after scaling of two rows."""
SECTIONS = (
    "results",
    "learning-curves",
    "confusion",
    "errors",
    "calibration",
    "language-models",
    "training",
    "time",
    "corpus",
    "tokenizers",
    "run",
    "repeat",
)
"""Of a page with everything, in this order."""
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; checks that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def hostile_record() -> Record:
    """The made-up record with a hostile text wherever a text can stand."""
    record = with_statistics(made_up_record())
    labels = (HOSTILE, "]]>", "}}{{ 7*7 }}")
    dataset = record.dataset.changed(name=HOSTILE, source=HOSTILE, licence=HOSTILE, labels=labels)
    corpus, tokenizers = record.corpora[0], record.tokenizers
    languages = corpus.figures.languages.changed(found={HOSTILE: 1000})
    figures = corpus.figures.changed(scripts={HOSTILE: 7}, languages=languages, leftovers={HOSTILE: 2})
    return record.changed(
        recipe=HOSTILE,
        title=HOSTILE,
        language=HOSTILE,
        preset=HOSTILE,
        labels=(HOSTILE,),
        command=HOSTILE,
        commit=HOSTILE,
        dataset=dataset,
        rows=tuple(row.changed(name=HOSTILE, notes=(HOSTILE,), label_metrics={}) for row in record.rows),
        comparisons=tuple(one.changed(row=HOSTILE, reference=HOSTILE) for one in record.comparisons),
        published=tuple(one.changed(name=HOSTILE, source=HOSTILE, note=HOSTILE) for one in record.published),
        curves=tuple(
            curve.changed(
                metric=HOSTILE,
                notes=(HOSTILE,),
                lines=tuple(line.changed(name=HOSTILE) for line in curve.lines),
            )
            for curve in record.curves
        ),
        language_models=tuple(model.changed(name=HOSTILE) for model in record.language_models),
        stages=tuple(stage.changed(name=HOSTILE, key=HOSTILE) for stage in record.stages),
        inputs={HOSTILE: "ab" * 32},
        configuration={HOSTILE: [HOSTILE]},
        versions={HOSTILE: HOSTILE},
        hardware={HOSTILE: HOSTILE},
        corpora=(corpus.changed(source=HOSTILE, left_out={HOSTILE: 274}, figures=figures),),
        leaks=record.leaks.changed(leaked=(HOSTILE,)),
        tokenizers=tokenizers.changed(
            tokenizers=tuple(one.changed(kind=HOSTILE) for one in tokenizers.tokenizers)
        ),
    )


def hostile_errors() -> ErrorAnalysis:
    """An analysis of errors with hostile texts, ids, labels and pieces."""
    analysis = made_up_errors()
    pieces = (occlusion.Piece(HOSTILE, 0.2), occlusion.Piece(HOSTILE, -0.1))
    word = Word(HOSTILE, 0.4, pieces)
    explanation = Explanation(HOSTILE, 0.7, (word, replace(word, weight=-0.2)), cut=True)
    mistakes = [
        replace(
            one,
            id=HOSTILE,
            text=NASTY[number % len(NASTY)],
            gold=HOSTILE,
            predicted=HOSTILE,
            explanation=replace(
                explanation, words=(*explanation.words, Word(NASTY[number % len(NASTY)], 0.3, ()))
            )
            if number % 2
            else None,
        )
        for number, one in enumerate(analysis.mistakes)
    ]
    labels = [replace(one, label=HOSTILE) for one in analysis.labels]
    return replace(analysis, name=HOSTILE, mistakes=tuple(mistakes), labels=tuple(labels))


def hostile_page() -> str:
    """The page of that record with sample documents and pieces of the same kind."""
    sample = SampleDocument(id=HOSTILE, title=HOSTILE, split="train", words=3, text=HOSTILE)
    pieces = PieceLists(longest=(Piece(piece=HOSTILE, uses=1),), rarest=(Piece(piece=HOSTILE, uses=0),))
    return render_html(
        hostile_record(),
        [made_up_history(HOSTILE)],
        samples=[[sample, sample.changed(title="")]],
        pieces=[pieces, pieces],
        errors=hostile_errors(),
    )


def strips() -> int:
    """Return how many strips the page has: differences, and shares by length and so on."""
    errors = made_up_errors()
    parts = (errors.by_length, errors.by_unseen, errors.by_fertility, errors.labels)
    return 4 + sum(map(len, parts))


def test_page_loads_nothing(page):
    for tag, attributes in Page(page).elements:
        assert tag not in FORBIDDEN
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in LOADING or (value or "").startswith("#")
    assert not re.search(r"url\(|@import|https?://|javascript:", page)


def test_policy_forbids_loading(page):
    policies = [a for tag, a in Page(page).elements if tag == "meta" and "http-equiv" in a]
    assert policies[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_section_is_folded_behind_its_heading(page):
    assert page.count('<details class="part">') == page.count("<section ") == len(SECTIONS)
    folded = r'<details class="part">\s*<summary><h2>[^<]+</h2></summary>\s*<section id="([^"]+)">'
    assert tuple(re.findall(folded, page)) == SECTIONS


def test_verdict_and_picture_stand_before_every_section(page):
    places = [page.index(part) for part in ('class="conclusion"', 'class="overview"', "<details")]
    assert places == sorted(places)


def test_same_input_same_bytes(record, histories, page):
    texts = {"samples": [made_up_samples()], "pieces": made_up_pieces(), "errors": made_up_errors()}
    assert render_html(with_statistics(record), histories, **texts) == page
    assert render_html(with_statistics(made_up_record()), made_up_histories(), **texts) == page


def test_hostile_names_are_text():
    html = hostile_page()
    parsed = Page(html)
    assert not {tag for tag, _ in parsed.elements} & FORBIDDEN
    assert all(not name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in "".join(parsed.text)


def test_one_row_of_the_results_is_marked_as_the_best(page):
    results = re.search(r'<table class="data results">.*?</table>', page, flags=re.S)[0]
    (row,) = re.findall(r'<tr class="best">.*?</tr>', results, flags=re.S)
    assert "ULMFiT, forward + backward" in row


def test_captions_explain_only_columns_of_their_tables(record):
    full = with_statistics(record)
    section = re.search(r'<section id="results">.*?</section>', render_html(full), flags=re.S)[0]
    table, differences = section.split("<h3", 1)
    assert "Difference:" not in table and "Holm" not in table and "seed noise" not in table
    assert "margin of the seeds</th>" in differences and "within the margin" in differences
    unknown = full.changed(comparisons=tuple(one.changed(seed_margin=None) for one in full.comparisons))
    assert "margin of the seeds" not in render_html(unknown).partition('class="overview"')[2]


def test_calibration_of_baselines_is_folded(record):
    full = with_statistics(record)
    calibration = full.rows[3].calibration
    rows = [
        row.changed(calibration=calibration[: row.runs]) if row.kind == "baseline" else row
        for row in full.rows
    ]
    page = render_html(full.changed(rows=tuple(rows)))
    section = re.search(r'<section id="calibration">.*?</section>', page, flags=re.S)[0]
    shown, folded = section.split("<details>")
    assert "<summary>Calibration of the baselines (2)</summary>" in folded
    assert "TF-IDF" not in shown and "ULMFiT, forward" in shown
    assert folded.count("T = ") == 2
    assert "Calibration of the baselines" not in render_html(full)


def test_a_gap_of_validation_is_pointed_out_at_the_top(record):
    row = record.rows[3]
    far = row.changed(metrics={**row.metrics, "macro_f1": record.rows[2].metrics["macro_f1"]})
    page = render_html(record.changed(rows=(*record.rows[:3], far)))
    assert '<p class="warning">Validation is more than 3 points above test in 1 of 1 rows' in page
    assert page.index('class="warning"') < page.index('class="overview"')
    assert "Validation is more" not in render_html(record)


def test_every_number_of_the_table_is_on_the_page(page):
    text = " ".join(" ".join(Page(page).text).split())
    for shown in ("89.24 ± 0.28", "80.26", "157.17", "103.52*", "8 h 22 min", "1,730", "10.7 %"):
        assert shown in text
    assert "ulmfit run recipes/xx/reviews.py --seeds 0,1,2" in text
    assert "transductive: the language model has seen the texts of the test split" in text


def test_statistics_are_on_the_page(page):
    text = " ".join(" ".join(Page(page).text).split())
    for shown in (
        "89.24 ± 0.28 [85.2, 92.7]",
        "Difference from ULMFiT, forward + backward",
        "−31.25 −36.25 to −27.25",
        "<0.001 0.004 0.016",
        "<0.001 0.004 0.016 –",
        "0.210 0.200 0.400 ± 8.00",
        "best of a shared task macro F1 Table 3 there unverified 76.8",
        "fastText accuracy its paper frozen vectors 71.25",
        "T = 1.700 ± 0.100; 3 runs",
        "before ECE 12.00 % ± 0.00 %",
        "after temperature scaling ECE 2.00 % ± 0.00 %",
        "all (1,600)",
    ):
        assert shown in text


def test_errors_are_on_the_page(page):
    analysis = made_up_errors()
    text = " ".join(" ".join(Page(page).text).split())
    wrong = analysis.right.whole - analysis.right.part
    assert f"{wrong} of 200 texts are wrong" in text
    for mistake in analysis.mistakes:
        assert mistake.text in text
    words = [
        a for tag, a in Page(page).elements if tag == "span" and "word" in (a.get("class") or "").split()
    ]
    shaded = [a for a in words if "title" in a]
    assert len(shaded) == sum(len(one.text.split()) for one in analysis.mistakes[:3])
    assert {a["class"] for a in shaded} == {"word", "word for", "word against"}
    first = shaded[0]["title"]
    assert re.fullmatch(r"\w+ \+40\.0 \(\w+ \+20\.0, \w+ \+13\.3\)", first)


def test_charts_are_xml_with_a_name(page):
    charts = re.findall(r'<svg class="(?:chart|strip)[^"]*".*?</svg>(?=\n|</td>)', page, flags=re.S)
    assert len(charts) == CHARTS + strips()
    for chart in charts:
        assert ElementTree.fromstring(chart).get("aria-label")


def as_before(row: RowResult) -> RowResult:
    """Return a row of a record from before there were intervals and calibrations."""
    metrics = {name: metric.changed(interval=None) for name, metric in row.metrics.items()}
    return row.changed(metrics=metrics, label_metrics={}, calibration=())


def test_record_with_nothing_but_its_rows(record):
    bare = record.changed(
        labels=(),
        language_models=(),
        stages=(),
        corpora=(),
        leaks=None,
        tokenizers=None,
        inputs={},
        configuration={},
        hardware={},
        rows=tuple(map(as_before, record.rows)),
    )
    ids = [attributes.get("id") for tag, attributes in Page(render_html(bare)).elements if tag == "section"]
    assert ids == ["results", "confusion", "run", "repeat"]


def test_language_models_without_a_data_set(record):
    html = render_html(record.changed(dataset=None, rows=()))
    ids = [attributes.get("id") for tag, attributes in Page(html).elements if tag == "section"]
    assert ids == ["language-models", "time", "corpus", "tokenizers", "run", "repeat"]
    assert re.search(r'<details class="part" open>\s*<summary><h2>Language models', html)
    assert "* not comparable" in html
    assert "Main metric" not in html


def test_record_without_rows(record):
    html = render_html(record.changed(rows=()))
    assert "No row has been scored yet." in html


def test_changed_tree_is_told(record):
    html = render_html(record.changed(commit="abc+changes"))
    assert "git checkout abc\n" in html
    assert "may not give the same numbers" in html


def test_what_the_command_does_not_say_is_told_beside_it(record):
    notes = ("no commit holds the recipe <b>as it was</b>", "code or recipes had changes")
    html = render_html(record.changed(commit="abc+changes", repeat_notes=notes))
    assert '<p class="warning">No commit holds the recipe &lt;b&gt;as it was&lt;/b&gt;.</p>' in html
    assert '<p class="warning">Code or recipes had changes.</p>' in html
    assert "may not give the same numbers" not in html


@pytest.mark.parametrize(
    "data",
    [{}, {"steps": [{"step": 1}], "epochs": []}, {"steps": 3, "epochs": []}, {"steps": ["x"], "epochs": []}],
)
def test_malformed_history(record, data):
    with pytest.raises(InputError, match="history of 'lm' is malformed"):
        render_html(record, [History("lm", data)])


def test_history_without_steps(record):
    assert "Nothing was written down." in render_html(record, [History("lm", {"steps": [], "epochs": []})])


def test_epochs_without_validation_draw_no_validation_line(record):
    history = made_up_history("lm")
    for epoch in history.data["epochs"]:
        epoch["valid_loss"] = None
    assert ">validation<" not in render_html(record, [history]).replace("\n", "")


def test_equal_learning_rates_share_a_line(record):
    history = made_up_history("lm", groups=3)
    for step in history.data["steps"]:
        step["learning_rates"] = [0.1, 0.1, 0.2]
    html = render_html(record, [history])
    assert "layer groups 1–2 (lowest)" in html
    assert "layer group 3 (head)" in html


def test_learning_rates_far_apart_get_a_logarithmic_axis(record):
    html = render_html(record, [made_up_history("classifier", groups=5)])
    assert all(f">{label}</text>" in html for label in ("0.01", "0.001", "0.0001"))


def test_smoothed():
    assert smoothed([1, 2, 3, 4], 0) == [1, 2, 3, 4]
    assert smoothed([1, 2, 3, 4], 2) == [1.5, 2, 3, 3.5]
    assert smoothed([1, float("nan"), 3], 2) == [1, 2, 3]


def test_durations():
    shown = [duration(seconds) for seconds in (0.41, 9.96, 12, 200, 3599.6, 7500, 86_400 * 2)]
    assert shown == ["0.4 s", "10.0 s", "12 s", "3 min 20 s", "1 h 00 min", "2 h 05 min", "48 h 00 min"]


def test_every_section_has_a_template_of_its_own(record):
    assert len({section.template for section in EVERY_SECTION}) == len(EVERY_SECTION)
    assert len({section.id for section in EVERY_SECTION}) == len(EVERY_SECTION)
    shown = {section.id for section in EVERY_SECTION if section.describe(Material(record)) is not None}
    assert {"results", "corpus", "run", "repeat"} <= shown and "errors" not in shown


def test_a_new_section_is_one_entry_in_one_list(record, monkeypatch):
    words = Section("words", "Words", "times.html.j2", lambda material: {"total": "7 words", "bars": []})
    monkeypatch.setattr("ulmfit.report.report.SECTIONS", (words, *EVERY_SECTION))
    page = render_html(record)
    assert '<section id="words">' in page and "7 words in all" in page
    assert page.index("<h2>Words</h2>") < page.index("<h2>Results</h2>")
