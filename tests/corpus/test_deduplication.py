"""Finding duplicates: agreement with comparing all pairs, and cases whose answer is known."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.corpus.documents import Document
from ulmfit.corpus.filtering import deduplication
from ulmfit.corpus.filtering.deduplication import (
    DUPLICATE,
    NEAR_DUPLICATE,
    Duplicates,
    Nearness,
    Signatures,
    banding,
    find_duplicates,
)

DEFAULT = Nearness(similarity=0.7, shingle_words=2, permutations=128, ignore_title_and_numbers=True)
PLAIN = Nearness(similarity=0.7, shingle_words=2, permutations=128, ignore_title_and_numbers=False)


def nothing(_: int) -> None:
    """Show no progress."""


def find(documents: Sequence[Document | str], nearness: Nearness | None = DEFAULT) -> Duplicates:
    items = [
        Document(str(n), "", item) if isinstance(item, str) else item for n, item in enumerate(documents)
    ]
    return find_duplicates(items, len(items), nearness, nothing)


def kept(documents: Sequence[Document | str], nearness: Nearness | None = DEFAULT) -> list[int]:
    return np.flatnonzero(find(documents, nearness).original < 0).tolist()


def jaccard(one: str, two: str, length: int) -> float:
    """Return the exact similarity of two texts of small letters and spaces."""
    sets = []
    for words in (one.split(), two.split()):
        size = min(length, len(words))
        sets.append({tuple(words[start : start + size]) for start in range(len(words) - size + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def mutated(rng: random.Random, words: list[str]) -> list[str]:
    """Return words of which some are replaced, so that all degrees of similarity occur."""
    share = rng.choice([0, 0.02, 0.05, 0.1, 0.2, 0.5])
    return [rng.choice("abcdefgh") * rng.randint(1, 9) if rng.random() < share else word for word in words]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("length", "similarity"), [(1, 0.8), (2, 0.7), (4, 0.5)])
def test_agreement_with_all_pairs(seed: int, length: int, similarity: float) -> None:
    rng = random.Random(seed)
    families = [
        [rng.choice("ijklmnop") * rng.randint(1, 9) for _ in range(rng.randint(5, 80))] for _ in range(6)
    ]
    texts = [" ".join(mutated(rng, rng.choice(families))) for _ in range(120)]
    found = find(texts, Nearness(similarity, length, 256, False))
    margin = 0.12  # four standard errors of 256 permutations
    exact = {text: row for row, text in reversed(list(enumerate(texts)))}
    for row, original in enumerate(found.original.tolist()):
        earlier = [other for other in range(row) if found.original[other] < 0]
        if exact[texts[row]] != row:
            assert (original, found.reason(row)) == (exact[texts[row]], DUPLICATE)
        elif original >= 0:
            assert original in earlier
            assert found.reason(row) == NEAR_DUPLICATE
            assert jaccard(texts[row], texts[original], length) >= similarity - margin
        else:
            assert found.reason(row) == ""
            assert all(jaccard(texts[row], texts[other], length) < similarity + margin for other in earlier)
    assert Counter(map(found.reason, range(len(texts)))).keys() == {"", DUPLICATE, NEAR_DUPLICATE}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from("ab"), max_size=3), max_size=20))
def test_exact_duplicates_are_the_texts_of_the_same_words(items: list[list[str]]) -> None:
    texts = [" ".join(words) or "..." for words in items]
    found = find(texts, None)
    assert found.original.tolist() == [
        -1 if texts.index(t) == n else texts.index(t) for n, t in enumerate(texts)
    ]
    assert not found.near.any()


def test_case_and_punctuation_do_not_count() -> None:
    texts = [
        "The Cat, sat; (on) MATS!",
        "the cat sat on mats",
        "the cat\nsat on “mats”",
        "the cats at on mats",
    ]
    assert kept(texts, None) == [0, 3]


def test_texts_without_words() -> None:
    assert kept(["", "...", "", "?!", "...", "a"], None) == [0, 1, 3, 5]
    assert kept(["", "...", "", "?!", "...", "a"]) == [0, 1, 3, 5]
    assert kept([]) == []
    assert kept(["one"]) == [0]
    assert kept(["all the same"] * 50) == [0]


def stub(name: str, people: int, county: str) -> Document:
    text = f"{name} is a village in the county of {county}, in the north. It has {people:,} inhabitants."
    return Document(name, name, text, split="train")


def test_stubs_of_a_bot_leave_one_of_a_kind() -> None:
    """They differ in a name and numbers; a short text of a person stays."""
    rng = random.Random(0)
    names = ["".join(rng.choice(["ba", "ko", "ri", "lu", "mes"]) for _ in range(4)) for _ in range(60)]
    stubs = [stub(name.title(), rng.randrange(1, 5000), "Upper Land") for name in dict.fromkeys(names)]
    article = Document(
        "w", "Weaving", "Weaving makes cloth of two sets of threads, warp and weft, that cross."
    )
    river = Document(
        "r", "Ripple", "Ripple is a river in the county of Upper Land that dries up in most summers."
    )
    assert kept([*stubs[:20], article, *stubs[20:], river]) == [0, 20, len(stubs) + 1]
    assert len(kept(stubs, PLAIN)) > 10
    published = Nearness(similarity=0.8, shingle_words=5, permutations=128, ignore_title_and_numbers=False)
    assert len(kept(stubs, published)) == len(stubs)


def test_what_tells_pages_of_one_name_apart_is_no_particular() -> None:
    pages = [
        Document("1", "Rome (city)", "Rome is a city that was built on hills beside a river."),
        Document("2", "Rome (series)", "Rome is a series that was filmed in studios for two years."),
    ]
    assert kept(pages) == [0, 1]


def test_order_of_words_and_of_sentences() -> None:
    rng = random.Random(1)
    sentences = [" ".join("".join(rng.choices("abcdefg", k=6)) for _ in range(12)) for _ in range(12)]
    turned = "\n".join(sentences[::-1])
    text = "\n".join(sentences)
    words = text.split()
    rng.shuffle(words)
    assert kept([text, turned, " ".join(words)]) == [0, 2]


def test_scripts_without_spaces() -> None:
    villages = [
        Document(
            str(n), name, f"{name}是位於北部山區的一個小村莊，全村共有居民{people}人，村民大多以種茶為生。"
        )
        for n, (name, people) in enumerate([("上林村", 312), ("下坪村", 87), ("大溪口", 1204)])
    ]
    other = Document("9", "竹編", "竹編是用竹片編成籃子和席子的手工藝，在許多地方代代相傳。")
    assert kept([*villages, other]) == [0, 3]


def test_similarity_is_not_passed_on_through_what_goes() -> None:
    """The second resembles the first and goes; the third resembles the second alone and stays."""
    words = [f"{letter}{other}" for letter in "abcdefgh" for other in "abcdefghij"]
    changed = [
        [f"x{place}" if place < edge else word for place, word in enumerate(words)] for edge in (0, 9, 18)
    ]
    one, two, three = (" ".join(text) for text in changed)
    assert jaccard(one, two, 2) > 0.75
    assert jaccard(two, three, 2) > 0.75
    assert jaccard(one, three, 2) < 0.65
    assert kept([one, two, three], PLAIN) == [0, 2]
    assert kept([two, one, three], PLAIN) == [0]


def test_a_copy_in_another_split_goes() -> None:
    first = Document("1", "", "one text that stands in two splits of the corpus", split="test")
    second = Document("2", "", "One text that stands in two splits of the corpus.", split="train")
    assert kept([first, second]) == [0]
    assert kept([second, first]) == [0]


def test_the_estimate_is_unbiased_and_as_exact_as_it_should_be() -> None:
    rng = np.random.default_rng(0)
    size, pairs, similarity = 60, 400, 0.5
    both = round(2 * size * similarity / (1 + similarity))
    signatures = Signatures(2 * pairs, DEFAULT)
    for pair in range(pairs):
        hashes = rng.integers(0, 2**32, size=2 * size - both, dtype=np.uint32)
        signatures.add(2 * pair, hashes[:size])
        signatures.add(2 * pair + 1, hashes[size - both :])
    estimates = np.array(
        [signatures.similarities(2 * pair, np.array([2 * pair + 1]))[0] for pair in range(pairs)]
    )
    assert estimates.mean() == pytest.approx(similarity, abs=0.01)
    assert estimates.std() == pytest.approx((similarity * (1 - similarity) / 128) ** 0.5, rel=0.15)


@given(st.floats(0.3, 1), st.integers(16, 1024))
def test_banding_finds_the_pairs_at_the_threshold(similarity: float, permutations: int) -> None:
    bands, rows = banding(similarity, permutations)
    assert bands * rows <= permutations
    assert 1 - (1 - similarity**rows) ** bands >= 0.98


def test_a_full_band_value_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that share a band but are not similar enough fill it; the time stays linear in the texts."""
    common = " ".join(f"w{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    rng = random.Random(2)
    texts = [
        f"{common} {' '.join(''.join(rng.choices('klmno', k=8)) for _ in range(14))}" for _ in range(300)
    ]
    monkeypatch.setattr(deduplication, "MOST_COMPARED", 3)
    found = find([*texts, texts[0], texts[-1] + " end"])
    assert found.description["entries_refused"] > 0
    assert found.original[-2] == 0
    assert sum(found.original >= 0) < 20


def test_settings_and_memory_are_described() -> None:
    texts = [f"text number {'x' * n} of them" for n in range(1, 200)]
    assert find(texts, None).description == {"method": "exact", "bytes_a_document": 21.0}
    described = find(texts).description
    assert (described["method"], described["bands"], described["rows_a_band"]) == ("minhash", 25, 5)
    assert 128 + 25 * 4 + 21 <= described["bytes_a_document"] <= 128 + 25 * 4 * 3 + 21


@pytest.mark.soak
def test_memory_a_document_is_what_is_said() -> None:
    """The difference of two sizes, so that what does not grow with the documents drops out."""
    peaks = {}
    for count in (5_000, 15_000):
        rng = random.Random(3)
        names = ("".join(rng.choices(["ba", "ko", "ri", "lu", "mes"], k=8)).title() for _ in range(count))
        documents = (stub(name, rng.randrange(9999), f"County {rng.randrange(200)}") for name in names)
        tracemalloc.start()
        found = find_duplicates(documents, count, DEFAULT, nothing)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    measured = (peaks[15_000] - peaks[5_000]) / 10_000
    said = found.description["bytes_a_document"]
    print(f"deduplication: {said} bytes a document by the account, {measured:.0f} at the peak")
    assert measured < said + 60
