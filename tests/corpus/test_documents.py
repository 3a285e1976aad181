"""The writer: samples, splits, duplicates and an account that closes, whatever the documents are."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.making import account, rows
from ulmfit.corpus.documents import Account, Document, Selection, salted_hash, write_corpus
from ulmfit.pipeline.errors import InputError


def quiet(_: str) -> None:
    """Log nothing."""


def write(folder: Path, documents: list[Document], selection: Selection) -> list[dict[str, str]]:
    written = write_corpus(documents, folder, folder, Account("test", len(documents)), selection, quiet)
    found = rows(folder)
    assert written == len(found)
    assert sorted(path.name for path in folder.iterdir()) == ["account.json", "documents.parquet"]
    return found


documents = st.lists(
    st.builds(
        Document,
        id=st.integers(0, 30).map(str),
        title=st.sampled_from(["", "a", "b"]),
        text=st.text(alphabet="xyž \n", min_size=1, max_size=9),
        split_key=st.sampled_from(["", "k"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(documents, st.none() | st.integers(1, 20), st.floats(0.001, 0.45), st.floats(0.001, 0.45))
def test_account_closes_and_no_split_is_empty(
    items: list[Document], wanted: int | None, valid: float, test: float
) -> None:
    with tempfile.TemporaryDirectory() as name:
        found = write(Path(name), items, Selection(wanted, valid, test))
        account(Path(name))
    assert len({row["id"] for row in found}) == len(found)
    assert len(found) == min(wanted or 1000, len({(item.id, item.title or item.text) for item in items}))
    assert len({row["split"] for row in found}) == min(3, len(found))
    if len(found) < 3:
        assert found[0]["split"] == "train" or found[-1]["split"] == "train"


def test_shares_and_independence_of_the_rest(tmp_path: Path) -> None:
    items = [Document(str(n), "", f"text {n}") for n in range(20_000)]
    found = write(tmp_path, items, Selection(None, 0.1, 0.05))
    counts = Counter(row["split"] for row in found)
    assert counts["valid"] == pytest.approx(2000, abs=150)
    assert counts["test"] == pytest.approx(1000, abs=120)
    splits = {row["id"]: row["split"] for row in found}
    some = write(tmp_path, items[5000:9000], Selection(None, 0.1, 0.05))
    assert all(splits[row["id"]] == row["split"] for row in some)
    sample = write(tmp_path, items, Selection(4000, 0.1, 0.05))
    assert Counter(row["split"] for row in sample)["valid"] == pytest.approx(400, abs=70)


def test_equal_texts_share_a_split(tmp_path: Path) -> None:
    items = [Document(str(n), "", f"text {n % 500}", split_key=f"text {n % 500}") for n in range(2000)]
    found = write(tmp_path, items, Selection(None, 0.2, 0.2))
    for n in range(500):
        assert len({row["split"] for row in found[n::500]}) == 1


def test_documents_with_a_split_keep_it(tmp_path: Path) -> None:
    items = [Document(str(n), "", "x", split=("train", "valid", "test")[n % 3]) for n in range(30)]
    assert [row["split"] for row in write(tmp_path, items, Selection())] == ["train", "valid", "test"] * 10


def test_nothing_to_write_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    counted = Account("x.txt", 2)
    counted.leave_out("empty text", "1", 2)
    with pytest.raises(InputError, match=r"x\.txt holds no documents: 2 pages read, left out: 2 empty text"):
        write_corpus([], tmp_path, tmp_path, counted, Selection(), quiet)
    assert not list(tmp_path.iterdir())


def test_an_account_that_does_not_close_is_never_written() -> None:
    with pytest.raises(RuntimeError, match="3 read, but 2 written"):
        Account("x", 3).as_json(2)


def test_golden_hashes() -> None:
    """Published splits depend on these values: they may never change."""
    assert salted_hash("ulmfit split", "42") == 0x6D8C978B36CA1455
    assert salted_hash("ulmfit sample", "42") == 0x8C47CDEBE6BEC9A5
