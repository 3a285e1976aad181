"""The leak check: agreement with comparing sets of n-grams, and cases whose answer is known."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.corpus.documents import Document
from ulmfit.corpus.filtering import leaks
from ulmfit.corpus.filtering.leaks import Overlap, find_leaks
from ulmfit.corpus.filters import read_leaks
from ulmfit.pipeline.errors import InputError

DEFAULT = Overlap(ngram_words=8, min_share=0.5, min_words=5)


def nothing(_: int) -> None:
    """Show no progress."""


def check(texts: Sequence[str], documents: Sequence[str], overlap: Overlap = DEFAULT) -> dict[str, Any]:
    numbered = [Document(f"d{n}", "", text) for n, text in enumerate(documents)]
    return find_leaks([(f"t{n}", text) for n, text in enumerate(texts)], numbered, overlap, nothing)


def leaked(
    texts: Sequence[str], documents: Sequence[str], overlap: Overlap = DEFAULT
) -> dict[str, list[str]]:
    return {entry["id"]: entry["documents"] for entry in check(texts, documents, overlap)["leaked"]}


def grams(words: list[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def compared(texts: Sequence[str], documents: Sequence[str], overlap: Overlap) -> dict[str, Any]:
    """Return what a check finds in texts of small letters, by comparing everything with everything."""
    found = []
    holding: set[int] = set()
    checked = partly = 0
    for number, text in enumerate(texts):
        words = text.split()
        if len(words) < overlap.min_words:
            continue
        checked += 1
        own = grams(words, min(len(words), overlap.ngram_words))
        sets = [set(grams(document.split(), len(own[0]))) for document in documents]
        shares = [sum(gram in there for gram in own) / len(own) for there in sets]
        holders = [place for place, share in enumerate(shares) if share >= overlap.min_share]
        partly += not holders and max(shares, default=0) > 0
        holding |= set(holders)
        if holders:
            names = [f"d{place}" for place in holders]
            found.append(
                {"id": f"t{number}", "share": round(max(shares), 4), "count": len(names), "documents": names}
            )
    return {
        "ngram_words": overlap.ngram_words,
        "min_share": overlap.min_share,
        "min_words": overlap.min_words,
        "checked": checked,
        "too_short": len(texts) - checked,
        "below_min_share": partly,
        "leaked": found,
        "documents": [f"d{place}" for place in sorted(holding)],
    }


some_words = st.lists(st.sampled_from("abc"), max_size=14).map(" ".join)
some_overlap = st.builds(
    lambda length, share, shortest: Overlap(length, share, min(length, shortest)),
    st.integers(2, 6),
    st.sampled_from([0.01, 0.3, 0.5, 0.8, 1.0]),
    st.integers(1, 6),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(some_words, max_size=8), st.lists(some_words, max_size=8), some_overlap)
def test_agreement_with_comparing_everything(
    texts: list[str], documents: list[str], overlap: Overlap
) -> None:
    assert check(texts, documents, overlap) == compared(texts, documents, overlap)


def passages(rng: random.Random, documents: list[str], count: int) -> list[str]:
    """Return pieces of documents, some of them with other words in between."""
    texts = []
    for _ in range(count):
        words = rng.choice(documents).split()
        start = rng.randrange(len(words))
        taken = words[start : start + rng.randint(2, 30)]
        share = rng.choice([0, 0.05, 0.3])
        texts.append(" ".join("other" if rng.random() < share else word for word in taken))
    return texts


def test_agreement_on_longer_documents() -> None:
    rng = random.Random(0)
    documents = [" ".join(rng.choices("abcdefgh", k=400)) for _ in range(30)]
    texts = passages(rng, documents, 150)
    found = check(texts, documents)
    assert found == compared(texts, documents, DEFAULT)
    assert len(found["leaked"]) > 40
    assert found["below_min_share"] > 10


def test_equal_hashes_are_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 2 bits of hash nearly everything collides; words decide."""
    whole = leaks.windows_of_lengths

    def short(hashes: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
        return [found << np.uint64(62) for found in whole(hashes, lengths)]

    monkeypatch.setattr(leaks, "windows_of_lengths", short)
    monkeypatch.setattr(leaks, "windows", lambda hashes, length: short(hashes, [length])[0])
    rng = random.Random(1)
    documents = [" ".join(rng.choices("abcdef", k=60)) for _ in range(10)]
    texts = passages(rng, documents, 60)
    overlap = Overlap(4, 0.6, 2)
    assert check(texts, documents, overlap) == compared(texts, documents, overlap)


def test_case_width_and_punctuation_do_not_count() -> None:
    text = "The Weaver's loom (of 1902) stood, unused; in the Straße behind the mill!"
    copy = "… the weaver s LOOM of 1902 stood unused in the STRASSE behind the mill …"
    assert leaked([text], ["nothing like it at all", copy, f"Before.\n{text}\nAfter."]) == {
        "t0": ["d1", "d2"]
    }


def test_one_changed_word_leaves_a_leak() -> None:
    words = [f"{letter}{other}" for letter in "abcd" for other in "abcdefgh"]
    changed = [*words[:16], "other", *words[17:]]
    found = check([" ".join(words)], [" ".join(changed)])
    assert found["leaked"] == [{"id": "t0", "share": round(17 / 25, 4), "count": 1, "documents": ["d0"]}]
    strict = Overlap(ngram_words=8, min_share=0.7, min_words=5)
    assert check([" ".join(words)], [" ".join(changed)], strict)["below_min_share"] == 1


def test_short_texts_are_searched_as_a_whole() -> None:
    document = "we said that the soup was far too salty and left"
    texts = ["The soup was far too", "soup was far salty too", "far too salty", "", "Salty!"]
    found = check(texts, [document])
    assert [entry["id"] for entry in found["leaked"]] == ["t0"]
    assert (found["checked"], found["too_short"], found["below_min_share"]) == (2, 3, 0)


def test_scripts_without_spaces_take_two_characters_a_word() -> None:
    document = "村民大多以種茶為生，每年春天都會舉辦採茶比賽。"
    texts = ["每年春天都會舉辦採茶比賽", "每年春天都會舉辦種茶比賽", "大多以種茶為生", "以種茶為生，每年春天"]
    found = check(texts, [document])
    assert [entry["id"] for entry in found["leaked"]] == ["t0"]
    assert found["too_short"] == 2
    # As a whole it is 9 characters; 10 stand for the 5 words that are searched.
    assert leaked(["以種茶為生，每年春天都會"], [document]) == {"t0": ["d0"]}


def test_texts_of_the_test_split_that_are_equal_are_all_named() -> None:
    text = "seven plain words that stand here twice"
    assert leaked([text, text, "nothing of that is in any document"], [text]) == {"t0": ["d0"], "t1": ["d0"]}


def test_nothing_to_check() -> None:
    assert check([], ["some text"])["checked"] == 0
    assert check(["a b"], ["a b"])["too_short"] == 1
    assert check(["one two three four five six"], [])["leaked"] == []


def test_summary(tmp_path: Path) -> None:
    content = check(
        ["one two three four five six", "a b"], ["zero one two three four five six seven", "else"]
    )
    (tmp_path / "leaks.json").write_text(json.dumps(content), encoding="utf-8")
    expected = {
        "ngram_words": 8,
        "min_share": 0.5,
        "min_words": 5,
        "checked": 1,
        "too_short": 1,
        "below_min_share": 0,
        "leaked": ["t0"],
        "documents": 1,
        "removed": 0,
    }
    assert read_leaks(tmp_path).model_dump(mode="json") == expected
    account = {"left_out": {"holds a test text": {"count": 1, "pages": ["d0"]}}}
    (tmp_path / "account.json").write_text(json.dumps(account), encoding="utf-8")
    assert read_leaks(tmp_path).model_dump(mode="json") == expected | {"removed": 1}
    (tmp_path / "leaks.json").write_text(json.dumps(content | {"min_share": 2}), encoding="utf-8")
    with pytest.raises(InputError, match="leak check: min_share"):
        read_leaks(tmp_path)
