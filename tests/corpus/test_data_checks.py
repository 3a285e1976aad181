"""Checks of a data set, and the data set without what they find: by hand, by brute force, on real data."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ulmfit.corpus.checks.found import Thresholds, all_checks
from ulmfit.corpus.checks.labels import label_shift
from ulmfit.corpus.checks.likeness import jaccard, likeness_of
from ulmfit.corpus.checks.rows import Row
from ulmfit.corpus.checks.summary import summary_of
from ulmfit.corpus.checks.texts import (
    CONTROL,
    ENTITY,
    ESCAPE,
    MOJIBAKE,
    REPLACEMENT,
    is_damaged,
    is_near_empty,
    signs_of,
)
from ulmfit.corpus.checks.wording import effect, largest_difference, sentences, warnings
from ulmfit.corpus.data_checks import DROPS, CheckSettings, CleanedDataset, DataChecks, checked
from ulmfit.corpus.filtering.deduplication import Nearness, shingles
from ulmfit.corpus.filtering.shingles import units_of
from ulmfit.datasets.stages import DatasetStage, write_dataset
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner

NEARNESS = Nearness(0.7, 2, 128, False)
THRESHOLDS = CheckSettings().thresholds()


class Tables(DatasetStage):
    """A data set of given rows: split -> columns -> values."""

    stage_name: ClassVar[str] = "tables"
    content: str

    def build(self, work) -> None:
        """Write what `content` holds as JSON."""
        splits = {split: pd.DataFrame(table) for split, table in json.loads(self.content).items()}
        write_dataset(work, self, splits)


def tables(metric: str = "accuracy", **splits: list[tuple[str, ...]]) -> Tables:
    """Return a data set of (text, label) rows; the ids are train-000001 and so on."""
    content = {
        split: {"text": [row[0] for row in rows]}
        | ({"label": [row[1] for row in rows]} if len(rows[0]) > 1 else {})
        for split, rows in splits.items()
    }
    return Tables(content=json.dumps(content), metric=metric)


LONG = "one two three four five six seven eight nine ten"
NEARLY = "one two three four five six seven eight nine eleven"  # 8 of 10 shingles in common
FAULTY = tables(
    train=[
        (LONG, "a"),
        ("The room was dirty", "b"),
        ("the room was dirty!", "a"),
        ("a clean room", "a"),
        ("a clean room", "a"),
        ("Gr\u00c3\u00bc\u00c3\u0178e aus Wien", "b"),
        ("ok", "a"),
        ("nothing else is like this", "b"),
        ("a sound text", "a"),
    ],
    valid=[("a clean room.", "a"), ("quite another thing", "b")],
    test=[
        (NEARLY, "b"),
        ("nothing else is like this", "b"),
        ("nothing else is like this", "a"),
        ("only here", "a"),
    ],
    unlabelled=[("only here",), ("broken \ufffd text",)],
)


def rows_of(*texts: str, split: str = "train") -> list[Row]:
    return [Row(split, f"{split}-{number}", text) for number, text in enumerate(texts)]


def nothing(_: int) -> None:
    """No progress is shown."""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "runs")


def test_every_fault_is_found_counted_and_listed_by_id(runner: Runner) -> None:
    stage = DataChecks(dataset=FAULTY)
    folder = runner.build(stage)
    found = read_json(folder / "checks.json")
    assert found["inside"]["train"] == {
        "exact": [{"id": "train-000005", "of": "train-000004"}],
        "loose": [{"id": "train-000003", "of": "train-000002"}],
        "near": [],
    }
    assert found["inside"]["test"]["exact"] == [{"id": "test-000003", "of": "test-000002"}]
    assert found["across"]["test in train"] == {
        "exact": [{"id": f"test-{n:06}", "of": "train-000008"} for n in (2, 3)],
        "loose": [],
        "near": [{"id": "test-000001", "of": "train-000001", "similarity": 0.8}],
    }
    assert [entry["id"] for entry in found["across"]["train in valid"]["loose"]] == [
        "train-000004",
        "train-000005",
    ]
    assert found["across"]["unlabelled in test"]["exact"] == [
        {"id": "unlabelled-000001", "of": "test-000004"}
    ]
    room, like = found["conflicts"]
    assert room["kind"] == "loose" and [row["labels"] for row in room["rows"]] == [["b"], ["a"]]
    assert like["kind"] == "exact"
    assert [(row["split"], row["id"]) for row in like["rows"]] == [
        ("train", "train-000008"),
        ("test", "test-000002"),
        ("test", "test-000003"),
    ]
    assert found["near_empty"] == {"train": ["train-000007"], "valid": [], "test": [], "unlabelled": []}
    assert found["damaged"]["train"] == {MOJIBAKE: ["train-000006"]}
    assert found["damaged"]["unlabelled"] == {REPLACEMENT: ["unlabelled-000002"]}
    assert found["texts"] == {"train": 9, "valid": 2, "test": 4, "unlabelled": 2}
    told = runner.manifest(stage)["warnings"]
    assert (
        "test: texts that stand in train: 2 exactly, 1 nearly (of 4): test-000002, test-000003, test-000001"
        in told
    )
    content = (folder / "checks.json").read_text("utf-8")
    assert not any(text in content for text in (LONG, "dirty", "only here")), "no text is written down"


def test_sound_data_has_nothing_to_tell() -> None:
    rows = [
        Row(split, f"{split}-{n}", f"{word} {n} words in a row {word}{n}", ("ab"[n % 2],))
        for split, word in (("train", "alpha"), ("valid", "beta"), ("test", "gamma"))
        for n in range(6)
    ]
    checks = all_checks(rows, THRESHOLDS, nothing)
    assert sentences(summary_of(checks)) == []
    assert list(warnings(checks)) == []


def test_near_copies_are_those_of_comparing_every_pair() -> None:
    """Against brute force over all pairs, for texts of every likeness."""
    chance = random.Random(7)
    lexicon = [f"word{n}" for n in range(40)]
    texts = []
    for _ in range(25):
        words = chance.choices(lexicon, k=chance.randint(6, 30))
        for changes in (0, 1, 2, 4):
            changed = list(words)
            for _ in range(changes):
                changed[chance.randrange(len(changed))] = chance.choice(lexicon)
            texts.append(" ".join(changed))
    texts = list(dict.fromkeys(texts))
    likeness = likeness_of(rows_of(*texts), NEARNESS, nothing)
    found = {(row, other) for row, others in likeness.near.items() for other, _ in others}
    sets = [set(shingles(units_of(text), "", NEARNESS).tolist()) for text in texts]
    expected = {
        (i, j)
        for i, one in enumerate(sets)
        for j, two in enumerate(sets)
        if i != j and len(one & two) / len(one | two) >= 0.7
    }
    assert len(expected) > 40
    assert found <= expected, "nothing is found that is not there"
    assert len(found) >= 0.95 * len(expected)


def test_in_a_chain_of_similar_texts_only_those_like_one_that_stays_go() -> None:
    words = [f"w{n}" for n in range(30)]
    chain = [" ".join(words[start : start + 20]) for start in range(0, 6, 2)]
    likeness = likeness_of(rows_of(*chain), NEARNESS, nothing)
    assert [other for other, _ in likeness.near[1]] == [0, 2] and len(likeness.near[0]) == 1
    assert [(one.row, one.of) for one in likeness.inside(range(3))] == [(1, 0)]


@given(st.lists(st.sampled_from(["a b c", "A, b c!", "a b c d", "x", "y z", ""]), max_size=12))
def test_what_stays_repeats_nothing_and_what_goes_repeats_something(texts: list[str]) -> None:
    likeness = likeness_of(rows_of(*texts), NEARNESS, nothing)
    gone = {one.row for one in likeness.inside(range(len(texts)))}
    stay = [row for row in range(len(texts)) if row not in gone]
    assert likeness.inside(stay) == []
    assert {one.row for one in likeness.across(sorted(gone), stay)} == gone


def test_jaccard() -> None:
    assert jaccard(np.array([1, 2, 3]), np.array([2, 3, 4, 5])) == 2 / 5
    assert jaccard(np.array([], int), np.array([], int)) == 0


def test_label_shift_by_hand() -> None:
    """Of 100 and 50 texts 60 and 20 have label a: expected 53.33, 46.67 and 26.67, 23.33."""
    shift = label_shift({"a": 60, "b": 40}, {"a": 20, "b": 30})
    expected = sum(
        (seen - of) ** 2 / of for seen, of in ((60, 160 / 3), (40, 140 / 3), (20, 80 / 3), (30, 70 / 3))
    )
    assert shift.chi_square == pytest.approx(expected) == pytest.approx(5.357143)
    assert shift.degrees_of_freedom == 1
    assert shift.p_value == pytest.approx(0.020635, abs=1e-5)
    assert shift.cramers_v == pytest.approx((expected / 150) ** 0.5)
    assert shift.rare_cells == 0
    assert label_shift({"a": 5, "b": 5}, {"a": 3, "b": 3}).chi_square == 0
    assert label_shift({"a": 4}, {"b": 4}).cramers_v == pytest.approx(1)
    assert label_shift({"a": 4}, {"b": 4}).rare_cells == 4
    assert label_shift({"a": 4}, {"a": 9}) is None
    assert label_shift({}, {}) is None


def test_a_shift_is_told_with_its_size_and_the_label_that_differs_most() -> None:
    counts = {"train": (400, 400, 0), "test": (80, 40, 80)}
    rows = [
        Row(split, f"{split}-{label}-{n}", f"{split}{label}{n} says x{n}", (label,))
        for split, numbers in counts.items()
        for label, number in zip("abc", numbers, strict=True)
        for n in range(number)
    ]
    (line,) = [
        line for line in sentences(summary_of(all_checks(rows, THRESHOLDS, nothing))) if "labels" in line
    ]
    assert line.startswith("test: labels have other shares than in train, chi-square ")
    assert "(large)" in line and line.endswith("c, 0.0 % of train and 40.0 % here")
    assert largest_difference({"a": 1}, {"a": 1}) == "a, 100.0 % of train and 100.0 % here"
    assert [effect(v) for v in (0, 0.1, 0.31, 1)] == ["negligible", "small", "medium", "large"]


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("Größe, Łódź, Привет, 你好, ça va", []),
        ("HYVÄ… Å være SÅ…", []),
        ("Різдво Рівне", []),
        ("zwei\tWörter\nund mehr", []),
        ("R&D; AT&T &c. a&b; <U+> C:\\users", []),
        ("Größe".encode().decode("cp1252"), [MOJIBAKE]),
        ("Größe".encode().decode("latin-1"), [MOJIBAKE]),
        ("it’s".encode().decode("latin-1"), [MOJIBAKE]),
        ("więcej żółci".encode().decode("cp1250"), [MOJIBAKE]),
        ("привет".encode().decode("cp1251"), [MOJIBAKE]),
        ("so “quoted” it".encode().decode("cp1252", "replace"), [REPLACEMENT, MOJIBAKE]),
        ("it’s".encode().decode("cp1252"), [MOJIBAKE]),
        *[(f"GUT{'😀'.encode().decode(page)}", [MOJIBAKE]) for page in ("latin-1", "cp1252")],
        ("a \x93quoted\x94 word", [CONTROL]),
        ("lost \ufffd letter", [REPLACEMENT]),
        ("gut <U+0001F602>", [ESCAPE]),
        ("gut \\ud83d\\ude02", [ESCAPE]),
        ("gut \\U0001F602", [ESCAPE]),
        ("Bund &amp; Land", [ENTITY]),
        ("sch&ouml;n &#128514; &#x1F602;", [ENTITY]),
        ("<U+00E4> &lt; \ufffd", [REPLACEMENT, ESCAPE, ENTITY]),
    ],
)
def test_signs_of_damage(text: str, signs: list[str]) -> None:
    assert signs_of(text) == signs
    assert is_damaged(text) == bool({REPLACEMENT, MOJIBAKE, CONTROL} & set(signs))


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("super", True),
        ("so so", False),
        ("1 2 3", True),
        ("!!! ...", True),
        ("很好", True),
        ("房间很干净", False),
    ],
)
def test_near_empty_texts(text: str, empty: bool) -> None:
    assert is_near_empty(text, 2, 3) is empty
    assert not is_near_empty(text, 0, 0)


def ids(folder: Path, split: str) -> list[str]:
    return pd.read_parquet(folder / f"{split}.parquet")["id"].tolist()


def test_a_cleaned_data_set_loses_what_was_found_and_keeps_test(runner: Runner) -> None:
    stage = CleanedDataset(dataset=FAULTY)
    folder, source = runner.build(stage), runner.folder(FAULTY)
    # 1 and 8 stand in test, 4 and 5 in valid, 2 and 3 are one text with two labels, 7 is one word.
    assert ids(folder, "train") == ["train-000006", "train-000009"]
    dropped = read_json(folder / "cleaning.json")["dropped"]
    assert dropped["train"] == {
        "train_in_test": ["train-000001", "train-000008"],
        "train_in_valid": ["train-000004", "train-000005"],
        "conflicts": ["train-000002", "train-000003"],
        "near_empty": ["train-000007"],
    }
    assert ids(folder, "test") == ids(source, "test")


def test_what_is_dropped_is_chosen_by_name(runner: Runner) -> None:
    stage = CleanedDataset(dataset=FAULTY, drop=("train_duplicates", "damaged"))
    folder, source = runner.build(stage), runner.folder(FAULTY)
    assert ids(folder, "train") == [f"train-{n:06}" for n in (1, 2, 4, 7, 8, 9)]
    assert ids(folder, "unlabelled") == ["unlabelled-000001"]
    for split in ("valid", "test"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(folder / f"{split}.parquet"), pd.read_parquet(source / f"{split}.parquet")
        )
    before, after = read_json(source / "dataset.json"), read_json(folder / "dataset.json")
    assert after["rows"] == {"train": 6, "valid": 2, "test": 4, "unlabelled": 1}
    assert after["name"] == before["name"] and after["labels"] == before["labels"]
    assert "train: texts left out: damaged 1, train_duplicates 2" in after["warnings"]
    exact = CleanedDataset(dataset=FAULTY, drop=("train_duplicates",), match="exact")
    assert len(ids(runner.build(exact), "train")) == 8
    other = CleanedDataset(dataset=FAULTY, drop=("test_duplicates",))
    assert ids(runner.build(other), "test") == ["test-000001", "test-000002", "test-000004"]


def test_a_copy_stays_when_its_original_went_for_another_reason(runner: Runner) -> None:
    """Its original stands in test; the copy, less alike, does not, and is the only one left."""
    words = [f"w{n}" for n in range(30)]
    first, second, third = (" ".join(words[start : start + 20]) for start in (0, 2, 4))
    data = tables(
        train=[(second, "a"), (third, "a"), ("x y z", "b"), ("u v w", "a")],
        valid=[("k l m", "a")],
        test=[(first, "a")],
    )
    folder = runner.build(CleanedDataset(dataset=data, drop=("train_in_test", "train_duplicates")))
    assert ids(folder, "train") == ["train-000002", "train-000003", "train-000004"]


def test_dropping_too_much_is_refused(runner: Runner) -> None:
    data = tables(train=[("aa bb", "a"), ("cc dd", "b")], valid=[("ee ff", "a")], test=[("aa bb", "a")])
    with pytest.raises(InputError, match="no text of label 'a' in train: name fewer reasons"):
        runner.build(CleanedDataset(dataset=data, drop=("train_in_test",)))
    data = tables(train=[("aa bb", "a"), ("cc dd", "b")], valid=[("ee ff", "a")], test=[("Ee ff", "a")])
    with pytest.raises(InputError, match="no text in valid"):
        runner.build(CleanedDataset(dataset=data, drop=("valid_in_test",)))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="drop names no reason"):
        CleanedDataset(dataset=FAULTY, drop=())
    with pytest.raises(ValidationError, match="drop"):
        CleanedDataset(dataset=FAULTY, drop=("everything",))


def test_the_order_of_reasons_changes_nothing(runner: Runner) -> None:
    one = CleanedDataset(dataset=FAULTY, drop=("near_empty", "conflicts"))
    two = CleanedDataset(dataset=FAULTY, drop=("conflicts", "near_empty"))
    assert runner.keys.key(one) == runner.keys.key(two)
    assert set(one.drop) <= set(DROPS)


def test_a_cleaned_data_set_takes_over_metric_and_name() -> None:
    data = FAULTY.changed(name="mine", metric="binary_f1", positive_label="a")
    cleaned = CleanedDataset(dataset=data)
    assert (cleaned.name, cleaned.metric, cleaned.positive_label) == ("mine", "binary_f1", "a")
    assert CleanedDataset(dataset=data, metric="macro_f1").metric == "macro_f1"
    assert cleaned.changed(drop=("conflicts",)).metric == "binary_f1"


def test_checks_by_mode() -> None:
    assert checked(FAULTY, "off") == (FAULTY, None)
    assert checked(FAULTY, "count") == (FAULTY, DataChecks(dataset=FAULTY))
    assert checked(FAULTY, "drop") == (CleanedDataset(dataset=FAULTY), DataChecks(dataset=FAULTY))
    own = CleanedDataset(dataset=FAULTY, drop=("conflicts",))
    assert checked(own, "drop") == (own, DataChecks(dataset=FAULTY))
    assert checked(None, "drop") == (None, None)


def test_lists_of_labels_and_numbers_in_place_of_labels() -> None:
    several = [
        Row("train", "1", "aa bb", ("x", "y")),
        Row("train", "2", "aa bb", ("x", "y")),
        Row("train", "3", "aa bb", ("x",)),
    ]
    checks = all_checks(several, THRESHOLDS, nothing)
    assert checks["labels"] == {"train": {"x": 3, "y": 2}}
    assert len(checks["conflicts"]) == 1
    numbers = all_checks([Row("train", "1", "aa bb"), Row("train", "2", "aa bb")], THRESHOLDS, nothing)
    assert numbers["conflicts"] == [] and numbers["labels"] == {} and numbers["label_shift"] == {}


def test_thresholds_are_those_of_the_settings() -> None:
    settings = CheckSettings(similarity=0.5, min_words=4)
    assert settings.thresholds() == Thresholds(0.5, 2, 128, 4, 3)


@pytest.mark.parametrize(
    ("name", "test_in_train", "train"),
    [
        ("pl/wccrs_hotels", (1, 12), {"exact": 0, "loose": 71}),
        ("de/germeval2018", (0, 0), {"exact": 0, "loose": 0}),
        pytest.param("pl/8tags", (0, 1), {"exact": 0, "loose": 2}, marks=pytest.mark.soak),
    ],
)
def test_real_data(
    name: str, test_in_train: tuple[int, int], train: dict[str, int], shared_data: Path, tmp_path: Path
) -> None:
    dataset = load_recipe(name).dataset
    folder = Runner(tmp_path / "runs", shared_data).build(DataChecks(dataset=dataset))
    summary = summary_of(read_json(folder / "checks.json"))
    across = summary.across["test in train"]
    assert (across.exact, across.loose) == test_in_train
    assert {kind: getattr(summary.inside["train"], kind) for kind in train} == train
    if name == "pl/wccrs_hotels":
        assert summary.conflicts.model_dump() == {
            "exact": 2,
            "loose": 3,
            "rows": {"test": 1, "train": 8, "valid": 1},
        }
