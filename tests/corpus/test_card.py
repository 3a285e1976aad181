"""The corpus card: numbers worked out by hand, scripts, languages, and samples that no order changes."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from evaluation.samples import changed, made_up_corpus_card
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.corpus.card import CorpusCard, LengthBin, read_corpus_card, read_samples
from ulmfit.corpus.documents import Account, Document, Selection, write_corpus
from ulmfit.corpus.hash_sample import HashSample
from ulmfit.corpus.sampling import salted_hash
from ulmfit.corpus.stages import CorpusStage
from ulmfit.corpus.statistics import (
    LEFTOVERS,
    CorpusStatistics,
    account_counts,
    histogram,
    languages,
    leftovers_in,
)
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.runner import Runner

LONG = "lange Straße durch das kleine Dorf am Ufer " * 200


class GivenDocuments(CorpusStage):
    """A corpus of given documents: (id, title, text, split)."""

    stage_name: ClassVar[str] = "given-documents"
    documents: tuple[tuple[str, str, str, str], ...]

    def build(self, work):
        """Write them, and a page that was left out."""
        account = Account("given.xml", len(self.documents) + 1)
        account.leave_out("redirect", "99")
        documents = (Document(name, title, text, split=split) for name, title, text, split in self.documents)
        write_corpus(documents, work.folder, work.scratch(), account, Selection(), work.log)


DOCUMENTS = (
    ("1", "One", "Ein Haus [[steht]] am See.\nÜber den See {{ fährt", "train"),
    ("2", "Two", "ж б [[ [[ || &amp; x&amp;y", "train"),
    ("3", "Three", "東京", "valid"),
    ("4", "Four", LONG, "test"),
)


def build(tmp_path: Path, documents=DOCUMENTS, **fields) -> Path:
    return Runner(tmp_path).build(CorpusCard(corpus=GivenDocuments(documents=documents), **fields))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A plain line: 3 < 5, a-b, [1], {x}, R&D, snake_case, __init, size = big.", {}),
        ("-{zh-hans:内存;zh-hant:記憶體}-是", {"-{": 1, "}-": 1}),
        ("<ruby>東京<rp>(</rp><rt>x</rt></ruby>", {"tags": 6}),
        ("<chem>H2O</chem> <score>c</score> <mapframe width=4>\n</mapframe>", {"tags": 6, "attributes": 1}),
        ("<Poem>a</Poem> <phonos file='a'>b</phonos> <indicator name=x></indicator>", {"tags": 6}),
        ("<unknown> a <b", {}),
        ("codice_1 and formula_12", {"formula_1, codice_1": 2}),
        ("dead --> the list <!-- x", {"<!--": 1, "-->": 1}),
        ("[[Rome|the city] of old]]", {"[[": 1, "]]": 1}),
        ('{| class="wikitable"\n|}', {"{|": 1, "|}": 1, "attributes": 1}),
        ("''it'' __NOTOC__ &nbsp;&#8211; }}", {"''": 2, "__TOC__": 1, "entities": 2, "}}": 1}),
    ],
)
def test_every_construct_that_an_engine_leaves_is_counted(text, expected):
    found = leftovers_in(text)
    assert tuple(found) == LEFTOVERS
    assert {mark: count for mark, count in found.items() if count} == expected


def test_numbers_of_a_small_corpus(tmp_path):
    folder = build(tmp_path, language_documents=0)
    card = read_json(folder / "card.json")
    assert card["account"] == {
        "source": "given.xml",
        "pages_read": 5,
        "documents_written": 4,
        "left_out": {"redirect": 1},
    }
    assert card["splits"] == {
        "train": {"documents": 2, "words": 10 + 7, "characters": 48 + 26},
        "valid": {"documents": 1, "words": 2, "characters": 2},
        "test": {"documents": 1, "words": 1600, "characters": len(LONG)},
    }
    assert {mark: count for mark, count in card["leftovers"].items() if count} == {
        "[[": 3,
        "]]": 1,
        "{{": 1,
        "||": 1,
        "entities": 2,
    }
    assert card["scripts"]["Cyrillic"] == 2
    assert card["scripts"]["Han"] == 2
    assert next(iter(card["scripts"])) == "Latin"
    assert card["languages"] is None
    assert card["lengths"]["quantiles"]["0"] == 2
    assert card["lengths"]["quantiles"]["0.5"] == 7
    assert card["lengths"]["quantiles"]["1"] == 1600
    counts = {(part["fewest"], part["most"]): part["documents"] for part in card["lengths"]["histogram"]}
    assert {bounds: count for bounds, count in counts.items() if count} == {
        (2, 3): 1,
        (4, 7): 1,
        (8, 15): 1,
        (1024, 2047): 1,
    }


def test_texts_stand_in_the_samples_alone(tmp_path):
    folder = build(tmp_path)
    assert "Straße" not in (folder / "card.json").read_text()
    samples = {sample["id"]: sample for sample in read_json(folder / "samples.json")}
    assert set(samples) == {"1", "2", "3", "4"}
    assert samples["3"] == {"id": "3", "title": "Three", "split": "valid", "words": 2, "text": "東京"}
    assert samples["4"]["words"] == 1600
    assert len(samples["4"]["text"]) <= 602
    assert samples["4"]["text"].endswith(" …")


def test_same_corpus_same_bytes_in_any_order(tmp_path):
    documents = [(str(number), "t", f"Text {number} über Wasser", "train") for number in range(60)]
    shuffled = random.Random(3).sample(documents, len(documents))
    one = build(tmp_path / "one", tuple(documents), sample_documents=5)
    two = build(tmp_path / "two", tuple(shuffled), sample_documents=5)
    assert (one / "samples.json").read_bytes() == (two / "samples.json").read_bytes()
    assert read_json(one / "card.json") == read_json(two / "card.json")
    assert len(read_json(one / "samples.json")) == 5


@pytest.mark.parametrize(("samples", "language_documents"), [(0, 0), (0, 3), (7, 2), (2, 7)])
def test_sample_sizes_do_not_depend_on_each_other(tmp_path, samples, language_documents):
    documents = tuple((str(number), "t", f"ein Text {number}", "train") for number in range(30))
    folder = build(tmp_path, documents, sample_documents=samples, language_documents=language_documents)
    whole = build(tmp_path, documents, sample_documents=30, language_documents=0)
    chosen = read_json(folder / "samples.json")
    assert chosen == read_json(whole / "samples.json")[:samples]
    found = read_json(folder / "card.json")["languages"]
    assert (found["documents"] if found else 0) == language_documents


def counted(texts: Iterable[str]) -> dict:
    statistics = CorpusStatistics(0)
    for number, text in enumerate(texts):
        statistics.add(Document(str(number), "", text, split="train"))
    return statistics.figures(0).model_dump(mode="json")


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=1, max_size=12))
def test_every_letter_has_a_script(texts):
    card = counted(texts)
    letters = sum(unicodedata.category(character)[0] == "L" for text in texts for character in text)
    assert sum(card["scripts"].values()) == letters
    assert card["splits"]["train"]["characters"] == sum(map(len, texts))
    assert sum(part["documents"] for part in card["lengths"]["histogram"]) == len(texts)


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("Łódź ª ſ ﬁ Ａ", {"Latin": 8}),
        ("Στο", {"Greek": 3}),
        ("漢字ひらカタ", {"Han": 2, "Hiragana": 2, "Katakana": 2}),
        ("ქართული", {"Georgian": 7}),
        ("한국어", {"Hangul": 3}),
        ("हिन्दी", {"Devanagari": 3}),
        ("123 ,.-", {}),
    ],
)
def test_scripts(text, scripts):
    assert counted([text])["scripts"] == scripts


def test_histogram_has_every_range_between_the_shortest_and_the_longest():
    assert histogram({0: 2, 5: 1}) == (
        LengthBin(fewest=0, most=0, documents=2),
        LengthBin(fewest=1, most=1, documents=0),
        LengthBin(fewest=2, most=3, documents=0),
        LengthBin(fewest=4, most=7, documents=1),
    )


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.integers(0, 5000), st.integers(1, 5), min_size=1, max_size=30))
def test_quantiles_are_those_of_numpy(lengths):
    texts = [f"{'w ' * words}" for words, documents in lengths.items() for _ in range(documents)]
    found = counted(texts)["lengths"]["quantiles"]
    words = [len(text.split()) for text in texts]
    expected = {f"{q:g}": int(np.quantile(words, q, method="inverted_cdf")) for q in map(float, found)}
    assert found == expected


def test_languages_of_known_ones_and_of_too_little_text():
    german = "Der alte Mann ging langsam durch den Wald und dachte an seine Kindheit am Fluss."
    polish = "Stary człowiek szedł powoli przez las i myślał o swoim dzieciństwie nad rzeką."
    found = languages([german, polish, polish, "7"])
    assert found.documents == 4
    assert found.found == {"pl": 2, "de": 1, "und": 1}
    assert found.known > 100


@settings(deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 999).map(str), st.integers(1, 50)), max_size=40, unique_by=lambda x: x[0]
    ),
    st.integers(0, 300),
)
def test_hash_sample_is_the_beginning_of_the_order_by_hash(items, limit):
    sample: HashSample[str] = HashSample("salt", limit)
    for name, size in items:
        sample.offer(name, name, size)
    expected, total = [], 0
    for name, size in sorted(items, key=lambda item: salted_hash("salt", item[0])):
        if total >= limit:
            break
        expected.append(name)
        total += size
    assert sample.items() == expected


def test_account_keeps_counts_only() -> None:
    left_out = {"redirect": {"count": 214, "pages": ["12", "13"]}, "too short": {"count": 0, "pages": []}}
    account = {"source": "x", "pages_read": 215, "documents_written": 1, "left_out": left_out, "more": 1}
    assert account_counts(account) == {
        "source": "x",
        "pages_read": 215,
        "documents_written": 1,
        "left_out": {"redirect": 214, "too short": 0},
    }


def test_card_is_the_account_and_the_figures_of_a_record(tmp_path) -> None:
    write_json(tmp_path / "card.json", made_up_corpus_card())
    account = read_corpus_card(tmp_path)
    assert account.changed(figures=None).model_dump() == {
        **made_up_corpus_card()["account"],
        "figures": None,
        "parts": (),
    }
    assert (account.figures.documents, account.figures.words) == (1730, 517_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("account", None), "card of the corpus"),
        (("account", "pages_read", 1), "1 pages read but 2004 accounted for"),
        (("account", "documents_written", 1), "2004 pages read but 275 accounted for"),
        (("splits", "train", "documents", 1), "1730 documents in the histogram, 31 in the splits"),
        (("lengths", "histogram", 3, "documents", -1), "histogram.3.documents"),
        (("languages", "documents", 7), "1000 languages of 7 documents"),
        (("scripts", "Latin", "many"), "scripts.Latin"),
        (("samples", ["text"]), "samples: there is no such field"),
    ],
)
def test_card_that_is_malformed(tmp_path, change, message) -> None:
    write_json(tmp_path / "card.json", changed(made_up_corpus_card(), *change))
    with pytest.raises(InputError, match=message):
        read_corpus_card(tmp_path)


def test_card_of_another_corpus(tmp_path) -> None:
    card = made_up_corpus_card()
    card["account"] |= {"documents_written": 1729, "pages_read": 2003}
    write_json(tmp_path / "card.json", card)
    with pytest.raises(InputError, match="1729 documents, but 1730 were measured"):
        read_corpus_card(tmp_path)


def test_samples_that_are_malformed(tmp_path) -> None:
    sample = {"id": "1", "title": "", "split": "train", "words": "many", "text": ""}
    write_json(tmp_path / "samples.json", [sample])
    with pytest.raises(InputError, match="sample documents: words"):
        read_samples(tmp_path)
