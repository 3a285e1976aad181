"""The reviews of the invented language: what their labels hang on, and what they do not."""

import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from ulmfit.experiments.recipe import load_recipe
from ulmfit.toy.lexicon import lexicon
from ulmfit.toy.reviews import LABELS, LONGEST, NEW_ROOTS_SHARE, SHORTEST, Reviewer, reviews
from ulmfit.toy.sentences import value
from ulmfit.toy.wikipedia import pages

GOLDEN = "a72d7b826c644429e45817ae45916cdd372f792608d15a0a1af5c28b50e7824c"

SIZES = {"train": 600, "valid": 300, "test": 600, "unlabelled": 1500}
"""Those of the recipe."""


@pytest.fixture(scope="module")
def splits():
    return reviews(seed=0, **SIZES)


@pytest.fixture(scope="module")
def spoken():
    """2,000 reviews as (wanted value, clauses)."""
    reviewer = Reviewer(lexicon(), random.Random(7))
    return [(wanted, reviewer.clauses(wanted, new_roots=True)) for wanted in (1, -1) for _ in range(1000)]


def forms(split):
    return Counter(form for review in split for form in re.findall(r"\w+", review.text.lower()))


def sha256_of_content(content):
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def test_same_seed_same_reviews(splits):
    assert reviews(seed=0, **SIZES) == splits
    assert reviews(seed=1, **SIZES)["test"] != splits["test"]


def test_golden_content():
    assert sha256_of_content(reviews(3, train=20, valid=10, test=20, unlabelled=5)) == GOLDEN


def test_the_recipe_has_these_sizes():
    dataset = load_recipe("toy/sentiment").dataset
    assert {split: getattr(dataset, split) for split in SIZES} == SIZES


def test_sizes_labels_and_ids(splits):
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    for split in ("train", "valid", "test"):
        assert Counter(row.label for row in splits[split]) == dict.fromkeys(LABELS, len(splits[split]) // 2)
    assert {row.label for row in splits["unlabelled"]} == {""}
    rows = [row for split in splits.values() for row in split]
    assert len({row.id for row in rows}) == len({row.text for row in rows}) == len(rows)


def test_neither_id_nor_order_tells_the_label(splits):
    labels = [row.label for row in splits["test"]]
    runs = 1 + sum(one != other for one, other in pairwise(labels))
    assert 250 < runs < 350
    assert [row.id for row in splits["test"]] == [f"test-{number:05d}" for number in range(600)]


def test_reviews_are_short(splits):
    for split in splits.values():
        for review in split:
            assert SHORTEST <= len(review.text.split()) <= LONGEST
            assert 1 <= len(re.findall(r"[.!]", review.text)) <= 4
            assert review.text[0].isupper()


def test_most_test_forms_are_unseen_in_training(splits):
    train, test = forms(splits["train"]), forms(splits["test"])
    assert len(test.keys() - train.keys()) / len(test) > 0.55


def test_every_valued_clause_has_the_value_of_the_label(spoken):
    for wanted, clauses in spoken:
        values = {value(clause) for clause in clauses}
        assert wanted in values
        assert values <= {wanted, 0}


def test_negation_flips_the_label(spoken):
    """Take the negation out of a negated clause, and its value is the other one."""
    flipped = 0
    for wanted, clauses in spoken:
        for clause in filter(value, clauses):
            for place, part in enumerate(clause):
                affirmed = tuple(suffix for suffix in part.suffixes if suffix.label != "NEG")
                if affirmed != part.suffixes:
                    changed = (*clause[:place], replace(part, suffixes=affirmed), *clause[place + 1 :])
                    assert value(changed) == -wanted
                    flipped += 1
    assert flipped > 50


def test_a_written_form_has_one_reading_of_its_value(spoken):
    """The text alone decides: no form of one value is spelt like a form of another one."""
    readings = {}
    for _, clauses in spoken:
        for part in (part for clause in clauses for part in clause):
            reading = (part.root.polarity, part.turns % 2)
            assert readings.setdefault(part.form.lower(), reading) == reading


def test_a_bag_of_roots_is_not_enough(spoken):
    """Even who knows every root's polarity, but not the suffixes, is wrong for many reviews."""
    scores = [
        (wanted, sum(part.root.polarity for clause in said for part in clause)) for wanted, said in spoken
    ]
    right = sum(1.0 if score * wanted > 0 else 0.5 if score == 0 else 0.0 for wanted, score in scores)
    assert 0.65 < right / len(scores) < 0.9


def test_no_suffix_alone_tells_the_label(spoken):
    counts = {1: Counter(), -1: Counter()}
    for wanted, clauses in spoken:
        counts[wanted].update(
            suffix.label for clause in clauses for part in clause for suffix in part.suffixes
        )
    often = [label for label, count in (counts[1] + counts[-1]).items() if count >= 100]
    assert {"NEG", "PRIV", "PROP"} <= set(often)
    for label in often:
        count = (counts[1] + counts[-1])[label]
        most = min(0.1, 3 * 0.5 / count**0.5)  # three standard deviations, and no more for rare ones
        assert counts[1][label] / count == pytest.approx(0.5, abs=most), label


def test_test_reviews_use_roots_that_training_does_not_know():
    reviewer = Reviewer(lexicon(), random.Random(7))
    known = {root for roots in reviewer.known.values() for root in roots}
    new = {root for roots in reviewer.new.values() for root in roots}
    assert not known & new

    def used(new_roots):
        said = [clause for _ in range(200) for clause in reviewer.clauses(1, new_roots)]
        return [part.root for clause in said for part in clause if part.root.polarity]

    assert set(used(new_roots=False)) <= known
    roots = used(new_roots=True)
    assert sum(root in new for root in roots) / len(roots) == pytest.approx(NEW_ROOTS_SHARE, abs=0.07)


def test_every_evaluative_root_stands_in_the_wikipedia():
    """Whichever half training lacks: often enough to be learnt there, and in many forms."""
    words = Counter(
        form
        for page in pages(seed=0, articles=200)
        if page.namespace == 0
        for form in re.findall(r"\w+", page.text.lower())
    )
    for root in (root for roots in lexicon().evaluative.values() for root in roots):
        stem = root.form.removesuffix("k")
        found = {form: count for form, count in words.items() if form.startswith(stem)}
        assert sum(found.values()) >= 20 and len(found) >= 10, root
