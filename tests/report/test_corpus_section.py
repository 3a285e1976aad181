"""The page's sections on corpora and tokenizers: every number of the cards; texts only where given."""

from __future__ import annotations

import re

import pytest
from evaluation.samples import made_up_pieces, made_up_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from report.test_report import Page
from ulmfit.corpus.card import CorpusPart
from ulmfit.pipeline.errors import InputError
from ulmfit.report.bars import bars_of_counts, share, width
from ulmfit.report.charts import HEIGHT, LEFT, TOP, WIDTH, Column, column_chart
from ulmfit.report.report import render_html
from ulmfit.report.sections.tokenizers import describe_tokenizers


def text_of(html: str) -> str:
    return " ".join(" ".join(Page(html).text).split())


def test_every_number_of_the_corpus_is_on_the_page(page):
    text = text_of(page)
    for shown in (
        *("train 1,700 510,000 3,400,000", "all 1,730 517,000 3,451,000"),
        *("[[ 3 5.8", "|| 1 1.9", "all of them 4 7.7"),
        *("Latin 2,800,000 >99.9 %", "Cyrillic 900 <0.1 %", "xx 985 98.5 %", "undecided 12 1.2 %"),
        "shortest 3, first quartile 80, median 210, third quartile 460, longest 4,100",
        "Identified in a sample of 1,000 documents. The identifier knows 140 languages",
        "Leak check: 2 of 180 test texts stand in the pretraining corpus",
        *("test-3", "test-41"),
    ):
        assert shown in text
    assert "64 to 127 words: 330 documents" in page


def test_the_parts_of_a_joined_corpus_are_on_the_page(record):
    account = record.corpora[0]
    parts = (
        CorpusPart(source="news", available=900, documents=600, words=7_500),
        CorpusPart(source="<novels>", available=90, documents=90, words=2_500),
    )
    text = text_of(render_html(record.changed(corpora=(account.changed(parts=parts),))))
    assert "news 900 600 7,500 75.0 %" in text and "<novels> 90 90 2,500 25.0 %" in text
    assert "what was taken of each" not in text_of(render_html(record))


def test_sample_documents_are_shown_as_text_in_their_direction(page):
    elements = Page(page).elements
    assert ("p", {"class": "sample", "dir": "auto"}) in elements
    assert "שלום 77 , valid, 4 words" in text_of(page)
    assert "Kalomi tu.\nPove duri. …" in page


def test_record_alone_shows_no_texts(record):
    html = render_html(record)
    assert "Sample documents" not in html
    assert "Kalomi" not in html
    assert "Pieces of" not in html
    assert "kalominetu" not in html
    assert "all of them 4 7.7" in text_of(html)
    assert "tokens per word (fertility) 1.599 1.350" in text_of(html)


def test_page_of_a_corpus_without_a_data_set_or_models(record):
    bare = record.changed(dataset=None, rows=(), language_models=(), stages=(), leaks=None, tokenizers=None)
    html = render_html(bare, samples=[made_up_samples()])
    ids = [attributes["id"] for tag, attributes in Page(html).elements if tag == "section"]
    assert ids == ["corpus", "run", "repeat"]


def test_corpus_that_nobody_measured(record):
    corpus = record.corpora[0].changed(figures=None)
    html = render_html(record.changed(corpora=(corpus, record.corpora[0])))
    assert html.count("Of 2,004 pages read") == 2
    assert html.count("<figcaption>Markup left over") == 1


def test_languages_that_nobody_identified(record):
    corpus = record.corpora[0]
    figures = corpus.figures.changed(languages=None)
    assert "Languages" not in render_html(record.changed(corpora=(corpus.changed(figures=figures),)))


def test_samples_that_do_not_fit(record):
    with pytest.raises(InputError, match="sample documents of 2 corpora do not fit a record of 1"):
        render_html(record, samples=[[], []])


