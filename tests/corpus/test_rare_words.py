"""Rare words become a mark in every split, counted in the training split alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from stages_for_tests import InventedCorpus

from ulmfit.corpus.rare_words import MARK, RareWordsReplaced, frequent_words, with_marks
from ulmfit.corpus.stages import CorpusStage
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import write_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work

TEXTS = {
    "train": ["Ala ma kota .\nKot ma Alę .", "Ala ma psa . Pies ma Alę", "Ala ma . Alę"],
    "valid": ["Ala ma kota , psa\ti \u00a0rybę"],
    "test": ["Ola ma Alę .", "Alę ."],
}


class ThreeWords(CorpusStage):
    """A few sentences; `Ala`, `ma`, `Alę` and `.` stand three times or more in the training split."""

    stage_name = "three_words"

    def build(self, work: Work) -> None:
        """Write documents.parquet and account.json."""
        rows = [(split, text) for split, texts in TEXTS.items() for text in texts]
        table = {
            "id": [str(number) for number in range(len(rows))],
            "title": ["Ola"] * len(rows),
            "text": [text for _, text in rows],
            "split": [split for split, _ in rows],
        }
        pd.DataFrame(table).to_parquet(work.folder / "documents.parquet", index=False)
        account = {"source": "three words", "pages_read": len(rows), "documents_written": len(rows)}
        write_json(work.folder / "account.json", {**account, "left_out": {}})


def texts_of(runner: Runner, stage: CorpusStage) -> list[str]:
    return list(pd.read_parquet(runner.build(stage) / "documents.parquet")["text"])


def test_rare_words_are_marked_and_white_space_stays(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    assert texts_of(runner, RareWordsReplaced(corpus=ThreeWords())) == [
        "Ala ma ☠ .\n☠ ma Alę .",
        "Ala ma ☠ . ☠ ma Alę",
        "Ala ma . Alę",
        "Ala ma ☠ ☠ ☠\t☠ \u00a0☠",
        "☠ ma Alę .",
        "Alę .",
    ]
    folder = runner.folder(RareWordsReplaced(corpus=ThreeWords()))
    assert "not comparable" in (folder / "log.txt").read_text(encoding="utf-8")


def test_the_count_is_a_setting(tmp_path: Path) -> None:
    texts = texts_of(Runner(tmp_path), RareWordsReplaced(corpus=ThreeWords(), min_count=4))
    assert texts[0] == "☠ ma ☠ .\n☠ ma ☠ ."


def test_replacing_twice_changes_nothing_more(tmp_path: Path) -> None:
    runner, once = Runner(tmp_path), RareWordsReplaced(corpus=InventedCorpus(documents=12, words=20))
    assert texts_of(runner, RareWordsReplaced(corpus=once)) == texts_of(runner, once)


def test_words_are_what_stands_between_white_space() -> None:
    kept = frequent_words(["a b\u2003a,\na", "a"], 3)
    assert kept == {"a"}
    assert with_marks("a\u2003a, a\n", kept) == f"a\u2003{MARK} a\n"
    assert with_marks("", kept) == ""


def test_texts_without_spaces_are_refused() -> None:
    assert frequent_words(["ein 東京 ein"], 2) == {"ein"}
    with pytest.raises(InputError, match="18 words but only 2 runs between white space") as error:
        frequent_words(["昨天我在城里看见。", "他们今天早上说到。"], 2)
    assert "\n" not in str(error.value)
