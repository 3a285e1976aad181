"""The page: it loads nothing, shows hostile names as text, and has the same bytes every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from evaluation.samples import (
    made_up_histories,
    made_up_history,
    made_up_pieces,
    made_up_record,
    made_up_samples,
)
from ulmfit.errors import InputError
from ulmfit.evaluation.curves import smoothed
from ulmfit.evaluation.record import Record
from ulmfit.evaluation.report import History, duration, render_html

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
LOADING = {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "background", "formaction"}
FORBIDDEN = {"script", "iframe", "object", "embed", "link", "img", "base", "form", "video", "audio", "use"}
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
    record = made_up_record()
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
        rows=tuple(row.changed(name=HOSTILE, notes=(HOSTILE,)) for row in record.rows),
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


def hostile_page() -> str:
    """The page of that record with sample documents and pieces of the same kind."""
    sample = {"id": HOSTILE, "title": HOSTILE, "split": "train", "words": 3, "text": HOSTILE}
    pieces = {"longest": [{"piece": HOSTILE, "uses": 1}], "rarest": [{"piece": HOSTILE, "uses": 0}]}
    return render_html(
        hostile_record(),
        [made_up_history(HOSTILE)],
        samples=[[sample, {**sample, "title": ""}]],
        pieces=[pieces, pieces],
    )


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


def test_links_lead_to_sections(page):
    elements = Page(page).elements
    ids = {attributes["id"] for _, attributes in elements if "id" in attributes}
    targets = {attributes["href"] for tag, attributes in elements if tag == "a"}
    assert {target.removeprefix("#") for target in targets} == ids
    assert len(ids) == 8


def test_same_input_same_bytes(record, histories, page):
    texts = {"samples": [made_up_samples()], "pieces": made_up_pieces()}
    assert render_html(record, histories, **texts) == page
    assert render_html(made_up_record(), made_up_histories(), **texts) == page


def test_hostile_names_are_text():
    html = hostile_page()
    parsed = Page(html)
    assert not {tag for tag, _ in parsed.elements} & FORBIDDEN
    assert all(not name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in "".join(parsed.text)


def test_every_number_of_the_table_is_on_the_page(page):
    text = " ".join(" ".join(Page(page).text).split())
    for shown in ("89.24 ± 0.28", "80.26", "157.17", "103.52*", "8 h 22 min", "1,730", "10.7 %"):
        assert shown in text
    assert "ulmfit run recipes/xx/reviews.py --seeds 0,1,2" in text
    assert "transductive: the language model has seen the texts of the test split" in text


def test_charts_are_xml_with_a_name(page):
    charts = re.findall(r'<svg class="(?:chart|strip)".*?</svg>(?=\n|</td>)', page, flags=re.S)
    assert len(charts) == 4 + 1 + 5
    for chart in charts:
        assert ElementTree.fromstring(chart).get("aria-label")


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
    )
    ids = [attributes.get("id") for tag, attributes in Page(render_html(bare)).elements if tag == "section"]
    assert ids == ["results", "confusion", "repeat"]


def test_language_models_without_a_data_set(record):
    html = render_html(record.changed(dataset=None, rows=()))
    ids = [attributes.get("id") for tag, attributes in Page(html).elements if tag == "section"]
    assert ids == ["language-models", "time", "corpus", "tokenizers", "repeat"]
    assert "* not comparable" in html
    assert "Main metric" not in html


def test_record_without_rows(record):
    html = render_html(record.changed(rows=()))
    assert "No row has been scored yet." in html


def test_changed_tree_is_told(record):
    html = render_html(record.changed(commit="abc+changes"))
    assert "git checkout abc\n" in html
    assert "may not give the same numbers" in html


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