def test_tokenizers_stand_side_by_side(page):
    text = text_of(page)
    for shown in (
        "unigram 8,000 bpe 25,000",
        *(
            "validation documents of the corpus: 90 texts, 10,000 words",
            "train and valid texts of the task: 90",
        ),
        *("tokens per word (fertility) 1.599 1.350", "tokens per word (fertility) 1.799 1.550"),
        *("characters per token 3.877 4.593", "bytes per token 4.003 4.741"),
        *("words kept whole 66.7 % 66.7 %", "unknown tokens 0.31 % 0.37 %"),
        *("words with an unknown token 0.40 % 0.40 %", "tokens per text, median 50 50"),
        *(
            "tokens per text, 95 % have at most 109 109",
            "learned pieces that none of these texts uses 1.3 % 0.4 %",
        ),
        *("Pieces of unigram 8,000", "▁kalominetu 3", "שלו 0"),
    ):
        assert shown in text
    assert "single bytes" not in text


def test_byte_pieces_get_a_line_where_there_are_any(record):
    one, two = record.tokenizers.tokenizers
    with_bytes = {"corpus": one.texts["corpus"].changed(byte_tokens=160), "target": one.texts["target"]}
    tokenizers = record.tokenizers.changed(tokenizers=(one.changed(texts=with_bytes), two))
    text = text_of(render_html(record.changed(tokenizers=tokenizers)))
    assert text.count("tokens that are single bytes") == 1
    assert "tokens that are single bytes 1.00 % 0.00 %" in text


def test_no_texts_give_dashes(record):
    one, two = record.tokenizers.tokenizers
    sizes = {kind: size.changed(texts=0, words=0) for kind, size in record.tokenizers.texts.items()}
    empty = {
        kind: counts.changed(tokens=0, bare_words=0, words=0, lengths={})
        for kind, counts in one.texts.items()
    }
    comparison = record.tokenizers.changed(texts=sizes, tokenizers=(one.changed(texts=empty), two))
    lines = describe_tokenizers(comparison, []).table.lines
    first = next(place for place, line in enumerate(lines) if line[0].startswith("validation documents"))
    assert {line[1] for line in lines[first + 1 : first + 10]} == {"–"}


def test_pieces_of_other_tokenizers(record):
    with pytest.raises(InputError, match="pieces of 1 tokenizers do not fit a card of 2"):
        describe_tokenizers(record.tokenizers, made_up_pieces()[:1])


def test_shares_never_hide_that_there_is_something():
    shown = [share(part, 10_000) for part in (0, 1, 5, 500, 9_999, 10_000)]
    assert shown == ["0.0 %", "<0.1 %", "0.1 %", "5.0 %", ">99.9 %", "100.0 %"]
    assert share(1, 100_000, 2) == "<0.01 %"
    assert share(0, 0) == "–"
    assert width(1, 3) == 33.33
    assert width(1, 0) == 0.0


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50), max_size=12), st.integers(1, 9))
def test_bars_add_up(counts, most):
    bars = bars_of_counts(counts, sum(counts.values()), most)
    assert len(bars) == min(len(counts), most)
    assert sum(int(bar.value) for bar in bars) == sum(counts.values())
    assert all(0 <= bar.width <= 100 for bar in bars)


def test_what_is_beyond_the_longest_bars_is_one_bar():
    bars = bars_of_counts({"a": 1, "b": 5, "c": 5, "d": 2}, 13, 3)
    assert [(bar.name, bar.value) for bar in bars] == [("b", "5"), ("c", "5"), ("2 others", "3")]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=40))
def test_columns_stay_in_the_plot_and_their_heights_are_proportional(values):
    chart = column_chart(
        [Column(str(value), value, f"{value}") for value in values], title="t", x_title="x", y_title="y"
    )
    boxes = [
        tuple(float(number) for number in found)
        for found in re.findall(
            r'<rect class="column" x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"', chart
        )
    ]
    assert len(boxes) == len(values)
    highest = max(box[3] for box in boxes)
    for value, (left, top, breadth, height) in zip(values, boxes, strict=True):
        assert LEFT < left < left + breadth < WIDTH
        assert top >= TOP and top + height < HEIGHT
        assert height == pytest.approx(highest * value / max([1, *values]), abs=0.2)
    assert 1 <= len(re.findall(r'text-anchor="middle"', chart)) <= 10


def test_chart_of_no_columns_is_empty():
    assert column_chart([], title="t", x_title="x", y_title="y") == ""
