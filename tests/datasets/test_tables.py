"""The validation split that is made from train."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.datasets.tables import split_off_validation


def table(rows: list[tuple[str, str]]) -> pd.DataFrame:
    ids = [str(number) for number in range(len(rows))]
    return pd.DataFrame(
        {"id": ids, "text": [text for text, _ in rows], "label": [label for _, label in rows]}
    )


ROWS = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), min_size=1, max_size=40)


@given(rows=ROWS, fraction=st.sampled_from([0.01, 0.1, 0.5, 0.99]))
def test_every_label_with_two_rows_is_on_both_sides(rows, fraction):
    given_rows = table(rows)
    train, valid = split_off_validation(given_rows, fraction)
    assert sorted([*train["id"], *valid["id"]]) == sorted(given_rows["id"])
    for label, count in given_rows["label"].value_counts().items():
        assert (train["label"] == label).any()
        assert (valid["label"] == label).any() == (count >= 2)


@given(rows=ROWS, order=st.randoms())
def test_the_same_rows_whatever_their_order(rows, order):
    given_rows = table(rows)
    shuffled = given_rows.sample(frac=1, random_state=order.randrange(2**31)).reset_index(drop=True)
    first, second = (set(split_off_validation(rows, 0.3)[1]["id"]) for rows in (given_rows, shuffled))
    assert first == second


def test_share_and_repeated_texts():
    rows = table([(f"text {n % 400}", "x" if n % 4 else "y") for n in range(800)])
    train, valid = split_off_validation(rows, 0.1)
    assert 70 <= len(valid) <= 90
    assert not set(train["text"]) & set(valid["text"])
    assert abs((valid["label"] == "y").mean() - 0.25) < 0.02


def test_golden_rows():
    """The rows must never change: published numbers depend on them."""
    _, valid = split_off_validation(table([(f"text {n}", "xy"[n % 2]) for n in range(40)]), 0.1)
    assert valid["id"].tolist() == ["1", "32", "33", "36"]
